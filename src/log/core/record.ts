import { Sizer, uvarintLength } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { begin, ENVELOPE_BYTES, expectEnd, finish, Kind, open } from '../../storage/core/checksummed.ts'
import { besideLength, MAX_BATCH, MAX_SIGNATURE_BYTES } from './merkle.ts'
import { PackedEntry } from './packed-entry.ts'
import { SPECS, TABLES } from './rows.ts'
import { SharedProof } from './shared-proof.ts'
import { ID_BYTES } from './types.ts'
import type { EntrySource } from './packed-entry.ts'
import type { Place, TableName } from './rows.ts'
import type { TrueEntry } from './types.ts'
import type { Reader, Sink } from '../../runtime/codec.ts'

/**
 * What one write stores, as one value: entries, verbatim, and what was removed. The record is the only copy of an
 * entry, and stays where it is. The index can be made anew from the records alone.
 *
 * record = arrival of its first entry · list of batches · list of (slot, list of parents that were not here) ·
 * removed rows · list of (slot, bytes what asked for its entry), left out where it is empty
 * batch = uvarint twice its count, and one more if all of it was removed: nothing follows then · uvarint size ·
 * uvarint first · the nodes beside · bytes signature · its entries
 * entry = uvarint flags and eight times its length · its id, if the flags say so · its bytes
 * removed rows = for each table that lost some: its number · list of keys
 */

/** Slots are a byte */
export const MAX_SLOTS = 256

/** The entry belongs before one that came earlier: a walk through the log finds it by the table `order` */
const LATE = 1
/** The id stands in front of the bytes: hashing large ones takes its time */
const WITH_ID = 2
/** The entry was removed. Its id stays, for the proofs of its neighbours */
const HOLE = 4
const NAMED = WITH_ID | HOLE
const FLAGS = 8

/** Bytes of an entry from which on its id is stored, too */
const LARGE = 16 * 1024
const NOTHING = new Uint8Array(0)

/** Keys that a write removes from the tables of the index */
export type RemovedRows = Partial<Record<TableName, Uint8Array[]>>

const NOTHING_REMOVED: RemovedRows = {}

/** Bytes of what may name who asked for an entry */
export const MAX_REQUEST_BYTES = 64

export interface NewEntry {
  entry: TrueEntry
  isLate: boolean
  /** Its parents that are not here, but for the previous entry of its author */
  absent: Uint8Array[]
}

export interface NewRecord {
  seq: number
  arrival: number
  entries: NewEntry[]
  removed: RemovedRows
}

/** An entry as it lies in its record */
export class StoredEntry extends PackedEntry implements Place {
  readonly seq: number
  /** Its number among all that came here */
  readonly arrival: number
  readonly isLate: boolean

  constructor (record: StoredRecord, slot: number, isLate: boolean, proofs: SharedProof, at: number) {
    super(record, slot, proofs, at)
    this.seq = record.seq
    this.arrival = record.arrival + slot
    this.isLate = isLate
    this.request = record.requestOf(slot)
  }
}

/** Neighbours in a record that share a proof */
interface Batch {
  slot: number
  count: number
  /** Absent: all of it was removed */
  proof?: SharedProof
}

/** Slots that a record names, each with parents of its entry that were not here */
type Absent = Array<{ slot: number, absent: Uint8Array[] }>

/** What asked for entries that were appended here, by their slots, where that was said */
type Requests = ReadonlyMap<number, Uint8Array>

const NO_REQUESTS: Requests = new Map()

interface Parts {
  seq: number
  arrival: number
  batches: Batch[]
  absent: Absent
  removed: RemovedRows
  requests: Requests
}

export function encodeRecord ({ seq, arrival, entries, removed }: NewRecord): Uint8Array {
  const bytes = entries.map(({ entry }) => entry.bytes)
  const absent = entries.map(({ absent }, slot) => ({ slot, absent })).filter(({ absent }) => absent.length > 0)
  const requests = new Map<number, Uint8Array>()
  entries.forEach(({ entry: { request } }, slot) => request != null && requests.set(slot, request))

  return encode({ seq, arrival, batches: batchesOf(entries), absent, removed, requests }, (to, slot) => {
    const { entry, isLate } = entries[slot]
    const isLarge = bytes[slot].byteLength >= LARGE
    writeEntry(to, bytes[slot], (isLate ? LATE : 0) | (isLarge ? WITH_ID : 0), isLarge ? entry.id : undefined)
  })
}

