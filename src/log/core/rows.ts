import { sha256 } from '../../runtime/sha256.ts'
import { ID_BYTES } from './types.ts'
import type { Moment } from './hybrid-clock.ts'
import type { TableSpec } from '../../storage/core/rows.ts'

/**
 * The keys of the tables of a log's index. Numbers are big-endian: so the order of bytes is the order of numbers.
 *
 * - ring: position · id · place · size: every entry, by its position on the ring
 * - order: moment · start of the id · place: entries that arrived late, i.e. behind one that the order of the log has
 * after them
 * - groups: start of the id · position · place: entries with a group, whose position does not follow from their id
 * - dead: place: removed entries whose bytes still lie in their record; place 0 of a record that only removes
 * - authors: start of the author's hash · moment · flags · id · previous id: the latest entry of each author
 * - heads: id · start of the author's hash: those of the latest entries that no entry names as a parent
 * - named: id: parents that some entry names, and that are not here
 */
export const TABLES = ['ring', 'order', 'groups', 'dead', 'authors', 'heads', 'named'] as const
export type TableName = typeof TABLES[number]

const POSITION = 4
const TIME = 6
const COUNTER = 2
const MOMENT = TIME + COUNTER
const ID_START = 8
const SEQ = 5
const PLACE = SEQ + 1
const SIZE = 3
export const AUTHOR_HASH = 16

export interface LogTableSpec extends TableSpec {
  /** Where in a key the place of an entry lies */
  placeAt?: number
}

const WIDTHS: Record<TableName, Omit<LogTableSpec, 'id' | 'name'>> = {
  // not the first bytes of the id: those of one part of a large run are nearly the same
  ring: {
    width: POSITION + ID_BYTES + PLACE + SIZE, sumAt: POSITION, bloomAt: POSITION + 8, placeAt: POSITION + ID_BYTES
  },
  order: { width: MOMENT + ID_START + PLACE, placeAt: MOMENT + ID_START },
  groups: { width: ID_START + POSITION + PLACE, bloomAt: 0, placeAt: ID_START + POSITION },
  dead: { width: PLACE, placeAt: 0 },
  authors: { width: AUTHOR_HASH + MOMENT + 1 + 2 * ID_BYTES, bloomAt: 0 },
  heads: { width: ID_BYTES + AUTHOR_HASH, bloomAt: 8 },
  named: { width: ID_BYTES, bloomAt: 8 }
}

export const SPECS = forTables((name, id): LogTableSpec => ({ id, name, ...WIDTHS[name] }))

/** One value for each table */
export function forTables<T> (value: (name: TableName, id: number) => T): Record<TableName, T> {
  return Object.fromEntries(TABLES.map((name, id) => [name, value(name, id)])) as Record<TableName, T>
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

/** Where an entry lies on the ring: where its group does, if it has one */
export function positionIn ({ id, group }: { id: Uint8Array, group: Uint8Array }): number {
  return group.byteLength === 0 ? positionOf(id) : positionOfGroup(group)
}

export function positionOfGroup (group: Uint8Array): number {
  return positionOf(sha256(group))
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
    // a copy: of a short array it costs less than a view, and keeps no more than the id in memory
    id: row.slice(POSITION, POSITION + ID_BYTES),
    ...readPlace(row, POSITION + ID_BYTES),
    size: readNumber(row, POSITION + ID_BYTES + PLACE, SIZE)
  }
}

export function orderPrefix ({ time, counter }: Moment): Uint8Array {
  const prefix = new Uint8Array(MOMENT)
  writeMoment(prefix, 0, time, counter)
  return prefix
}

/**
 * The total order of a log: by time, then by id. Of the id the start is enough: readers sort the few rows where it is
 * equal
 */
export function orderRow (moment: Moment, id: Uint8Array, { seq, slot }: Place): Uint8Array {
  const row = new Uint8Array(SPECS.order.width)
  writeMoment(row, 0, moment.time, moment.counter)
  row.set(id.subarray(0, ID_START), MOMENT)
  writePlace(row, MOMENT + ID_START, seq, slot)
  return row
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

/** The place that a row of one of the tables names that have them */
export function placeIn (name: TableName, row: Uint8Array): Place {
  return readPlace(row, SPECS[name].placeAt as number)
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

/** Undefined: the latest entry of this author is no head */
export function headRow ({ id, hash, isHere, isNamed }: AuthorRow): Uint8Array | undefined {
  if (!isHere || isNamed) {
    return
  }

  const row = new Uint8Array(SPECS.heads.width)
  row.set(id)
  row.set(hash, ID_BYTES)
  return row
}

export function readHeadRow (row: Uint8Array): { id: Uint8Array, hash: Uint8Array } {
  return { id: row.slice(0, ID_BYTES), hash: row.slice(ID_BYTES) }
}

function readPlace (row: Uint8Array, at: number): Place {
  return { seq: readNumber(row, at, SEQ), slot: row[at + SEQ] }
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
