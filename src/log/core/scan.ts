import { compareAt, keyAt, lowerBound, signAt } from './page.ts'
import { all, spanOf } from './run.ts'
import type { MemTable } from './mem-table.ts'
import type { Rows } from './page.ts'
import type { TableName } from './rows.ts'
import type { PageSource, Run, Span } from './run.ts'

/** Goes from row to row through one memtable or one run, upwards from a key or downwards from below it */
export interface Cursor {
  /** Where it is; undefined: it is at its end */
  rows?: Rows
  index: number
  next (): void
}

/** Compares the rows that two cursors are at, by their keys */
export function compareCursors (a: Cursor, b: Cursor): number {
  const [left, right] = [a.rows as Rows, b.rows as Rows]
  const width = left.stride - 1
  const [from, other] = [a.index * left.stride, b.index * right.stride]

  for (let i = 0; i < width; i++) {
    const difference = left.bytes[from + i] - right.bytes[other + i]

    if (difference !== 0) {
      return difference
    }
  }

  return 0
}

/** A row that says where a cursor begins, and the direction in which it goes */
export interface Start {
  from?: Uint8Array
  reverse?: boolean
}

/** A walk through numbered pieces that are sorted, each of them rows that are sorted */
abstract class PieceCursor implements Cursor {
  rows?: Rows
  index = 0
  #step: 1 | -1 = 1
  #piece = 0

  abstract piece (number: number): Rows | undefined

  /** `number`: of the piece that `from` belongs into */
  begin (number: number, { from, reverse = false }: Start): void {
    this.#step = reverse ? -1 : 1
    this.#piece = number
    this.rows = this.piece(number)

    if (this.rows == null) {
      return
    }

    const { size } = this.rows
    const end = reverse ? size : 0
    const at = from == null ? end : lowerBound(this.rows, from)
    this.index = reverse ? at - 1 : at
    this.#settle()
  }

  next (): void {
    this.index += this.#step
    this.#settle()
  }

  #settle (): void {
    while (this.rows != null && (this.index < 0 || this.index >= this.rows.size)) {
      this.#piece += this.#step
      this.rows = this.piece(this.#piece)
      this.index = this.#step > 0 ? 0 : (this.rows?.size ?? 0) - 1
    }
  }
}

class MemCursor extends PieceCursor {
  readonly #mem: MemTable

  constructor (mem: MemTable, start: Start) {
    super()
    this.#mem = mem
    const end = start.reverse === true ? mem.chunks.length - 1 : 0
    this.begin(start.from == null ? end : mem.chunkOf(start.from), start)
  }

  piece (number: number): Rows | undefined {
    return number < 0 ? undefined : this.#mem.chunks[number]
  }
}

class RunCursor extends PieceCursor {
  readonly #table: TableName
  readonly #run: Run
  readonly #source: PageSource
  #part: number
  /** The number of the first page of the part */
  #first = 0

  constructor (table: TableName, run: Run, source: PageSource, start: Start) {
    super()
    this.#table = table
    this.#run = run
    this.#source = source
    const { from, reverse = false } = start
    const { parts } = run
    const end = (spans: Span[]): number => reverse ? spans.length - 1 : 0
    this.#part = from == null ? end(parts) : spanOf(parts, from)
    const { pages } = source.part(table, parts[this.#part])
    this.begin(from == null ? end(pages) : spanOf(pages, from), start)
  }

  /** Pages are numbered from the part where it began: those of parts before it have numbers below zero */
  piece (number: number): Rows | undefined {
    for (;;) {
      const part = this.#run.parts[this.#part]

      if (part == null) {
        return
      }

      const { pages } = this.#source.part(this.#table, part)

      if (number < this.#first) {
        const before = this.#run.parts[--this.#part]

        if (before == null) {
          return
        }

        this.#first -= this.#source.part(this.#table, before).pages.length
      } else if (number >= this.#first + pages.length) {
        this.#first += pages.length
        this.#part++
      } else {
        return this.#source.page(this.#table, pages[number - this.#first])
      }
    }
  }
}

export interface ScanOptions extends Start {
  /** Keys at most */
  limit: number
  /** Upwards: the first key that is too high */
  to?: Uint8Array
}

/** The keys that are there, of all that memtables and runs say together: what one adds and another one removes is not there */
export function scan (table: TableName, mems: MemTable[], runs: Run[], source: PageSource, { limit, to, ...start }: ScanOptions): Uint8Array[] {
  const sign = start.reverse === true ? -1 : 1
  const cursors: Cursor[] = [
    ...mems.map(mem => new MemCursor(mem, start)),
    ...all(runs, run => new RunCursor(table, run, source, start))
  ]
  const keys: Uint8Array[] = []

  while (keys.length < limit) {
    let best: Cursor | undefined

    for (const cursor of cursors) {
      if (cursor.rows != null && (best == null || compareCursors(cursor, best) * sign < 0)) {
        best = cursor
      }
    }

    if (best?.rows == null || (to != null && compareAt(best.rows.bytes, best.index * best.rows.stride, to) >= 0)) {
      break
    }

    const key = keyAt(best.rows, best.index)
    let count = 0

    for (const cursor of cursors) {
      if (cursor.rows != null && compareAt(cursor.rows.bytes, cursor.index * cursor.rows.stride, key) === 0) {
        count += signAt(cursor.rows, cursor.index)
        cursor.next()
      }
    }

    if (count > 0) {
      keys.push(key)
    }
  }

  return keys
}
