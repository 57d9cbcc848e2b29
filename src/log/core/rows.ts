import { ID_BYTES } from './types.ts'
import type { Moment } from './hybrid-clock.ts'

/**
 * The rows of the tables that make up the index of a log. A row is a key of fixed width; big-endian numbers let the order of
 * bytes be the order of numbers. Behind the key lies one byte that says whether the row adds the key or removes it.
 *
 * - ring: position · id · place · size: every entry, by its position on the ring
 * - order: moment · start of the id · place: entries that arrived late, i.e. behind one that the order of the log has after them
 * - groups: start of the id · position · place: entries with a group, whose position does not follow from their id
 * - dead: place: entries that were removed, and whose bytes still lie in their record
 * - fences: where the walk through the records may start, by arrival and by moment
 * - authors: start of the author's hash · moment · flags · id · previous id: the latest entry of each author
 * - heads: id · start of the author's hash: those of the latest entries that no entry names as a parent
 * - named: id: parents that some entry names, and that are not here
 */
export const TABLES = ['ring', 'order', 'groups', 'dead', 'fences', 'authors', 'heads', 'named'] as const
export type TableName = typeof TABLES[number]

/** What a row does to its key */
export const ADD = 0
export const REMOVE = 1

const POSITION = 4
const TIME = 6
const COUNTER = 2
const MOMENT = TIME + COUNTER
const ID_START = 8
const SEQ = 5
const PLACE = SEQ + 1
const SIZE = 3
const ARRIVAL = 6
export const AUTHOR_HASH = 16

export interface TableSpec {
  /** Bytes of a key */
  width: number
  /** Whether pages carry fingerprint sums of the ids */
  isSummed: boolean
  /** Where in a key lie the eight bytes that its Bloom filter is asked with; absent: it has no filter */
  bloomAt?: number
  /** Where in a key the place of an entry lies */
  placeAt?: number
}

/** Where the id lies in a row of the ring */
export const ID_AT = POSITION

export const SPECS: Record<TableName, TableSpec> = {
  // not the first bytes of the id: those of one part of a large run are nearly the same
  ring: { width: POSITION + ID_BYTES + PLACE + SIZE, isSummed: true, bloomAt: ID_AT + 8, placeAt: POSITION + ID_BYTES },
  order: { width: MOMENT + ID_START + PLACE, isSummed: false, placeAt: MOMENT + ID_START },
  groups: { width: ID_START + POSITION + PLACE, isSummed: false, bloomAt: 0, placeAt: ID_START + POSITION },
  dead: { width: PLACE, isSummed: false, placeAt: 0 },
  fences: { width: 1 + MOMENT + ARRIVAL + SEQ, isSummed: false },
  authors: { width: AUTHOR_HASH + MOMENT + 1 + 2 * ID_BYTES, isSummed: false, bloomAt: 0 },
  heads: { width: ID_BYTES + AUTHOR_HASH, isSummed: false, bloomAt: 8 },
  named: { width: ID_BYTES, isSummed: false, bloomAt: 8 }
}

/** Where an entry lies: which of a record's entries it is */
export interface Place {
  /** The number of the record */
  seq: number
  slot: number
}

/** An entry on the ring */
export interface RingRow extends Place {
  position: number
  id: Uint8Array
  /** Bytes of the entry and its proof */
  size: number
}

/** Where an entry is on the ring: by the hash of its group, or by its own if it has none */
export function positionOf (hash: Uint8Array): number {
  return (hash[0] << 24 | hash[1] << 16 | hash[2] << 8 | hash[3]) >>> 0
}

/** Without an id: what comes before every row of this position */
export function ringPrefix (position: number, id?: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(POSITION + (id == null ? 0 : ID_BYTES))
  writeNumber(prefix, 0, POSITION, position)
  prefix.set(id ?? [], POSITION)
  return prefix
}

export function ringRow ({ position, id, seq, slot, size }: RingRow): Uint8Array {
  const row = new Uint8Array(SPECS.ring.width)
  writeNumber(row, 0, POSITION, position)
  row.set(id, POSITION)
  writePlace(row, POSITION + ID_BYTES, seq, slot)
  writeNumber(row, POSITION + ID_BYTES + PLACE, SIZE, size)
  return row
}

