/**
 * @packageDocumentation
 *
 * A pubsub that knows who listens to what, and delivers to exactly them: straight to neighbours, over relays to others.
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

/** Straight from a neighbour: the connection vouches for `from` */
export interface UnsignedMessage {
  type: 'unsigned'
  from: PeerId
  topic: string
  /** A view of what arrived: copy it to keep it for long */
  data: Uint8Array
  /** With `from`, `epoch` and `topic` it names a message for ever */
  sequenceNumber: bigint
  /** The life of the sender that it was published in: larger in every later one */
  epoch: number
}

/** Over a relay: signed by `from`, and verified */
export interface SignedMessage extends Omit<UnsignedMessage, 'type'> {
  type: 'signed'
  /** Of all that left together with this message */
  signature: Uint8Array
  key: PublicKey
}

export type Message = SignedMessage | UnsignedMessage

export interface SubscriptionChange {
  peerId: PeerId
  subscriptions: Array<{ topic: string, subscribe: boolean }>
  /**
   * - announced, retracted: the peer said so
   * - unreachable: its last connection is gone, and no relay leads to it
   * - restarted: it lives anew, and its earlier life's subscriptions are over
   */
  reason: ChangeReason
}

export interface DirectSubEvents {
  message: CustomEvent<Message>
  'subscription-change': CustomEvent<SubscriptionChange>
}

export interface PublishOptions extends AbortOptions {
  /** Only to these. None of them needs to be known as a subscriber; one that is not on the topic says so in its ack */
  to?: PeerId[]
  /**
   * How many subscribers must have received it before the promise resolves
   *
   * @default 'none'
   */
  ack?: 'none' | 'all' | number
  /**
   * Control never waits behind data, data never waits behind bulk. Topics of one priority take turns
   *
   * @default 'data'
   */
  priority?: 'control' | 'data' | 'bulk'
}

export interface PublishResult {
  /** Who it was sent to. Do not change it: it is the same array for many messages */
  recipients: PeerId[]
  /** Who said that it arrived; empty unless acks were asked for */
  acked: PeerId[]
  failed: Array<{ peerId: PeerId, reason: FailureReason }>
}

export interface UnsubscribeOptions extends AbortOptions {
  /**
   * Undo all calls of subscribe() for this topic instead of one
   *
   * @default false
   */
  all?: boolean
}

export interface RequestOptions extends AbortOptions {
  /** Ask this neighbour only */
  from?: PeerId
}

export interface WaitOptions extends AbortOptions {
  /**
   * How many there must be
   *
   * @default 1
   */
  count?: number
  /** Who must be among them */
  peers?: PeerId[]
}

export interface DirectSubDiagnostics {
  /** Which of its lives this node is in */
  epoch: number
  /** How many entries each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason */
  dropped: Record<string, number>
  /** For each neighbour its state, and the bytes that each of its queues holds */
  peers: Array<{ peerId: PeerId, status: string } & Record<string, unknown>>
}

/**
 * Whether a message is delivered, acked, and passed on to others. 'reject' also counts as a fault of who published it
 */
export interface TopicValidator {
  (peer: PeerId, message: Message): 'accept' | 'ignore' | 'reject' | Promise<'accept' | 'ignore' | 'reject'>
}

export interface DirectSub extends Startable, TypedEventTarget<DirectSubEvents> {
  /**
   * What came over a relay is signed, as its `type` says; what comes from a neighbour is not, since the connection says
   * who sent it. No other message is delivered
   */
  readonly globalSignaturePolicy: string
  /** Bytes of the largest message that this node sends and takes */
  readonly maxMessageSize: number
  /** Asked about every message of their topic before it is delivered */
  readonly topicValidators: Map<string, TopicValidator>

  /**
   * Subscribes: true once all present neighbours know it, so that whatever they publish from now on arrives; false when
   * it was cancelled by unsubscribe() before that. Subscribing twice takes two calls of unsubscribe()
   */
  subscribe (topic: string, options?: AbortOptions): Promise<boolean>
  /** Takes back one subscribe(), the newest that still waits first. False: there was none */
  unsubscribe (topic: string, options?: UnsubscribeOptions): Promise<boolean>
  /**
   * Sends to every subscriber. Resolves when the neighbours' outboxes have taken it in, or when those acks came that
   * were asked for. While no recipient has room it waits; when some have, it waits for the others a second at most, and
   * then says that they are congested. The payload is not copied: do not change it afterwards
   */
  publish (topic: string, data: Uint8Array | Uint8ArrayList, options?: PublishOptions): Promise<PublishResult>
  /** Asks the neighbours who is on a topic, this node need not be on it; resolves with all that are known then */
  requestSubscribers (topic: string, options?: RequestOptions): Promise<PeerId[]>
  /** Resolves when there are enough; use a signal to give up */
  waitForSubscribers (topic: string, options?: WaitOptions): Promise<PeerId[]>
  /** The topics that this node is on */
  getTopics (): string[]
  /** The neighbours that speak this protocol */
  getPeers (): PeerId[]
  /** Who is known to be on a topic that this node is on, or has asked about or published to lately */
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
   * The only topics that this node may subscribe and publish to. It relays others all the same
   *
   * @default all
   */
  allowedTopics?: Iterable<string>
  /**
   * Pass on announcements and messages for others
   *
   * @default true
   */
  canRelay?: boolean
  /**
   * Milliseconds to gather subscriptions before they are announced together; 0: those of one tick
   *
   * @default 0
   */
  subscriptionDebounce?: number
  /**
   * Use connections that are limited in bytes or time, such as those over circuit relays
   *
   * @default false
   */
  runOnLimitedConnection?: boolean
  /**
   * Bytes of the largest payload, received as well as sent
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
   * Milliseconds that a neighbour may take in nothing, while something waits for it, until it is disconnected
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
   * Subscribers that are remembered of one topic
   *
   * @default 10000
   */
  maxSubscribersPerTopic?: number
  /**
   * Bytes of what is remembered of peers that are no neighbours. Each neighbour that brings some has a fair share of it
   *
   * @default 67108864
   */
  maxDirectoryBytes?: number
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where chance comes from */
  random?: Random
}

/** The service: register it under a name of your own in `createLibp2p({ services })`; it needs `identify` */
export function directSub (init: DirectSubInit = {}): (components: DirectSubComponents) => DirectSub {
  return components => new DirectSubClass(components, init)
}
