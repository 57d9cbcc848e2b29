/**
 * Logs that several peers share: an entry that one peer appends reaches every peer that keeps the log, also a peer that
 * was away.
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
import type {
  Bytes, EntriesOptions, Entry, ExportOptions, Imported, LogDiagnostics, TrimOptions
} from '../log/index.ts'
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
 * - true: all entries; false: only the entries that this node appended, until other replicators have them
 * - factor: that part of the ring, from `offset` on (both from 0 to 1); without an offset the part begins where the key
 * of this node says
 * - segments: these segments
 * - limits: a fair share, which follows the other replicators, and not more than `storage` bytes, or the part `cpu` (0
 * to 1) of all entries
 */
export type Replicate =
  | boolean
  | { factor: number, offset?: number }
  | { segments: Segment[] }
  | { limits: { storage?: number, cpu?: number } }

export interface OpenOptions extends AbortOptions {
  /**
   * When open() resolves: 'open' once the log can be used, 'synced' once a comparison with every connected replicator
   * has found no difference, see `waitForSync`
   *
   * @default 'open'
   */
  ready?: 'open' | 'synced'
  /**
   * @default true
   */
  replicate?: Replicate
  /**
   * How many copies of an entry there should be; `max` is the most that an entry may ask for itself
   *
   * @default { min: 2 }
   */
  replicas?: { min: number, max?: number }
  /**
   * Milliseconds that a replicator has to be in before other nodes remove entries because of it
   *
   * @default 10000
   */
  maturity?: number
  /**
   * Milliseconds that a lost replicator is waited for before it leaves
   *
   * @default 15000
   */
  grace?: number
  /** Decides whether an entry is added: called for every entry, of this node and of others */
  canAppend? (entry: Entry): boolean | Promise<boolean>
  /**
   * Decides which peers may keep a part of the log. A peer that may not is sent nothing, and does not count. It is
   * called with no segments for a peer that keeps nothing and wants to read. Without this option and `replicators`, a
   * log is for friends: every peer that finds its topic may keep a part
   */
  canReplicate? (peerId: PeerId, segments: Segment[]): boolean | Promise<boolean>
  /** The peers that may keep a part of the log and read it: these, and no others */
  replicators?: PeerId[]
  /** Decides which entries are never trimmed, nor removed because other replicators keep them */
  keep? (entry: Entry): boolean
  /**
   * Whether everything between peers goes through sessions, so that relays cannot read it: `sessions()` has to be
   * registered. All peers of a log need the same value, else they do not find each other
   *
   * @default false
   */
  confidential?: boolean
}

export interface AppendOptions extends AbortOptions {
  /**
   * When the promise resolves: 'stored' once the entry is stored on this node; 'leaders' once all connected leaders
   * have stored it; a number once so many other replicators have stored it. If the signal aborts before that, the entry
   * is in the log all the same, and is sent
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
  /**
   * Names what asked for this, in at most 64 bytes: it is stored in the same write as the entry, here alone. So who
   * does not know whether an append has happened looks for it among the `arrivals`
   */
  request?: Uint8Array
}

export interface Replicator {
  peerId: PeerId
  segments: Segment[]
  /** mature: in for long enough that other nodes rely on it */
  state: 'joined' | 'mature'
  /** Whether this is this node */
  self: boolean
}

export interface WaitForReplicatorsOptions extends AbortOptions {
  /**
   * How many replicators there must be. This node counts if it is one
   *
   * @default 2, unless coverage is given
   */
  count?: number
  /** The share of all entries, from 0 to 1, that at least one of the replicators keeps */
  coverage?: number
}

export interface SyncReport {
  /**
   * True if a comparison has found no difference with every replicator that is connected, answers, and keeps what this
   * node keeps. `problems` names the replicators that do not answer, or whose comparisons fail again and again
   */
  isSynced: boolean
  peers: Array<{
    peerId: PeerId
    /** When a comparison found no difference, in milliseconds since 1970 */
    equalAt?: number
    /** Entries of that peer that this node could not get in the last comparison */
    missing: number
  }>
}

export interface SharedLogDiagnostics {
  status: string
  log: LogDiagnostics
  /** The share of all entries that at least one replicator keeps */
  coverage: number
  /** How many replicators keep the entries with the fewest copies */
  copies: number
  /**
   * Every peer on the topic, and why it is a replicator or is not, in words. Of a replicator: the milliseconds until
   * other peers rely on it (0: they do), and the reason why this node does not count on it, if there is one
   */
  peers: Array<{ peerId: PeerId, why: string, matureIn?: number, failing?: 'silent' | 'unproven' }>
  /** What is not as it should be, in words; empty if nothing is wrong */
  problems: string[]
  /** How many entries each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason */
  dropped: Record<string, number>
}

/** A store for records of a program beside a log. Dropping the log deletes it */
export interface Shelf {
  /** Reads all records, in no order */
  read (options?: AbortOptions): AsyncGenerator<{ name: Uint8Array, value: Uint8Array }>
  /** Writes all changes in one batch. A change without a value deletes the record */
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
  /**
   * How many entries have come from a peer, of the entries that this node lacked. Other peers may bring some of them
   */
  'sync:progress': CustomEvent<{ peerId: PeerId, done: number, total: number }>
  /**
   * The log is about to be closed, by a program or by the node. The log waits for the promises that are passed to
   * `waitUntil`. Meanwhile shelves can be read and written; nothing is appended any more
   */
  closing: CustomEvent<{ waitUntil (work: Promise<unknown>): void }>
  /** The log is closed, by the program that opened it or by a node that stops */
  close: CustomEvent<void>
}

