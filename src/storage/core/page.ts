import { MalformedError } from '../../runtime/errors.ts'
import { begin, expectEnd, finish, Kind, open } from './checksummed.ts'
import { columnBytes, readColumns, writeColumns } from './columns.ts'
import { addLanes, LANES } from './fingerprint.ts'
import { sumInto } from './rows.ts'
import type { Rows, TableSpec } from './rows.ts'

/** A page of a run as it was stored */
export interface Page extends Rows {
  /** Of a summed table, as they are stored: the sum of all rows before every block of rows but the first */
  sums?: Uint8Array
}

/** Rows between two sums of a page. Measured: half as many cost 4 bytes a row more, twice as many 10 us a lookup */
const SUM_ROWS = 32
export const SUM_BYTES = LANES * 4

/** Stands for the table with its id, where rows are stored by columns. Before that they were stored as they are */
const BY_COLUMNS = 128

/** Adds the sum of the rows from `start` to `end`: by the sums that the page has, where that is less work */
export function sumOfPageInto (sum: Uint32Array, page: Page, sumAt: number, start: number, end: number): void {
  if (end - start <= SUM_ROWS || page.sums == null) {
    sumInto(sum, page, sumAt, start, end)
  } else {
    prefixInto(sum, page, sumAt, start, -1)
    prefixInto(sum, page, sumAt, end, 1)
  }
}

/** Adds the sum of all rows before `index`, or takes it away: from the nearest of the sums that the page has */
function prefixInto (sum: Uint32Array, page: Page, sumAt: number, index: number, sign: 1 | -1): void {
  const { sums, size } = page
  // behind the last row of a page that ends with a block there is no sum
  const blocks = Math.max(Math.ceil(size / SUM_ROWS) - 1, 0)
  const block = Math.min(Math.round(index / SUM_ROWS), blocks)
  const at = block * SUM_ROWS

  if (block > 0 && sums != null) {
    addLanes(sum, 0, readLanes(sums.subarray((block - 1) * SUM_BYTES, block * SUM_BYTES)), 0, sign)
  }
  if (at > index) {
    sumInto(sum, page, sumAt, index, at, sign === 1 ? -1 : 1)
  } else {
    sumInto(sum, page, sumAt, at, index, sign)
  }
}

/** Writes a page down, and says what its rows sum up to */
export function encodePage (seq: number, spec: TableSpec, rows: Rows): { bytes: Uint8Array, sum?: Uint32Array } {
  const { id, sumAt } = spec
  const { size } = rows
  const blocks = sumAt == null ? 0 : Math.ceil(size / SUM_ROWS) - 1
  const writer = begin(Kind.PAGE, seq, 32 + columnBytes(rows) + blocks * SUM_BYTES)
  writeColumns(writer.byte(BY_COLUMNS + id).uvarint(size), rows)

  if (sumAt == null) {
    return { bytes: finish(writer) }
  }

  const sum = new Uint32Array(LANES)

  for (let block = 0; block <= blocks; block++) {
    if (block > 0) {
      writeLanes(writer, sum)
    }
    sumInto(sum, rows, sumAt, block * SUM_ROWS, Math.min((block + 1) * SUM_ROWS, size))
  }

  return { bytes: finish(writer), sum }
}

/** Throws a MalformedError */
export function decodePage (bytes: Uint8Array, seq: number, { id, name, width, sumAt }: TableSpec): Page {
  const reader = open(bytes, Kind.PAGE, seq)
  const head = reader.byte()
  const found = head % BY_COLUMNS
  const size = reader.uvarint()
  const stride = width + 1

  if (found !== id || size === 0) {
    throw new MalformedError(`a page of ${size} rows of table ${found}, where one of the table ${name} is named`)
  }

  const rows = head < BY_COLUMNS ? reader.raw(size * stride) : readColumns(reader, size, stride)
  // a copy: a view would keep all that was read
  const sums = sumAt == null ? undefined : reader.raw((Math.ceil(size / SUM_ROWS) - 1) * SUM_BYTES).slice()
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
