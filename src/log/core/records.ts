import { Reader } from '../../runtime/codec.ts'
import { crc32 } from '../../runtime/crc32.ts'
import { TREES } from './catalogue.ts'
import { decodeRoot, encodeRoot } from './pages.ts'
import { Proofs } from './proofs.ts'
import { begin, expectEnd, expectVersion, seal, unseal } from './sealed.ts'
import { ID_BYTES } from './types.ts'
import type { Latest, Listed, Snapshot, TreeName } from './catalogue.ts'
import type { Location } from './keys.ts'
import type { Writer } from '../../runtime/codec.ts'

/** What is stored of a log beside the pages of its trees */

/** Flags of the last entry of an author */
const NAMED = 1
const HERE = 2
/** A slot is a byte */
const MAX_SLOTS = 256

/**
 * Changes since the last state, in order: what a crash leaves is made of both. Of what was added it says only what the blocks do
 * not: they are written with it. Of what was removed it says all, as that is in no block any more
 */
export interface JournalRecord extends Placed {
  /** Each is one more than the last */
  number: number
  /** By the number of the entry among those that were added: its parents that were not here */
  absent: Array<{ index: number, ids: Uint8Array[] }>
  /** CRC-32 of the ids of all that were added: blocks of a write that was torn may lie where these should */
  check: number
  removed: Listed[]
  /** The last entry of our own, if there is a new one */
  tip?: Uint8Array
}

/** Where entries lie that came one after the other */
export interface Placed {
  /** Of the first one */
  arrival: number
  count: number
  /** Arrivals that their blocks begin with */
  starts: number[]
}

export interface State extends Snapshot {
  /** The last record of the journal that is in it */
  journal: number
  /** Pages that the state before needed, and nobody does any more */
  freed: Record<TreeName, number[]>
}

/** Entries that came one after the other, and those of them that are still here */
export type Block = Run[]

/** Neighbours of a batch that share a proof, or a single entry */
export interface Run {
  /** Of the first one */
  slot: number
  /** Its own proof was looked at. If not, a later entry of its author vouched for it: alone nobody else has to believe it */
  isProved: boolean
  /** Empty: it was removed */
  contents: Uint8Array[]
  proofs: Proofs
  /** Which of the proofs the first one has */
  from: number
}

export function encodeJournal ({ number, arrival, count, starts, absent, check, removed, tip }: JournalRecord): Uint8Array {
  const writer = begin(128 + starts.length * 8 + removed.length * 160).uvarint(number).uvarint(arrival).uvarint(count)
  writer.list(starts, start => writer.uvarint(start))
  writer.list(absent, ({ index, ids }) => { writeIds(writer.uvarint(index), ids) })
  writer.uvarint(check)
  writer.list(removed, listed => { writeListed(writer, listed) })
  return seal(writeIds(writer, tip == null ? [] : [tip]))
}

