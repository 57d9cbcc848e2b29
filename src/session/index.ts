/**
 * Sessions: end-to-end encryption between two peers, over relays too. Keys change by themselves, messages arrive once
 * and in order, and a session recovers when a peer has lost its state.
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
import type { Once } from './core/origins.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type {
  AbortOptions, ComponentLogger, Metrics, PeerId, PrivateKey, Startable, TypedEventTarget
} from '@libp2p/interface'
import type { ConnectionManager } from '@libp2p/interface-internal'
import type { Datastore } from 'interface-datastore'

export type { Once }

export interface SessionMessage {
  from: PeerId
  /** A view of the decrypted bytes: copy them to keep them for long */
  data: Uint8Array
}

export interface SessionEvents {
  /** A message without a protocol. A message with a protocol goes to the handler of that protocol */
  message: CustomEvent<SessionMessage>
  /** A new key is in use on this side */
  'session:epoch': CustomEvent<{ peerId: PeerId, epoch: number }>
  /**
   * A peer has lost state, and a fresh round repairs the session. 'unknown-key': the peer uses a key that this node
   * does not have; 'asked': the peer does not have the key of this node; 'unreadable': this node cannot read its stored
   * state
   */
  'session:resync': CustomEvent<{ peerId: PeerId, reason: ResyncReason }>
  /** The peer has closed its side. Waiting messages stay, and leave when the peer returns, or at the next send() */
  'session:closed': CustomEvent<{ peerId: PeerId }>
}

export type ResyncReason = 'unknown-key' | 'asked' | 'unreadable'
export type SessionMode = 'best-effort' | 'perfect'

/** Gets the messages of one protocol. If it throws, the error is logged */
export interface SessionHandler {
  (message: SessionMessage): void | Promise<void>
}

export interface SendOptions extends AbortOptions {
  /**
   * 'perfect': the key of this message encrypts no other message of this side, at the cost of a round trip
   *
   * @default the mode of the service
   */
  mode?: SessionMode
  /**
   * The program of the other side that gets the message: it has to handle messages under the same name
   *
   * @default none: it is told by the event 'message'
   */
  protocol?: string
  /**
   * The other side hands a message of this number over once, whatever becomes of either side meanwhile: who does not
   * know whether an earlier life of this node has delivered it sends it again. Messages of one origin go out in the
   * order of their numbers. The other side remembers 64 origins
   *
   * @default none: a message that is sent again is another message
   */
  once?: Once
}

export interface RekeyOptions extends AbortOptions {
  /**
   * Whether to resolve only when a new key is in use on this side
   *
   * @default true
   */
  wait?: boolean
}

export type CloseOptions = AbortOptions

export interface SessionState {
  peerId: PeerId
  /** The epoch of the key in use; 0: there is no key yet */
  epoch: number
  /** The name of the key in use, which both peers know, in hexadecimal */
  key?: string
  /** Leader: a round of this node is under way; loser: a round of the peer is under way */
  role: 'leader' | 'loser' | 'idle' | 'closed'
  /** Whether the peer can be reached, as far as this node knows */
  isConnected: boolean
  /** Whether a message could leave now, without a round before it */
  canSeal: boolean
  /** Messages that the peer does not have yet, as far as this node knows, and their bytes */
  queued: { messages: number, bytes: number }
  /** Messages that arrived too early, and their bytes */
  early: { messages: number, bytes: number }
  /** Why records cannot be stored at present. Until they are stored, the frames that depend on them wait */
  problem?: string
}

export interface SessionsDiagnostics {
  /** Why this node has no sessions at present: another node has the store open */
  problem?: string
  /** The mode of messages that ask for no other */
  mode: SessionMode
  /** Where X-Wing is computed, and how many operations wait for it */
  crypto: { by: string, waiting: number }
  /** How many entries and bytes each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason. A broken invariant is named I1 to I12 */
  dropped: Record<string, number>
  peers: SessionState[]
}

export interface Sessions extends Startable, TypedEventTarget<SessionEvents> {
  /**
   * Sends a message. Resolves when the program of the other side was handed the message, and the other side has stored
   * that. Waits while the peer is away; use a signal to give up. A message that has left may still arrive after that.
   *
   * The bytes are copied
   */
  send (peerId: PeerId, data: Uint8Array, options?: SendOptions): Promise<void>
  /** Asks for a new key. Resolves with an epoch: with `wait: false` that of the present key, else that of a new key */
  rekey (peerId: PeerId, options?: RekeyOptions): Promise<number>
  /** The state of a session that is in memory */
  state (peerId: PeerId): SessionState | undefined
  /**
   * Ends the session on this side: waiting calls are rejected. The next message of either side begins the session
   * again. Resolves when the state of the session is stored: a signal ends that wait, and the session is over all the
   * same
   */
  close (peerId: PeerId, options?: CloseOptions): Promise<void>
  /**
   * Takes the messages of a protocol from now on, until `unhandle`. In the first 30 seconds after the start messages
   * wait for their handler, and those without a protocol for a listener: up to 512 KiB of each peer, and 4 MiB in all.
   * Later, what nobody handles is dropped and counted
   */
  handle (protocol: string, handler: SessionHandler): void
  unhandle (protocol: string): void
  diagnostics (): SessionsDiagnostics
}

export interface SessionsComponents {
  peerId: PeerId
  privateKey: PrivateKey
  datastore: Datastore
  logger: ComponentLogger
  /** Has the public keys of neighbours whose ids do not contain them */
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
   * 'best-effort' never waits for a round; 'perfect' encrypts one message in each epoch and direction
   *
   * @default 'best-effort'
   */
  mode?: SessionMode
  /**
   * Decides which peers may begin a session with this node. This node may begin a session with every peer
   *
   * @default all
   */
  allow? (peerId: PeerId): boolean
  /**
   * Sessions in memory at once. The idle session that was used least recently makes room: its next message begins with
   * a round
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
   * Where X-Wing is computed. 'auto': in a worker if it takes longer than a millisecond; 'inline': on this thread, one
   * operation a turn of the event loop; 'worker': in a worker
   *
   * @default 'auto'
   */
  crypto?: 'auto' | 'inline' | 'worker'
  /**
   * In browsers: makes the worker, if the bundler does not find it by itself. The worker runs
   * `libp2p-sheaf/session-worker`
   */
  createWorker? (): Worker
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where randomness comes from. Secrets never come from it */
  random?: Random
}

/** The service. Register it beside `directSub()` in `createLibp2p({ services })` */
export function sessions (init: SessionsInit = {}): (components: SessionsComponents) => Sessions {
  return components => new SessionsClass(components, init)
}
