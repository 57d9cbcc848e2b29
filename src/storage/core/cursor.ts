import { compareAt, compareRows, keyAt, lowerBound, signAt } from './rows.ts'
import type { Pieces, Rows } from './rows.ts'

/** Goes from row to row */
export interface Cursor {
  /** The rows in which the cursor is; undefined: there are none, or none yet */
  rows?: Rows
  index: number
  next (): void
}

/** Goes through a memtable or a run: upwards from a key, or downwards from below it */
export class PieceCursor implements Cursor {
  rows?: Rows
  index: number
  readonly #pieces: Pieces
  readonly #step: 1 | -1
  #piece: number

  constructor (pieces: Pieces, from: Uint8Array | undefined, isReverse: boolean) {
    this.#pieces = pieces
    this.#step = isReverse ? -1 : 1

    if (from == null) {
      this.#piece = isReverse ? pieces.pieces - 1 : 0
      this.rows = this.#take()
      this.index = isReverse ? (this.rows?.size ?? 0) - 1 : 0
    } else {
      this.#piece = pieces.pieceOf(from)
      this.rows = this.#take()
      const at = this.rows == null ? 0 : lowerBound(this.rows, from)
      this.index = isReverse ? at - 1 : at
    }

    this.#settle()
  }

  next (): void {
    this.index += this.#step
    this.#settle()
  }

  #settle (): void {
    while (this.rows != null && (this.index < 0 || this.index >= this.rows.size)) {
      this.#piece += this.#step
      this.rows = this.#take()
      this.index = this.#step > 0 ? 0 : (this.rows?.size ?? 0) - 1
    }
  }

  #take (): Rows | undefined {
    return this.#piece >= 0 && this.#piece < this.#pieces.pieces ? this.#pieces.piece(this.#piece) : undefined
  }
}

/** The cursor that is at the lowest key, or at the highest one */
export function nearest<T extends Cursor> (cursors: T[], sign: 1 | -1 = 1): T | undefined {
  let best: T | undefined

  for (const cursor of cursors) {
    const { rows, index } = cursor

    if (rows != null && (best?.rows == null || compareRows(rows, index, best.rows, best.index) * sign < 0)) {
      best = cursor
    }
  }

  return best
}

/** Takes the key at a cursor, and moves all cursors past it. `count`: 1 if rows add the key, -1 if they remove it */
export function takeKey (cursors: Cursor[], at: Cursor): { key: Uint8Array, count: number } {
  const key = keyAt(at.rows as Rows, at.index)
  let count = 0

  for (const cursor of cursors) {
    const { rows, index } = cursor

    if (rows != null && compareAt(rows.bytes, index * rows.stride, key) === 0) {
      count += signAt(rows, index)
      cursor.next()
    }
  }

  return { key, count }
}
