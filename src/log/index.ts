import { Log as LogShell } from './log.ts'
import type { EntryId, RingId } from './entry-id.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions, ComponentLogger, PeerId, PrivateKey, TypedEventTarget } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/** Whatever bytes it hands out are copies: what becomes of them changes nothing. Keep them in a variable where they are used often */
export interface Entry {
  readonly id: EntryId
  readonly author: PeerId
  readonly data: Uint8Array
  /** When it was made: milliseconds since 1970, never behind what its author had heard of, and what tells entries of one of them apart */
  readonly clock: { time: bigint, counter: number }
  /** The entry that its author made before */
  readonly previous?: EntryId
  /** The heads that it was made on */
  readonly parents: EntryId[]
  /** Entries of one group are kept together. Empty: it is a group of its own */
  readonly group: Uint8Array
  /** How many copies it should have; 0: as many as the log says */
  readonly replicas: number
  /** What was signed, and what the id is the hash of */
  readonly bytes: Uint8Array
  /** That its author made it */
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
  /** Asked about every entry before it is added, our own and others', one after the other: it must not wait for this log, and has 30 seconds */
  canAppend? (entry: Entry): boolean | Promise<boolean>
  /** What is never trimmed */
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
}

/** What became of an entry that was joined. `waiting`: its time has not come yet, so it is only in memory, and is added when it has */
export type JoinOutcome =
  | { id: EntryId, status: 'added' | 'known' | 'waiting' }
  /** `id` is missing where the bytes are no entry at all */
  | { id?: EntryId, status: 'refused', reason: Error }

export interface EntriesOptions extends AbortOptions {
  /** Where to begin: with this one, or with those of this moment */
  from?: EntryId | Entry['clock']
  /** The latest first */
  reverse?: boolean
}

/** What is to go, the oldest first. What `keep` says stays */
export interface TrimOptions extends AbortOptions {
  /** Entries that stay at most */
  length?: number
  /** Bytes of entries that stay at most */
  bytes?: number
  /** Milliseconds since it was made after which an entry goes */
  age?: number
  /** Others that go */
  when? (entry: Entry): boolean
}

/** Positions of the ring: from the first one up to the second, which is not in it. The same one twice, or neither: all */
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
  /** Entries that were refused, by why */
  dropped: Record<string, number>
  /** What a person should know: damage that was found, a disk that fails, authors that wrote with one key in two places */
  problems: Array<{ kind: string, message: string }>
}

export interface LogEvents {
  'entry:add': CustomEvent<{ entry: Entry, arrival: number }>
  'entry:remove': CustomEvent<{ entry: Entry }>
}

/**
 * An append-only log of signed entries: what two of them hold that have the same entries is the same, in the same order.
 */
export interface Log extends TypedEventTarget<LogEvents> {
  readonly id: string
  readonly status: 'open' | 'closing' | 'closed'
  readonly length: number
  /** Resolves when it is stored */
  append (data: Uint8Array, options?: AppendOptions): Promise<Entry>
  /** Signs many at once: far cheaper than one by one */
  appendMany (items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options?: AppendOptions): Promise<Entry[]>
  /** Entries that others made: each is verified first. Resolves when they are stored, with what became of each */
  join (entries: Array<{ bytes: Uint8Array, proof: Uint8Array }>, options?: AbortOptions): Promise<JoinOutcome[]>
  get (id: EntryId): Promise<Entry | undefined>
  has (id: EntryId): Promise<boolean>
  /** Entries that no other one here names as its parent */
  heads (): Promise<Entry[]>
  /** In their total order, which is the same for all who hold them: by time, then by id */
  entries (options?: EntriesOptions): AsyncGenerator<Entry>
  /** In the order in which they came here, from the one with this number on */
  arrivals (from?: number, options?: AbortOptions): AsyncGenerator<{ arrival: number, entry: Entry }>
  /** Up to which arrival a program has dealt with everything: `mark` is kept with the log */
  marked (program: string): Promise<number>
  mark (program: string, arrival: number): Promise<void>
  /** Says whether two hold the same entries in a range of the ring: 16 bytes, keyed, so that nobody can aim at a collision */
  fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }>
  /** Ids of entries in a range of the ring, in its order, behind `after`: the last one of before, also when it was removed meanwhile */
  idsInRange (range: RingRange, options: { limit: number, after?: RingId }): Promise<RingId[]>
  remove (ids: EntryId[]): Promise<number>
  /** Says how many went */
  trim (options: TrimOptions): Promise<number>
  diagnostics (): LogDiagnostics
  /** Ends what is under way, then writes what makes the next open fast */
  close (): Promise<void>
  /** Closes it, and deletes all of it */
  drop (): Promise<void>
}

/** Opens a log, or makes it */
export async function openLog (init: LogInit): Promise<Log> {
  return LogShell.open(init)
}
