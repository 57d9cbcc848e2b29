import { MalformedError } from '../../runtime/errors.ts'
import { addToBloom, newBloom } from './bloom.ts'
import { begin, expectEnd, finish, Kind, open } from './checksummed.ts'
import { addLanes, LANES } from './fingerprint.ts'
import { compareAt, countOf, keyAt, lowerBound, prefixInto, readLanes, writeLanes } from './page.ts'
import { SPECS, TABLES } from './rows.ts'
import type { Page, Rows } from './page.ts'
import type { TableName } from './rows.ts'
import type { Reader, Writer } from '../../runtime/codec.ts'

/**
 * A run is a table as it was at some time, or what changed in it between two times: sorted rows that never change, in pages.
 * Some pages make a part, which has a Bloom filter and says where its pages begin; the manifest names the parts.
 */
export interface Run {
  /** How often its rows were merged */
  tier: number
  parts: Part[]
}

/** What is known of a page, or of a part, without reading it */
export interface Span {
  /** The number under which it is stored */
  seq: number
  rows: number
  /** Keys that its rows add, less those that they remove */
  count: number
  /** What its rows sum up to, in a summed table */
  sum?: Uint32Array
  /** Its first key */
  first: Uint8Array
}

export interface Part extends Span {
  /** Its last key */
  last: Uint8Array
}

/** A part as it was stored */
export interface PartIndex {
  pages: Span[]
  bloom?: Uint8Array
  /** Of each page: how much all pages before it count */
  countsBefore: number[]
  /** Of each page: what all pages before it sum up to */
  sumsBefore?: Uint32Array
}

/** Hands out what was read of runs. Throws a PagesMissing for what was not */
export interface PageSource {
  part (table: TableName, part: Part): PartIndex
  page (table: TableName, span: Span): Page
}

/** Something that has to be read before a question can be answered */
export interface Missing {
  table: TableName
  kind: 'part' | 'page'
  seq: number
}

/** An operation needs pages that are not in memory, and has changed nothing: read them, and do it again */
export class PagesMissing extends Error {
  static name = 'PagesMissing'
  name = 'PagesMissing'
  readonly missing: Missing[]

  constructor (missing: Missing[]) {
    super(`${missing.length} pages have to be read first`)
    this.missing = missing
  }
}

/** Asks all of them, so that what is missing for their answers is read together */
export function all<T, R> (items: T[], ask: (item: T) => R): R[] {
  const answers: R[] = []
  const missing: Missing[] = []

  for (const item of items) {
    try {
      answers.push(ask(item))
    } catch (err) {
      if (!(err instanceof PagesMissing)) {
        throw err
      }
      missing.push(...err.missing)
    }
  }

  if (missing.length > 0) {
    throw new PagesMissing(missing)
  }

  return answers
}

export function rowsOf ({ parts }: Run): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0)
}

/** Calls `visit` with every row that begins with `prefix`, until it returns true */
export function eachWith (table: TableName, { parts }: Run, prefix: Uint8Array, source: PageSource, visit: (page: Page, index: number) => boolean): boolean {
  for (let at = spanOf(parts, prefix); at < parts.length && compareAt(parts[at].first, 0, prefix) <= 0; at++) {
    if (compareAt(parts[at].last, 0, prefix) < 0) {
      continue
    }

    const { pages } = source.part(table, parts[at])

    for (let i = spanOf(pages, prefix); i < pages.length && compareAt(pages[i].first, 0, prefix) <= 0; i++) {
      const page = source.page(table, pages[i])

      for (let row = lowerBound(page, prefix); row < page.size && startsWith(page, row, prefix); row++) {
        if (visit(page, row)) {
          return true
        }
      }
    }
  }

  return false
}

export function startsWith ({ bytes, stride }: Rows, row: number, prefix: Uint8Array): boolean {
  return compareAt(bytes, row * stride, prefix) === 0
}

/** Adds the count, and to `sum` the sum, of all rows of a run that are below `key`; of all of them without a key */
export function runPrefixInto (table: TableName, { parts }: Run, sum: Uint32Array | undefined, source: PageSource, key?: Uint8Array): number {
  const last = key == null ? parts.length : spanOf(parts, key)
  let count = 0

  for (let i = 0; i < last; i++) {
    count += addSpan(parts[i], sum)
  }

  if (key == null || last === parts.length || compareAt(parts[last].first, 0, key) >= 0) {
    return count
  }
  if (compareAt(parts[last].last, 0, key) < 0) {
    return count + addSpan(parts[last], sum)
  }

  const { pages, countsBefore, sumsBefore } = source.part(table, parts[last])
  const at = spanOf(pages, key)
  const page = source.page(table, pages[at])
  const end = lowerBound(page, key)
  count += countsBefore[at] + countOf(page, 0, end)

  if (sum != null && sumsBefore != null) {
    addLanes(sum, 0, sumsBefore, at * LANES)
    prefixInto(sum, page, end)
  }

  return count
}

