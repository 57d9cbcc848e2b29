import { Log as LogShell } from './log.ts'
import type { EntryId, RingId } from './entry-id.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions, ComponentLogger, PeerId, PrivateKey, TypedEventTarget } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'
import type { Uint8ArrayList } from 'uint8arraylist'

/** An entry of a log. Each read of bytes, or of an id, makes a copy: keep it in a variable where it is used often */
export interface Entry {
  readonly id: EntryId
  readonly author: PeerId
  readonly data: Uint8Array
  /** Milliseconds since 1970, never behind what the author had heard of; a counter for entries of one millisecond */
  readonly clock: { time: bigint, counter: number }
  /** The entry that the author made before this one */
  readonly previous?: EntryId
  /** The heads of the author's log when the entry was made */
  readonly parents: EntryId[]
  /** Entries of one group are kept together. Empty: the entry is a group of its own */
  readonly group: Uint8Array
  /** How many copies there should be; 0: as many as the log says */
  readonly replicas: number
  /** The `request` that it was appended with, if it was appended here. It is kept with the entry, and not part of it */
  readonly request?: Uint8Array
  /** The content in its binary form: the id is its hash */
  readonly bytes: Uint8Array
  /** Proves that the author made the entry */
  readonly proof: Uint8Array
}

export interface LogInit {
  /** Peers that open logs of one id can exchange entries; at most 512 bytes */
  id: string
  datastore: Datastore
  /** Signs what is appended here */
  privateKey: PrivateKey
  logger: ComponentLogger
  /**
   * @default the clock of the machine
   */
  clock?: Clock
  /**
   * Says of every entry, our own and those of others, whether it may be added. The log asks about one after the other.
   * `canAppend` must not wait for this log, and has 30 seconds: all that wait while the log is closed have them
   * together. If it throws, an append of our own rejects with that, and an entry of somebody else is refused
   */
  canAppend? (entry: Entry): boolean | Promise<boolean>
  /** Says which entries are never trimmed */
  keep? (entry: Entry): boolean
}

export interface AppendOptions extends AbortOptions {
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

/** What became of an entry that was joined. `waiting`: it is in memory, and is added when its time has come */
export type JoinOutcome =
  | { id: EntryId, status: 'added' | 'known' | 'waiting' }
  /** `id` is missing where the bytes are no entry at all */
  | { id?: EntryId, status: 'refused', reason: Error }

/** Chunks of bytes, of any size */
export type Bytes = Iterable<Uint8Array | Uint8ArrayList> | AsyncIterable<Uint8Array | Uint8ArrayList>

/** How many entries of an archive were new, were here before, wait for their time, or were refused */
export interface Imported {
  added: number
  known: number
  waiting: number
  refused: number
}

export interface EntriesOptions extends AbortOptions {
  /** Where to begin: at an entry, or at the entries of a moment */
  from?: EntryId | Entry['clock']
  /** The latest first */
  reverse?: boolean
}

export type ExportOptions = Omit<EntriesOptions, 'reverse'>

/** Which entries go, the oldest first. Entries that `keep` names stay */
export interface TrimOptions extends AbortOptions {
  /** At most so many entries stay */
  length?: number
  /** At most so many bytes of entries stay */
  bytes?: number
  /** An entry goes so many milliseconds after it was made */
  age?: number
  /** Says which other entries go */
  when? (entry: Entry): boolean
}

/** Positions of the ring, from `from` up to `to`, which is not among them. The same position twice, or neither: all */
export interface RingRange {
  from?: number
  to?: number
}

export interface LogDiagnostics {
  status: string
  length: number
  bytes: number
  heads: number
  /** Appends that are not written yet */
  pending: number
  /** Entries of others whose time has not come yet */
  waiting: number
  /** Bytes of pages of the index in memory */
  cached: number
  /** How many entries were refused, by the name of the error */
  dropped: Record<string, number>
  /** What a person should know: damage, a disk that fails, authors that wrote with one key in two places */
  problems: Array<{ kind: string, message: string }>
}

export interface LogEvents {
  'entry:add': CustomEvent<{ entry: Entry, arrival: number }>
  'entry:remove': CustomEvent<{ entry: Entry }>
}

/** An append-only log of signed entries: two logs with the same entries have them in the same order */
export interface Log extends TypedEventTarget<LogEvents> {
  readonly id: string
  readonly status: 'open' | 'closing' | 'closed'
  readonly length: number
  /** The number that the next entry to come here will have among the arrivals */
  readonly nextArrival: number
  /** Resolves when the entry is stored */
  append (data: Uint8Array, options?: AppendOptions): Promise<Entry>
  /**
   * Signs many at once: far cheaper than one by one. A caller may change the items of an array after the call, of an
   * array of more than 4 MiB when it has resolved: the log copies the others as it writes. Where an item of an array
   * can be none, nothing is appended; of a source that fails, what came before is
   */
  appendMany (items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options?: AppendOptions): Promise<Entry[]>
  /** Verifies and adds entries of others. Resolves when they are stored. An abort does not remove stored ones */
  join (entries: Array<{ bytes: Uint8Array, proof: Uint8Array }>, options?: AbortOptions): Promise<JoinOutcome[]>
  get (id: EntryId): Promise<Entry | undefined>
  has (id: EntryId): Promise<boolean>
  /** The latest entries of authors that no other entry here names as a parent: the next one is made on them */
  heads (): Promise<Entry[]>
  /** All entries in their total order, which is the same in all logs: by time, then by id */
  entries (options?: EntriesOptions): AsyncGenerator<Entry>
  /**
   * All entries with their proofs as a stream of bytes, an archive: for a backup, or for a peer without a network. One
   * that begins at `from` goes on where another one ended: what `import` takes may be several, one behind the other
   */
  export (options?: ExportOptions): AsyncGenerator<Uint8Array>
  /**
   * Verifies and adds the entries of an archive. An archive that is cut off rejects with an ArchiveCutError, one that
   * was changed with an InvalidArchiveError, or some of its entries are `refused`
   */
  import (source: Bytes, options?: AbortOptions): Promise<Imported>
  /** Entries in the order in which they came here, from number `from` on */
  arrivals (from?: number, options?: AbortOptions): AsyncGenerator<{ arrival: number, entry: Entry }>
  /** Up to which arrival a program has dealt with everything: the log stores what it was told with `mark` */
  marked (program: string): Promise<number>
  mark (program: string, arrival: number): Promise<void>
  /** 16 bytes, the same for the same entries in a range. The key keeps others from aiming at a collision */
  fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }>
  /** Ids in a range, in its order, behind `after`: the last id of the call before, whose entry may be gone meanwhile */
  idsInRange (range: RingRange, options: { limit: number, after?: RingId }): Promise<RingId[]>
  /** Both say how many entries went */
  remove (ids: EntryId[]): Promise<number>
  trim (options: TrimOptions): Promise<number>
  diagnostics (): LogDiagnostics
  /** Ends what is under way, then writes what makes the next open fast */
  close (): Promise<void>
  /** `close()`, at the end of the block that says `await using` */
  [Symbol.asyncDispose] (): Promise<void>
  /** Closes the log, and deletes all of it. Throws a LogClosedError where a close that was under way came first */
  drop (): Promise<void>
}

/** Opens a log, or makes a new one */
export async function openLog (init: LogInit): Promise<Log> {
  return LogShell.open(init)
}
