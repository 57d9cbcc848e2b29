import { begin, expectEnd, finish, Kind, numberOf, open } from './checksummed.ts'
import { SPECS, TABLES } from './rows.ts'
import { readSpan, writeSpan } from './run.ts'
import { ID_BYTES } from './types.ts'
import type { Counters } from './log-index.ts'
import type { TableName } from './rows.ts'
import type { Part, Run } from './run.ts'
import type { Reader, Writer } from '../../runtime/codec.ts'

/**
 * Names everything that a checkpoint consists of: writing it is what makes the checkpoint count. Two are kept, and what the
 * one before names is deleted only after the next one is written: so each of them can be opened.
 */
export interface Manifest {
  generation: number
  /** The next number that nothing has been stored under */
  nextSeq: number
  /** Records from this number on are in no run, and are read when the log is opened */
  tail: number
  /** The same of the manifest before: what it needs stays as it is */
  tailBefore: number
  counters: Counters
  runs: Record<TableName, Run[]>
  /** Pages from this number on may be of a run that was not finished */
  sweepFrom: number
  /** Numbers of pages and parts that the manifest before needs, and this one does not */
  freed: number[]
  /** Numbers of records that the manifest before needs to be replayed, and that hold no entries */
  freedRecords: number[]
}

export function encodeManifest ({ generation, nextSeq, tail, tailBefore, counters, runs, sweepFrom, freed, freedRecords }: Manifest): Uint8Array {
  const { arrivals, bytes, clock, top } = counters
  const writer = begin(Kind.MANIFEST, generation, 4096)
  writer.uvarint(nextSeq).uvarint(tail).uvarint(tailBefore).uvarint(sweepFrom)
  writer.uvarint(arrivals).uvarint(bytes).uvarint(clock.time).uvarint(clock.counter)
  writer.list(top == null ? [] : [top], ({ time, counter, id }) => writer.uvarint(time).uvarint(counter).raw(id))

  for (const name of TABLES) {
    writer.list(runs[name], ({ tier, parts }) => { writer.uvarint(tier).list(parts, part => { writePart(writer, part) }) })
  }

  return finish(writer.list(freed, seq => writer.uvarint(seq)).list(freedRecords, seq => writer.uvarint(seq)))
}

/** Throws a MalformedError, or a NewerVersionError */
export function decodeManifest (bytes: Uint8Array): Manifest {
  const generation = numberOf(bytes)
  const reader = open(bytes, Kind.MANIFEST, generation)
  const [nextSeq, tail, tailBefore, sweepFrom] = [reader.uvarint(), reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const [arrivals, size] = [reader.uvarint(), reader.uvarint()]
  const clock = { time: reader.uvarint(), counter: reader.uvarint() }
  const [top] = reader.list(1, () => ({ time: reader.uvarint(), counter: reader.uvarint(), id: reader.raw(ID_BYTES) }))
  const runs = Object.fromEntries(TABLES.map(name => {
    return [name, reader.list(Infinity, (): Run => ({ tier: reader.uvarint(), parts: reader.list(Infinity, () => readPart(reader, name)) }))]
  })) as Manifest['runs']
  const [freed, freedRecords] = [reader.list(Infinity, () => reader.uvarint()), reader.list(Infinity, () => reader.uvarint())]
  expectEnd(reader)
  return { generation, nextSeq, tail, tailBefore, counters: { arrivals, bytes: size, clock, top }, runs, sweepFrom, freed, freedRecords }
}

function writePart (writer: Writer, part: Part): void {
  writeSpan(writer, part)
  writer.raw(part.last)
}

function readPart (reader: Reader, name: TableName): Part {
  return { ...readSpan(reader, name), last: reader.raw(SPECS[name].width) }
}
