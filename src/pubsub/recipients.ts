import { LruMap } from '../runtime/bounded.ts'
import { peerOf } from './keys.ts'
import type { Context, Peer } from './context.ts'
import type { Key } from './core/types.ts'
import type { PublishResult } from './index.ts'

/** Who gets what is published, and by which ways: worked out once, until somebody comes or goes */
export interface Recipients {
  topic: string
  /** Named by the publisher; none: all who are on the topic */
  to: Key[]
  all: Key[]
  /** What publish() says when nothing went wrong */
  result: PublishResult
  direct: Peer[]
  /** Destinations by the neighbour that leads to them */
  relayed: Map<Key, Key[]>
  /** All of those */
  behind: Key[]
  unreachable: Key[]
  subscribersVersion: number
  routingVersion: number
}

/** Recipients that are kept. A guess at how many topics (and sets of peers) a node publishes to at the same time */
const MAX_KEPT = 1024

export class AllRecipients {
  readonly #context: Context
  readonly #kept = new LruMap<string, Recipients>(MAX_KEPT)
  #last?: Recipients

  constructor (context: Context) {
    this.#context = context
  }

  get (topic: string, to: Key[] = []): Recipients {
    if (to.length === 0 && this.#last?.topic === topic && this.#isCurrent(this.#last)) {
      return this.#last
    }

    // the length keeps a topic from being taken for another one with a peer behind it
    const name = `${topic.length} ${topic}${to.join('')}`
    let recipients = this.#kept.get(name)

    if (recipients == null || !this.#isCurrent(recipients)) {
      const { self, core } = this.#context
      const named = [...new Set(to)].filter(key => key !== self)
      recipients = this.make(topic, to, to.length > 0 ? named : core.subscribers.of(topic))
      this.#kept.set(name, recipients)
    }
    if (to.length === 0) {
      this.#last = recipients
    }

    return recipients
  }

  /** Some of those that it is for, not kept. `avoid`: neighbours that did not bring it there */
  make (topic: string, to: Key[], all: Key[], avoid: readonly Key[] = []): Recipients {
    const { core, peers } = this.#context
    const recipients: Recipients = {
      topic,
      to,
      all,
      result: { recipients: all.map(peerOf), acked: [], failed: [] },
      direct: [],
      relayed: new Map(),
      behind: [],
      unreachable: [],
      subscribersVersion: core.subscribers.version,
      routingVersion: core.routing.version
    }

    for (const key of all) {
      const peer = peers.get(key)
      const via = peer == null ? this.#next(key, avoid) : undefined

      if (peer != null) {
        recipients.direct.push(peer)
      } else if (via == null) {
        recipients.unreachable.push(key)
      } else {
        recipients.behind.push(key)
        const others = recipients.relayed.get(via)
        others == null ? recipients.relayed.set(via, [key]) : others.push(key)
      }
    }

    return recipients
  }

  /** A leaf is told of those who share its topics alone: for others it tries its relays, which know everybody */
  #next (key: Key, avoid: readonly Key[]): Key | undefined {
    const { routing, updates } = this.#context.core
    const another = avoid.length > 0 ? routing.next(key, via => avoid.includes(via)) : undefined
    return another ?? routing.next(key) ?? updates.relays.find(relay => !avoid.includes(relay))
  }

  #isCurrent ({ subscribersVersion, routingVersion }: Recipients): boolean {
    const { subscribers, routing } = this.#context.core
    return subscribersVersion === subscribers.version && routingVersion === routing.version
  }
}
