import { MalformedError } from '../../runtime/errors.ts'
import { begin, expectEnd, finish, Kind, open } from './checksummed.ts'
import { addLanes, addLanesOf, LANES, subtractLanesOf } from './fingerprint.ts'
import { ADD, ID_AT, SPECS, TABLES } from './rows.ts'
import type { TableName } from './rows.ts'

/**
 * Sorted rows in one piece of memory: a page of a run, which is immutable, or a chunk of a memtable.
 */
export interface Rows {
  /** Rows one behind the other, each a key and the byte that says whether it adds or removes the key */
  bytes: Uint8Array
  /** Bytes of a row */
  stride: number
  /** How many there are */
  size: number
}

/** A page of a run as it was stored */
export interface Page extends Rows {
  /** Of a summed table: the sum of all rows before every block of rows but the first */
  sums?: Uint32Array
}

/** Rows between two sums of a page. Measured: half as many cost 4 bytes a row more, twice as many 10 us a lookup */
const SUM_ROWS = 32

/** How many of the rows are below `key`, which may be the beginning of one */
export function lowerBound ({ bytes, stride, size }: Rows, key: Uint8Array): number {
  // many a row is newer than all others
  if (size === 0 || compareAt(bytes, (size - 1) * stride, key) < 0) {
    return size
  }

  let low = 0
  let high = size - 1

  while (low < high) {
    const middle = (low + high) >>> 1

    if (compareAt(bytes, middle * stride, key) < 0) {
      low = middle + 1
    } else {
      high = middle
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

/** A copy of the key of this row */
export function keyAt ({ bytes, stride }: Rows, index: number): Uint8Array {
  return bytes.slice(index * stride, (index + 1) * stride - 1)
}

/** 1: the row adds its key. -1: it removes it */
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
export function sumInto (sum: Uint32Array, { bytes, stride }: Rows, start: number, end: number, sign: 1 | -1 = 1): void {
  for (let i = start; i < end; i++) {
    const isAdded = bytes[(i + 1) * stride - 1] === ADD

    if (isAdded === (sign === 1)) {
      addLanesOf(sum, bytes, i * stride + ID_AT)
    } else {
      subtractLanesOf(sum, bytes, i * stride + ID_AT)
    }
  }
}

/** Adds the sum of all rows before `index` to `sum`: from the nearest of the sums that the page has */
export function prefixInto (sum: Uint32Array, page: Page, index: number): void {
  const { sums, size } = page
  // behind the last row of a page that ends with a block there is no sum
  const below = Math.min(Math.floor(index / SUM_ROWS), Math.max(Math.ceil(size / SUM_ROWS) - 1, 0))
  const isNearerAbove = index - below * SUM_ROWS > SUM_ROWS / 2 && (below + 1) * SUM_ROWS < size
  const block = isNearerAbove ? below + 1 : below

  if (block > 0 && sums != null) {
    addLanes(sum, 0, sums, (block - 1) * LANES)
  }
  if (isNearerAbove) {
    sumInto(sum, page, index, block * SUM_ROWS, -1)
  } else {
    sumInto(sum, page, block * SUM_ROWS, index)
  }
}

/** Writes a page down, and says what it sums up to */
export function encodePage (seq: number, table: TableName, rows: Rows): { bytes: Uint8Array, sum?: Uint32Array } {
  const { isSummed } = SPECS[table]
  const { bytes, size, stride } = rows
  const blocks = isSummed ? Math.ceil(size / SUM_ROWS) - 1 : 0
  const writer = begin(Kind.PAGE, seq, 16 + size * stride + blocks * LANES * 4)
  writer.byte(TABLES.indexOf(table)).uvarint(size).raw(bytes.subarray(0, size * stride))

  if (!isSummed) {
    return { bytes: finish(writer) }
  }

  const sum = new Uint32Array(LANES)

  for (let block = 0; block <= blocks; block++) {
    if (block > 0) {
      writeLanes(writer, sum)
    }
    sumInto(sum, rows, block * SUM_ROWS, Math.min((block + 1) * SUM_ROWS, size))
  }

  return { bytes: finish(writer), sum }
}

/** Rows are views of what is handed in. Throws a MalformedError */
export function decodePage (bytes: Uint8Array, seq: number, table: TableName): Page {
  const { width, isSummed } = SPECS[table]
  const reader = open(bytes, Kind.PAGE, seq)
  const name = TABLES[reader.byte()]
  const size = reader.uvarint()
  const stride = width + 1

  if (name !== table || size === 0) {
    throw new MalformedError(`a page of ${size} rows of the table ${name}, where one of ${table} is named`)
  }

  const rows = reader.raw(size * stride)
  const sums = isSummed ? readLanes(reader.raw((Math.ceil(size / SUM_ROWS) - 1) * LANES * 4)) : undefined
  expectEnd(reader)
  return { bytes: rows, stride, size, sums }
}

export function writeLanes (writer: { raw (bytes: Uint8Array): unknown }, lanes: Uint32Array): void {
  const bytes = new Uint8Array(lanes.length * 4)
  const view = new DataView(bytes.buffer)

  for (let i = 0; i < lanes.length; i++) {
    view.setUint32(i * 4, lanes[i], true)
  }

  writer.raw(bytes)
}

export function readLanes (bytes: Uint8Array): Uint32Array {
  const lanes = new Uint32Array(bytes.byteLength / 4)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

  // not by Uint32Array.from: that takes ten times as long
  for (let i = 0; i < lanes.length; i++) {
    lanes[i] = view.getUint32(i * 4, true)
  }

  return lanes
}
