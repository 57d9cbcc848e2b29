import { MalformedError } from '../../runtime/errors.ts'
import { addToBloom, mayHave, newBloom } from './bloom.ts'
import { begin, expectEnd, finish, Kind, open } from './checksummed.ts'
import { addLanes, LANES } from './fingerprint.ts'
import { readLanes, SUM_BYTES, sumOfPageInto, writeLanes } from './page.ts'
import { compareAt, countOf, firstFrom, keyAt, lowerBound } from './rows.ts'
import type { Page } from './page.ts'
import type { Pieces, Rows, TableSpec } from './rows.ts'
import type { Reader, Writer } from '../../runtime/codec.ts'

/**
 * A run is a table at some time, or its changes between two times: sorted rows that never change, in pages.
 * Some pages make a part, which has a Bloom filter and says where its pages begin; a manifest names the parts.
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
  pages: number
  /** Its last key */
  last: Uint8Array
}

/** What a part says of its pages. In a few large arrays: one for each page costs three times the memory */
export interface PartIndex {
  /** Of each page: the number under which it is stored */
  seqs: number[]
  /** Of each page: its first key */
  firsts: Rows
  bloom?: Uint8Array
  /** Of each page: how much all pages before it count */
  countsBefore: number[]
  /** Of each page: what all pages before it sum up to */
  sumsBefore?: Uint32Array
}

/** Something that has to be read before a question can be answered */
export interface Missing {
  spec: TableSpec
  kind: 'part' | 'page'
  seq: number
}

/** Hands out what was read of runs. Notes what was not, and throws PAGES_MISSING */
export interface PageSource {
  part (spec: TableSpec, part: Part): PartIndex
  page (spec: TableSpec, seq: number): Page
}

/**
 * An operation needs pages that are not in memory, and has changed nothing: read them and try again. One error serves
 * all: the stack of a new one takes longer than a lookup does
 */
export const PAGES_MISSING = new Error('pages have to be read first')

/** Asks all of them, so that what is missing for their answers is read together */
export function all<T, R> (items: T[], ask: (item: T) => R): R[] {
  const answers: R[] = []
  let isMissing = false

  for (const item of items) {
    try {
      answers.push(ask(item))
    } catch (err) {
      if (err !== PAGES_MISSING) {
        throw err
      }
      isMissing = true
    }
  }

  if (isMissing) {
    throw PAGES_MISSING
  }

  return answers
}

export function rowsOf ({ parts }: Run): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0)
}

/** Reads a run: a part, and a page, when somebody asks for what is in it */
export class RunReader implements Pieces {
  readonly pieces: number
  readonly #spec: TableSpec
  readonly #parts: Part[]
  readonly #source: PageSource

  constructor (spec: TableSpec, { parts }: Run, source: PageSource) {
    this.#spec = spec
    this.#parts = parts
    this.#source = source
    this.pieces = parts.reduce((sum, { pages }) => sum + pages, 0)
  }

  piece (number: number): Page {
    let at = 0

    while (number >= this.#parts[at].pages) {
      number -= this.#parts[at++].pages
    }

    return this.#page(at, number)
  }

  pieceOf (key: Uint8Array): number {
    const [at, page] = this.#locate(key)
    return this.#parts.slice(0, at).reduce((sum, { pages }) => sum + pages, page)
  }