function batchesOf (entries: NewEntry[]): Batch[] {
  const batches: Batch[] = []

  for (let slot = 0; slot < entries.length; slot += batches[batches.length - 1].count) {
    const { proofs, at } = entries[slot].entry
    let count = 1

    while (entries[slot + count]?.entry.proofs === proofs && entries[slot + count].entry.at === at + count) {
      count++
    }

    batches.push({ slot, count, proof: proofs.part(at, count) })
  }

  return batches
}

function encode (parts: Parts, write: (to: Sink, slot: number) => void): Uint8Array {
  const { seq, arrival, batches, absent, removed, requests } = parts
  const tables = Object.entries(removed) as Array<[TableName, Uint8Array[]]>
  const writeAll = (to: Sink): void => {
    to.uvarint(arrival)
    to.list(batches, ({ slot, count, proof }) => {
      to.uvarint(count * 2 + (proof == null ? 1 : 0))

      if (proof != null) {
        const { size, first, beside, signature } = proof.init
        to.uvarint(size).uvarint(first).raw(beside).bytes(signature)

        for (let i = slot; i < slot + count; i++) {
          write(to, i)
        }
      }
    })
    to.list(absent, ({ slot, absent }) => { to.byte(slot).list(absent, id => to.raw(id)) })
    to.list(tables, ([table, keys]) => { to.byte(TABLES.indexOf(table)).list(keys, key => to.raw(key)) })

    if (requests.size > 0) {
      to.list([...requests], ([slot, request]) => { to.byte(slot).bytes(request) })
    }
  }
  const sizer = new Sizer()
  writeAll(sizer)
  // memory of its own: what shares some is copied before it is stored
  const writer = begin(Kind.RECORD, seq, new Uint8Array(sizer.length + ENVELOPE_BYTES + uvarintLength(seq)))
  writeAll(writer)
  return finish(writer)
}

function writeEntry (to: Sink, bytes: Uint8Array, flags: number, id?: Uint8Array): void {
  to.uvarint(bytes.byteLength * FLAGS + flags)

  if (id != null) {
    to.raw(id)
  }

  to.raw(bytes)
}

/** A record as it was stored. Reading it finds out where entries lie, and decodes none: mostly one of many is wanted */
export class StoredRecord implements EntrySource {
  readonly seq: number
  /** The number of its first entry among all that came here */
  readonly arrival: number
  readonly absent: Absent
  readonly removed: RemovedRows
  readonly #requests: Requests
  readonly #bytes: Uint8Array
  /** By slot: flags and eight times the length; where the bytes end; ids as far as somebody asked for them */
  readonly #heads: number[] = []
  readonly #ends: number[] = []
  readonly #ids: Uint8Array[] = []
  readonly #batches: Batch[]

  /** Throws a MalformedError */
  constructor (bytes: Uint8Array, seq: number) {
    const reader = open(bytes, Kind.RECORD, seq)
    this.#bytes = bytes
    this.seq = seq
    this.arrival = reader.uvarint()
    this.#batches = reader.list(MAX_SLOTS, () => this.#readBatch(reader))
    this.absent = reader.list(MAX_SLOTS, () => {
      return { slot: reader.byte(), absent: reader.list(MAX_SLOTS, () => reader.raw(ID_BYTES)) }
    })
    const removed = reader.list(TABLES.length, () => readRemoved(reader))
    this.removed = removed.length === 0 ? NOTHING_REMOVED : Object.fromEntries(removed)
    this.#requests = reader.left === 0
      ? NO_REQUESTS
      : new Map(reader.list(MAX_SLOTS, () => [reader.byte(), reader.bytes(MAX_REQUEST_BYTES)]))
    expectEnd(reader)
  }

  get byteLength (): number {
    return this.#bytes.byteLength
  }

