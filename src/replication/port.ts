import type { Key } from './core/types.ts'
import type { AbortOptions, PeerId } from '@libp2p/interface'

export interface PortEvents {
  /** Something arrived on the topic. `data` may be a view of what arrived */
  onMessage (from: PeerId, data: Uint8Array): void
  /** Somebody is on the topic */
  onPresent (peerId: PeerId): void
  /** Somebody is not, or not any more. `isSaid`: because it said so; else it may come back in a moment */
  onAbsent (peerId: PeerId, isSaid: boolean): void
}

/** One topic of a pubsub, joined */
export interface PortTopic {
  /** Who is known to be on it */
  subscribers (): PeerId[]
  /** To all that are on it. Nobody says whether it arrived */
  broadcast (data: Uint8Array): void
  /**
   * To one of them. Resolves when it is on its way, and waits while that peer is too slow; rejects if it cannot be sent
   */
  send (to: PeerId, data: Uint8Array, options?: AbortOptions): Promise<void>
  /** Whether a message is on its way to or from this peer that takes its time: answers may be late. Not of each port */
  isBusy? (peer: Key): boolean
  /** No event comes after this is called */
  leave (): Promise<void>
}

/** What replication needs of a pubsub */
export interface Port {
  /** Bytes of the largest message */
  readonly maxMessageSize: number
  /** Before any topic is joined, and when all of them are left */
  start? (): Promise<void>
  stop? (): Promise<void>
  /** Resolves when the present neighbours know of it, as far as the pubsub can say. Events come from the call on */
  join (topic: string, events: PortEvents): Promise<PortTopic>
}