  /** Whether the Bloom filter of a part where keys that begin with `prefix` belong lets one through */
  mayHave (prefix: Uint8Array): boolean {
    const { bloomAt } = this.#spec

    if (bloomAt == null || prefix.byteLength < bloomAt + 8) {
      return true
    }

    const first = firstFrom(this.#parts.length, i => compareAt(this.#parts[i].last, 0, prefix) >= 0)

    for (let at = first; at < this.#parts.length && compareAt(this.#parts[at].first, 0, prefix) <= 0; at++) {
      const { bloom } = this.#part(at)

      if (bloom == null || mayHave(bloom, prefix, bloomAt)) {
        return true
      }
    }

    return false
  }

  /** The count of the rows from one key up to another one, and their sum, which is added to `sum` */
  summaryInto (sum: Uint32Array, from?: Uint8Array, to?: Uint8Array): number {
    const start = from == null ? undefined : this.#locate(from)
    const end = to == null ? undefined : this.#locate(to)

    // most ranges lie in one page
    if (start != null && end != null && start[0] === end[0] && start[1] === end[1]) {
      const page = this.#page(...start)
      const [first, last] = [lowerBound(page, from as Uint8Array), lowerBound(page, to as Uint8Array)]
      this.#sumOfPage(sum, page, first, last)
      return countOf(page, first, last)
    }

    const before = new Uint32Array(LANES)
    const count = this.#prefixInto(sum, to, end) - (start == null ? 0 : this.#prefixInto(before, from, start))
    addLanes(sum, 0, before, 0, -1)
    return count
  }

  /** Of all rows below `key`, which belongs into the page `at`; without a key of all rows */
  #prefixInto (sum: Uint32Array, key?: Uint8Array, place?: [part: number, page: number]): number {
    const [at, number] = place ?? [this.#parts.length, 0]
    let count = this.#parts.slice(0, at).reduce((count, part) => count + addSpan(part, sum), 0)

    if (key != null) {
      const { countsBefore, sumsBefore } = this.#part(at)
      const page = this.#page(at, number)
      const end = lowerBound(page, key)
      count += countsBefore[number] + countOf(page, 0, end)
      this.#sumOfPage(sum, page, 0, end)

      if (sumsBefore != null) {
        addLanes(sum, 0, sumsBefore, number * LANES)
      }
    }

    return count
  }

  #sumOfPage (sum: Uint32Array, page: Page, start: number, end: number): void {
    if (this.#spec.sumAt != null) {
      sumOfPageInto(sum, page, this.#spec.sumAt, start, end)
    }
  }

  #locate (key: Uint8Array): [part: number, page: number] {
    // the last one that begins below the key
    const at = Math.max(firstFrom(this.#parts.length, i => compareAt(this.#parts[i].first, 0, key) >= 0) - 1, 0)
    return [at, Math.max(lowerBound(this.#part(at).firsts, key) - 1, 0)]
  }

  #part (at: number): PartIndex {
    return this.#source.part(this.#spec, this.#parts[at])
  }

  #page (at: number, number: number): Page {
    return this.#source.page(this.#spec, this.#part(at).seqs[number])
  }
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
  readonly #spec: TableSpec
  readonly #rows: Rows[] = []
  #last: Uint8Array = new Uint8Array(0)

  constructor (spec: TableSpec) {
    this.#spec = spec
  }

  add (span: Span, rows: Rows): void {
    this.pages.push(span)
    this.#last = keyAt(rows, rows.size - 1)

    if (this.#spec.bloomAt != null) {
      this.#rows.push(rows)
    }
  }

  /** To write the part down. Adding its rows to the filter takes some ms, so that is done in slices */
  * finish (): Generator<undefined, (seq: number) => { part: Part, bytes: Uint8Array }> {
    const { bloomAt, sumAt } = this.#spec
    const size = this.pages.reduce((sum, { rows }) => sum + rows, 0)
    const bloom = bloomAt == null ? undefined : newBloom(size)

    for (const { bytes, stride, size } of this.#rows) {
      for (let i = 0; i < size; i++) {
        addToBloom(bloom as Uint8Array, bytes, i * stride + (bloomAt as number))
      }
      yield
    }

    const sum = sumAt == null ? undefined : new Uint32Array(LANES)
    const count = this.pages.reduce((count, span) => count + addSpan(span, sum), 0)
    const known = { rows: size, count, sum, first: this.pages[0].first, last: this.#last, pages: this.pages.length }
    return seq => ({ part: { seq, ...known }, bytes: encodePart(seq, this.#spec, this.pages, bloom) })
  }
}

function encodePart (seq: number, spec: TableSpec, pages: Span[], bloom: Uint8Array = new Uint8Array(0)): Uint8Array {
  const { id, width, sumAt } = spec
  const capacity = 64 + pages.length * (width + 24 + (sumAt == null ? 0 : SUM_BYTES)) + bloom.byteLength
  const writer = begin(Kind.PART, seq, capacity).byte(id)
  writer.list(pages, page => { writeSpan(writer, page) })
  return finish(writer.bytes(bloom))
}

/** Throws a MalformedError */
export function decodePart (bytes: Uint8Array, seq: number, spec: TableSpec): PartIndex {
  const reader = open(bytes, Kind.PART, seq)

  if (reader.byte() !== spec.id) {
    throw new MalformedError('a part of another table')
  }

  const pages = reader.list(Infinity, () => readSpan(reader, spec))
  const bloom = reader.bytes()
  expectEnd(reader)
  const stride = spec.width
  const firsts = { bytes: new Uint8Array(pages.length * stride), stride, size: pages.length }
  const lanes = new Uint8Array(spec.sumAt == null ? 0 : pages.length * SUM_BYTES)
  const countsBefore: number[] = []
  let before = 0

  pages.forEach(({ count, first, sum }, i) => {
    firsts.bytes.set(first, i * stride)
    countsBefore.push(before)
    before += count

    if (sum != null && i + 1 < pages.length) {
      lanes.set(sum, (i + 1) * SUM_BYTES)
    }
  })

  return {
    seqs: pages.map(({ seq }) => seq),
    firsts,
    // a copy: a view would keep all that was read
    bloom: bloom.byteLength === 0 ? undefined : bloom.slice(),
    countsBefore,
    sumsBefore: spec.sumAt == null ? undefined : addedUp(readLanes(lanes))
  }
}

/** Adds to each sum all that stand before it */
function addedUp (sums: Uint32Array): Uint32Array {
  for (let at = LANES; at < sums.length; at += LANES) {
    addLanes(sums, at, sums, at - LANES)
  }
  return sums
}

export function writeRun (writer: Writer, { tier, parts }: Run): void {
  writer.uvarint(tier).list(parts, part => {
    writeSpan(writer, part)
    writer.uvarint(part.pages).raw(part.last)
  })
}

export function readRun (reader: Reader, spec: TableSpec): Run {
  const tier = reader.uvarint()
  const readPart = (): Part => {
    const { sum, ...span } = readSpan(reader, spec)
    return { ...span, sum: sum && readLanes(sum), pages: reader.uvarint(), last: reader.raw(spec.width) }
  }
  return { tier, parts: reader.list(Infinity, readPart) }
}

/** Counts may be below zero, and are written with the sign in the lowest bit */
function writeSpan (writer: Writer, { seq, rows, count, first, sum }: Span): void {
  writer.uvarint(seq).uvarint(rows).uvarint(count < 0 ? -count * 2 - 1 : count * 2).raw(first)

  if (sum != null) {
    writeLanes(writer, sum)
  }
}

/** The sum is left as it is stored */
function readSpan (reader: Reader, { width, sumAt }: TableSpec): Omit<Span, 'sum'> & { sum?: Uint8Array } {
  const [seq, rows, zigzag] = [reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const count = zigzag % 2 === 1 ? -(zigzag + 1) / 2 : zigzag / 2
  const first = reader.raw(width)
  return { seq, rows, count, first, sum: sumAt == null ? undefined : reader.raw(SUM_BYTES) }
}
