import { nearest, PieceCursor, takeKey } from './cursor.ts'
import { LANES } from './fingerprint.ts'
import { MemTable } from './mem-table.ts'
import { compareAt, eachWith, keyAt, signAt } from './rows.ts'
import { all, rowsOf, RunReader } from './run.ts'
import type { Rows, TableSpec } from './rows.ts'
import type { PageSource, Run } from './run.ts'

export interface Summary {
  count: number
  sum: Uint32Array
}

export interface ScanOptions {
  /** Where to begin: with this key, which may be the beginning of one; downwards below it */
  from?: Uint8Array
  /** Upwards: the first key that is too high */
  to?: Uint8Array
  reverse?: boolean
  /** Keys at most */
  limit: number
}

/**
 * A sorted set of keys as a log-structured merge tree (O'Neil 1996): new rows in a memtable, older ones in runs that
 * never change. A key that was added and removed is in no piece, or once in each of two. The newest run is the last.
 *
 * Every question is synchronous, and throws PAGES_MISSING when something has to be read first.
 */
export class Table {
  readonly spec: TableSpec
  readonly #source: PageSource
  #runs: Run[] = []
  #readers: RunReader[] = []
  #active: MemTable
  /** What a checkpoint is being made of */
  #frozen?: MemTable
  /** All of them, from the oldest to the newest */
  #sources: Array<MemTable | RunReader>

  constructor (spec: TableSpec, source: PageSource) {
    this.spec = spec
    this.#source = source
    this.#active = new MemTable(spec)
    this.#sources = [this.#active]
  }

  get runs (): Run[] {
    return this.#runs
  }

  set runs (runs: Run[]) {
    this.#runs = runs
    this.#readers = runs.map(run => new RunReader(this.spec, run, this.#source))
    this.#arrange()
  }

  /** Keys that are there */
  get count (): number {
    let count = 0
    this.#mems.forEach(mem => { count += mem.count })
    this.#runs.forEach(({ parts }) => { parts.forEach(part => { count += part.count }) })
    return count
  }

  get isEmpty (): boolean {
    return this.#runs.length === 0 && this.#active.rows === 0 && this.#frozen == null
  }

  /** Rows, also of keys that are not there any more */
  get rows (): number {
    return this.#mems.reduce((sum, { rows }) => sum + rows, 0) + this.#runs.reduce((sum, run) => sum + rowsOf(run), 0)
  }

  /** The key must not be there */
  add (key: Uint8Array): void {
    this.#active.add(key)
  }

  /** The key must be there */
  remove (key: Uint8Array): void {
    this.#active.remove(key)
  }

  /** The key that is there and begins with `prefix`, where at most one does */
  find (prefix: Uint8Array): Uint8Array | undefined {
    return this.isEmpty ? undefined : this.#live(prefix, true)[0]
  }

  findAll (prefix: Uint8Array): Uint8Array[] {
    return this.isEmpty ? [] : this.#live(prefix, false)
  }

  /** Keys in order: copies. What one row adds and another one removes is not there */
  scan ({ from, to, reverse = false, limit }: ScanOptions): Uint8Array[] {
    const cursors = all(this.#sources, pieces => new PieceCursor(pieces, from, reverse))
    const keys: Uint8Array[] = []

    while (keys.length < limit) {
      const first = nearest(cursors, reverse ? -1 : 1)

      if (first?.rows == null) {
        break
      }

      const { rows: { bytes, stride }, index } = first

      if (to != null && compareAt(bytes, index * stride, to) >= 0) {
        break
      }

      const { key, count } = takeKey(cursors, first)

      if (count > 0) {
        keys.push(key)
      }
    }

    return keys
  }

  /** Of all keys from one up to another one, which is not in it */
  summary (from?: Uint8Array, to?: Uint8Array): Summary {
    const sum = new Uint32Array(LANES)
    const counts = all(this.#sources, source => source.summaryInto(sum, from, to))
    return { count: counts.reduce((sum, count) => sum + count, 0), sum }
  }

  /** Sums up the chunks of the memtables, which `summary` would have to do at once: yields after each of them */
  * sumUp (): Generator<undefined, void> {
    for (const mem of this.#mems) {
      for (const chunk of [...mem.chunks]) {
        if (mem.sumUp(chunk)) {
          yield
        }
      }
    }
  }

  /** What is said from here on goes into a new memtable. Returns the chunks of the one before */
  freeze (): Rows[] {
    this.#frozen = this.#active
    this.#active = new MemTable(this.spec)
    this.#arrange()
    return this.#frozen.chunks
  }

  /** What was frozen is in a run now; without one nothing was in it */
  thaw (run?: Run): void {
    this.#frozen = undefined
    this.runs = run == null ? this.#runs : [...this.#runs, run]
  }

  /** Some of its runs, which lie side by side, became one; without one they had nothing left */
  replace (merged: Run[], run?: Run): void {
    this.runs = this.#runs.toSpliced(this.#runs.indexOf(merged[0]), merged.length, ...run == null ? [] : [run])
  }

  #arrange (): void {
    this.#sources = [...this.#readers, ...this.#mems]
  }

  get #mems (): MemTable[] {
    return this.#frozen == null ? [this.#active] : [this.#frozen, this.#active]
  }

  /** From the newest to the oldest: what removes a key is never older than what adds it */
  #live (prefix: Uint8Array, isOne: boolean): Uint8Array[] {
    // most of what is looked up is nowhere
    let live: Live | undefined

    for (let i = this.#sources.length - 1; i >= 0; i--) {
      const source = this.#sources[i]

      if (source.mayHave(prefix)) {
        live ??= new Live(isOne)

        if (eachWith(source, prefix, live.visit)) {
          break
        }
      }
    }

    return live?.keys ?? NOTHING
  }
}

const NOTHING: Uint8Array[] = []

/** Keys of rows that are visited from the newest to the oldest, but for those that a newer row removes */
class Live {
  readonly keys: Uint8Array[] = []
  readonly #removed: Uint8Array[] = []
  readonly #isOne: boolean

  /** `isOne`: the first key that is there will do */
  constructor (isOne: boolean) {
    this.#isOne = isOne
  }

  /** True: nothing more has to be visited */
  readonly visit = (rows: Rows, index: number): boolean => {
    const key = keyAt(rows, index)

    if (signAt(rows, index) < 0) {
      this.#removed.push(key)
      return false
    }

    const at = this.#removed.findIndex(gone => compareAt(gone, 0, key) === 0)

    if (at >= 0) {
      this.#removed.splice(at, 1)
      return false
    }

    this.keys.push(key)
    return this.#isOne
  }
}
