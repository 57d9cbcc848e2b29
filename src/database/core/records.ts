import { encodeString, Reader, Writer } from '../../runtime/codec.ts'
import type { Row } from './table.ts'

/** How rows lie on a shelf: each under its key, and beside them how far they go */

const VERSION = 1
const ID_BYTES = 32
const MAX_FIELDS = 1024
const ROW = 1
// a key may begin with what other readers take for a byte order mark
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** The name of the record that says how far the rows go */
export const HEAD = Uint8Array.of(0)

export interface Head {
  /** All that arrived before this one is in the rows */
  next: number
  /** The fields that rows tell of */
  fields: string[]
}

export function nameOf (key: string): Uint8Array {
  return new Writer(key.length + 1).byte(ROW).raw(encodeString(key)).finish()
}

export function keyOf (name: Uint8Array): string {
  return decoder.decode(name.subarray(1))
}

export function encodeHead ({ next, fields }: Head): Uint8Array {
  const writer = new Writer().byte(VERSION).uvarint(next)
  return writer.list(fields, field => { writer.string(field) }).finish()
}

/** Throws a MalformedError */
export function decodeHead (bytes: Uint8Array): Head | undefined {
  const reader = new Reader(bytes)
  return reader.byte() === VERSION ? { next: reader.uvarint(), fields: reader.list(MAX_FIELDS, () => reader.string()) } : undefined
}

export function encodeRow ({ time, counter, id, arrival, isDeleted, fields }: Row): Uint8Array {
  const writer = new Writer(64).uvarint(time).uvarint(counter).raw(id).uvarint(arrival).byte(isDeleted ? 1 : 0)
  return writer.list(fields, field => { writer.string(field) }).finish()
}

/** Throws a MalformedError */
export function decodeRow (bytes: Uint8Array): Row {
  const reader = new Reader(bytes)
  return {
    time: reader.uvarint(),
    counter: reader.uvarint(),
    id: reader.raw(ID_BYTES).slice(),
    arrival: reader.uvarint(),
    isDeleted: reader.byte() === 1,
    fields: reader.list(MAX_FIELDS, () => reader.string())
  }
}