export function readRingRow (row: Uint8Array): RingRow {
  return {
    position: readNumber(row, 0, POSITION),
    id: idOnRing(row),
    ...readPlace(row, POSITION + ID_BYTES),
    size: readNumber(row, POSITION + ID_BYTES + PLACE, SIZE)
  }
}

/** A copy: of a short array it costs less than a view, and keeps no more than the id in memory */
export function idOnRing (row: Uint8Array): Uint8Array {
  return row.slice(POSITION, POSITION + ID_BYTES)
}

export function positionInRow (row: Uint8Array): number {
  return readNumber(row, 0, POSITION)
}

export function sizeInRow (row: Uint8Array): number {
  return readNumber(row, POSITION + ID_BYTES + PLACE, SIZE)
}

export function orderPrefix ({ time, counter }: Moment): Uint8Array {
  const prefix = new Uint8Array(MOMENT)
  writeMoment(prefix, 0, time, counter)
  return prefix
}

/** The total order of a log: by time, then by id. Of the id the start is enough: readers sort the few rows where it is equal */
export function orderRow ({ time, counter }: Moment, id: Uint8Array, { seq, slot }: Place): Uint8Array {
  const row = new Uint8Array(SPECS.order.width)
  writeMoment(row, 0, time, counter)
  row.set(id.subarray(0, ID_START), MOMENT)
  writePlace(row, MOMENT + ID_START, seq, slot)
  return row
}

export function placeInOrder (row: Uint8Array): Place {
  return readPlace(row, MOMENT + ID_START)
}

export function groupPrefix (id: Uint8Array): Uint8Array {
  return id.subarray(0, ID_START)
}

export function groupRow (id: Uint8Array, position: number, { seq, slot }: Place): Uint8Array {
  const row = new Uint8Array(SPECS.groups.width)
  row.set(id.subarray(0, ID_START))
  writeNumber(row, ID_START, POSITION, position)
  writePlace(row, ID_START + POSITION, seq, slot)
  return row
}

export function positionInGroup (row: Uint8Array): number {
  return readNumber(row, ID_START, POSITION)
}

export function deadRow ({ seq, slot }: Place): Uint8Array {
  const row = new Uint8Array(SPECS.dead.width)
  writePlace(row, 0, seq, slot)
  return row
}

/** What comes before every place of this record */
export function seqPrefix (seq: number): Uint8Array {
  const prefix = new Uint8Array(SEQ)
  writeNumber(prefix, 0, SEQ, seq)
  return prefix
}

export function readDead (row: Uint8Array): Place {
  return readPlace(row, 0)
}

const BY_ARRIVAL = 0
const BY_MOMENT = 1

/** A record from which on the walk may go: the number of its first entry, and the highest moment of all entries before it */
export interface Fence extends Moment {
  arrival: number
  seq: number
}

/** One fence is two rows, so that it is found by arrival and by moment */
export function fenceRows ({ arrival, seq, time, counter }: Fence): [byArrival: Uint8Array, byMoment: Uint8Array] {
  const byArrival = new Uint8Array(SPECS.fences.width)
  const byMoment = new Uint8Array(SPECS.fences.width)
  byArrival[0] = BY_ARRIVAL
  writeNumber(byArrival, 1, ARRIVAL, arrival)
  writeMoment(byArrival, 1 + ARRIVAL, time, counter)
  byMoment[0] = BY_MOMENT
  writeMoment(byMoment, 1, time, counter)
  writeNumber(byMoment, 1 + MOMENT, ARRIVAL, arrival)
  writeNumber(byArrival, 1 + MOMENT + ARRIVAL, SEQ, seq)
  writeNumber(byMoment, 1 + MOMENT + ARRIVAL, SEQ, seq)
  return [byArrival, byMoment]
}

/** The least row that is above every fence of this arrival, or of an earlier one */
export function aboveArrival (arrival: number): Uint8Array {
  const row = new Uint8Array(1 + ARRIVAL)
  row[0] = BY_ARRIVAL
  writeNumber(row, 1, ARRIVAL, arrival + 1)
  return row
}

