import { MalformedError } from '../../runtime/errors.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { begin, expectEnd, finish, Kind, open } from '../../tables/core/checksummed.ts'
import { decodeContent } from './entry.ts'
import { besideLength, MAX_BATCH, MAX_SIGNATURE_BYTES } from './merkle.ts'
import { SPECS, TABLES } from './rows.ts'
import { SharedProof } from './shared-proof.ts'
import { ID_BYTES } from './types.ts'
import type { Place, TableName } from './rows.ts'
import type { Content, TrueEntry } from './types.ts'
import type { Reader, Writer } from '../../runtime/codec.ts'

/**
 * What one write stores, as one value: entries, verbatim, and what was removed. It is the only copy of an entry, and stays
 * where it is. The index can be made anew from the records alone.
 *
 * record = arrival of its first entry · list of batches · list of (slot, list of parents that were not here) · removed rows
 * batch = uvarint twice its count, and one more if all of it was removed: nothing follows then · uvarint size · uvarint first ·
 * the nodes beside · bytes signature · its entries
 * entry = uvarint flags and eight times its length · its id, if the flags say so · its bytes
 * removed rows = for each table that lost some: its number · list of keys
 */

/** Slots are a byte */
export const MAX_SLOTS = 256

/** Something before it comes later in the order of the log: a walk through the records skips it, as a row of the table `order` names it */
const LATE = 1
/** The id stands in front of the bytes: hashing large ones takes its time */
const WITH_ID = 2
/** It was removed. Its id stays, for the proofs of its neighbours */
const HOLE = 4
const FLAGS = 8

/** Bytes of an entry from which on its id is stored, too */
const LARGE = 16 * 1024

/** An entry as it lies in its record: taken apart, and hashed, when somebody looks into it */
export class StoredEntry implements TrueEntry, Place {
  readonly #record: StoredRecord
  readonly #item: Item
  readonly slot: number
  readonly proofs: SharedProof
  readonly at: number
  #content?: Content

  constructor (record: StoredRecord, item: Item, slot: number, proofs: SharedProof, at: number) {
    this.#record = record
    this.#item = item
    this.slot = slot
    this.proofs = proofs
    this.at = at
  }

  get seq (): number {
    return this.#record.seq
  }

  /** Its number among all that came here */
  get arrival (): number {
    return this.#record.arrival + this.slot
  }

  get isLate (): boolean {
    return (this.#item.flags & LATE) !== 0
  }

  get id (): Uint8Array {
    return idOf(this.#item)
  }

  get bytes (): Uint8Array {
    return this.#item.bytes
  }

  get time (): number {
    return this.#decoded.time
  }

  get counter (): number {
    return this.#decoded.counter
  }

  get author (): Uint8Array {
    return this.#decoded.author
  }

  get previous (): Uint8Array | undefined {
    return this.#decoded.previous
  }

  get parents (): Uint8Array[] {
    return this.#decoded.parents
  }

  get group (): Uint8Array {
    return this.#decoded.group
  }

  get replicas (): number {
    return this.#decoded.replicas
  }

  get data (): Uint8Array {
    return this.#decoded.data
  }

  get #decoded (): Content {
    this.#content ??= decodeContent(this.#item.bytes)
    return this.#content
  }
}

/** Keys that a write removes from the tables of the index */
export type RemovedRows = Partial<Record<TableName, Uint8Array[]>>

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

/** Neighbours in a record that share a proof */
interface Batch {
  slot: number
  count: number
  /** Absent: all of it was removed */
  proof?: SharedProof
}

interface Item {
  flags: number
  id?: Uint8Array
  bytes: Uint8Array
}

const NOTHING = new Uint8Array(0)

export function encodeRecord ({ seq, arrival, entries, removed }: NewRecord): Uint8Array {
  const items = entries.map(({ entry: { id, bytes }, isLate }): Item => {
    const isLarge = bytes.byteLength >= LARGE
    return { flags: (isLate ? LATE : 0) | (isLarge ? WITH_ID : 0), id: isLarge ? id : undefined, bytes }
  })
  const absent = entries.map(({ absent }, slot) => ({ slot, absent })).filter(({ absent }) => absent.length > 0)
  return encode(seq, arrival, batchesOf(entries), items, absent, removed)
}

function batchesOf (entries: NewEntry[]): Batch[] {
  const batches: Batch[] = []
  let from = 0

  entries.forEach(({ entry }, slot) => {
    const last = batches.at(-1)
    const before = entries[slot - 1]?.entry

    if (last != null && before?.proofs === entry.proofs && before.at + 1 === entry.at) {
      last.count++
    } else {
      if (last != null) {
        last.proof = last.proof?.part(from, last.count)
      }
      batches.push({ slot, count: 1, proof: entry.proofs })
      from = entry.at
    }
  })

  const last = batches.at(-1)

  if (last != null) {
    last.proof = last.proof?.part(from, last.count)
  }

  return batches
}

function encode (seq: number, arrival: number, batches: Batch[], items: Item[], absent: StoredRecord['absent'], removed: RemovedRows): Uint8Array {
  const capacity = items.reduce((sum, { bytes }) => sum + bytes.byteLength + 4, 128 + 128 * batches.length)
  const writer = begin(Kind.RECORD, seq, capacity).uvarint(arrival)

  writer.list(batches, ({ slot, count, proof }) => {
    writer.uvarint(count * 2 + (proof == null ? 1 : 0))

    if (proof != null) {
      const { size, first, beside, signature } = proof.init
      writer.uvarint(size).uvarint(first).raw(beside).bytes(signature)

      for (let i = slot; i < slot + count; i++) {
        writeItem(writer, items[i])
      }
    }
  })
  writer.list(absent, ({ slot, absent }) => { writer.byte(slot).list(absent, id => writer.raw(id)) })
  const tables = Object.entries(removed) as Array<[TableName, Uint8Array[]]>
  writer.list(tables, ([table, keys]) => { writer.byte(TABLES.indexOf(table)).list(keys, key => writer.raw(key)) })
  return finish(writer)
}

function writeItem (writer: Writer, { flags, id, bytes }: Item): void {
  writer.uvarint(bytes.byteLength * FLAGS + flags)

  if ((flags & (WITH_ID | HOLE)) !== 0) {
    writer.raw(id as Uint8Array)
  }

  writer.raw(bytes)
}

/**
 * A record as it was stored. Entries are taken apart when they are asked for: mostly that is one of many.
 */
export class StoredRecord {
  readonly seq: number
  /** The number of its first entry among all that came here */
  readonly arrival: number
  readonly byteLength: number
  readonly absent: Array<{ slot: number, absent: Uint8Array[] }>
  readonly removed: RemovedRows
  readonly #items: Array<Item | undefined> = []
  readonly #batches: Batch[]

