import { addLanes, addLanesOf, LANES, subtractLanesOf } from './fingerprint.ts'
import { ADD, compareAt, countOf, eachWith, firstFrom, lowerBound, REMOVE, signAt, sumInto } from './rows.ts'
import type { Pieces, Rows, TableSpec } from './rows.ts'

/** Rows of a chunk at most: a row that is put in moves half as many. Measured: 128 and 512 are slower */
const CHUNK_ROWS = 256

const isFound = (): boolean => true

/** Sorted rows that change */
export interface Chunk extends Rows {
  /** Keys that the rows add, less those that they remove */
  count: number
  /** What the rows sum up to, once somebody asked */
  sum?: Uint32Array
}

/**
 * What a table was told since the last checkpoint, sorted: in chunks, so that a row that is put in moves few others.
 */
export class MemTable implements Pieces {
  readonly chunks: Chunk[] = []
  readonly #spec: TableSpec
  readonly #stride: number
  #rows = 0
  #count = 0

  constructor (spec: TableSpec) {
    this.#spec = spec
    this.#stride = spec.width + 1
  }

  get rows (): number {
    return this.#rows
  }

  /** Keys that were added, less those that were removed */
  get count (): number {
    return this.#count
  }

  get pieces (): number {
    return this.chunks.length
  }

  piece (number: number): Rows {
    return this.chunks[number]
  }

  pieceOf (key: Uint8Array): number {
    return this.#lastBelow(key, 0)
  }

  /** Whether a row begins with `prefix` */
  mayHave (prefix: Uint8Array): boolean {
    return eachWith(this, prefix, isFound)
  }

  add (key: Uint8Array): void {
    this.#put(key, ADD)
  }

  remove (key: Uint8Array): void {
    this.#put(key, REMOVE)
  }

  /** Sums up a chunk. True: that was not done yet */
  sumUp (chunk: Chunk): boolean {
    if (chunk.sum != null || this.#spec.sumAt == null) {
      return false
    }

    chunk.sum = new Uint32Array(LANES)
    sumInto(chunk.sum, chunk, this.#spec.sumAt, 0, chunk.size)
    return true
  }

  /** The count of the rows from one key up to another one, and their sum, which is added to `sum` */
  summaryInto (sum: Uint32Array, from?: Uint8Array, to?: Uint8Array): number {
    const first = from == null ? 0 : this.pieceOf(from)
    const last = to == null ? this.chunks.length - 1 : this.pieceOf(to)
    let count = 0

    for (let i = first; i <= last && i < this.chunks.length; i++) {
      const chunk = this.chunks[i]
      const start = i === first && from != null ? lowerBound(chunk, from) : 0
      const end = i === last && to != null ? lowerBound(chunk, to) : chunk.size
      count += end - start === chunk.size ? chunk.count : countOf(chunk, start, end)
      this.#sumInto(sum, chunk, start, end)
    }

    return count
  }

  /** Of most rows of a chunk: from its sum, less the others */
  #sumInto (sum: Uint32Array, chunk: Chunk, start: number, end: number): void {
    const { sumAt } = this.#spec

    if (sumAt == null) {
      return
    }
    if (end - start <= chunk.size / 2) {
      sumInto(sum, chunk, sumAt, start, end)
    } else {
      this.sumUp(chunk)
      addLanes(sum, 0, chunk.sum as Uint32Array)
      sumInto(sum, chunk, sumAt, 0, start, -1)
      sumInto(sum, chunk, sumAt, end, chunk.size, -1)
    }
  }

  #put (key: Uint8Array, op: typeof ADD | typeof REMOVE): void {
    const sign = op === ADD ? 1 : -1
    this.#count += sign

    if (this.chunks.length === 0) {
      this.chunks.push(this.#newChunk())
    }

    // the last chunk that does not begin above it
    const index = this.#lastBelow(key, 1)
    const chunk = this.chunks[index]
    const at = lowerBound(chunk, key)

    // a key that was added and removed since the checkpoint, or the other way round, was never there for it
    if (at < chunk.size && compareAt(chunk.bytes, at * chunk.stride, key) === 0 && signAt(chunk, at) !== sign) {
      this.#note(chunk, key, sign)
      this.#takeOut(index, at)
    } else if (chunk.size < CHUNK_ROWS) {
      this.#insert(chunk, at, key, op)
    } else {
      const right = this.#split(index, at)
      const isRight = at > chunk.size || chunk.size === CHUNK_ROWS
      this.#insert(isRight ? right : chunk, isRight ? at - chunk.size : at, key, op)
    }
  }

  /** Makes room at `at`. Rows that come in ascending order leave full chunks behind. Returns the new chunk */
  #split (index: number, at: number): Chunk {
    const chunk = this.chunks[index]
    const right = this.#newChunk()

    if (at < CHUNK_ROWS) {
      const cut = CHUNK_ROWS / 2
      right.bytes.set(chunk.bytes.subarray(cut * this.#stride))
      right.size = CHUNK_ROWS - cut
      right.count = countOf(right)
      chunk.size = cut
      chunk.count -= right.count
      chunk.sum = undefined
    }

    this.chunks.splice(index + 1, 0, right)
    return right
  }

  #insert (chunk: Chunk, at: number, key: Uint8Array, op: typeof ADD | typeof REMOVE): void {
    const { bytes, stride, size } = chunk
    bytes.copyWithin((at + 1) * stride, at * stride, size * stride)
    bytes.set(key, at * stride)
    bytes[(at + 1) * stride - 1] = op
    chunk.size++
    this.#rows++
    this.#note(chunk, key, op === ADD ? 1 : -1)
  }

  #takeOut (index: number, at: number): void {
    const chunk = this.chunks[index]
    chunk.bytes.copyWithin(at * chunk.stride, (at + 1) * chunk.stride, chunk.size * chunk.stride)
    chunk.size--
    this.#rows--

    // the last chunk stays: many a row takes the place of the only one
    if (chunk.size === 0 && this.chunks.length > 1) {
      this.chunks.splice(index, 1)
    }
  }

  #note (chunk: Chunk, key: Uint8Array, sign: 1 | -1): void {
    chunk.count += sign

    if (chunk.sum != null) {
      (sign === 1 ? addLanesOf : subtractLanesOf)(chunk.sum, key, this.#spec.sumAt as number)
    }
  }

  /** The last chunk of which the first row, compared with `key`, is below `limit` */
  #lastBelow (key: Uint8Array, limit: number): number {
    return Math.max(firstFrom(this.chunks.length, i => compareAt(this.chunks[i].bytes, 0, key) >= limit) - 1, 0)
  }

  #newChunk (): Chunk {
    return { bytes: new Uint8Array(CHUNK_ROWS * this.#stride), stride: this.#stride, size: 0, count: 0 }
  }
}
