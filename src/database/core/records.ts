import { Reader, Writer } from '../../runtime/codec.ts'
import type { Row } from './table.ts'

/**
 * How rows lie on a shelf: many in a record, of which later ones say more, and beside them which records count and how
 * far they go
 */

/** 4: fields tell NaN and the infinite numbers from null */
const VERSION = 4
const ID_BYTES = 32
const MAX_FIELDS = 1024
/** Words: the fields, the id, and the codec */
const MAX_FORM = MAX_FIELDS + 2
const RECORD = 1
/** Bytes of a row, about: a record that grows is copied */
const ROW_BYTES = 96

/** The name of the record that says how far the rows go */
export const HEAD = Uint8Array.of(0)

/** What became of a row */
const Kind = { GONE: 0, HAS_VALUE: 1, DELETED: 2 } as const

export interface Head {
  /** All that arrived before this one is in the rows */
  next: number
  /** The records that count: from the first one to the one before the end */
  first: number
  end: number
  /** Names the codec and the id that the rows were made with */
  form: string[]
  /** How many of the entries before `next` the log had. Absent: nobody counted them */
  entries?: number
}

/** Without a row: the key has none any more */
export type Change = [key: string, row?: Row]

export function nameOf (record: number): Uint8Array {
  return new Writer(8).byte(RECORD).uvarint(record).finish()
}

/** Throws a MalformedError */
export function recordOf (name: Uint8Array): number {
  return new Reader(name, 1).uvarint()
}

export function encodeHead ({ next, first, end, form, entries }: Head): Uint8Array {
  const writer = new Writer().byte(VERSION).uvarint(next).uvarint(first).uvarint(end)
  return writer.uvarint(entries == null ? 0 : entries + 1).list(form, word => { writer.string(word) }).finish()
}

/** Throws a MalformedError */
export function decodeHead (bytes: Uint8Array): Head | undefined {
  const reader = new Reader(bytes)

  if (reader.byte() !== VERSION) {
    return undefined
  }

  const [next, first, end, counted] = [reader.uvarint(), reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const form = reader.list(MAX_FORM, () => reader.string())
  return { next, first, end, form, ...counted > 0 && { entries: counted - 1 } }
}

export function encodeRows (changes: Change[]): Uint8Array {
  const writer = new Writer(changes.length * ROW_BYTES)

  for (const [key, row] of changes) {
    writer.string(key)

    if (row == null) {
      writer.byte(Kind.GONE)
    } else {
      const { time, counter, id, arrival, isDeleted, fields } = row
      writer.byte(isDeleted ? Kind.DELETED : Kind.HAS_VALUE).uvarint(time).uvarint(counter).raw(id).uvarint(arrival)
      writer.list(fields, field => { writer.string(field) })
    }
  }

  return writer.finish()
}

/** Throws a MalformedError */
export function decodeRows (bytes: Uint8Array): Change[] {
  const reader = new Reader(bytes)
  const changes: Change[] = []

  while (reader.left > 0) {
    const key = reader.string()
    const kind = reader.byte()
    changes.push([key, kind === Kind.GONE ? undefined : readRow(reader, kind === Kind.DELETED)])
  }

  return changes
}

function readRow (reader: Reader, isDeleted: boolean): Row {
  return {
    time: reader.uvarint(),
    counter: reader.uvarint(),
    // a view would keep all of the record
    id: reader.raw(ID_BYTES).slice(),
    arrival: reader.uvarint(),
    isDeleted,
    fields: reader.list(MAX_FIELDS, () => reader.string())
  }
}
