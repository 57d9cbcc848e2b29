/**
 * @packageDocumentation
 *
 * A pubsub that knows which peer listens to which topic, and delivers to exactly those peers: directly to neighbours,
 * over relays to others.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: directSub()
 *   }
 * })
 *
 * node.services.pubsub.addEventListener('message', ({ detail }) => {
 *   console.info(detail.from, detail.topic, detail.data)
 * })
 *
 * await node.services.pubsub.subscribe('news')
 * ```
 */

import { DirectSub as DirectSubClass } from './direct-sub.ts'
import type { FailureReason } from './core/pending-acks.ts'
import type { ChangeReason } from './core/types.ts'
import type { NeighboursComponents } from '../link/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type {
  AbortOptions, Metrics, PeerId, PrivateKey, PublicKey, Startable, TypedEventTarget
} from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'
import type { Uint8ArrayList } from 'uint8arraylist'

export type { ChangeReason, FailureReason }

/** A message directly from a neighbour: the connection proves `from` */
export interface UnsignedMessage {
  type: 'unsigned'
  from: PeerId
  topic: string
  /** A view of the received bytes: copy them to keep them for long */
  data: Uint8Array
  /** With `from`, `epoch` and `topic` it names a message for ever */
  sequenceNumber: bigint
  /** The epoch of the sender when it published the message: larger after each restart */
  epoch: number
}

/** A message over a relay: signed by `from`, and verified */
export interface SignedMessage extends Omit<UnsignedMessage, 'type'> {
  type: 'signed'
  /** Covers all messages that left together with this one */
  signature: Uint8Array
  key: PublicKey
}

export type Message = SignedMessage | UnsignedMessage

export interface SubscriptionChange {
  peerId: PeerId
  subscriptions: Array<{ topic: string, subscribe: boolean }>
  /**
   * - announced, retracted: the peer said so
   * - unreachable: the last connection of the peer is gone, and no relay leads to it
   * - restarted: the peer has restarted, and its subscriptions from before are over
   */
  reason: ChangeReason
}

export interface DirectSubEvents {
  message: CustomEvent<Message>
  'subscription-change': CustomEvent<SubscriptionChange>
}

export interface PublishOptions extends AbortOptions {
  /**
   * Sends only to these peers. None of them needs to be a known subscriber; a peer that is not on the topic says so in
   * its receipt
   */
  to?: PeerId[]
  /**
   * How many subscribers must have acked the message before the promise resolves
   *
   * @default 'none'
   */
  ack?: 'none' | 'all' | number
  /**
   * Control never waits behind data, and data never waits behind bulk. Topics of one priority take turns
   *
   * @default 'data'
   */
  priority?: 'control' | 'data' | 'bulk'
}

export interface PublishResult {
  /** The peers that the message was sent to. Do not change this array: many messages share it */
  recipients: PeerId[]
  /** The peers that acked; empty unless acks were asked for */
  acked: PeerId[]
  failed: Array<{ peerId: PeerId, reason: FailureReason }>
}

export interface UnsubscribeOptions extends AbortOptions {
  /**
   * Undoes all calls of subscribe() for this topic instead of one
   *
   * @default false
   */
  all?: boolean
}

export interface RequestOptions extends AbortOptions {
  /** Asks this neighbour only */
  from?: PeerId
}

export interface WaitOptions extends AbortOptions {
  /**
   * How many subscribers there must be
   *
   * @default 1
   */
  count?: number
  /** Peers that must be among the subscribers */
  peers?: PeerId[]
}

export interface DirectSubDiagnostics {
  /** The epoch of this node: larger after each restart */
  epoch: number
  /** How many entries each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason */
  dropped: Record<string, number>
  /** The state of each neighbour, and the bytes that each of its queues holds */
  peers: Array<{ peerId: PeerId, status: string } & Record<string, unknown>>
}

/**
 * Decides whether a message is delivered, acked, and passed on to others. 'reject' also counts as a fault of the
 * publisher
 */
export interface TopicValidator {
  (peer: PeerId, message: Message): 'accept' | 'ignore' | 'reject' | Promise<'accept' | 'ignore' | 'reject'>
}