  /** Entries that the record was written with */
  get size (): number {
    return this.#heads.length
  }

  /** What asked for the entry, where that was said */
  requestOf (slot: number): Uint8Array | undefined {
    return this.#requests.get(slot)
  }

  /** Undefined: the entry was removed, and is not here any more */
  entryAt (slot: number): StoredEntry | undefined {
    const batch = this.#batches.findLast(batch => batch.slot <= slot)

    if (batch?.proof != null && slot < this.size && !this.#has(slot, HOLE)) {
      return new StoredEntry(this, slot, this.#has(slot, LATE), batch.proof, slot - batch.slot)
    }
  }

  bytesAt (slot: number): Uint8Array {
    return this.#bytes.subarray(this.#startOf(slot), this.#ends[slot])
  }

  idAt (slot: number): Uint8Array {
    const start = this.#startOf(slot)
    this.#ids[slot] ??= this.#has(slot, NAMED)
      ? this.#bytes.subarray(start - ID_BYTES, start)
      : sha256(this.bytesAt(slot))
    return this.#ids[slot]
  }

  /** The same without the bytes of some entries. Undefined: nothing is left of it */
  without (slots: Set<number>): Uint8Array | undefined {
    const isLeft = (slot: number): boolean => !slots.has(slot) && !this.#has(slot, HOLE)
    const batches = this.#batches.map(({ slot, count, proof }): Batch => {
      const isEmpty = !Array.from({ length: count }, (_, i) => slot + i).some(isLeft)
      return { slot, count, proof: isEmpty ? undefined : proof }
    })

    if (batches.every(({ proof }) => proof == null)) {
      return undefined
    }

    const { seq, arrival } = this
    const requests = new Map([...this.#requests].filter(([slot]) => isLeft(slot)))
    return encode({ seq, arrival, batches, absent: [], removed: {}, requests }, (to, slot) => {
      const flags = isLeft(slot) ? this.#heads[slot] % FLAGS : HOLE
      const id = (flags & NAMED) === 0 ? undefined : this.idAt(slot)
      writeEntry(to, isLeft(slot) ? this.bytesAt(slot) : NOTHING, flags, id)
    })
  }

  #has (slot: number, flag: number): boolean {
    return (this.#heads[slot] % FLAGS & flag) !== 0
  }

  #startOf (slot: number): number {
    return this.#ends[slot] - Math.floor(this.#heads[slot] / FLAGS)
  }

  #readBatch (reader: Reader): Batch {
    const head = reader.uvarint()
    const count = Math.floor(head / 2)
    const slot = this.size

    if (count < 1 || slot + count > MAX_SLOTS) {
      throw new MalformedError(`a batch of ${count} entries in a record`)
    }
    if (head % 2 === 1) {
      for (let i = 0; i < count; i++) {
        this.#heads.push(HOLE)
        this.#ends.push(0)
      }
      return { slot, count }
    }

    const [size, first] = [reader.uvarint(), reader.uvarint()]

    if (size > MAX_BATCH || first + count > size) {
      throw new MalformedError(`${count} entries from ${first} on of a batch of ${size}`)
    }

    const beside = reader.raw(ID_BYTES * besideLength(size, first, count))
    const signature = reader.bytes(MAX_SIGNATURE_BYTES)

    for (let i = 0; i < count; i++) {
      this.#readEntry(reader)
    }

    const ids = (): Uint8Array[] => Array.from({ length: count }, (_, i) => this.idAt(slot + i))
    return { slot, count, proof: new SharedProof({ size, first, count, beside, signature, ids }) }
  }

  #readEntry (reader: Reader): void {
    const head = reader.uvarint()
    reader.skip(Math.floor(head / FLAGS) + ((head % FLAGS & NAMED) === 0 ? 0 : ID_BYTES))
    this.#heads.push(head)
    this.#ends.push(reader.offset)
  }
}

function readRemoved (reader: Reader): [TableName, Uint8Array[]] {
  const table = TABLES[reader.byte()]

  if (table == null) {
    throw new MalformedError('rows of a table that there is not')
  }

  return [table, reader.list(Infinity, () => reader.raw(SPECS[table].width))]
}
