import { MalformedError } from '../runtime/errors.ts'
import { Pacer } from '../runtime/pacer.ts'
import { manifestName } from './checkpoints.ts'
import { NewerVersionError } from './core/checksummed.ts'
import { LogIndex } from './core/log-index.ts'
import { decodeManifest } from './core/manifest.ts'
import { StoredRecord } from './core/record.ts'
import { deadRow, readDead, successor, TABLES } from './core/rows.ts'
import { DamagedIndexError, StoreVersionError } from './errors.ts'
import { rowsOfChunks, RunWriter } from './run-writer.ts'
import { additionsOf } from './state.ts'
import type { Addition } from './core/log-index.ts'
import type { Manifest } from './core/manifest.ts'
import type { Disk } from './disk.ts'
import type { Pages } from './pages.ts'
import type { StoreState } from './state.ts'

/** Numbers that a disk that fails may leave empty between two that it does not: those of pages that two runs write at once, and some more */
const MAX_GAP = 64
/** Rows of the table `dead` that are read at once */
const ROWS = 4096

/** What manifests there are */
export interface Manifests {
  newest?: Manifest
  /** What the one before freed may not have been deleted yet */
  before?: Manifest
  /** One was there that cannot be read */
  isDamaged: boolean
}

/** Throws a StoreVersionError */
export async function readManifests (disk: Disk): Promise<Manifests> {
  const found: Manifest[] = []
  let isDamaged = false

  for (const parity of [0, 1]) {
    const bytes = await disk.getNamed(manifestName(parity))

    try {
      if (bytes != null) {
        found.push(decodeManifest(bytes))
      }
    } catch (err) {
      if (err instanceof NewerVersionError) {
        throw newer(err)
      }
      if (!(err instanceof MalformedError)) {
        throw err
      }
      isDamaged = true
    }
  }

  const [newest, before] = found.sort((a, b) => b.generation - a.generation)
  return { newest, before, isDamaged }
}

/** What a store holds that no manifest names */
export interface Tail {
  records: Array<{ seqs: number[], isWhole: boolean }>
  pages: number[]
  nextSeq: number
}

/** What was stored after a manifest was; without one all there is */
export async function readTail (disk: Disk, manifest?: Manifest): Promise<Tail> {
  if (manifest == null) {
    const { record, page } = await disk.all()
    return { records: [{ seqs: record, isWhole: false }], pages: page, nextSeq: Math.max(-1, record.at(-1) ?? -1, page.at(-1) ?? -1) + 1 }
  }

  const { tail, sweepFrom, nextSeq } = manifest
  const found: Tail = { records: [], pages: [], nextSeq }
  let empty = 0

  for (let shelf = disk.shelfOf(Math.min(tail, sweepFrom)); shelf < nextSeq || empty * disk.shelfKeys < MAX_GAP; shelf = disk.nextShelf(shelf + 1)) {
    const { record, page } = await disk.shelf(shelf)
    empty = record.length + page.length === 0 ? empty + 1 : 0
    found.records.push({ seqs: record.filter(seq => seq >= tail), isWhole: shelf >= tail })
    found.pages.push(...page.filter(seq => seq >= sweepFrom))
    found.nextSeq = Math.max(found.nextSeq, (record.at(-1) ?? 0) + 1, (page.at(-1) ?? 0) + 1)
  }

  return found
}

export interface ReplayOptions {
  isDead? (seq: number, slot: number): boolean
  /** Called after each record that was applied */
  onApplied (record: StoredRecord): Promise<void> | void
  /** Before this record so many entries came that are not there */
  onMissing? (seq: number, count: number): void
  /** A record cannot be read */
  onDamaged (seq: number, why: string, isLast: boolean): Promise<void>
}