export interface DirectSub extends Startable, TypedEventTarget<DirectSubEvents> {
  /**
   * A message over a relay is signed, as its `type` says. A message from a neighbour is not signed, since the
   * connection proves its sender. No other message is delivered
   */
  readonly globalSignaturePolicy: string
  /** Bytes of the largest message that this node sends and accepts */
  readonly maxMessageSize: number
  /**
   * Functions by topic. DirectSub calls them for every message of their topic before it delivers or relays the message
   */
  readonly topicValidators: Map<string, TopicValidator>

  /**
   * Subscribes to a topic. Resolves with true when all present neighbours have confirmed the subscription: everything
   * that they publish from then on arrives. Resolves with false when unsubscribe() has cancelled it before. Subscribing
   * twice takes two calls of unsubscribe()
   */
  subscribe (topic: string, options?: AbortOptions): Promise<boolean>
  /** Undoes one subscribe(), the newest waiting one first. Resolves with false if there was none */
  unsubscribe (topic: string, options?: UnsubscribeOptions): Promise<boolean>
  /**
   * Sends to every subscriber. Resolves when the outboxes of the neighbours have accepted the message, or when the
   * requested acks have come. While no recipient has room, the call waits. When some have room, it waits for the others
   * for at most a second, and then reports them as congested. The payload is not copied: do not change it afterwards
   */
  publish (topic: string, data: Uint8Array | Uint8ArrayList, options?: PublishOptions): Promise<PublishResult>
  /**
   * Asks the neighbours which peers are on a topic; this node need not be on it. Resolves with all peers that are known
   * then
   */
  requestSubscribers (topic: string, options?: RequestOptions): Promise<PeerId[]>
  /** Resolves when there are enough subscribers; use a signal to give up */
  waitForSubscribers (topic: string, options?: WaitOptions): Promise<PeerId[]>
  /** The topics that this node is on */
  getTopics (): string[]
  /** The neighbours that speak this protocol */
  getPeers (): PeerId[]
  /** The known subscribers of a topic that this node is on, or that it has asked about or published to lately */
  getSubscribers (topic: string): PeerId[]
  diagnostics (): DirectSubDiagnostics
}

export interface DirectSubComponents extends NeighboursComponents {
  privateKey: PrivateKey
  datastore: Datastore
  metrics?: Metrics
}

export interface DirectSubInit {
  /**
   * The only topics that this node may subscribe and publish to. The node relays messages on all topics all the same
   *
   * @default all
   */
  allowedTopics?: Iterable<string>
  /**
   * Whether this node passes on announcements and messages for others
   *
   * @default true
   */
  canRelay?: boolean
  /**
   * Milliseconds to gather subscriptions before one announcement; 0: those of one tick
   *
   * @default 0
   */
  subscriptionDebounce?: number
  /**
   * Whether to use connections that are limited in bytes or time, such as those over circuit relays
   *
   * @default false
   */
  runOnLimitedConnection?: boolean
  /**
   * Bytes of the largest payload, sent and received
   *
   * @default 1048576
   */
  maxMessageSize?: number
  /**
   * Bytes that may wait for one neighbour in each lane before publish() waits
   *
   * @default 4194304
   */
  outboxSize?: number
  /**
   * Milliseconds that a neighbour may take in nothing, while something waits for it, until this node disconnects it
   *
   * @default 30000
   */
  slowPeerTimeout?: number
  /**
   * Topics that a peer may be on, this one and others; at most 8192
   *
   * @default 1024
   */
  maxTopicsPerPeer?: number
  /**
   * Subscribers that this node remembers of one topic
   *
   * @default 10000
   */
  maxSubscribersPerTopic?: number
  /**
   * Bytes of memory about peers that are not neighbours. Each neighbour that brings such information has a fair share
   *
   * @default 67108864
   */
  maxDirectoryBytes?: number
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where randomness comes from */
  random?: Random
}

/** The service. Register it under a name of your own in `createLibp2p({ services })`; it needs `identify` */
export function directSub (init: DirectSubInit = {}): (components: DirectSubComponents) => DirectSub {
  return components => new DirectSubClass(components, init)
}
