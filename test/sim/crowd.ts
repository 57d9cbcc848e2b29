import { randomInt } from '../../src/runtime/random.ts'
import { checkAtRest, checkBounded, checkRelays, checkSubscribers } from './checks.ts'
import { SimNetwork } from './network.ts'
import type { SimNode } from './node.ts'

export interface CrowdInit {
  nodes: number
  seed: number
  relays: number
  /** Minutes of churn */
  minutes: number
  /** Topics beside the one that all are on */
  topics: number
}

/** Topic of all */
const COMMON = 'common'
/** Of the nodes are on each of the other topics */
const SHARE = 0.1
/** Relays that a leaf is attached to */
export const ATTACHED = 2
/** Of the leaves never subscribe, and ask when they want to publish */
const PUBLISHERS = 0.02
/** Of the leaves leave or change a subscription in a minute */
const CHURN = 0.1
/** Milliseconds until a leaf whose relay is gone has found another one */
const REATTACH = 5000
const SECOND = 1000
const MINUTE = 60 * SECOND
/** Milliseconds until nothing is left of what was lost */
const FORGETTING = 4 * MINUTE

/** Control messages of one stretch of time */
export interface Traffic {
  name: string
  leaf: { sent: Figures, received: Figures }
  relay: { sent: Figures, received: Figures, perNeighbour: Figures }
  mean: { sent: number, neighbours: number, announcements: number }
}

export interface Figures {
  mean: number
  p50: number
  max: number
}

/**
 * Many leaves on few relays: leaves cannot relay and are attached to two relays each; each relay is connected to about
 * six others. All leaves come, then all subscribe in one instant, then some leave and come all the time, then it is quiet.
 */
export class Crowd {
  readonly network: SimNetwork
  readonly #init: CrowdInit
  readonly #leaves: SimNode[] = []
  readonly #relays: SimNode[] = []
  readonly #publishers: SimNode[] = []
  readonly #topics: string[]

  constructor (init: CrowdInit) {
    this.#init = init
    this.network = new SimNetwork({ seed: init.seed, observe: false })
    this.#topics = [COMMON, ...Array.from({ length: init.topics }, (_, i) => `topic ${i + 1}`)]
  }

  get topics (): string[] {
    return this.#topics
  }

  get subscribers (): number {
    return this.#leaves.length
  }

