/**
 * Logs that several peers share: what one appends arrives at all that keep it, also after any of them was away.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub, sharedLogs } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: directSub(),
 *     logs: sharedLogs()
 *   }
 * })
 *
 * const log = await node.services.logs.open('notes')
 *
 * log.addEventListener('entry:add', ({ detail }) => {
 *   console.info(detail.entry.author, detail.entry.data)
 * })
 *
 * await log.append(new TextEncoder().encode('hello'))
 * ```
 */

import { SharedLogs as SharedLogsClass } from './shared-logs.ts'
import type { LeaveReason } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { EntryId } from '../log/entry-id.ts'
import type { EntriesOptions, Entry, LogDiagnostics, TrimOptions } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type {
  AbortOptions, ComponentLogger, Libp2pEvents, Metrics, PeerId, PrivateKey, Startable, TypedEventTarget
} from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import type { Datastore } from 'interface-datastore'

export type { LeaveReason, Segment }

/**
 * What this node keeps of a log:
 *
 * - true: all of it; false: only what was appended here, until others have it
 * - factor: that part of the ring, from `offset` on (both from 0 to 1); without one it begins where the key of this
 * node says
 * - segments: these
 * - limits: as much as is its share, and not more than `storage` bytes, or the part `cpu` (0 to 1) of all; it follows
 * the others
 */
export type Replicate =
  | boolean
  | { factor: number, offset?: number }
  | { segments: Segment[] }
  | { limits: { storage?: number, cpu?: number } }

export interface OpenOptions extends AbortOptions {
  /**
   * When open() resolves: once the log can be used, or once nothing differs from any replicator that is here, see
   * `waitForSync`
   *
   * @default 'open'
   */
  ready?: 'open' | 'synced'
  /**
   * @default true
   */
  replicate?: Replicate
  /**
   * How many copies of an entry there should be; `max` is what an entry of its own may ask for
   *
   * @default { min: 2 }
   */
  replicas?: { min: number, max?: number }
  /**
   * Milliseconds that a replicator has to be in before others let go of entries because of it
   *
   * @default 10000
   */
  maturity?: number
  /**
   * Milliseconds that a replicator whom we have lost is waited for before it leaves
   *
   * @default 15000
   */
  grace?: number
  /** Asked about every entry before it is added, our own and others' */
  canAppend? (entry: Entry): boolean | Promise<boolean>
  /**
   * Who may keep a part of the log. A peer that may not is not sent anything, and not counted. Asked with no segments
   * about a peer that keeps nothing, and wants to read. Without this, or `replicators`, a log is for friends: everybody
   * who finds its topic may keep a part
   */
  canReplicate? (peerId: PeerId, segments: Segment[]): boolean | Promise<boolean>
  /** The same, where they are known: these peers, and nobody else */
  replicators?: PeerId[]
  /** What is never trimmed, nor let go of because others keep it */
  keep? (entry: Entry): boolean
  /**
   * Everything between peers goes through sessions, so that relays cannot read it: `sessions()` has to be registered.
   * Those who share a log all say the same here, else they do not find each other
   *
   * @default false
   */
  confidential?: boolean
}

export interface AppendOptions extends AbortOptions {
  /**
   * When the promise resolves: once it is stored here; once all leaders that are here have stored it; or once so many
   * others have. It is in the log, and on its way, also when the signal aborts before that
   *
   * @default 'stored'
   */
  ack?: 'stored' | 'leaders' | number
  /**
   * Entries of one group are kept together; at most 64 bytes
   *
   * @default a group of its own
   */
  group?: Uint8Array
  /**
   * How many copies there should be
   *
   * @default as many as the log says
   */
  replicas?: number
}

export interface Replicator {
  peerId: PeerId
  segments: Segment[]
  /** Mature: in for long enough that others rely on it */
  state: 'joined' | 'mature'
  /** This node */
  self: boolean
}

export interface WaitForReplicatorsOptions extends AbortOptions {
  /**
   * How many there must be, this node counts if it is one
   *
   * @default 2, unless coverage is given
   */
  count?: number
  /** The share of all entries, from 0 to 1, that at least one of them keeps */
  coverage?: number
}

export interface SyncReport {
  /**
   * With every replicator that is here, answers, and keeps what we keep, a comparison has found no difference.
   * `problems` names those that do not answer, or that comparing with fails again and again
   */
  isSynced: boolean
  peers: Array<{
    peerId: PeerId
    /** When a comparison found no difference, in milliseconds since 1970 */
    equalAt?: number
    /** Entries that it had and that we could not get when we compared last */
    missing: number
  }>
}

export interface SharedLogDiagnostics {
  status: string
  log: LogDiagnostics
  /** The share of all entries that at least one replicator keeps */
  coverage: number
  /** How many replicators keep the entries that fewest keep */
  copies: number
  /**
   * Everybody on the topic, and why it is a replicator or is not, in words. Of a replicator: the milliseconds until
   * others rely on it (0: they do), and why this node does not count on it, if so
   */
  peers: Array<{ peerId: PeerId, why: string, matureIn?: number, failing?: 'silent' | 'unproven' }>
  /** What is not as it should be, in words; empty: nothing */
  problems: string[]
  /** How many entries each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason */
  dropped: Record<string, number>
}

/** What a program made of a log, kept beside it: gone when the log is dropped */
export interface Shelf {
  /** All that is on it, in no order */
  read (options?: AbortOptions): AsyncGenerator<{ name: Uint8Array, value: Uint8Array }>
  /** In one batch; what has no value is deleted */
  write (changes: Array<{ name: Uint8Array, value?: Uint8Array }>): Promise<void>
}

