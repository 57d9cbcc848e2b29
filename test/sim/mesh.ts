import { randomInt } from '../../src/runtime/random.ts'
import { checkCalls, checkSubscribers, reachable } from './checks.ts'
import { SimNetwork } from './network.ts'
import type { SimNode } from './node.ts'
import type { Bounds } from './surroundings.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

/** Topic of all */
export const COMMON = 'common'
const SECOND = 1000
/** Milliseconds between two looks at what is known */
const LOOK = 10

export interface MeshInit {
  seed: number
  /** Whether what has to hold at every moment is looked at after every step: costs time */
  observe?: boolean
  /** The same, without what observing costs memory */
  isChecked?: boolean
  bounds?: Bounds
}

/** Pairs of nodes */
type Edges = Array<[number, number]>

export function lineOf (count: number): Edges {
  return Array.from({ length: count - 1 }, (_, i) => [i, i + 1])
}

export function ringOf (count: number): Edges {
  return [...lineOf(count), [count - 1, 0]]
}

/** Connected: a ring in random order, then chords until each node has about `degree` neighbours */
export function meshOf (count: number, degree: number, random: () => number, offset = 0): Edges {
  const order = Array.from({ length: count }, (_, i) => ({ i: i + offset, at: random() })).sort((a, b) => a.at - b.at).map(({ i }) => i)
  const edges = new Map<string, [number, number]>()
  const add = (a: number, b: number): void => {
    if (a !== b) {
      edges.set(`${Math.min(a, b)} ${Math.max(a, b)}`, [a, b])
    }
  }
  order.forEach((a, i) => { add(a, order[(i + 1) % count]) })

  while (edges.size < count * degree / 2) {
    add(offset + randomInt(random, count), offset + randomInt(random, count))
  }

  return [...edges.values()]
}

/**
 * Relays that are all on one topic, in a network of some shape: links take 1 to 5 ms, and the end of one is noticed within 50.
 */
export class Mesh {
  readonly network: SimNetwork
  readonly nodes: SimNode[]

  constructor ({ seed, observe = true, isChecked = observe, bounds }: MeshInit, count: number, edges: (random: () => number) => Edges) {
    this.network = new SimNetwork({ seed, delay: [1, 5], detection: 50, observe, isChecked, bounds })
    this.nodes = Array.from({ length: count }, (_, i) => this.network.start(`n${i}`, true))
    this.connect(edges(this.network.random))
  }

  connect (edges: Edges): void {
    edges.forEach(([a, b]) => { this.network.connect(this.nodes[a], this.nodes[b]) })
  }

  /** All subscribe in one instant. Milliseconds until all know all; undefined: not within half a minute */
  subscribe (): number | undefined {
    this.nodes.forEach(node => { node.subscribe(COMMON) })
    return this.until(() => this.wrong.length === 0)
  }

  /** All of these are gone from one instant to the next */
  crash (nodes: SimNode[]): void {
    nodes.forEach(node => { node.crash() })
  }

  pick (count: number): SimNode[] {
    const running = [...this.network.running]
    return Array.from({ length: count }, () => running.splice(randomInt(this.network.random, running.length), 1)[0])
  }

  /** Milliseconds until something holds; undefined: it does not within `most` */
  until (holds: () => boolean, most = 30 * SECOND): number | undefined {
    const { clock } = this.network

    for (const began = clock.now(); clock.now() <= began + most; this.network.advance(LOOK)) {
      if (holds()) {
        return clock.now() - began
      }
    }
  }

  /** Who believes in whom against the truth, and pairs whose ways do not arrive */
  get wrong (): string[] {
    return [...checkSubscribers(this.network, [COMMON]), ...this.#holes()]
  }

  /** Ghosts: how often somebody who is gone is believed to be there */
  ghosts (gone: Set<Key>): number {
    return this.network.running.reduce((sum, { core }) => sum + core.subscribers.of(COMMON).filter(key => gone.has(key)).length, 0)
  }

  get violations (): string[] {
    return [...checkCalls(this.network), ...this.network.violations]
  }

  /** Updates that a node received since the last look, for each neighbour and each of `peers` that were news to it */
  updates (peers: number): { mean: number, max: number, messages: number, total: number } {
    const each = this.network.running.map(({ counts, links }) => counts.announcementsReceived / links.size / peers)
    const messages = this.network.running.map(({ counts }) => counts.received)
    const total = this.network.running.map(({ counts }) => counts.announcementsReceived)
    this.network.nodes.forEach(({ counts }) => { Object.assign(counts, { sent: 0, received: 0, announcementsSent: 0, announcementsReceived: 0 }) })
    return { mean: meanOf(each), max: Math.max(...each), messages: meanOf(messages), total: meanOf(total) }
  }

  #holes (): string[] {
    return this.network.running.flatMap(node => [...reachable(node).keys()].filter(to => !arrives(node, to)).map(({ key }) => `nothing arrives at ${key} that ${node.key} sends`))
  }
}

/** Whether the ways in use lead from one node to the other */
function arrives (from: SimNode, to: SimNode): boolean {
  const passed = new Set<SimNode>()

  for (let at = from; at !== to;) {
    const next = at.core.routing.next(to.key)
    const link = next == null ? undefined : at.links.get(next)

    if (link == null || passed.has(at)) {
      return false
    }

    passed.add(at)
    at = link.other(at)

    if (!at.isRunning) {
      return false
    }
  }

  return true
}

function meanOf (values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
