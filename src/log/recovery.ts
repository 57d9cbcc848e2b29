import { MalformedError } from '../runtime/errors.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { Pacer } from '../runtime/pacer.ts'
import { NewerVersionError } from '../storage/core/checksummed.ts'
import { nextShelf, SHELF, shelfOf } from '../storage/disk.ts'
import { DamagedPageError, walk } from '../storage/pages.ts'
import { rowsOfChunks, RunWriter } from '../storage/run-writer.ts'
import { manifestName } from './checkpoints.ts'
import { Fences } from './core/fences.ts'
import { LogIndex } from './core/log-index.ts'
import { decodeManifest } from './core/manifest.ts'
import { StoredRecord } from './core/record.ts'
import { deadRow, SPECS, TABLES } from './core/rows.ts'
import { StoreVersionError } from './errors.ts'
import { additionsOf } from './state.ts'
import type { Addition } from './core/log-index.ts'
import type { Manifest } from './core/manifest.ts'
import type { RemovedRows } from './core/record.ts'
import type { StoreState } from './state.ts'
import type { Disk } from '../storage/disk.ts'

/**
 * Numbers that a disk that fails may leave empty between two that it does not: those of pages that two runs write at
 * once, and some more
 */
const MAX_GAP = 64

/** The newest manifest that can be read. Throws a StoreVersionError */
export async function readManifest (disk: Disk): Promise<{ manifest?: Manifest, isDamaged: boolean }> {
  let newest: Manifest | undefined
  let isDamaged = false

  for (const parity of [0, 1]) {
    const bytes = await disk.getNamed(manifestName(parity))
    const manifest = bytes == null ? undefined : decoded(() => decodeManifest(bytes))

    if (manifest instanceof MalformedError) {
      isDamaged = true
    } else if (manifest != null && manifest.generation > (newest?.generation ?? -1)) {
      newest = manifest
    }
  }

  return { manifest: newest, isDamaged }
}

/** What a store holds that is in no run */
export interface Tail {
  /** `values`: those that have been read */
  records: Array<{ seqs: number[], values?: Map<number, Uint8Array> }>
  /** Pages that no manifest names */
  useless: number[]
  nextSeq: number
}

/** What was stored after a manifest was; without one all there is */
export async function readTail (disk: Disk, manifest?: Manifest): Promise<Tail> {
  if (manifest == null) {
    const { record, page } = await disk.seqs()
    return {
      records: [{ seqs: record }], useless: page, nextSeq: Math.max(-1, record.at(-1) ?? -1, page.at(-1) ?? -1) + 1
    }
  }

  const { tail, nextSeq, unfinished } = manifest
  const found: Tail = { records: [], useless: [...unfinished], nextSeq }
  let empty = 0

  for (let shelf = shelfOf(tail); shelf < nextSeq || empty * SHELF < MAX_GAP; shelf = nextShelf(shelf + 1)) {
    const { record, page, values } = await disk.seqs(shelf)
    empty = record.length + page.length === 0 ? empty + 1 : 0
    found.records.push({ seqs: record, values })
    found.useless = found.useless.concat(page.filter(seq => seq >= nextSeq))
    found.nextSeq = Math.max(found.nextSeq, (record.at(-1) ?? 0) + 1, (page.at(-1) ?? 0) + 1)
  }

  return found
}

export interface ReplayOptions {
  /** Keys of rows of the table `dead`: an index is made anew of records, of which something may be missing */
  dead?: Set<string>
  /** Called after each record that was applied */
  onApplied (record: StoredRecord): Promise<void> | void
  /** Before this record so many entries came that are not there */
  onMissing? (seq: number, count: number): void
  /** A record cannot be read */
  onDamaged (seq: number, why: string, isLast: boolean): Promise<void>
}

/** Rows of the table `dead` that are read at once */
const ROWS = 4096
/** Entries of records that remove nothing that the index is told of at once */
const AT_ONCE = 256