export interface ReplicatorDetail {
  peerId: PeerId
  segments: Segment[]
}

export interface SharedLogEvents {
  'entry:add': CustomEvent<{ entry: Entry, arrival: number }>
  'entry:remove': CustomEvent<{ entry: Entry }>
  'replicator:join': CustomEvent<ReplicatorDetail>
  'replicator:mature': CustomEvent<ReplicatorDetail>
  'replicator:leave': CustomEvent<ReplicatorDetail & { reason: LeaveReason }>
  'replication:change': CustomEvent<ReplicatorDetail>
  /** Entries that came from a peer, of those that it had and this node had not: others may bring some of them */
  'sync:progress': CustomEvent<{ peerId: PeerId, done: number, total: number }>
  /**
   * It is about to be closed, by whomever. What is handed to `waitUntil` is waited for, and what lies on shelves can be
   * read and written meanwhile; nothing is appended any more
   */
  closing: CustomEvent<{ waitUntil (work: Promise<unknown>): void }>
  /** It is closed, by whomever: who opened it, or the node that stops */
  close: CustomEvent<void>
}

export interface SharedLog extends TypedEventTarget<SharedLogEvents> {
  readonly id: string
  readonly status: 'opening' | 'open' | 'closing' | 'closed'
  /** Entries that are here */
  readonly length: number
  append (data: Uint8Array, options?: AppendOptions): Promise<Entry>
  /** Signs many at once: far cheaper than one by one */
  appendMany (items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options?: AppendOptions): Promise<Entry[]>
  get (id: EntryId): Promise<Entry | undefined>
  has (id: EntryId): Promise<boolean>
  /** The last entries of all authors that no other one here names as its parent */
  heads (): Promise<Entry[]>
  /** In their total order, which is the same for all who hold them: by time, then by id */
  entries (options?: EntriesOptions): AsyncGenerator<Entry>
  /**
   * Whether all entries of this group are for this node to keep, and here, as far as those know who are here: none is
   * on its way
   */
  keeps (group: Uint8Array): Promise<boolean>
  /**
   * What this node does not keep, from those who keep it, of one group or of all: those of one group come one after the
   * other. They are verified, and not stored. As many are asked as there are copies; when there are fewer who answer,
   * that throws a NoReplicatorError after all that they tell: there may be more
   */
  elsewhere (options?: AbortOptions & { group?: Uint8Array }): AsyncGenerator<Entry>
  /** In the order in which they came here, from the one with this number on */
  arrivals (from?: number, options?: AbortOptions): AsyncGenerator<{ arrival: number, entry: Entry }>
  /** Up to which arrival a program has dealt with everything: `mark` is kept with the log */
  marked (program: string): Promise<number>
  mark (program: string, arrival: number): Promise<void>
  /** The same place each time for one program */
  shelf (program: string): Shelf
  /** Lets go of what is old, here alone: others may keep it, and bring it back */
  trim (options: TrimOptions): Promise<number>
  /** Changes what this node keeps, and tells the others */
  replicate (options: Replicate): Promise<void>
  unreplicate (): Promise<void>
  /** Those that keep a part of the log now, this node among them if it does */
  replicators (): Replicator[]
  /** The share of all entries, from 0 to 1, that at least one replicator keeps */
  coverage (): number
  /** Resolves when there are enough; use a signal to give up */
  waitForReplicators (options?: WaitForReplicatorsOptions): Promise<Replicator[]>
  /**
   * Resolves when nothing differs from any replicator that is here and keeps what this node keeps; use a signal to give
   * up
   */
  waitForSync (options?: AbortOptions): Promise<void>
  /** What can be said about who has the same as we do */
  synced (segment?: Segment): SyncReport
  diagnostics (): SharedLogDiagnostics
  /** Undoes one open(); the last one closes the log */
  close (): Promise<void>
  /** Closes it for all who opened it, and deletes all of it that is here */
  drop (): Promise<void>
}

export interface SharedLogs extends Startable {
  /** The same log, with a count, for all who open it: the options of the first one count */
  open (id: string, options?: OpenOptions): Promise<SharedLog>
}

export interface SharedLogsComponents {
  privateKey: PrivateKey
  peerId: PeerId
  datastore: Datastore
  registrar: Registrar
  connectionManager: ConnectionManager
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
  metrics?: Metrics
}

export interface SharedLogsInit {
  /**
   * The name under which DirectSub is registered, or GossipSub
   *
   * @default 'pubsub'
   */
  pubsub?: string
  /**
   * The name under which sessions() is registered: of use for logs that are confidential
   *
   * @default 'sessions'
   */
  sessions?: string
  /**
   * The name under which transfers() is registered, if it is: then an entry may have 16 MiB, else what fits a message
   *
   * @default 'transfers'
   */
  transfers?: string
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where chance comes from */
  random?: Random
}

/**
 * The service: register it beside `directSub()` in `createLibp2p({ services })`, or beside the `gossipsub()` that a
 * node runs already. All who share a log have the same one of the two
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { gossipsub } from '@libp2p/gossipsub'
 * import { identify } from '@libp2p/identify'
 * import { sharedLogs } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: gossipsub(),
 *     logs: sharedLogs()
 *   }
 * })
 * ```
 */
export function sharedLogs (init: SharedLogsInit = {}): (components: SharedLogsComponents) => SharedLogs {
  return components => new SharedLogsClass(components, init)
}
