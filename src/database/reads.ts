import { EntryId } from '../log/entry-id.ts'
import { NoReplicatorError } from '../replication/errors.ts'
import { chunks } from '../runtime/chunks.ts'
import { groupOf } from './core/operation.ts'
import { compareVersions, versionOf } from './core/table.ts'
import type { Table, Version } from './core/table.ts'
import type { Change, Item, ReadOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface ReadsInit<T> {
  log: SharedLog
  table: Table
  /** Throws if the entry is no operation on a key */
  decode (entry: Entry): Change<T>
}

/** What counts for a key, as far as one peer knows. Without an item: the key is deleted */
interface Found<T> {
  version: Version
  item?: Item<T>
}

/** Keys that are read at once */
const READ_AHEAD = 64

/** Entries that a scan reads in the time in which one entry is found by its id. Measured: 10 */
const SCANNED_FOR_ONE = 8

/** Reads entries that the table names from the log, and entries that this node does not keep from the replicators. */
export class Reads<T> {
  readonly #init: ReadsInit<T>

  constructor (init: ReadsInit<T>) {
    this.#init = init
  }

  async get (key: string, { local = false, signal }: ReadOptions): Promise<Item<T> | undefined> {
    const { log } = this.#init
    const group = groupOf(key)
    let found = await this.#here(key)

    if (local || await log.keeps(group)) {
      return found?.item
    }

    let isTold = false

    try {
      for await (const [other, theirs] of this.#latest(log.elsewhere({ group, signal }))) {
        isTold ||= other === key
        found = other === key ? later(found, theirs) : found
      }
    } catch (err) {
      // one keeper proves that a key has a value; that it has none takes as many keepers as there are copies
      if (!(err instanceof NoReplicatorError && isTold)) {
        throw err
      }
    }

    return found?.item
  }

  /** Yields the items of these keys, or of all, that are on this node; then all items of other nodes */
  async * items (keys: Iterable<string> | undefined, { local = false, signal }: ReadOptions): AsyncGenerator<Item<T>> {
    const { log } = this.#init
    // keys that this node keeps only until others have them: the others may have newer values
    const passing = new Set<string>()

    for await (const item of keys == null && this.#isDense
      ? this.#scan({ signal })
      : this.#lookUp(keys ?? this.#init.table.keys(), { signal })) {
      if (local || await log.keeps(groupOf(item.key))) {
        yield item
      } else {
        passing.add(item.key)
      }
    }

    if (local) {
      return
    }

    for await (const [key, theirs] of this.#latest(log.elsewhere({ signal }))) {
      const found = later(await this.#here(key), theirs)
      passing.delete(key)

      if (found.item != null) {
        yield found.item
      }
    }

    yield * await this.#itemsOf([...passing])
  }

  /** Whether most entries of the log still count */
  get #isDense (): boolean {
    return this.#init.log.length <= SCANNED_FOR_ONE * this.#init.table.size
  }

  /** Yields all items that exist at the start, in the order of the log */
  async * #scan ({ signal }: AbortOptions): AsyncGenerator<Item<T>> {
    const rows = [...this.#init.table.rows()]
      .filter(([, { isDeleted }]) => !isDeleted).sort(([, a], [, b]) => a.arrival - b.arrival)
    let at = 0

    for await (const { arrival, entry } of this.#init.log.arrivals(rows[0]?.[1].arrival, { signal })) {
      for (; at < rows.length && rows[at][1].arrival < arrival; at++) {
        // the entry was removed meanwhile: another one may count
        yield * await this.#itemsOf([rows[at][0]])
      }

      if (at === rows.length) {
        return
      }
      if (rows[at][1].arrival === arrival) {
        at++
        yield this.#init.decode(entry) as Item<T>
      }
    }

    yield * await this.#itemsOf(rows.slice(at).map(([key]) => key))
  }

  /** Yields all items that exist at the start: otherwise a loop that puts what it reads would never end */
  async * #lookUp (keys: Iterable<string>, { signal }: AbortOptions): AsyncGenerator<Item<T>> {
    for (const some of chunks([...keys], READ_AHEAD)) {
      signal?.throwIfAborted()
      yield * await this.#itemsOf(some)
    }
  }

  async #itemsOf (keys: string[]): Promise<Array<Item<T>>> {
    const found = await Promise.all(keys.map(async key => this.#here(key)))
    return found.map(found => found?.item).filter(item => item != null)
  }

  async #here (key: string): Promise<Found<T> | undefined> {
    const row = this.#init.table.get(key)

    if (row == null || row.isDeleted) {
      return row == null ? undefined : { version: row }
    }

    const entry = await this.#init.log.get(new EntryId(row.id))
    return entry == null ? undefined : { version: row, item: this.#init.decode(entry) as Item<T> }
  }

  /**
   * Yields the latest version of each key. Entries of one group come one after the other, and all entries of a key are
   * in one group
   */
  async * #latest (entries: AsyncIterable<Entry>): AsyncGenerator<[key: string, found: Found<T>]> {
    let group: string | undefined
    let latest = new Map<string, Found<T>>()

    try {
      for await (const entry of entries) {
        const change = this.#changeIn(entry)

        if (`${entry.group}` !== group) {
          yield * latest
          group = `${entry.group}`
          latest = new Map()
        }
        if (change != null) {
          const { key, value } = change
          latest.set(key, later(latest.get(key), {
            version: versionOf(entry), item: value === undefined ? undefined : { key, value, entry }
          }))
        }
      }
    } catch (err) {
      // the entries so far count, even if there may be more
      yield * latest
      throw err
    }

    yield * latest
  }

  #changeIn (entry: Entry): Change<T> | undefined {
    try {
      return this.#init.decode(entry)
    } catch {
      // as for an entry of the own log: it is skipped
    }
  }
}

function later<T> (a: Found<T> | undefined, b: Found<T>): Found<T> {
  return a != null && compareVersions(a.version, b.version) >= 0 ? a : b
}