/** Tells an index of records, as if they were written now */
export async function replay ({ disk, pages, clock }: StoreState, index: LogIndex, tail: Tail['records'], options: ReplayOptions): Promise<void> {
  const { isDead, onApplied, onDamaged, onMissing } = options
  const pacer = new Pacer(clock)
  // something may be missing that a record stands on
  let isDoubtful = isDead != null
  const last = tail.flatMap(({ seqs }) => seqs.slice(-1)).at(-1)

  for (const { seqs, isWhole } of tail) {
    for await (const { seq, bytes } of disk.records(seqs, isWhole)) {
      const record = readRecord(bytes, seq)

      if (record instanceof StoredRecord) {
        const added = additionsOf(record, isDead == null ? undefined : slot => isDead(seq, slot))
        // numbers of arrivals follow each other, but where records were given up for good
        if (isDead == null && record.arrival > index.arrivals) {
          isDoubtful = true
          onMissing?.(seq, record.arrival - index.arrivals)
        }
        if (isDoubtful) {
          await leaveOutKnown(pages, index, seq, added)
        }

        const prepared = await pages.read(() => index.prepare(added, record.removed))
        index.apply({ seq, arrival: record.arrival, added, ...prepared })
        await onApplied(record)
      } else {
        isDoubtful = true
        await onDamaged(seq, record.message, seq === last)
      }

      await pacer.pause()
    }
  }
}

/** An entry that came twice, as what says that it was removed in between is damaged: its second place is dead */
async function leaveOutKnown (pages: Pages, index: LogIndex, seq: number, added: Array<Addition | undefined>): Promise<void> {
  const { dead } = index.tables

  for (const [slot, addition] of added.entries()) {
    if (addition != null && await pages.read(() => index.find(addition.id)) != null) {
      const row = deadRow({ seq, slot })
      added[slot] = undefined

      if (await pages.read(() => dead.find(row)) == null) {
        dead.add(row)
      }
    }
  }
}

function readRecord (bytes: Uint8Array, seq: number): StoredRecord | MalformedError {
  try {
    return new StoredRecord(bytes, seq)
  } catch (err) {
    if (err instanceof NewerVersionError) {
      throw newer(err)
    }
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}

function newer ({ message }: NewerVersionError): StoreVersionError {
  return new StoreVersionError(`The log was stored by a later release (${message}): update this one`)
}

export interface Rebuilt {
  index: LogIndex
  /** Pages that the index before lay in */
  freed: number[]
  damaged: number[]
}

/**
 * Makes the index anew from all records that can be read: something of it, or both manifests, cannot. Entries that were removed, and
 * whose bytes are still there, come back only where what said so is damaged itself.
 */
export async function rebuild (state: StoreState, before?: LogIndex): Promise<Rebuilt> {
  const dead = before == null ? new Map<number, Set<number>>() : await deadOf(state, before)
  const { record, page } = await state.disk.all()
  const index = new LogIndex(state.pages, before == null ? undefined : { ...before.counters, bytes: 0, top: undefined })
  const damaged: number[] = []
  let entries = 0

  await replay(state, index, [{ seqs: record, isWhole: false }], {
    isDead: (seq, slot) => dead.get(seq)?.has(slot) === true,
    onApplied: async record => {
      entries += record.size

      if (entries >= state.sizes.checkpointEntries) {
        entries = 0
        await writeOut(state, index)
      }
    },
    onDamaged: async seq => { damaged.push(seq) }
  })

  for (const [seq, slots] of dead) {
    for (const slot of slots) {
      const row = deadRow({ seq, slot })

      if (await state.pages.read(() => index.tables.dead.find(row)) == null) {
        index.tables.dead.add(row)
      }
    }
  }

  return { index, freed: page, damaged }
}

/** Its memtables become runs, which the manifest will name when all is done */
async function writeOut (state: StoreState, index: LogIndex): Promise<void> {
  const chunks = index.freeze()

  for (const table of TABLES) {
    const { runs } = index.tables[table]
    const run = await new RunWriter(state).write({ table, tier: 0, inputs: [rowsOfChunks(chunks[table])], isBottom: runs.length === 0 })
    index.tables[table].thaw(run)
  }
}

async function deadOf ({ pages }: StoreState, { tables }: LogIndex): Promise<Map<number, Set<number>>> {
  const dead = new Map<number, Set<number>>()

  try {
    for (let from: Uint8Array | undefined, isEnd = false; !isEnd;) {
      const rows = await pages.read(() => tables.dead.scan({ from, limit: ROWS }))

      for (const { seq, slot } of rows.map(readDead)) {
        dead.set(seq, (dead.get(seq) ?? new Set()).add(slot))
      }

      from = rows.length < ROWS ? undefined : successor(rows[rows.length - 1])
      isEnd = from == null
    }

    return dead
  } catch (err) {
    if (err instanceof DamagedIndexError) {
      return dead
    }
    throw err
  }
}
