import { begin, expectEnd, finish, Kind, numberOf, open } from '../../storage/core/checksummed.ts'
import { readRun, writeRun } from '../../storage/core/run.ts'
import { Fences } from './fences.ts'
import { forTables, SPECS, TABLES } from './rows.ts'
import { ID_BYTES } from './types.ts'
import type { Counters } from './log-index.ts'
import type { TableName } from './rows.ts'
import type { Run } from '../../storage/core/run.ts'

/**
 * Names everything that a checkpoint consists of: writing it is what makes the checkpoint count. Two are kept, and what
 * the one before names is deleted only after the next one is written: so each of them can be opened.
 */
export interface Manifest {
  generation: number
  /** Records from this number on are in no run, and are read when the log is opened */
  tail: number
  /** The same of the manifest before: what it needs stays as it is */
  tailBefore: number
  /** The next number that nothing has been stored under: pages from there on are of no use */
  nextSeq: number
  counters: Counters
  runs: Record<TableName, Run[]>
  /** Numbers of pages and parts that this manifest does not need, and the one before may */
  freed: number[]
  /** Numbers below `nextSeq` of pages of runs that were being written */
  unfinished: number[]
}

export const FIRST: Manifest = {
  generation: 0,
  tail: 0,
  tailBefore: 0,
  nextSeq: 0,
  counters: { arrivals: 0, bytes: 0, clock: { time: 0, counter: 0 }, fences: new Fences() },
  runs: forTables(() => []),
  freed: [],
  unfinished: []
}

export function encodeManifest (
  { generation, tail, tailBefore, nextSeq, counters, runs, freed, unfinished }: Manifest
): Uint8Array {
  const { arrivals, bytes, clock, top, fences } = counters
  const writer = begin(Kind.MANIFEST, generation, 4096)
  writer.uvarint(tail).uvarint(tailBefore).uvarint(nextSeq)
  writer.uvarint(arrivals).uvarint(bytes).uvarint(clock.time).uvarint(clock.counter)
  writer.list(top == null ? [] : [top], ({ time, counter, id }) => writer.uvarint(time).uvarint(counter).raw(id))
  fences.encode(writer)
  TABLES.forEach(name => { writer.list(runs[name], run => { writeRun(writer, run) }) })
  return finish(writer.list(freed, seq => writer.uvarint(seq)).list(unfinished, seq => writer.uvarint(seq)))
}

/** Throws a MalformedError, or a NewerVersionError */
export function decodeManifest (encoded: Uint8Array): Manifest {
  const generation = numberOf(encoded)
  const reader = open(encoded, Kind.MANIFEST, generation)
  const [tail, tailBefore, nextSeq] = [reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const [arrivals, bytes, time, counter] = [reader.uvarint(), reader.uvarint(), reader.uvarint(), reader.uvarint()]
  const [top] = reader.list(1, () => ({ time: reader.uvarint(), counter: reader.uvarint(), id: reader.raw(ID_BYTES) }))
  const fences = Fences.decode(reader)
  const runs = forTables(name => reader.list(Infinity, () => readRun(reader, SPECS[name])))
  const [freed, unfinished] = [
    reader.list(Infinity, () => reader.uvarint()), reader.list(Infinity, () => reader.uvarint())
  ]
  expectEnd(reader)
  return {
    generation,
    tail,
    tailBefore,
    nextSeq,
    counters: { arrivals, bytes, clock: { time, counter }, top, fences },
    runs,
    freed,
    unfinished
  }
}
