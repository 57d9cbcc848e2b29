import { seededRandom } from '../../src/runtime/random.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import { circleOf } from './circle.ts'
import { SimLink } from './link.ts'
import { SimNode } from './node.ts'
import type { Observer } from './observer.ts'
import type { Bounds, Surroundings } from './surroundings.ts'
import type { Key } from '../../src/pubsub/core/types.ts'
import type { Random } from '../../src/runtime/random.ts'

export interface SimNetworkInit {
  seed: number
  /** Milliseconds that a message takes: at least, and at most (most take less than half of it) */
  delay?: [min: number, max: number]
  /** Milliseconds until a connection that is gone is noticed, at most */
  detection?: number
  /** Whether all events and calls of all nodes are checked on the way: costs memory */
  observe?: boolean
  /** Whether what has to hold at every moment is looked at after every step: by default where all is observed */
  isChecked?: boolean
  /** Bounds of what nodes remember, where they are not the usual ones */
  bounds?: Bounds
}

/** Violations that are kept: the first ones tell it all */
const MAX_VIOLATIONS = 20

/**
 * Nodes and links under a virtual clock: the same seed is the same run.
 */
export class SimNetwork implements Surroundings {
  readonly clock = new VirtualClock()
  readonly random: Random
  readonly nodes = new Map<Key, SimNode>()
  readonly violations: string[] = []
  readonly debounce = 0
  readonly observe: boolean
  readonly bounds: Bounds
  readonly #isChecked: boolean
  readonly #delay: [min: number, max: number]
  readonly #detection: number
  readonly #links = new Set<SimLink>()
  #cut: SimLink[] = []

  constructor ({ seed, delay = [2, 60], detection = 3000, observe = true, isChecked = observe, bounds = {} }: SimNetworkInit) {
    this.random = seededRandom(seed)
    this.#delay = delay
    this.#detection = detection
    this.observe = observe
    this.bounds = bounds
    this.#isChecked = isChecked
  }

  get running (): SimNode[] {
    return [...this.nodes.values()].filter(node => node.isRunning)
  }

  get links (): SimLink[] {
    return [...this.#links]
  }

  /** What has to hold at every moment: the cores' own invariants, and that no way in use leads in a circle */
  stepped (node: SimNode): void {
    if (this.#isChecked && node.isRunning) {
      try {
        node.core.check()
      } catch (err: any) {
        this.violation(`${node.key}: ${err.message}`)
      }

      this.#checkLoops(node)
    }
  }

  #checkLoops (node: SimNode): void {
    for (const origin of this.nodes.keys()) {
      const circle = circleOf(node, origin)

      if (circle != null) {
        this.violation(`the ways to ${origin} lead in a circle: ${circle.join(', ')}`)
        return
      }
    }
  }

  /** Skewed as networks are: many are fast, few are slow */
  delay (): number {
    const [min, max] = this.#delay
    return min + (max - min) * this.random() ** 2
  }

  detection (): number {
    return this.#detection * this.random()
  }

  /** A node that was never here, or one that was and starts again, by default with a larger epoch */
  start (key: Key, isRelay: boolean, epoch?: number): SimNode {
    let node = this.nodes.get(key)

    if (node == null) {
      node = new SimNode(this, key, isRelay)
      this.nodes.set(key, node)
    }

    node.start(epoch ?? Math.max(node.lastEpoch + 1, Math.floor(this.clock.now())))
    return node
  }

  connect (one: SimNode, other: SimNode): void {
    if (one !== other && !one.links.has(other.key) && one.isRunning && other.isRunning) {
      const link = new SimLink(this, one, other)
      this.#links.add(link)
      one.links.set(other.key, link)
      other.links.set(one.key, link)
    }
  }

  /** All links between those in `part` and the others go, until `heal` */
  partition (part: Set<SimNode>): void {
    const cut = this.links.filter(({ nodes: [one, other] }) => part.has(one) !== part.has(other))
    cut.forEach(link => { link.disconnect() })
    this.#cut.push(...cut)
  }

  heal (): void {
    for (const { nodes: [one, other] } of this.#cut) {
      this.connect(one, other)
    }
    this.#cut = []
  }

  advance (ms: number): void {
    this.clock.advance(ms)
  }

  /** A link is gone for good */
  forget (link: SimLink): void {
    this.#links.delete(link)
  }

  violation (what: string): void {
    if (this.violations.length < MAX_VIOLATIONS) {
      this.violations.push(what)
    }
  }

  /** What an observer has to say at the end of a life, or of the run */
  collect (observer?: Observer): void {
    observer?.violations.forEach(what => { this.violation(what) })
  }
}
