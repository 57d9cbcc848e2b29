import type { SimNode } from './node.ts'
import type { Observer } from './observer.ts'
import type { PubsubCore, PubsubCoreInit } from '../../src/pubsub/core/pubsub.ts'
import type { Gossip } from '../../src/pubsub/core/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Random } from '../../src/runtime/random.ts'

/** What bounds the memory of a node */
export type Bounds = Partial<Pick<PubsubCoreInit, 'maxTopicsPerPeer' | 'maxSubscribersPerTopic' | 'maxDirectoryBytes'>>

/** What a node needs of the world around it: the simulated network's, or the model checker's */
export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  /** Milliseconds between subscribe() and its announcement */
  readonly debounce: number
  /** Whether all events and calls of all nodes are checked on the way */
  readonly observe: boolean
  /** Where they are not the usual ones */
  readonly bounds?: Bounds
  /** A node has dealt with something: what has to hold at every moment is looked at */
  stepped (node: SimNode): void
  /** Breaks something in a core on purpose, to see whether it is noticed */
  mutate? (core: PubsubCore): void
  violation (what: string): void
  collect (observer?: Observer): void
}

/** A node's end of a connection */
export interface Wire {
  /** When both sides heard of each other in this session */
  readonly upSince: number
  other (node: SimNode): SimNode
  /** Whether this node has heard of the other one, and the connection is there */
  isUp (node: SimNode): boolean
  send (from: SimNode, gossip: Gossip): void
  breakSession (): void
  disconnect (): void
  close (by: SimNode): void
}

/** Nobody copies what crosses a wire, so nobody may change it either: who tries throws */
export function freeze ({ updates }: Gossip): void {
  for (const announcement of updates.flatMap(({ announcements }) => announcements)) {
    if (!Object.isFrozen(announcement)) {
      Object.freeze(announcement)
      Object.freeze(announcement.on)
      Object.freeze(announcement.off)
    }
  }
}
