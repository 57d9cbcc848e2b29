import { LruMap } from '../runtime/bounded.ts'
import { peerOf } from './keys.ts'
import type { PubsubCore } from './core/pubsub.ts'
import type { Key } from './core/types.ts'
import type { PublishResult } from './index.ts'
import type { Neighbour, Shared } from './shared.ts'

/** Who gets what is published, and by which ways: worked out once, until somebody comes or goes */
export interface Plan {
  topic: string
  /** Named by the publisher; none: all who are on the topic */
  to: Key[]
  recipients: Key[]
  /** What publish() says when nothing went wrong */
  result: PublishResult
  direct: Neighbour[]
  /** Destinations by the neighbour that leads to them */
  relayed: Map<Key, Key[]>
  lost: Key[]
  subscribersVersion: number
  routesVersion: number
}

/** Plans that are kept. A guess at how many topics (and sets of peers) a node publishes to at the same time */
const MAX_PLANS = 1024

export class Plans {
  readonly #core: PubsubCore
  readonly #shared: Shared
  readonly #plans = new LruMap<string, Plan>(MAX_PLANS)
  #last?: Plan

  constructor (core: PubsubCore, shared: Shared) {
    this.#core = core
    this.#shared = shared
  }

  get (topic: string, to: Key[] = []): Plan {
    if (to.length === 0 && this.#last?.topic === topic && this.#isCurrent(this.#last)) {
      return this.#last
    }

    const name = `${topic}\n${to.join('')}`
    let plan = this.#plans.get(name)

    if (plan == null || !this.#isCurrent(plan)) {
      plan = this.#make(topic, to)
      this.#plans.set(name, plan)
    }
    if (to.length === 0) {
      this.#last = plan
    }

    return plan
  }

  clear (): void {
    this.#plans.clear()
    this.#last = undefined
  }

  /** A plan of our own making for these destinations, not kept */
  make (topic: string, to: Key[], recipients: Key[]): Plan {
    const { subscribers, routes } = this.#core
    const plan: Plan = {
      topic,
      to,
      recipients,
      result: { recipients: recipients.map(peerOf), acked: [], failed: [] },
      direct: [],
      relayed: new Map(),
      lost: [],
      subscribersVersion: subscribers.version,
      routesVersion: routes.version
    }

    for (const key of recipients) {
      const neighbour = this.#shared.neighbours.get(key)
      const via = neighbour == null ? routes.next(key) : undefined

      if (neighbour != null) {
        plan.direct.push(neighbour)
      } else if (via == null) {
        plan.lost.push(key)
      } else {
        const others = plan.relayed.get(via)
        others == null ? plan.relayed.set(via, [key]) : others.push(key)
      }
    }

    return plan
  }

  #isCurrent ({ subscribersVersion, routesVersion }: Plan): boolean {
    return subscribersVersion === this.#core.subscribers.version && routesVersion === this.#core.routes.version
  }

  #make (topic: string, to: Key[]): Plan {
    return this.make(topic, to, to.length > 0 ? [...new Set(to)].filter(key => key !== this.#shared.self) : this.#core.subscribers.of(topic))
  }
}
