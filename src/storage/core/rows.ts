import { addLanesOf, subtractLanesOf } from './fingerprint.ts'

/** What does not differ between the rows of a table */
export interface TableSpec {
  /** Stands for the table where pages are stored */
  id: number
  name: string
  /** Bytes of a key. A key has a fixed width, and the order of keys is the order of their bytes */
  width: number
  /** Where in a key the 32 bytes lie of which the table keeps fingerprint sums; absent: the table keeps none */
  sumAt?: number
  /** Where in a key the eight bytes lie that a Bloom filter is asked with; absent: the table has no filters */
  bloomAt?: number
}

/** What a row does to its key */
export const ADD = 0
export const REMOVE = 1

/**
 * Sorted rows in one piece of memory: a page of a run, which is immutable, or a chunk of a memtable.
 */
export interface Rows {
  /** Rows one behind the other. A row is a key and a byte that says whether the row adds the key or removes it */
  bytes: Uint8Array
  /** Bytes of a row */
  stride: number
  /** How many rows there are */
  size: number
}

/** How many of the rows are below `key`, which may be the beginning of a key */
export function lowerBound ({ bytes, stride, size }: Rows, key: Uint8Array): number {
  // many a row is newer than all others
  if (size === 0 || compareAt(bytes, (size - 1) * stride, key) < 0) {
    return size
  }

  return firstFrom(size - 1, index => compareAt(bytes, index * stride, key) >= 0)
}

/** The first index below `size` at which `isAbove`, which never turns back to false; `size` where there is none */
export function firstFrom (size: number, isAbove: (index: number) => boolean): number {
  let low = 0
  let high = size

  while (low < high) {
    const middle = (low + high) >>> 1

    if (isAbove(middle)) {
      high = middle
    } else {
      low = middle + 1
    }
  }

  return low
}

/** Compares the bytes at `at` with as many of `key` as it has */
export function compareAt (bytes: Uint8Array, at: number, key: Uint8Array): number {
  for (let i = 0; i < key.byteLength; i++) {
    const difference = bytes[at + i] - key[i]

    if (difference !== 0) {
      return difference
    }
  }

  return 0
}

/** Compares the keys of two rows of one table */
export function compareRows (a: Rows, i: number, b: Rows, j: number): number {
  const width = a.stride - 1
  const [from, other] = [i * a.stride, j * b.stride]

  for (let k = 0; k < width; k++) {
    const difference = a.bytes[from + k] - b.bytes[other + k]

    if (difference !== 0) {
      return difference
    }
  }

  return 0
}

export function startsWith ({ bytes, stride }: Rows, row: number, prefix: Uint8Array): boolean {
  return compareAt(bytes, row * stride, prefix) === 0
}

/** A copy of the key of this row */
export function keyAt ({ bytes, stride }: Rows, index: number): Uint8Array {
  return bytes.slice(index * stride, (index + 1) * stride - 1)
}

/** 1: the row adds its key. -1: the row removes its key */
export function signAt ({ bytes, stride }: Rows, index: number): 1 | -1 {
  return bytes[(index + 1) * stride - 1] === ADD ? 1 : -1
}

/** How many keys the rows from `start` to `end` add, less those that they remove */
export function countOf (rows: Rows, start = 0, end = rows.size): number {
  let count = 0

  for (let at = (start + 1) * rows.stride - 1; at < end * rows.stride; at += rows.stride) {
    count += rows.bytes[at] === ADD ? 1 : -1
  }

  return count
}

/** Adds what the rows from `start` to `end` are worth to a sum, or takes it away */
export function sumInto (
  sum: Uint32Array, { bytes, stride }: Rows, sumAt: number, start: number, end: number, sign: 1 | -1 = 1
): void {
  for (let i = start; i < end; i++) {
    const isAdded = bytes[(i + 1) * stride - 1] === ADD

    if (isAdded === (sign === 1)) {
      addLanesOf(sum, bytes, i * stride + sumAt)
    } else {
      subtractLanesOf(sum, bytes, i * stride + sumAt)
    }
  }
}

/** The least key above this one of the same length; undefined: there is none */
export function successor (key: Uint8Array): Uint8Array | undefined {
  const next = Uint8Array.from(key)

  for (let i = next.byteLength - 1; i >= 0; i--) {
    next[i] = (next[i] + 1) & 0xff

    if (next[i] !== 0) {
      return next
    }
  }
}

/** Sorted rows in numbered pieces, each piece behind the one before: the chunks of a memtable, or the pages of a run */
export interface Pieces {
  readonly pieces: number
  piece (number: number): Rows
  /** The piece in which the first row lies that is not below `key`, or behind which it lies */
  pieceOf (key: Uint8Array): number
}

/** Calls `visit` with every row that begins with `prefix`, until it returns true */
export function eachWith (pieces: Pieces, prefix: Uint8Array, visit: (rows: Rows, index: number) => boolean): boolean {
  for (let number = pieces.pieceOf(prefix); number < pieces.pieces; number++) {
    const rows = pieces.piece(number)
    let row = lowerBound(rows, prefix)

    for (; row < rows.size && startsWith(rows, row, prefix); row++) {
      if (visit(rows, row)) {
        return true
      }
    }
    if (row < rows.size) {
      return false
    }
  }

  return false
}