/** Tells the index of records, as if they were written now */
export async function replay (
  state: StoreState, index: LogIndex, tail: Tail['records'], options: ReplayOptions
): Promise<void> {
  const { disk, pages, clock } = state
  const { dead, onApplied, onDamaged, onMissing } = options
  const pacer = new Pacer(clock)
  let isDoubtful = dead != null
  const last = tail.findLast(({ seqs }) => seqs.length > 0)?.seqs.at(-1)
  let waiting: StoredRecord[] = []
  let added: Addition[] = []
  const apply = async (removed: RemovedRows = {}): Promise<void> => {
    if (waiting.length > 0) {
      const change = { added, removed }
      index.apply(await pages.read(() => index.prepare(change)), waiting)

      for (const record of waiting) {
        await onApplied(record)
      }

      waiting = []
      added = []
    }

    await pacer.pause()
  }

  for (const { seqs, values } of tail) {
    for await (const { seq, bytes } of disk.records(seqs, values)) {
      const record = decoded(() => new StoredRecord(bytes, seq))

      if (record instanceof MalformedError) {
        isDoubtful = true
        await onDamaged(seq, record.message, seq === last)
        continue
      }

      const before = waiting.at(-1)
      const expected = before == null ? index.arrivals : before.arrival + before.size

      // numbers of arrivals follow each other, but where records were given up for good
      if (record.arrival > expected) {
        isDoubtful = true
        onMissing?.(seq, record.arrival - expected)
      }

      const removes = Object.keys(record.removed).length > 0

      if (isDoubtful || removes) {
        await apply()
      }

      const additions = additionsOf(record).filter(place => dead?.has(keyOfBytes(deadRow(place))) !== true)
      added.push(...isDoubtful ? await withoutKnown(state, index, additions) : additions)
      waiting.push(record)

      if (isDoubtful || removes || added.length >= AT_ONCE) {
        await apply(record.removed)
      }
    }
  }

  await apply()
}

/** An entry that came twice, as what says that it was removed in between is damaged: its second place is dead */
async function withoutKnown (state: StoreState, index: LogIndex, added: Addition[]): Promise<Addition[]> {
  const unknown: Addition[] = []

  for (const addition of added) {
    if (await state.pages.read(() => index.find(addition.id)) == null) {
      unknown.push(addition)
    } else {
      await addDead(state, index, deadRow(addition))
    }
  }

  return unknown
}

async function addDead ({ pages }: StoreState, { tables: { dead } }: LogIndex, row: Uint8Array): Promise<void> {
  if (await pages.read(() => dead.find(row)) == null) {
    dead.add(row)
  }
}

function decoded<T> (decode: () => T): T | MalformedError {
  try {
    return decode()
  } catch (err) {
    if (err instanceof NewerVersionError) {
      throw new StoreVersionError(`The log was stored by a later release (${err.message}): update this one`)
    }
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}

/**
 * Makes the index anew from all records that can be read. A removed entry whose bytes are still there comes back only
 * where both the record that removed it and the table `dead` are damaged. `freed`: pages that the index before lay in
 */
export async function rebuild (
  state: StoreState, before?: LogIndex
): Promise<{ index: LogIndex, freed: number[], damaged: number[] }> {
  const dead = before == null ? [] : await deadOf(state, before)
  const { record, page } = await state.disk.seqs()
  const index = new LogIndex(state.pages, before &&
    { ...before.counters, bytes: 0, top: undefined, fences: new Fences() })
  const damaged: number[] = []
  let entries = 0

  await replay(state, index, [{ seqs: record }], {
    dead: new Set(dead.map(keyOfBytes)),
    onApplied: async record => {
      entries += record.size

      if (entries >= state.sizes.checkpointEntries) {
        entries = 0
        await writeOut(state, index)
      }
    },
    onDamaged: async seq => { damaged.push(seq) }
  })

  for (const row of dead) {
    await addDead(state, index, row)
  }

  return { index, freed: page, damaged }
}

/** The rows of the table `dead`, as far as it can be read */
async function deadOf ({ pages }: StoreState, { tables }: LogIndex): Promise<Uint8Array[]> {
  const dead: Uint8Array[][] = []

  try {
    for await (const rows of walk(async options => pages.read(() => tables.dead.scan(options)), ROWS)) {
      dead.push(rows)
    }
  } catch (err) {
    if (!(err instanceof DamagedPageError)) {
      throw err
    }
  }

  return dead.flat()
}

/** Its memtables become runs, which the manifest will name when all is done */
async function writeOut ({ disk, clock, sizes }: StoreState, index: LogIndex): Promise<void> {
  const chunks = index.freeze()

  for (const name of TABLES) {
    const table = index.tables[name]
    const writer = new RunWriter({ store: disk, clock, pageBytes: sizes.pageBytes, partPages: sizes.partPages })
    const [inputs, isBottom] = [[rowsOfChunks(chunks[name])], table.runs.length === 0]
    table.thaw(await writer.write({ spec: SPECS[name], tier: 0, inputs, isBottom }))
  }
}
