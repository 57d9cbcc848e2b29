/**
 * Sessions: what two peers say to each other is sealed from end to end, also where others relay it. Keys move on by
 * themselves, messages arrive once and in order, and a peer that lost its state is recovered from.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub, sessions } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: directSub(),
 *     sessions: sessions()
 *   }
 * })
 *
 * node.services.sessions.addEventListener('message', ({ detail }) => {
 *   console.info(detail.from, detail.data)
 * })
 * ```
 */

import { Sessions as SessionsClass } from './sessions.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type {
  AbortOptions, ComponentLogger, Metrics, PeerId, PrivateKey, Startable, TypedEventTarget
} from '@libp2p/interface'
import type { ConnectionManager } from '@libp2p/interface-internal'
import type { Datastore } from 'interface-datastore'

export interface SessionMessage {
  from: PeerId
  /** A view of what was opened: copy it to keep it for long */
  data: Uint8Array
}

export interface SessionEvents {
  /** A message without a protocol. Those with one go to the handler of that protocol */
  message: CustomEvent<SessionMessage>
  /** A new key is in use here */
  'session:epoch': CustomEvent<{ peerId: PeerId, epoch: number }>
  /**
   * Somebody has lost state, and a fresh round repairs it. 'unknown-key': the peer uses a key that this node does not
   * have; 'asked': the peer does not have the key of this node; 'unreadable': what was stored here cannot be read
   */
  'session:resync': CustomEvent<{ peerId: PeerId, reason: ResyncReason }>
  /** The peer has closed its side. What waits stays, and leaves when the peer comes back, or at the next send() */
  'session:closed': CustomEvent<{ peerId: PeerId }>
}

export type ResyncReason = 'unknown-key' | 'asked' | 'unreadable'
export type SessionMode = 'best-effort' | 'perfect'

/** Gets the messages of one protocol. What it throws is logged */
export interface SessionHandler {
  (message: SessionMessage): void | Promise<void>
}

export interface SendOptions extends AbortOptions {
  /**
   * 'perfect': its key seals no other message of this side, at the cost of a round trip
   *
   * @default the mode of the service
   */
  mode?: SessionMode
  /**
   * Whose message this is: the other side has to handle it under the same name
   *
   * @default none: it is told by the event 'message'
   */
  protocol?: string
}

export interface RekeyOptions extends AbortOptions {
  /**
   * Resolve only when a new key is in use here
   *
   * @default true
   */
  wait?: boolean
}

export type CloseOptions = AbortOptions

export interface SessionState {
  peerId: PeerId
  /** The epoch of the key in use; 0: there is none yet */
  epoch: number
  /** The name of the key in use, as both peers see it, in hexadecimal */
  key?: string
  /** Leader: a round of this node is under way; loser: one of the peer's */
  role: 'leader' | 'loser' | 'idle' | 'closed'
  /** Whether the peer can be reached, as far as is known */
  isConnected: boolean
  /** Whether a message could leave now, without a round before it */
  canSeal: boolean
  /** Messages that the peer does not have yet, as far as is known, and their bytes */
  queued: { messages: number, bytes: number }
  /** Messages that came too early */
  early: { messages: number, bytes: number }
  /** Why records cannot be stored at present: until they are, frames that depend on them wait */
  problem?: string
}

export interface SessionsDiagnostics {
  /** Why this node has no sessions at present: another one has the store open */
  problem?: string
  /** The mode of messages that ask for no other */
  mode: SessionMode
  /** How the heavy crypto is done, and what waits for it */
  crypto: { by: string, waiting: number }
  /** How many entries and bytes each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason. Invariants that were broken are named I1 to I12 */
  dropped: Record<string, number>
  peers: SessionState[]
}

export interface Sessions extends Startable, TypedEventTarget<SessionEvents> {
  /**
   * Resolves when the other side has it: its program was handed it, and the other side has stored that. Waits while the
   * peer is away; use a signal to give up. A message that has left may arrive after that.
   *
   * The bytes are copied
   */
  send (peerId: PeerId, data: Uint8Array, options?: SendOptions): Promise<void>
  /** Asks for a new key. Resolves with the epoch: with `wait: false` of the present key, else of a new one */
  rekey (peerId: PeerId, options?: RekeyOptions): Promise<number>
  /** Of a session that is in memory */
  state (peerId: PeerId): SessionState | undefined
  /** Ends the session here: calls that wait are rejected. The next message of either side begins it anew */
  close (peerId: PeerId, options?: CloseOptions): Promise<void>
  /** Takes the messages of a protocol from now on, until `unhandle`. Those that nobody takes are dropped and counted */
  handle (protocol: string, handler: SessionHandler): void
  unhandle (protocol: string): void
  diagnostics (): SessionsDiagnostics
}

export interface SessionsComponents {
  peerId: PeerId
  privateKey: PrivateKey
  datastore: Datastore
  logger: ComponentLogger
  /** Knows the keys of neighbours whose ids do not tell them */
  connectionManager?: Pick<ConnectionManager, 'getConnections'>
  metrics?: Metrics
}

export interface SessionsInit {
  /**
   * The name under which DirectSub is registered
   *
   * @default 'pubsub'
   */
  pubsub?: string
  /**
   * 'best-effort' never waits for a round; 'perfect' has one message an epoch and direction
   *
   * @default 'best-effort'
   */
  mode?: SessionMode
  /**
   * Which peers may begin a session with this node. This node may begin one with all
   *
   * @default all
   */
  allow? (peerId: PeerId): boolean
  /**
   * Sessions that are in memory at once. The idle one that was used least lately makes room: its next message begins
   * with a round
   *
   * @default 1024
   */
  maxSessions?: number
  /**
   * Messages that may wait for one peer
   *
   * @default 1024
   */
  queueMessages?: number
  /**
   * Bytes that may wait for one peer
   *
   * @default 4194304
   */
  queueBytes?: number
  /**
   * Bytes that may wait for all peers together
   *
   * @default 67108864
   */
  nodeQueueBytes?: number
  /**
   * Messages after which a new key is due
   *
   * @default 10000
   */
  rekeyMessages?: number
  /**
   * Milliseconds of use after which a new key is due. The peer with the larger id waits three eighths longer
   *
   * @default 120000
   */
  rekeyAge?: number
  /**
   * Where X-Wing is computed. 'auto': in a worker where it takes longer than a millisecond; 'inline': on this thread,
   * one operation a turn of the event loop; 'worker': in a worker
   *
   * @default 'auto'
   */
  crypto?: 'auto' | 'inline' | 'worker'
  /**
   * In browsers: makes the worker, where a bundler does not find it by itself. It runs `libp2p-sheaf/session-worker`
   */
  createWorker? (): Worker
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where chance comes from. Secrets never do */
  random?: Random
}

/** The service: register it beside `directSub()` in `createLibp2p({ services })` */
export function sessions (init: SessionsInit = {}): (components: SessionsComponents) => Sessions {
  return components => new SessionsClass(components, init)
}