export function decodeJournal (bytes: Uint8Array): JournalRecord {
  const reader = unseal(bytes)
  const [number, arrival, count] = [reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const starts = reader.list(Infinity, () => reader.uvarint())
  const absent = reader.list(Infinity, () => ({ index: reader.uvarint(), ids: readIds(reader) }))
  const check = reader.uvarint()
  const removed = reader.list(Infinity, () => readListed(reader))
  const [tip] = readIds(reader)
  expectEnd(reader)
  return { number, arrival, count, starts, absent, check, removed, tip }
}

/** One for each entry, in order */
export function locationsOf ({ arrival, count, starts }: Placed): Location[] {
  let block = 0

  return Array.from({ length: count }, (_, i) => {
    block += arrival + i === starts[block + 1] ? 1 : 0
    return { arrival: arrival + i, slot: arrival + i - starts[block] }
  })
}

/** What a record checks */
export function checkOf (ids: Uint8Array[]): number {
  return ids.reduce((crc, id) => crc32(id, crc), 0)
}

export function encodeState ({ journal, trees, latest, tip, arrivals, bytes, clock, freed }: State): Uint8Array {
  const writer = begin(1024 + latest.length * 96).uvarint(journal).uvarint(arrivals).uvarint(bytes).uvarint(clock.time).uvarint(clock.counter)
  writer.list(latest, ({ author, id, time, counter, isNamed, isHere }) => {
    writer.bytes(author).raw(id).uvarint(time).uvarint(counter).byte((isNamed ? NAMED : 0) | (isHere ? HERE : 0))
  })
  writeIds(writer, tip == null ? [] : [tip])

  for (const name of TREES) {
    writer.bytes(encodeRoot(trees[name].root)).uvarint(trees[name].nextPage)
    writer.list(freed[name], page => writer.uvarint(page))
  }

  return seal(writer)
}

export function decodeState (encoded: Uint8Array): State {
  const reader = unseal(encoded)
  const journal = reader.uvarint()
  const arrivals = reader.uvarint()
  const bytes = reader.uvarint()
  const clock = { time: reader.uvarint(), counter: reader.uvarint() }
  const latest = reader.list(Infinity, (): Latest => ({
    author: reader.bytes(), id: reader.raw(ID_BYTES), time: reader.uvarint(), counter: reader.uvarint(), ...readFlags(reader)
  }))
  const [tip] = readIds(reader)
  const trees: Partial<State['trees']> = {}
  const freed: Partial<State['freed']> = {}

  for (const name of TREES) {
    trees[name] = { root: decodeRoot(reader.bytes()), nextPage: reader.uvarint() }
    freed[name] = reader.list(Infinity, () => reader.uvarint())
  }

  expectEnd(reader)
  return { journal, arrivals, bytes, clock, latest, tip, trees: trees as State['trees'], freed: freed as State['freed'] }
}

/** Blocks have no checksum: entries have ids */
export function encodeBlock (block: Block): Uint8Array {
  const shared = block.map(({ proofs, from, contents }) => proofs.part(from, contents.length).bytes)
  const sizes = block.map(({ contents }, i) => contents.reduce((size, { byteLength }) => size + byteLength + 4, shared[i].byteLength + 16))
  const writer = begin(sizes.reduce((sum, size) => sum + size, 8)).uvarint(block.length)

  block.forEach(({ slot, isProved, contents }, i) => {
    writer.byte(slot).byte(isProved ? 1 : 0).list(contents, content => writer.bytes(content)).bytes(shared[i])
  })

  return writer.finish()
}

export function decodeBlock (bytes: Uint8Array): Block {
  const reader = new Reader(bytes)
  expectVersion(reader)
  return reader.list(MAX_SLOTS, () => {
    const [slot, flag] = [reader.byte(), reader.byte()]
    const contents = reader.list(MAX_SLOTS, () => reader.bytes())
    return { slot, isProved: flag === 1, contents, proofs: new Proofs(reader.bytes(), contents.length), from: 0 }
  })
}

function writeListed (writer: Writer, { id, time, counter, position, arrival, slot, size, author, parents }: Listed): void {
  writer.raw(id).uvarint(time).uvarint(counter).uvarint(position).uvarint(arrival).byte(slot).uvarint(size).bytes(author)
  writeIds(writer, parents)
}

function readListed (reader: Reader): Listed {
  return {
    id: reader.raw(ID_BYTES),
    time: reader.uvarint(),
    counter: reader.uvarint(),
    position: reader.uvarint(),
    arrival: reader.uvarint(),
    slot: reader.byte(),
    size: reader.uvarint(),
    author: reader.bytes(),
    parents: readIds(reader)
  }
}

function readFlags (reader: Reader): Pick<Latest, 'isNamed' | 'isHere'> {
  const flags = reader.byte()
  return { isNamed: (flags & NAMED) !== 0, isHere: (flags & HERE) !== 0 }
}

function writeIds (writer: Writer, ids: Uint8Array[]): Writer {
  return writer.list(ids, id => writer.raw(id))
}

function readIds (reader: Reader): Uint8Array[] {
  return reader.list(Infinity, () => reader.raw(ID_BYTES))
}