export interface SharedLog extends TypedEventTarget<SharedLogEvents> {
  readonly id: string
  readonly status: 'opening' | 'open' | 'closing' | 'closed'
  /** The number of entries on this node */
  readonly length: number
  /** The number that the next entry to come here will have among the arrivals */
  readonly nextArrival: number
  append (data: Uint8Array, options?: AppendOptions): Promise<Entry>
  /** Signs many entries at once: far cheaper than one by one */
  appendMany (items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options?: AppendOptions): Promise<Entry[]>
  /** Resolves when others have stored an entry that is here: all leaders that are here, or so many */
  acked (entry: Entry, ack: 'leaders' | number, options?: AbortOptions): Promise<void>
  get (id: EntryId): Promise<Entry | undefined>
  has (id: EntryId): Promise<boolean>
  /** The last entries of all authors that no other entry on this node names as its parent */
  heads (): Promise<Entry[]>
  /** All entries in their total order, which is the same on all nodes: by time, then by id */
  entries (options?: EntriesOptions): AsyncGenerator<Entry>
  /**
   * The entries of the log on this node as a stream of bytes, an archive: for a backup, or for a peer without a
   * network. Each entry has its proof. An export that begins at `from` continues an older one
   *
   * @example
   *
   * ```TypeScript
   * import { createReadStream, createWriteStream } from 'node:fs'
   * import { pipeline } from 'node:stream/promises'
   * import type { SharedLog } from 'libp2p-sheaf'
   *
   * async function backUp (log: SharedLog): Promise<void> {
   *   await pipeline(log.export(), createWriteStream('notes.sheaf'))
   * }
   *
   * async function restore (log: SharedLog): Promise<void> {
   *   const { added, known } = await log.import(createReadStream('notes.sheaf'))
   *   console.info(`${added} entries are new, ${known} were here`)
   * }
   *
   * console.info(backUp, restore)
   * ```
   */
  export (options?: ExportOptions): AsyncGenerator<Uint8Array>
  /**
   * Verifies the entries of an archive and adds them; several archives of this log may follow each other. Entries that
   * other peers keep go to those peers; until then they are stored here, past `limits.storage`, too. Rejects with an
   * ArchiveCutError when the archive ends too early, and with an InvalidArchiveError when its form is damaged. An entry
   * that was changed counts as `refused`
   */
  import (source: Bytes, options?: AbortOptions): Promise<Imported>
  /**
   * Whether this node is responsible for all entries of this group, and has all of them, as far as the connected
   * replicators know: none is missing
   */
  keeps (group: Uint8Array): Promise<boolean>
  /**
   * Reads entries that this node does not keep from the replicators that keep them, of one group or of all. Entries of
   * one group come one after the other. They are verified, and not stored. The log asks as many replicators as there
   * are copies. If fewer of them answer, the iteration throws a NoReplicatorError after all entries that it got: there
   * may be more
   */
  elsewhere (options?: AbortOptions & { group?: Uint8Array }): AsyncGenerator<Entry>
  /** Entries in the order in which they came to this node, from the one with this number on */
  arrivals (from?: number, options?: AbortOptions): AsyncGenerator<{ arrival: number, entry: Entry }>
  /** The arrival up to which a program has processed everything, as it said with `mark`. The log stores the number */
  marked (program: string): Promise<number>
  mark (program: string, arrival: number): Promise<void>
  /** The store of a program: the same one for the same name each time */
  shelf (program: string): Shelf
  /** Removes old entries from this node only: other replicators may keep them, and bring them back */
  trim (options: TrimOptions): Promise<number>
  /** Changes what this node keeps, and tells the other peers */
  replicate (options: Replicate): Promise<void>
  unreplicate (): Promise<void>
  /** The replicators that keep a part of the log now, this node among them if it does */
  replicators (): Replicator[]
  /** The share of all entries, from 0 to 1, that at least one replicator keeps */
  coverage (): number
  /** Resolves when there are enough replicators; use a signal to give up */
  waitForReplicators (options?: WaitForReplicatorsOptions): Promise<Replicator[]>
  /**
   * Resolves when a comparison has found no difference with every connected replicator that keeps what this node keeps;
   * use a signal to give up
   */
  waitForSync (options?: AbortOptions): Promise<void>
  /** Tells which peers are known to have the same entries as this node */
  synced (segment?: Segment): SyncReport
  diagnostics (): SharedLogDiagnostics
  /** Undoes one open(). The last close() closes the log */
  close (): Promise<void>
  /** `close()`, at the end of the block that says `await using` */
  [Symbol.asyncDispose] (): Promise<void>
  /** Closes the log for all programs that opened it, and deletes everything of it on this node */
  drop (): Promise<void>
}

export interface SharedLogs extends Startable {
  /** Opens a log. All calls with one id share the log: the options of the first call count */
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
   * The name under which sessions() is registered: needed for confidential logs
   *
   * @default 'sessions'
   */
  sessions?: string
  /**
   * The name under which transfers() is registered, if it is: then an entry may have 16 MiB, else what fits into a
   * message
   *
   * @default 'transfers'
   */
  transfers?: string
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where randomness comes from */
  random?: Random
}

/**
 * The service. Register it beside `directSub()` in `createLibp2p({ services })`, or beside the `gossipsub()` that a
 * node runs already. All peers of a log use the same one of the two
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