/** The least row of a fence before which there may be entries of this moment, or later ones */
export function fenceOfMoment ({ time, counter }: Moment): Uint8Array {
  const row = new Uint8Array(1 + MOMENT)
  row[0] = BY_MOMENT
  writeMoment(row, 1, time, counter)
  return row
}

export const FENCES_BY_MOMENT = Uint8Array.from([BY_MOMENT])

export function readFence (row: Uint8Array): Fence {
  const [arrivalAt, momentAt] = row[0] === BY_ARRIVAL ? [1, 1 + ARRIVAL] : [1 + MOMENT, 1]
  return {
    arrival: readNumber(row, arrivalAt, ARRIVAL),
    time: readNumber(row, momentAt, TIME),
    counter: readNumber(row, momentAt + TIME, COUNTER),
    seq: readNumber(row, 1 + MOMENT + ARRIVAL, SEQ)
  }
}

export function isByArrival (row: Uint8Array): boolean {
  return row[0] === BY_ARRIVAL
}

const NAMED = 1
const HERE = 2
const HAS_PREVIOUS = 4

/** What is known of the latest entry of an author */
export interface AuthorRow extends Moment {
  /** The start of the author's hash */
  hash: Uint8Array
  id: Uint8Array
  /** The entry that its author made before */
  previous?: Uint8Array
  /** Some entry names it as its parent */
  isNamed: boolean
  /** It was not removed */
  isHere: boolean
}

export function authorRow ({ hash, time, counter, id, previous, isNamed, isHere }: AuthorRow): Uint8Array {
  const row = new Uint8Array(SPECS.authors.width)
  row.set(hash)
  writeMoment(row, AUTHOR_HASH, time, counter)
  row[AUTHOR_HASH + MOMENT] = (isNamed ? NAMED : 0) | (isHere ? HERE : 0) | (previous == null ? 0 : HAS_PREVIOUS)
  row.set(id, AUTHOR_HASH + MOMENT + 1)
  row.set(previous ?? [], AUTHOR_HASH + MOMENT + 1 + ID_BYTES)
  return row
}

export function readAuthorRow (row: Uint8Array): AuthorRow {
  const flags = row[AUTHOR_HASH + MOMENT]
  const idAt = AUTHOR_HASH + MOMENT + 1
  return {
    hash: row.slice(0, AUTHOR_HASH),
    time: readNumber(row, AUTHOR_HASH, TIME),
    counter: readNumber(row, AUTHOR_HASH + TIME, COUNTER),
    isNamed: (flags & NAMED) !== 0,
    isHere: (flags & HERE) !== 0,
    id: row.slice(idAt, idAt + ID_BYTES),
    previous: (flags & HAS_PREVIOUS) === 0 ? undefined : row.slice(idAt + ID_BYTES, idAt + 2 * ID_BYTES)
  }
}

export function headRow (id: Uint8Array, hash: Uint8Array): Uint8Array {
  const row = new Uint8Array(SPECS.heads.width)
  row.set(id)
  row.set(hash, ID_BYTES)
  return row
}

export function readHeadRow (row: Uint8Array): { id: Uint8Array, hash: Uint8Array } {
  return { id: row.slice(0, ID_BYTES), hash: row.slice(ID_BYTES) }
}

export function readPlace (row: Uint8Array, at: number): Place {
  return { seq: readNumber(row, at, SEQ), slot: row[at + SEQ] }
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

function writePlace (row: Uint8Array, at: number, seq: number, slot: number): void {
  writeNumber(row, at, SEQ, seq)
  row[at + SEQ] = slot
}

function writeMoment (row: Uint8Array, at: number, time: number, counter: number): void {
  writeNumber(row, at, TIME, time)
  writeNumber(row, at + TIME, COUNTER, counter)
}

function writeNumber (row: Uint8Array, at: number, length: number, value: number): void {
  for (let i = at + length - 1; i >= at; i--) {
    row[i] = value & 0xff
    value = Math.floor(value / 256)
  }
}

function readNumber (row: Uint8Array, at: number, length: number): number {
  let value = 0
  for (let i = at; i < at + length; i++) {
    value = value * 256 + row[i]
  }
  return value
}
