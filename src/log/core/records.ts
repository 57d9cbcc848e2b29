import { Reader } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { TREES } from './catalogue.ts'
import { keyOf } from './covering.ts'
import { readRaw, writeRaw } from './entry.ts'
import { decodeRoot, encodeRoot } from './pages.ts'
import { begin, expectEnd, expectVersion, seal, unseal } from './sealed.ts'
import { ID_BYTES } from './types.ts'
import type { Addition, Change, Latest, Listed, Snapshot, TreeName } from './catalogue.ts'
import type { RawEntry } from './types.ts'
import type { Writer } from '../../runtime/codec.ts'

/** What is stored of a log beside the pages of its trees */

/** Flags of the last entry of an author */
const NAMED = 1
const HERE = 2
/** A slot is a byte */
const MAX_SLOTS = 256

/** Changes since the last state, in order: what a crash leaves is made of both */
export interface JournalRecord extends Change {
  /** Each is one more than the last */
  number: number
}

export interface State extends Snapshot {
  /** The last record of the journal that is in it */
  journal: number
  /** Pages that the state before needed, and nobody does any more */
  freed: Record<TreeName, number[]>
}

/** Entries that came one after the other, and those of them that are still here */
export type Block = Stored[]

export interface Stored extends RawEntry {
  slot: number
  /** Its own proof was looked at. If not, a later entry of its author vouched for it: alone nobody else has to believe it */
  isProved: boolean
}

export function encodeJournal ({ number, added, removed, tip }: JournalRecord): Uint8Array {
  const writer = begin(128 + added.length * 128 + removed.length * 64).uvarint(number)
  const authors = new Map(added.map(({ author }) => [keyOf(author), author]))
  const indexes = new Map([...authors.keys()].map((key, i) => [key, i]))
  writer.list([...authors.values()], author => writer.bytes(author))
  writer.list(added, addition => {
    writeListed(writer, addition)
    writer.uvarint(indexes.get(keyOf(addition.author)) ?? 0)
    writeIds(writer, addition.parents)
    writeIds(writer, addition.absent)
  })
  writer.list(removed, listed => { writeListed(writer, listed) })
  return seal(writeIds(writer, tip == null ? [] : [tip]))
}

export function decodeJournal (bytes: Uint8Array): JournalRecord {
  const reader = unseal(bytes)
  const number = reader.uvarint()
  const authors = reader.list(Infinity, () => reader.bytes())
  const added = reader.list(Infinity, (): Addition => ({ ...readListed(reader), author: readAuthor(reader, authors), parents: readIds(reader), absent: readIds(reader) }))
  const removed = reader.list(Infinity, () => readListed(reader))
  const [tip] = readIds(reader)
  expectEnd(reader)
  return { number, added, removed, tip }
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
  const writer = begin(block.reduce((size, { bytes, proof }) => size + bytes.byteLength + proof.byteLength + 12, 8))
  return writer.list(block, stored => writeRaw(writer.byte(stored.slot).byte(stored.isProved ? 1 : 0), stored)).finish()
}

export function decodeBlock (bytes: Uint8Array): Block {
  const reader = new Reader(bytes)
  expectVersion(reader)
  return reader.list(MAX_SLOTS, () => ({ slot: reader.byte(), isProved: reader.byte() === 1, ...readRaw(reader) }))
}

function writeListed (writer: Writer, { id, time, counter, position, arrival, slot, size }: Listed): void {
  writer.raw(id).uvarint(time).uvarint(counter).uvarint(position).uvarint(arrival).byte(slot).uvarint(size)
}

function readListed (reader: Reader): Listed {
  return {
    id: reader.raw(ID_BYTES),
    time: reader.uvarint(),
    counter: reader.uvarint(),
    position: reader.uvarint(),
    arrival: reader.uvarint(),
    slot: reader.byte(),
    size: reader.uvarint()
  }
}

function readFlags (reader: Reader): Pick<Latest, 'isNamed' | 'isHere'> {
  const flags = reader.byte()
  return { isNamed: (flags & NAMED) !== 0, isHere: (flags & HERE) !== 0 }
}

function readAuthor (reader: Reader, authors: Uint8Array[]): Uint8Array {
  const author = authors[reader.uvarint()]

  if (author == null) {
    throw new MalformedError('a record names an author that it does not have')
  }
  return author
}

function writeIds (writer: Writer, ids: Uint8Array[]): Writer {
  return writer.list(ids, id => writer.raw(id))
}

function readIds (reader: Reader): Uint8Array[] {
  return reader.list(Infinity, () => reader.raw(ID_BYTES))
}
