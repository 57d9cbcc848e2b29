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
  /** Throws where it says nothing of a key */
  decode (entry: Entry): Change<T>
}

/** What counts for a key, as far as one peer knows: without an item it is deleted */
interface Found<T> {
  version: Version
  item?: Item<T>
}

/** Keys that are read at once */
const READ_AHEAD = 64

/** Entries that are read one behind the other while one is looked up by its id. Measured: 10 */
const SCANNED_FOR_ONE = 8

/**
 * Reads what the table says is there from the log, and what is not for this node to keep from those who keep it.
 */
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
      // that a key has no value takes as many to say as there are copies, that it has one takes one
      if (!(err instanceof NoReplicatorError && isTold)) {
        throw err
      }
    }

    return found?.item
  }

  /** What is here of these keys, or of all; then all that is elsewhere */
  async * items (keys: Iterable<string> | undefined, { local = false, signal }: ReadOptions): AsyncGenerator<Item<T>> {
    const { log } = this.#init
    // what lies here only until others have it: they may know better
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

  /** Most of the log counts */
  get #isDense (): boolean {
    return this.#init.log.length <= SCANNED_FOR_ONE * this.#init.table.size
  }

  /** All there is when it begins, as the log has it one behind the other */
  async * #scan ({ signal }: AbortOptions): AsyncGenerator<Item<T>> {
    const rows = [...this.#init.table.rows()]
      .filter(([, { isDeleted }]) => !isDeleted).sort(([, a], [, b]) => a.arrival - b.arrival)
    let at = 0

    for await (const { arrival, entry } of this.#init.log.arrivals(rows[0]?.[1].arrival, { signal })) {
      for (; at < rows.length && rows[at][1].arrival < arrival; at++) {
        // it went meanwhile: another one may count
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

  /** All that are there when it begins: who puts what it tells would come again for ever otherwise */
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

  /** The last one for each key: those of one group come one after the other, and all of a key are of one */
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
      // all that was told counts, also where there may be more
      yield * latest
      throw err
    }

    yield * latest
  }

  #changeIn (entry: Entry): Change<T> | undefined {
    try {
      return this.#init.decode(entry)
    } catch {
      // as when it comes here: it says nothing
    }
  }
}

function later<T> (a: Found<T> | undefined, b: Found<T>): Found<T> {
  return a != null && compareVersions(a.version, b.version) >= 0 ? a : b
}