  /** All nodes come, connect, and have greeted each other */
  gather (): void {
    const { nodes, relays } = this.#init

    for (let i = 0; i < relays; i++) {
      this.#relays.push(this.network.start(`relay ${i}`, true))
    }
    for (let i = 0; i < relays; i++) {
      [1, 2, 5].forEach(step => { this.network.connect(this.#relays[i], this.#relays[(i + step) % relays]) })
    }
    for (let i = relays; i < nodes; i++) {
      const leaf = this.network.start(`leaf ${i}`, false)
      this.#attach(leaf)
      i < relays + (nodes - relays) * PUBLISHERS ? this.#publishers.push(leaf) : this.#leaves.push(leaf)
    }

    this.network.advance(10 * SECOND)
  }

  /** All subscribe in one instant. Milliseconds until all know each other, undefined: not in half a minute */
  subscribe (): { traffic: Traffic, converged?: number } {
    let converged: number | undefined
    const traffic = this.#measure('subscribe burst', () => {
      const { clock } = this.network
      const at = clock.now()
      this.#leaves.forEach(leaf => { this.#subscribeLeaf(leaf) })

      while (clock.now() < at + 30 * SECOND) {
        this.network.advance(100)
        converged ??= this.#isConverged() ? clock.now() - at : undefined
      }
    })
    return { traffic, converged }
  }

  /** A minute in which nothing happens */
  idle (): Traffic {
    return this.#measure('a quiet minute', () => { this.network.advance(MINUTE) })
  }

  /** One minute of it; in some of them a relay is killed */
  churn (minute: number): Traffic {
    const { clock, random } = this.network
    const count = Math.round(this.#leaves.length * CHURN)

    for (let i = 0; i < count; i++) {
      clock.after(random() * MINUTE, () => { this.#change() })
    }
    if (this.killsRelay(minute)) {
      clock.after(random() * MINUTE, () => { this.#killRelay() })
    }

    return this.#measure(`minute ${minute + 1} of churn`, () => { this.network.advance(MINUTE) })
  }

  /** After a third and after two thirds of the time */
  killsRelay (minute: number): boolean {
    const { minutes } = this.#init
    return minute === Math.floor(minutes / 3) || minute === Math.floor(minutes * 2 / 3)
  }

  /** All come back, then nothing happens until what was lost is forgotten */
  settle (): void {
    this.network.advance(MINUTE + FORGETTING)
    this.#publishers.forEach(node => { node.request(COMMON) })
    this.network.advance(5 * SECOND)
  }

  check (): string[] {
    return [
      ...this.network.violations,
      ...checkSubscribers(this.network, this.#topics),
      ...checkRelays(this.network, this.#topics),
      ...checkBounded(this.network)
    ]
  }

  /** Everybody leaves all topics: nothing is left of them */
  empty (): string[] {
    for (const node of this.network.running) {
      [...node.wanted.keys()].forEach(topic => { node.unsubscribe(topic, true) })
    }
    this.network.advance(FORGETTING)
    return checkAtRest(this.network)
  }

  #attach (leaf: SimNode): void {
    const relays = this.#relays.filter(relay => relay.isRunning && !leaf.links.has(relay.key))

    while (leaf.links.size < ATTACHED && relays.length > 0) {
      const [relay] = relays.splice(randomInt(this.network.random, relays.length), 1)
      this.network.connect(leaf, relay)
    }
  }

  #subscribeLeaf (leaf: SimNode): void {
    for (const topic of this.#topics) {
      if (topic === COMMON || this.network.random() < SHARE) {
        leaf.subscribe(topic)
      }
    }
  }

  #isConverged (): boolean {
    return this.#leaves.every(({ core }) => core.subscribers.of(COMMON).length === this.#leaves.length - 1)
  }

  /** Something happens to a leaf: it crashes, leaves, or goes from a topic for a while */
  #change (): void {
    const { clock, random } = this.network
    const leaf = this.#leaves[randomInt(random, this.#leaves.length)]
    const kind = random()

    if (!leaf.isRunning) {
      return
    }
    if (kind < 0.2) {
      const topics = [...leaf.wanted.keys()]
      const topic = topics[randomInt(random, topics.length)] ?? COMMON
      leaf.unsubscribe(topic, true)
      clock.after(random() * 20 * SECOND, () => {
        if (leaf.isRunning) {
          leaf.subscribe(topic)
        }
      })
      return
    }

    kind < 0.6 ? leaf.crash() : leaf.stop()
    clock.after((2 + random() * 40) * SECOND, () => {
      this.network.start(leaf.key, false)
      this.#attach(leaf)
      this.#subscribeLeaf(leaf)
    })
  }

  #killRelay (): void {
    const { clock, random } = this.network
    const alive = this.#relays.filter(relay => relay.isRunning)

    if (alive.length <= ATTACHED) {
      return
    }

    alive[randomInt(random, alive.length)].crash()
    clock.after(REATTACH, () => {
      for (const leaf of [...this.#leaves, ...this.#publishers]) {
        if (leaf.isRunning) {
          this.#attach(leaf)
        }
      }
    })
  }

  #measure (name: string, run: () => void): Traffic {
    for (const { counts } of this.network.nodes.values()) {
      Object.assign(counts, { sent: 0, received: 0, announcementsSent: 0, announcementsReceived: 0 })
    }

    run()
    const running = this.network.running
    const leaves = running.filter(({ isRelay }) => !isRelay)
    const relays = running.filter(({ isRelay }) => isRelay)

    return {
      name,
      leaf: { sent: figures(leaves, ({ counts }) => counts.sent), received: figures(leaves, ({ counts }) => counts.received) },
      relay: {
        sent: figures(relays, ({ counts }) => counts.sent),
        received: figures(relays, ({ counts }) => counts.received),
        perNeighbour: figures(relays, ({ counts, links }) => counts.sent / links.size)
      },
      mean: {
        sent: figures(running, ({ counts }) => counts.sent).mean,
        neighbours: figures(running, ({ links }) => links.size).mean,
        announcements: figures(running, ({ counts }) => counts.announcementsReceived).mean
      }
    }
  }
}

function figures (nodes: SimNode[], of: (node: SimNode) => number): Figures {
  const values = nodes.map(of).sort((a, b) => a - b)
  const sum = values.reduce((sum, value) => sum + value, 0)
  return { mean: sum / values.length, p50: values[values.length >> 1], max: values[values.length - 1] }
}
