import { compare } from 'uint8arrays/compare'
import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { Counters } from '../runtime/counters.ts'
import { MalformedError } from '../runtime/errors.ts'
import { CHECKPOINT_ENTRIES, MAX_GROUP_BYTES, MAX_KEY_BYTES } from './constants.ts'
import { decodeOperation, encodeOperation, groupOf } from './core/operation.ts'
import { Table, versionOf } from './core/table.ts'
import { DatabaseClosedError, DatabaseOpenError, InvalidKeyError } from './errors.ts'
import { Feed } from './feed.ts'
import { Reads } from './reads.ts'
import { Rows } from './rows.ts'
import { watch } from './watch.ts'
import type { Operation } from './core/operation.ts'
import type { OnRow, Row } from './core/table.ts'
import type { Change, CompactOptions, DatabaseDiagnostics, Item, PutOptions, ReadOptions, WatchOptions } from './index.ts'
import type { Codec } from './json.ts'
import type { Entry } from '../log/index.ts'
import type { OpenOptions, SharedLog, SharedLogEvents, SharedLogs } from '../replication/index.ts'

export interface DatabaseInit<T> {
  codec: Codec<T>
  /** Fields of which each row tells */
  fields?: string[]
  /** What they say. Throws where it is no value for the key: it is passed over */
  fieldsOf? (key: string, value: T): string[]
  onRow?: OnRow
}

/** Most rows tell of none */
const NO_FIELDS: string[] = []

/** Logs that have a database on them */
const open = new WeakSet<SharedLog>()

/**
 * A table of keys on a shared log: each entry of it sets a key or deletes it, and the last one in the order of the log counts. What is
 * in memory is which entry that is; values are read from the log.
 */
export class Database<T> {
  readonly log: SharedLog
  readonly #init: DatabaseInit<T>
  readonly #table: Table
  readonly #rows: Rows
  readonly #feed: Feed
  readonly #reads: Reads<T>
  readonly #counters = new Counters()
  /** Names of watches that go on after a restart */
  readonly #watching = new Set<string>()
  /** Entries that were applied since the last checkpoint */
  #applied = 0
  #storing = Promise.resolve()
  #closing?: Promise<void>

  static async open<T> (logs: SharedLogs, name: string, init: DatabaseInit<T>, options: OpenOptions): Promise<Database<T>> {
    const log = await logs.open(name, options)

    if (open.has(log)) {
      await log.close()
      throw new DatabaseOpenError(`The database '${name}' is open already: use that one, or close it`)
    }

    open.add(log)

    try {
      const rows = new Rows(log.shelf('database'), init.fields ?? [])
      const database = new Database(log, init, rows, await rows.read(options))
      await database.#feed.caughtUp(options)
      return database
    } catch (err) {
      open.delete(log)
      await log.close()
      throw err
    }
  }