  /** Throws a MalformedError */
  constructor (bytes: Uint8Array, seq: number) {
    const reader = open(bytes, Kind.RECORD, seq)
    this.seq = seq
    this.byteLength = bytes.byteLength
    this.arrival = reader.uvarint()
    this.#batches = reader.list(MAX_SLOTS, () => this.#readBatch(reader))
    this.absent = reader.list(MAX_SLOTS, () => ({ slot: reader.byte(), absent: reader.list(MAX_SLOTS, () => reader.raw(ID_BYTES)) }))
    this.removed = Object.fromEntries(reader.list(TABLES.length, () => readRemoved(reader)))
    expectEnd(reader)
  }

  /** Entries that it was written with */
  get size (): number {
    return this.#items.length
  }

  /** Undefined: the entry was removed, and is not here any more */
  entryAt (slot: number): StoredEntry | undefined {
    const item = this.#items[slot]
    const batch = this.#batches.findLast(batch => batch.slot <= slot)

    if (item == null || (item.flags & HOLE) !== 0 || batch?.proof == null) {
      return undefined
    }

    return new StoredEntry(this, item, slot, batch.proof, slot - batch.slot)
  }

  /** The same without the bytes of some entries. Undefined: nothing is left of it */
  without (slots: Set<number>): Uint8Array | undefined {
    const items = this.#items.map((item, slot): Item => {
      const isGone = item == null || slots.has(slot) || (item.flags & HOLE) !== 0
      return isGone ? { flags: HOLE, id: item == null ? NOTHING : idOf(item), bytes: NOTHING } : item
    })
    const batches = this.#batches.map(({ slot, count, proof }): Batch => {
      const isLeft = items.slice(slot, slot + count).some(({ flags }) => (flags & HOLE) === 0)
      return { slot, count, proof: isLeft ? proof : undefined }
    })

    return batches.some(({ proof }) => proof != null) ? encode(this.seq, this.arrival, batches, items, [], {}) : undefined
  }

  #readBatch (reader: Reader): Batch {
    const head = reader.uvarint()
    const count = Math.floor(head / 2)
    const slot = this.#items.length

    if (count < 1 || slot + count > MAX_SLOTS) {
      throw new MalformedError(`a batch of ${count} entries in a record`)
    }
    if (head % 2 === 1) {
      this.#items.length += count
      return { slot, count }
    }

    const [size, first] = [reader.uvarint(), reader.uvarint()]

    if (size > MAX_BATCH || first + count > size) {
      throw new MalformedError(`${count} entries from ${first} on of a batch of ${size}`)
    }

    const beside = reader.raw(ID_BYTES * besideLength(size, first, count))
    const signature = reader.bytes(MAX_SIGNATURE_BYTES)

    for (let i = 0; i < count; i++) {
      this.#items.push(readItem(reader))
    }

    const ids = (): Uint8Array[] => this.#items.slice(slot, slot + count).map(item => idOf(item as Item))
    return { slot, count, proof: new SharedProof({ size, first, count, beside, signature, ids }) }
  }
}

function idOf (item: Item): Uint8Array {
  item.id ??= sha256(item.bytes)
  return item.id
}

function readItem (reader: Reader): Item {
  const head = reader.uvarint()
  const flags = head % FLAGS
  const id = (flags & (WITH_ID | HOLE)) === 0 ? undefined : reader.raw(ID_BYTES)
  return { flags, id, bytes: reader.raw((head - flags) / FLAGS) }
}

function readRemoved (reader: Reader): [TableName, Uint8Array[]] {
  const table = TABLES[reader.byte()]

  if (table == null) {
    throw new MalformedError('rows of a table that there is not')
  }

  return [table, reader.list(Infinity, () => reader.raw(SPECS[table].width))]
}
