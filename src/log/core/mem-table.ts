import { addLanes, addLanesOf, LANES, subtractLanesOf } from './fingerprint.ts'
import { compareAt, countOf, lowerBound, signAt, sumInto } from './page.ts'
import { ADD, ID_AT, REMOVE } from './rows.ts'
import type { Rows } from './page.ts'
import type { TableSpec } from './rows.ts'

/** Rows of a chunk at most: a row that is put in moves half as many. Measured: 128 and 512 are slower */
const CHUNK_ROWS = 256

/** Sorted rows that change */
export interface Chunk extends Rows {
  /** What its rows sum up to, once somebody asked */
  sum?: Uint32Array
}

/**
 * What a table was told since the last checkpoint, sorted: in chunks, so that a row that is put in moves few others.
 */
export class MemTable {
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

  add (key: Uint8Array): void {
    this.#put(key, ADD)
  }

  remove (key: Uint8Array): void {
    this.#put(key, REMOVE)
  }

  /** The last chunk that begins below `key`: where the first row that is not below it lies, or behind which */
  chunkOf (key: Uint8Array): number {
    return this.#lastBelow(key, 0)
  }

  /** What the rows of a chunk sum up to */
  sumOf (chunk: Chunk): Uint32Array {
    if (chunk.sum == null) {
      chunk.sum = new Uint32Array(LANES)
      sumInto(chunk.sum, chunk, 0, chunk.size)
    }

    return chunk.sum
  }

  /** Adds the count and, to `sum`, the sum of all rows that are below `key`; of all rows without a key */
  prefixInto (sum: Uint32Array | undefined, key?: Uint8Array): number {
    const last = key == null ? this.chunks.length : this.chunkOf(key)
    let count = 0

    for (let i = 0; i < last; i++) {
      count += countOf(this.chunks[i])

      if (sum != null) {
        addLanes(sum, 0, this.sumOf(this.chunks[i]))
      }
    }

    const chunk = this.chunks.at(last)

    if (key != null && chunk != null) {
      const end = lowerBound(chunk, key)
      count += countOf(chunk, 0, end)

      if (sum != null) {
        sumInto(sum, chunk, 0, end)
      }
    }

    return count
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

    if (chunk.sum != null) {
      (op === ADD ? addLanesOf : subtractLanesOf)(chunk.sum, key, ID_AT)
    }
    // a key that was added and removed since the checkpoint, or the other way round, was never there for it
    if (at < chunk.size && compareAt(chunk.bytes, at * chunk.stride, key) === 0 && signAt(chunk, at) !== sign) {
      this.#takeOut(index, at)
    } else {
      this.#putIn(index, at, key, op)
    }
  }

  #putIn (index: number, at: number, key: Uint8Array, op: number): void {
    const stride = this.#stride
    const chunk = this.chunks[index]

    if (chunk.size === CHUNK_ROWS) {
      // rows that come in ascending order leave full chunks behind
      const cut = at === CHUNK_ROWS ? CHUNK_ROWS : CHUNK_ROWS / 2
      const right = this.#newChunk()
      right.bytes.set(chunk.bytes.subarray(cut * stride))
      right.size = CHUNK_ROWS - cut
      chunk.size = cut
      chunk.sum = cut === CHUNK_ROWS ? chunk.sum : undefined

      if (cut === CHUNK_ROWS && chunk.sum != null) {
        // the key was counted already
        (op === ADD ? subtractLanesOf : addLanesOf)(chunk.sum, key, ID_AT)
      }

      this.chunks.splice(index + 1, 0, right)
      const isRight = at > cut || cut === CHUNK_ROWS
      this.#insert(isRight ? right : chunk, isRight ? at - cut : at, key, op)
    } else {
      this.#insert(chunk, at, key, op)
    }
  }

  #insert (chunk: Chunk, at: number, key: Uint8Array, op: number): void {
    const { bytes, stride, size } = chunk
    bytes.copyWithin((at + 1) * stride, at * stride, size * stride)
    bytes.set(key, at * stride)
    bytes[(at + 1) * stride - 1] = op
    chunk.size++
    this.#rows++
  }

  #takeOut (index: number, at: number): void {
    const chunk = this.chunks[index]
    chunk.bytes.copyWithin(at * chunk.stride, (at + 1) * chunk.stride, chunk.size * chunk.stride)
    chunk.size--
    this.#rows--

    if (chunk.size === 0) {
      this.chunks.splice(index, 1)
    }
  }

  /** The last chunk of which the first row, compared with `key`, is below `limit` */
  #lastBelow (key: Uint8Array, limit: number): number {
    let low = 0
    let high = this.chunks.length

    while (low < high) {
      const middle = (low + high) >>> 1

      if (compareAt(this.chunks[middle].bytes, 0, key) < limit) {
        low = middle + 1
      } else {
        high = middle
      }
    }

    return Math.max(low - 1, 0)
  }

  #newChunk (): Chunk {
    return { bytes: new Uint8Array(CHUNK_ROWS * this.#stride), stride: this.#stride, size: 0 }
  }
}