  private constructor (log: SharedLog, init: DatabaseInit<T>, rows: Rows, { next, stored }: { next: number, stored: Map<string, Row> }) {
    this.log = log
    this.#init = init
    this.#table = new Table(init.onRow)
    this.#rows = rows
    this.#reads = new Reads({ log, table: this.#table, decode: entry => this.#decode(entry) })

    stored.forEach((row, key) => { this.#table.restore(key, row) })
    log.addEventListener('entry:remove', this.#onRemove)
    log.addEventListener('closing', this.#onClosing)
    this.#feed = new Feed({ log, next, apply: (entry, arrival) => { this.#apply(entry, arrival) } })
  }

  get size (): number {
    return this.#table.size
  }

  put (key: string, value: T, options: PutOptions): Promise<Entry> {
    return this.#append({ type: 'put', key, value: this.#init.codec.encode(value) }, options)
  }

  delete (key: string, options: PutOptions): Promise<Entry> {
    return this.#append({ type: 'delete', key }, options)
  }

  async get (key: string, options: ReadOptions): Promise<T | undefined> {
    await this.#feed.caughtUp(options)
    return (await this.#reads.get(key, options))?.value
  }

  /** What is here of the keys that this names, or of all; then all that is elsewhere */
  async * items (keys: () => Iterable<string> | undefined, options: ReadOptions): AsyncGenerator<Item<T>> {
    await this.#feed.caughtUp(options)
    yield * this.#reads.items(keys(), options)
  }

  watch ({ from = 'now', name, signal }: WatchOptions): AsyncGenerator<Change<T>> {
    this.#expectOpen()
    return watch({
      log: this.log,
      feed: this.#feed,
      from: from === 'now' ? this.#feed.end : 0,
      watching: this.#watching,
      changeOf: (entry, arrival) => this.#changeOf(entry, arrival)
    }, { name, signal })
  }

  async compact ({ age, signal }: CompactOptions): Promise<number> {
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

  async #close (): Promise<void> {
    const { isEnded } = this.#feed
    this.log.removeEventListener('entry:remove', this.#onRemove)
    this.log.removeEventListener('closing', this.#onClosing)
    await this.#feed.stop()

    if (!isEnded) {
      await this.#checkpoint()
    }

    open.delete(this.log)
    await this.log.close()
  }

  async #append (operation: Operation, options: PutOptions): Promise<Entry> {
    const group = groupOf(operation.key)
    expectKey(operation.key, group)
    this.#expectOpen()
    const entry = await this.log.append(encodeOperation(operation), { ...options, group })

    // who reads next reads it
    if (!this.#feed.isCaughtUp) {
      await this.#feed.caughtUp(options)
    }

    return entry
  }

  /** Other entries than operations may be in the log, and those of others that our codec does not know: they say nothing */
  #apply (entry: Entry, arrival: number): void {
    try {
      const { key, value } = this.#decode(entry)
      const fields = value === undefined ? NO_FIELDS : this.#init.fieldsOf?.(key, value) ?? NO_FIELDS
      this.#table.apply(key, { ...versionOf(entry), arrival, isDeleted: value === undefined, fields })
    } catch (err: any) {
      this.#counters.add(err instanceof MalformedError ? 'no operation on a key' : 'refused by the codec')
    }

    if (++this.#applied >= CHECKPOINT_ENTRIES) {
      void this.#checkpoint()
    }
  }

  /** Throws what the codec throws, or a MalformedError */
  #decode (entry: Entry): Change<T> {
    const operation = decodeOperation(entry)
    return { key: operation.key, entry, value: operation.type === 'put' ? this.#init.codec.decode(operation.value) : undefined }
  }

  /** What an entry has changed, unless another one counts by now: that comes, too */
  #changeOf (entry: Entry, arrival: number): Change<T> | undefined {
    const key = keyIn(entry)
    const row = key == null ? undefined : this.#table.get(key)
    return row?.arrival === arrival && compare(row.id, entry.id.bytes) === 0 ? this.#decode(entry) : undefined
  }

  readonly #onRemove = ({ detail: { entry } }: { detail: { entry: Entry } }): void => {
    const key = keyIn(entry)

    if (key != null) {
      this.#table.forget(key, entry.id.bytes)
    }
  }

  /** The node stops, or whoever else has the log drops it */
  readonly #onClosing = ({ detail: { waitUntil } }: SharedLogEvents['closing']): void => {
    waitUntil(this.#checkpoint())
  }

  /** What the log has in full is not worth a failure: it is read again, or stored with the next one */
  async #checkpoint (): Promise<void> {
    this.#applied = 0
    this.#storing = this.#storing.then(async () => {
      const changes = this.#table.changes()
      await this.#rows.write(this.#feed.next, changes, this.#table).catch(() => {
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

function expectKey (key: string, group: Uint8Array): void {
  const bytes = group.byteLength < MAX_GROUP_BYTES ? group.byteLength : encodeString(key).byteLength

  if (bytes === 0 || bytes > MAX_KEY_BYTES || !key.isWellFormed()) {
    throw new InvalidKeyError(`A key is a string of 1 to ${MAX_KEY_BYTES} bytes in UTF-8, without half characters: this one has ${bytes}`)
  }
}

function keyIn (entry: Pick<Entry, 'data' | 'group'>): string | undefined {
  try {
    return decodeOperation(entry).key
  } catch {
    // it was counted when it came
  }
}
