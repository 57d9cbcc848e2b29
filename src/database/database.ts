import { compare } from 'uint8arrays/compare'
import { EntryId } from '../log/entry-id.ts'
import { chunks } from '../runtime/chunks.ts'
import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { Counters } from '../runtime/counters.ts'
import { MalformedError } from '../runtime/errors.ts'
import { checkOptions } from '../runtime/options.ts'
import { CHECKPOINT_ENTRIES, MAX_KEY_BYTES } from './constants.ts'
import { decodeOperation, encodeOperation, groupOf } from './core/operation.ts'
import { Table, versionOf } from './core/table.ts'
import { DatabaseClosedError, DatabaseOpenError, InvalidKeyError, InvalidValueError } from './errors.ts'
import { Feed } from './feed.ts'
import { COMPACT, OPEN, PUT, READ, WATCH } from './options.ts'
import { Reads } from './reads.ts'
import { Rows } from './rows.ts'
import { watch } from './watch.ts'
import type { Operation } from './core/operation.ts'
import type { OnRow } from './core/table.ts'
import type {
  Change, CompactOptions, DatabaseDiagnostics, Item, PutOptions, ReadOptions, WatchOptions
} from './index.ts'
import type { Codec } from './json.ts'
import type { Stored } from './rows.ts'
import type { Entry } from '../log/index.ts'
import type { OpenOptions, SharedLog, SharedLogEvents, SharedLogs, Shelf } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface DatabaseInit<T> {
  codec: Codec<T>
  /** Names the fields that rows depend on beside the codec: when they change, the table is built again */
  form?: string[]
  /** Takes from a value the fields that rows hold. Throws if the value does not belong to the key */
  fieldsOf? (key: string, value: T): string[]
  onRow?: OnRow
}

/** The log below a database, and how the database reads its entries */
export interface Opened<T> {
  log: SharedLog
  shelf: Shelf
  init: DatabaseInit<T>
  rows: Rows
  stored: Stored
}

/** Most rows have no fields */
const NO_FIELDS: string[] = []
/** The shelf of a database, and the shelves in use: programs that open one log share its shelf */
const SHELF = 'database'
const taken = new WeakSet<Shelf>()
/** Rows that are looked up in the log at once */
const LOOKUPS = 64

/**
 * A table of keys on a shared log: each entry sets a key or deletes it, and the last one in the order of the log
 * counts. Memory holds which entry that is; values are read from the log.
 */
export abstract class Database<T> {
  /** The shared log below: it tells which replicators keep the entries, and whether they are in sync */
  readonly log: SharedLog
  readonly #shelf: Shelf
  readonly #init: DatabaseInit<T>
  readonly #table: Table
  readonly #rows: Rows
  readonly #feed: Feed
  readonly #reads: Reads<T>
  readonly #counters = new Counters()
  /** Names of watches that go on after a restart */
  readonly #watching = new Set<string>()
  /** Entries that arrived since the database was opened, and since the last checkpoint */
  #came = 0
  #applied = 0
  #storing = Promise.resolve()
  #closing?: Promise<void>

  protected static async opened<T, D extends Database<T>> (
    logs: SharedLogs, name: string, init: DatabaseInit<T>, options: OpenOptions, make: (opened: Opened<T>) => D
  ): Promise<D> {
    checkOptions('open()', { codec: init.codec }, OPEN)
    const log = await logs.open(name, options)
    const shelf = log.shelf(SHELF)
    let database: D | undefined

    if (taken.has(shelf)) {
      await log.close()
      throw new DatabaseOpenError(`The database '${name}' is open already: use that one, or close it`)
    }

    taken.add(shelf)

    try {
      const rows = new Rows(shelf, [init.codec.name ?? '', ...init.form ?? []])
      const stored = await rows.read(options)
      database = make({ log, shelf, init, rows, stored })
      await database.#catchUp(stored, options)
      return database
    } catch (err) {
      if (database != null) {
        await database.#stop()
      }
      taken.delete(shelf)
      await log.close()
      throw err
    }
  }