/** The last part or page that does not begin behind `key`: where the first row that is not below it lies, or behind which */
export function spanOf (spans: readonly Span[], key: Uint8Array): number {
  let low = 0
  let high = spans.length

  while (low < high) {
    const middle = (low + high) >>> 1

    if (compareAt(spans[middle].first, 0, key) < 0) {
      low = middle + 1
    } else {
      high = middle
    }
  }

  return Math.max(low - 1, 0)
}

function addSpan ({ count, sum: ofSpan }: Span, sum: Uint32Array | undefined): number {
  if (sum != null && ofSpan != null) {
    addLanes(sum, 0, ofSpan)
  }
  return count
}

/** Gathers the pages of a part while they are written */
export class PartWriter {
  readonly pages: Span[] = []
  readonly #table: TableName
  readonly #rows: Rows[] = []
  #size = 0
  #last: Uint8Array = new Uint8Array(0)

  constructor (table: TableName) {
    this.#table = table
  }

  add (span: Span, rows: Rows): void {
    this.pages.push(span)
    this.#size += rows.size
    this.#last = keyAt(rows, rows.size - 1)

    if (SPECS[this.#table].bloomAt != null) {
      this.#rows.push(rows)
    }
  }

  /** The part and how it is stored: adding its rows to the filter takes some ms, so it is done in slices */
  * finish (seq: number): Generator<undefined, { part: Part, bytes: Uint8Array }> {
    const { bloomAt } = SPECS[this.#table]
    const bloom = bloomAt == null ? undefined : newBloom(this.#size)

    for (const { bytes, stride, size } of this.#rows) {
      for (let i = 0; i < size; i++) {
        addToBloom(bloom as Uint8Array, bytes, i * stride + (bloomAt as number))
      }
      yield
    }

    const sum = SPECS[this.#table].isSummed ? new Uint32Array(LANES) : undefined
    const count = this.pages.reduce((count, span) => count + addSpan(span, sum), 0)
    const part = { seq, rows: this.#size, count, sum, first: this.pages[0].first, last: this.#last }
    return { part, bytes: encodePart(seq, this.#table, this.pages, bloom) }
  }
}

function encodePart (seq: number, table: TableName, pages: Span[], bloom: Uint8Array = new Uint8Array(0)): Uint8Array {
  const { width, isSummed } = SPECS[table]
  const writer = begin(Kind.PART, seq, 64 + pages.length * (width + 24 + (isSummed ? LANES * 4 : 0)) + bloom.byteLength)
  writer.byte(TABLES.indexOf(table)).list(pages, page => { writeSpan(writer, page) })
  return finish(writer.bytes(bloom))
}

/** Throws a MalformedError */
export function decodePart (bytes: Uint8Array, seq: number, table: TableName): PartIndex {
  const reader = open(bytes, Kind.PART, seq)

  if (TABLES[reader.byte()] !== table) {
    throw new MalformedError('a part of another table')
  }

  const pages = reader.list(Infinity, () => readSpan(reader, table))
  const bloom = reader.bytes()
  expectEnd(reader)
  const sumsBefore = SPECS[table].isSummed ? new Uint32Array(pages.length * LANES) : undefined
  const countsBefore = [0]

  for (let i = 1; i < pages.length; i++) {
    countsBefore.push(countsBefore[i - 1] + pages[i - 1].count)

    if (sumsBefore != null) {
      addLanes(sumsBefore, i * LANES, sumsBefore, (i - 1) * LANES)
      addLanes(sumsBefore, i * LANES, pages[i - 1].sum as Uint32Array)
    }
  }

  return { pages, bloom: bloom.byteLength === 0 ? undefined : bloom, countsBefore, sumsBefore }
}

/** Counts may be below zero, and are written with the sign in the lowest bit */
export function writeSpan (writer: Writer, { seq, rows, count, first, sum }: Span): void {
  writer.uvarint(seq).uvarint(rows).uvarint(count < 0 ? -count * 2 - 1 : count * 2).raw(first)

  if (sum != null) {
    writeLanes(writer, sum)
  }
}

export function readSpan (reader: Reader, table: TableName): Span {
  const { width, isSummed } = SPECS[table]
  const [seq, rows, zigzag] = [reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const count = zigzag % 2 === 1 ? -(zigzag + 1) / 2 : zigzag / 2
  return { seq, rows, count, first: reader.raw(width), sum: isSummed ? readLanes(reader.raw(LANES * 4)) : undefined }
}
