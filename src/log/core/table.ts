import { mayHave } from './bloom.ts'
import { LANES } from './fingerprint.ts'
import { MemTable } from './mem-table.ts'
import { keyAt, lowerBound, signAt } from './page.ts'
import { SPECS } from './rows.ts'
import { all, eachWith, rowsOf, runPrefixInto, startsWith } from './run.ts'
import { scan } from './scan.ts'
import type { Rows } from './page.ts'
import type { TableName } from './rows.ts'
import type { PageSource, Run } from './run.ts'
import type { ScanOptions } from './scan.ts'

export interface Summary {
  count: number
  sum: Uint32Array
}

/**
 * A sorted set of keys as a log-structured merge tree (O'Neil 1996): what is new in a memtable, what is older in runs that
 * never change. A key that is added and removed again is in neither of them, or once in each. The newest run is the last.
 *
 * Every question is synchronous, and throws a PagesMissing when something has to be read first.
 */
export class Table {
  readonly name: TableName
  runs: Run[] = []
  readonly #source: PageSource
  #active: MemTable
  /** What a checkpoint is being made of */
  #frozen?: MemTable

  constructor (name: TableName, source: PageSource) {
    this.name = name
    this.#source = source
    this.#active = new MemTable(SPECS[name])
  }

  /** Keys that are there */
  get count (): number {
    let count = this.#active.count + (this.#frozen?.count ?? 0)

    for (const { parts } of this.runs) {
      for (const part of parts) {
        count += part.count
      }
    }

    return count
  }

  get isEmpty (): boolean {
    return this.runs.length === 0 && this.#active.rows === 0 && this.#frozen == null
  }

  /** Rows, also of keys that are not there any more */
  get rows (): number {
    return this.#active.rows + (this.#frozen?.rows ?? 0) + this.runs.reduce((sum, run) => sum + rowsOf(run), 0)
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
    return this.#live(prefix, true)[0]
  }

  findAll (prefix: Uint8Array): Uint8Array[] {
    return this.#live(prefix, false)
  }

  /** Keys in order: copies */
  scan (options: ScanOptions): Uint8Array[] {
    return scan(this.name, this.#mems, this.runs, this.#source, options)
  }

  /** Of all keys from one up to another one, which is not in it */
  summary (from?: Uint8Array, to?: Uint8Array): Summary {
    const upper = this.#prefix(to)
    const lower = from == null ? { count: 0, sum: new Uint32Array(LANES) } : this.#prefix(from)

    for (let i = 0; i < LANES; i++) {
      upper.sum[i] -= lower.sum[i]
    }

    return { count: upper.count - lower.count, sum: upper.sum }
  }

  /** Chunks of the memtables whose sums `summary` would have to compute: to be done in slices before it is asked */
  * unsummed (): Generator<() => void> {
    for (const mem of this.#mems) {
      for (const chunk of [...mem.chunks]) {
        if (chunk.sum == null) {
          yield () => { mem.sumOf(chunk) }
        }
      }
    }
  }

  /** What is said from here on goes into a new memtable. Returns the chunks of the one before */
  freeze (): Rows[] {
    this.#frozen = this.#active
    this.#active = new MemTable(SPECS[this.name])
    return this.#frozen.chunks
  }

  /** What was frozen is in a run now; without one nothing was in it */
  thaw (run?: Run): void {
    this.#frozen = undefined

    if (run != null) {
      this.runs = [...this.runs, run]
    }
  }

  /** Some of its runs, which lie side by side, became one; without one they had nothing left */
  replace (merged: Run[], run?: Run): void {
    const at = this.runs.indexOf(merged[0])
    this.runs = [...this.runs.slice(0, at), ...run == null ? [] : [run], ...this.runs.slice(at + merged.length)]
  }

  get #mems (): MemTable[] {
    return this.#frozen == null ? [this.#active] : [this.#frozen, this.#active]
  }

  #prefix (key?: Uint8Array): Summary {
    const sum = new Uint32Array(LANES)
    let count = 0

    for (const mem of this.#mems) {
      count += mem.prefixInto(sum, key)
    }
    all(this.runs, run => { count += runPrefixInto(this.name, run, sum, this.#source, key) })

    return { count, sum }
  }

  /** From the newest to the oldest: what removes a key is never older than what adds it */
  #live (prefix: Uint8Array, isOne: boolean): Uint8Array[] {
    const removed: Uint8Array[] = []
    const live: Uint8Array[] = []
    const visit = (rows: Rows, index: number): boolean => {
      const key = keyAt(rows, index)

      if (signAt(rows, index) < 0) {
        removed.push(key)
        return false
      }

      const at = removed.findIndex(gone => isSame(gone, key))

      if (at < 0) {
        live.push(key)
        return isOne
      }

      removed.splice(at, 1)
      return false
    }

    for (const mem of this.#mems.reverse()) {
      if (eachIn(mem, prefix, visit)) {
        return live
      }
    }

    for (let i = this.runs.length - 1; i >= 0; i--) {
      if (this.#mayHave(this.runs[i], prefix) && eachWith(this.name, this.runs[i], prefix, this.#source, visit)) {
        return live
      }
    }

    return live
  }

  /** Whether the Bloom filter of the part where the prefix belongs lets it through */
  #mayHave ({ parts }: Run, prefix: Uint8Array): boolean {
    const { bloomAt } = SPECS[this.name]

    if (bloomAt == null || prefix.byteLength < bloomAt + 8) {
      return true
    }

    let low = 0
    let high = parts.length

    while (low < high) {
      const middle = (low + high) >>> 1

      if (compare(parts[middle].last, prefix) < 0) {
        low = middle + 1
      } else {
        high = middle
      }
    }

    for (let at = low; at < parts.length && compare(parts[at].first, prefix) <= 0; at++) {
      const { bloom } = this.#source.part(this.name, parts[at])

      if (bloom == null || mayHave(bloom, prefix, bloomAt)) {
        return true
      }
    }

    return false
  }
}

function eachIn (mem: MemTable, prefix: Uint8Array, visit: (rows: Rows, index: number) => boolean): boolean {
  for (let at = mem.chunkOf(prefix); at < mem.chunks.length; at++) {
    const chunk = mem.chunks[at]
    let row = lowerBound(chunk, prefix)

    for (; row < chunk.size && startsWith(chunk, row, prefix); row++) {
      if (visit(chunk, row)) {
        return true
      }
    }
    if (row < chunk.size) {
      break
    }
  }

  return false
}

/** Compares the beginning of a key with a prefix */
function compare (key: Uint8Array, prefix: Uint8Array): number {
  for (let i = 0; i < prefix.byteLength; i++) {
    if (key[i] !== prefix[i]) {
      return key[i] - prefix[i]
    }
  }

  return 0
}

function isSame (a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && compare(a, b) === 0
}