  protected constructor ({ log, shelf, init, rows, stored: { next, stored } }: Opened<T>) {
    this.log = log
    this.#shelf = shelf
    this.#init = init
    this.#table = new Table(init.onRow)
    this.#rows = rows
    this.#reads = new Reads({ log, table: this.#table, decode: entry => this.#decode(entry) })

    stored.forEach((row, key) => { this.#table.restore(key, row) })
    log.addEventListener('entry:remove', this.#onRemove)
    log.addEventListener('closing', this.#onClosing)
    this.#feed = new Feed({ log, next, apply: (entry, arrival) => { this.#apply(entry, arrival) } })
  }

  /** The number of keys that have a value on this node */
  get size (): number {
    return this.#table.size
  }

  async delete (key: string, options: PutOptions = {}): Promise<Entry> {
    return this.#append({ type: 'delete', key }, options)
  }

  async get (key: string, options: ReadOptions = {}): Promise<T | undefined> {
    checkOptions('get()', options, READ)
    await this.#feed.caughtUp(options)
    return (await this.#reads.get(key, options))?.value
  }

  /** Reports each change from now on; ends when the database is closed */
  watch (options: WatchOptions = {}): AsyncGenerator<Change<T>> {
    const { from = 'now', name, signal } = options
    checkOptions('watch()', options, WATCH)
    this.#expectOpen()
    return watch({
      log: this.log,
      feed: this.#feed,
      from: from === 'now' ? this.#feed.end : 0,
      watching: this.#watching,
      changeOf: (entry, arrival) => this.#changeOf(entry, arrival)
    }, { name, signal })
  }

  /**
   * Removes versions that other versions have replaced, from this node only. See docs/write-a-database.md before you
   * use it
   */
  async compact (options: CompactOptions): Promise<number> {
    const { age, signal } = options
    checkOptions('compact()', { ...options, age: age ?? null }, COMPACT)
    await this.#feed.caughtUp({ signal })
    const before = systemClock.now() - age

    return this.log.trim({
      signal,
      when: ({ data, group, id }) => {
        const key = keyIn({ data, group })
        const row = key == null ? undefined : this.#table.get(key)
        return row != null && row.time < before && compare(row.id, id.bytes) !== 0
      }
    })
  }

  diagnostics (): DatabaseDiagnostics {
    return { keys: this.size, next: this.#feed.next, skipped: this.#counters.toJSON() }
  }

  async close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** At the end of the block that says `await using` */
  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }

  protected async set (key: string, value: T, options: PutOptions): Promise<Entry> {
    const bytes = this.#init.codec.encode(value)

    if (!(bytes instanceof Uint8Array)) {
      throw new InvalidValueError(`encode() of the codec has to return a Uint8Array at once, not ${typeof bytes}: ` +
        'make bytes of the value before you put it, if that takes time')
    }

    return this.#append({ type: 'put', key, value: bytes }, options)
  }

  /** Reads the rows here of the given keys, or of all; then the entries that other nodes keep */
  protected async * items (keys: () => Iterable<string> | undefined, options: ReadOptions): AsyncGenerator<Item<T>> {
    await this.#feed.caughtUp(options)
    yield * this.#reads.items(keys(), options)
  }

  async #close (): Promise<void> {
    const { isEnded } = this.#feed
    const at = this.#position()
    await this.#stop()

    if (!isEnded) {
      await this.#checkpoint(at)
    }

    taken.delete(this.#shelf)
    await this.log.close()
  }

  /** Stops reading the log */
  async #stop (): Promise<void> {
    this.log.removeEventListener('entry:remove', this.#onRemove)
    this.log.removeEventListener('closing', this.#onClosing)
    await this.#feed.stop()
  }

  /** Makes the table match the log: a crash may come between a removal and the next checkpoint */
  async #catchUp ({ entries }: Stored, options: AbortOptions): Promise<void> {
    await this.#feed.caughtUp(options)

    if (this.log.length - this.#came !== entries) {
      for (const rows of chunks([...this.#table.rows()], LOOKUPS)) {
        options.signal?.throwIfAborted()
        await Promise.all(rows.map(async ([key, { id }]) => {
          if (!await this.log.has(new EntryId(id))) {
            this.#table.forget(key, id)
          }
        }))
      }
    }
  }

  async #append (operation: Operation, options: PutOptions): Promise<Entry> {
    expectKey(operation.key)
    const group = groupOf(operation.key)
    checkOptions(`${operation.type}()`, options, PUT)
    this.#expectOpen()
    const entry = await this.log.append(encodeOperation(operation), { ...options, group })

    // the next read sees the entry
    if (!this.#feed.isCaughtUp) {
      await this.#feed.caughtUp(options)
    }

    return entry
  }

  /**
   * The log may have entries that are no operations, and values that this codec cannot read: these are counted and
   * skipped
   */
  #apply (entry: Entry, arrival: number): void {
    this.#came++

    try {
      const { key, value, fields } = this.#decode(entry)
      this.#table.apply(key, { ...versionOf(entry), arrival, isDeleted: value === undefined, fields })
    } catch (err: any) {
      this.#counters.add(err instanceof MalformedError ? 'no operation on a key' : 'refused by the codec')
    }

    if (++this.#applied >= CHECKPOINT_ENTRIES) {
      void this.#checkpoint()
    }
  }

  /**
   * Reads an entry, of this node or of another one, by the same rules. Throws what the codec throws, or a
   * MalformedError
   */
  #decode (entry: Entry): Change<T> & { fields: string[] } {
    const operation = decodeOperation(entry)
    const { key } = operation

    if (operation.type === 'delete') {
      return { key, entry, fields: NO_FIELDS }
    }

    const value = this.#init.codec.decode(operation.value)
    return { key, entry, value, fields: this.#init.fieldsOf?.(key, value) ?? NO_FIELDS }
  }

  /** The change that an entry made, unless another entry counts by now, which is reported itself */
  #changeOf (entry: Entry, arrival: number): Change<T> | undefined {
    const key = keyIn(entry)
    const row = key == null ? undefined : this.#table.get(key)

    if (row?.arrival === arrival && compare(row.id, entry.id.bytes) === 0) {
      const { key, value } = this.#decode(entry)
      return { key, value, entry }
    }
  }

  readonly #onRemove = ({ detail: { entry } }: { detail: { entry: Entry } }): void => {
    const key = keyIn(entry)

    if (key != null) {
      this.#table.forget(key, entry.id.bytes)
    }
  }

  /** The node stops, or another program drops the log */
  readonly #onClosing = ({ detail: { waitUntil } }: SharedLogEvents['closing']): void => {
    waitUntil(this.#checkpoint())
  }

  /** How far the table goes, and the number of entries up to there, if the table has all of the log */
  #position (): Pick<Stored, 'next' | 'entries'> {
    const { next, isCaughtUp } = this.#feed
    return { next, entries: isCaughtUp ? this.log.length : undefined }
  }

  /**
   * A checkpoint that fails is no error, since the log has everything: its rows are read again, or the next checkpoint
   * has them
   */
  async #checkpoint (at?: Pick<Stored, 'next' | 'entries'>): Promise<void> {
    this.#applied = 0
    this.#storing = this.#storing.then(async () => {
      const changes = this.#table.changes()
      await this.#rows.write(at ?? this.#position(), changes, this.#table).catch(() => {
        this.#table.keepChanges(changes)
        this.#counters.add('a checkpoint failed')
      })
    })
    await this.#storing
  }

  #expectOpen (): void {
    if (this.#feed.isEnded) {
      throw new DatabaseClosedError(`The database '${this.log.id}' is not open any more: open it again`)
    }
  }
}

function expectKey (key: string): void {
  const bytes = typeof key === 'string' ? encodeString(key).byteLength : 0

  if (bytes === 0 || bytes > MAX_KEY_BYTES || !key.isWellFormed()) {
    throw new InvalidKeyError(`A key is a string of 1 to ${MAX_KEY_BYTES} bytes in UTF-8, without half characters: ` +
      `this one has ${bytes}`)
  }
}

function keyIn (entry: Pick<Entry, 'data' | 'group'>): string | undefined {
  try {
    return decodeOperation(entry).key
  } catch {
    // the entry was counted when it arrived
  }
}
