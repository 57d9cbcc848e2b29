import { Mailboxes } from '../runtime/mailbox.ts'
import { DISK_DEADLINE, MAX_NAMED } from './constants.ts'
import { encodeManifest } from './core/manifest.ts'
import { TABLES } from './core/rows.ts'
import { rowsOf } from './core/run.ts'
import { DamagedIndexError, StoreFailedError } from './errors.ts'
import { reclaim } from './reclaim.ts'
import { rowsOfChunks, rowsOfRun, RunWriter, seqsOfRun, StoppedError } from './run-writer.ts'
import type { Counters } from './core/log-index.ts'
import type { Manifest } from './core/manifest.ts'
import type { Rows } from './core/page.ts'
import type { TableName } from './core/rows.ts'
import type { Run } from './core/run.ts'
import type { StoreState } from './state.ts'

/** What a checkpoint is made of: all that came before `tail` */
interface Cut {
  tail: number
  counters: Counters
  chunks: Record<TableName, Rows[]>
  /** Records that hold no entries: of no use once the checkpoint counts */
  empty: number[]
}

const NO_RUNS = Object.fromEntries(TABLES.map((name): [TableName, Run[]] => [name, []])) as Record<TableName, Run[]>
const FIRST: Manifest = {
  generation: 0,
  nextSeq: 0,
  tail: 0,
  tailBefore: 0,
  counters: { arrivals: 0, bytes: 0, clock: { time: 0, counter: 0 } },
  runs: NO_RUNS,
  sweepFrom: 0,
  freed: [],
  freedRecords: []
}

/** Two manifests are kept */
export function manifestName (generation: number): string {
  return `manifest/${generation % 2}`
}

/**
 * Writes what lies in memtables as runs, merges runs, and says in a manifest what there is: all beside what goes on.
 *
 * state    | event           | what happens
 * idle     | memtable full   | cut: memtables are frozen, the next record begins a shelf; writing
 * writing  | runs written    | manifest: the checkpoint counts; idle
 * writing  | disk failed     | failed: what is frozen stays in memory, and is read from there
 * failed   | next write      | writing again; if that fails, too, so does the write
 * any      | memtable full   | writes wait for the checkpoint, or for merges that are far behind
 */
export class Checkpoints {
  readonly #state: StoreState
  readonly #turns: Mailboxes
  #manifest: Manifest
  #cut?: Cut
  #flushing?: Promise<void>
  #merging?: Promise<void>
  #isStopped = false
  /** The first page of a run that is being written */
  readonly #unfinished = new Set<RunWriter>()
  /** What came since the last cut */
  #entries = 0
  #records = 0
  #bytes = 0
  #empty: number[] = []
  /** Pages of runs that were not finished */
  #garbage: number[] = []
  /** Why the last attempt failed */
  failure?: Error
  readonly #onDamaged: (err: Error) => void

  constructor (state: StoreState, manifest: Manifest | undefined, onDamaged: (err: Error) => void) {
    this.#state = state
    this.#manifest = manifest ?? FIRST
    this.#onDamaged = onDamaged
    this.#turns = new Mailboxes({ name: 'manifests of a log', clock: state.clock, deadline: DISK_DEADLINE * 2, capacity: Infinity })
  }

  get isEmpty (): boolean {
    return this.#records === 0 && this.#cut == null
  }

  /** A record was stored */
  note (seq: number, entries: number, bytes: number): void {
    if (entries === 0) {
      this.#empty.push(seq)
    }

    this.#records++
    this.#entries += entries
    this.#bytes += bytes
  }

  /** Resolves when there is room for another record. Throws a StoreFailedError when the disk does not take what is there */
  async ready (): Promise<void> {
    if (this.#isFull && this.#cut != null) {
      await this.#flushing

      if (this.#cut != null) {
        await this.#flush()
      }
      if (this.#cut != null) {
        throw new StoreFailedError(`The log cannot write what it holds in memory (${this.failure?.message}): make room on the disk, and write again`)
      }
    }

    while (this.#merging != null && this.#isBehind) {
      await this.#merging
    }
  }

  /** Begins a checkpoint if one is due. No record may be on its way to the disk */
  begin (): void {
    if (this.#isFull && this.#cut == null && !this.#isStopped) {
      this.#freeze()
      this.#flush().catch(() => {})
    }
  }

  /** Writes all there is, so that the next open reads no records. No record may be on its way to the disk */
  async finish (): Promise<void> {
    await this.stop()
    await this.#flushAll()

    try {
      // what is not stored any more is not to be looked for again
      if (await reclaim(this.#state, this.#manifest.tailBefore, () => false)) {
        this.#freeze()
        await this.#flushAll()
      }
      for (let next = this.#next(true); next != null; next = this.#next(true)) {
        await this.#mergeRuns(...next, () => false)
      }
    } catch (err) {
      // all is stored: the next one who opens the log does it
      this.#state.logger.error('runs could not be merged - %e', err)
    }
  }

  /** Deletes what a crash left behind, and merges what is to be merged: beside what goes on */
  start (pages: number[], records: number[]): void {
    this.#merging = this.#sweep(pages, records).catch(err => {
      this.#state.logger.error('pages that nobody needs could not be deleted - %e', err)
    }).finally(() => {
      this.#merging = undefined
      this.#merge()
    })
  }

  /** What goes on beside the log ends soon */
  async stop (): Promise<void> {
    this.#isStopped = true
    await this.#flushing
    await this.#merging
  }

  /** An index that was made anew takes the place of all there was; `freed`: what that lay in */
  async replace (freed: number[]): Promise<void> {
    this.#cut = undefined
    this.#isStopped = false
    this.#freeze()
    this.#manifest = { ...this.#manifest, runs: NO_RUNS }
    await this.#flush(freed)

    if (this.#cut != null) {
      throw this.failure ?? new StoreFailedError('The index that was made anew could not be written')
    }
  }

  /** Deletes pages that no run names, of those that a crash may have left behind */
  async #sweep (pages: number[], records: number[]): Promise<void> {
    const manifest = this.#manifest

    if (pages.length + records.length === 0) {
      return
    }

    const first = pages.reduce((min, seq) => Math.min(min, seq), Infinity)
    const kept = new Set<number>()

    for (const name of TABLES) {
      for (const { parts } of manifest.runs[name]) {
        for (const { seq } of parts.filter(({ seq }) => seq >= first)) {
          kept.add(seq)
          const { pages } = await this.#state.pages.readPart(name, seq)
          pages.forEach(({ seq }) => kept.add(seq))
        }
      }
    }

    // the manifest before may still be needed
    manifest.freed.forEach(seq => kept.add(seq))
    await this.#state.disk.delete(pages.filter(seq => !kept.has(seq)), 'page')
    await this.#state.disk.delete(records, 'record')
  }

  get #isFull (): boolean {
    const { checkpointEntries, checkpointRecords, checkpointBytes } = this.#state.sizes
    return this.#entries >= checkpointEntries || this.#records >= checkpointRecords || this.#bytes >= checkpointBytes
  }

  /** Reads would have to look at too many runs */
  get #isBehind (): boolean {
    return this.#state.index.tables.ring.runs.filter(({ tier }) => tier === 0).length >= 2 * this.#state.sizes.mergeRuns
  }

  #freeze (): void {
    const { index, disk } = this.#state
    // a prefix of its own: an open reads nothing but what is not in this checkpoint
    this.#state.nextSeq = disk.nextShelf(this.#state.nextSeq)
    this.#cut = { tail: this.#state.nextSeq, counters: index.counters, chunks: index.freeze(), empty: this.#empty }
    this.#empty = []
    this.#entries = this.#records = this.#bytes = 0
  }

  async #flushAll (): Promise<void> {
    while (!this.isEmpty) {
      if (this.#cut == null) {
        this.#freeze()
      }

      await this.#flush()

      if (this.#cut != null) {
        throw new StoreFailedError(`The checkpoint of the log could not be written (${this.failure?.message}): nothing is lost, but the next open takes longer`)
      }
    }
  }

  async #flush (freed: number[] = []): Promise<void> {
    this.#flushing ??= this.#writeCut(freed).then(() => {
      this.failure = undefined
    }, (err: Error) => {
      this.failure = err
      this.#state.logger.error('a checkpoint could not be written - %e', err)
    }).finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
    this.#merge()
  }

  async #writeCut (freed: number[]): Promise<void> {
    const { index } = this.#state
    const { tail, counters, chunks, empty } = this.#cut as Cut
    const runs: Partial<Record<TableName, Run>> = {}
    const writer = new RunWriter(this.#state)
    this.#unfinished.add(writer)

    try {
      for (const table of TABLES) {
        const isBottom = index.tables[table].runs.length === 0
        runs[table] = await writer.write({ table, tier: 0, inputs: [rowsOfChunks(chunks[table])], isBottom })
      }

      await this.#commit(before => ({
        ...before,
        tail,
        tailBefore: before.tail,
        counters,
        runs: mapTables(name => [...index.tables[name].runs, ...runs[name] == null ? [] : [runs[name]]]),
        freed,
        freedRecords: empty
      }), () => {
        TABLES.forEach(name => { index.tables[name].thaw(runs[name]) })
        this.#cut = undefined
      })
    } catch (err) {
      // not deleted yet: a manifest that names them may be stored, although that failed
      this.#garbage.push(...await writer.abandon())
      throw err
    } finally {
      this.#unfinished.delete(writer)
    }
  }

  /** Merges what is to be merged, one after the other, until nothing is */
  #merge (): void {
    if (this.#merging != null || this.#isStopped || this.failure != null) {
      return
    }

    this.#merging = this.#mergeAll().catch(err => {
      if (err instanceof DamagedIndexError) {
        this.#onDamaged(err)
      } else if (!(err instanceof StoppedError)) {
        // it is tried again after the next checkpoint
        this.#state.logger.error('runs could not be merged - %e', err)
      }
    }).finally(() => {
      this.#merging = undefined
    })
  }

  async #mergeAll (): Promise<void> {
    for (let next = this.#next(); next != null && !this.#isStopped; next = this.#next()) {
      await this.#mergeRuns(...next, () => this.#isStopped)
    }

    await reclaim(this.#state, this.#manifest.tailBefore, () => this.#isStopped)
  }

  /** `isSmall`: only what takes no longer than a checkpoint does */
  #next (isSmall = false): [TableName, Run[]] | undefined {
    const { index, sizes } = this.#state

    for (const name of TABLES) {
      const { runs } = index.tables[name]
      const rows = runs.reduce((sum, run) => sum + rowsOf(run), 0)
      const count = runs.reduce((sum, { parts }) => parts.reduce((sum, part) => sum + part.count, sum), 0)

      // more than half of all rows cancel each other
      if (runs.length > 1 && rows > 2 * count + sizes.checkpointEntries / 32 && !(isSmall && rows > sizes.checkpointEntries)) {
        return [name, runs]
      }

      for (const tier of new Set(runs.map(({ tier }) => tier))) {
        const ofTier = runs.filter(run => run.tier === tier).slice(0, sizes.mergeRuns)

        if (ofTier.length === sizes.mergeRuns && !(isSmall && rowsFrom(ofTier, 0) > sizes.checkpointEntries)) {
          return [name, ofTier]
        }
      }
    }
  }

  async #mergeRuns (name: TableName, runs: Run[], isStopped: () => boolean): Promise<void> {
    const table = this.#state.index.tables[name]
    const isBottom = table.runs[0] === runs[0]
    const writer = new RunWriter(this.#state, isStopped)
    this.#unfinished.add(writer)
    // parents that were named longest ago are forgotten with the run that names them
    const inputs = name === 'named' && isBottom ? runs.filter((_, i) => rowsFrom(runs, i) <= MAX_NAMED) : runs

    try {
      const freed = (await Promise.all(runs.map(async run => seqsOfRun(this.#state, name, run)))).flat()
      const read = inputs.map(run => rowsOfRun(this.#state, name, run))
      const tier = Math.max(...runs.map(({ tier }) => tier)) + 1
      const run = await writer.write({ table: name, tier, inputs: read, isBottom })

      await this.#commit(before => {
        const at = before.runs[name].findIndex(({ parts }) => parts[0].seq === runs[0].parts[0].seq)
        const merged = before.runs[name].toSpliced(at, runs.length, ...run == null ? [] : [run])
        return { ...before, tailBefore: before.tail, runs: { ...before.runs, [name]: merged }, freed, freedRecords: [] }
      }, () => { table.replace(runs, run) })
    } catch (err) {
      // not deleted yet: a manifest that names them may be stored, although that failed
      this.#garbage.push(...await writer.abandon())
      throw err
    } finally {
      this.#unfinished.delete(writer)
    }
  }

  /** One manifest after the other: what the one before the last needed is deleted when the new one is there */
  async #commit (change: (before: Manifest) => Manifest, committed: () => void): Promise<void> {
    await this.#turns.turn('', async () => {
      const { disk, pages } = this.#state
      const { freed, freedRecords, generation } = this.#manifest
      const sweepFrom = Math.min(this.#state.nextSeq, ...[...this.#unfinished].flatMap(({ seqs }) => seqs.slice(0, 1)))
      const manifest = { ...change(this.#manifest), generation: generation + 1, nextSeq: this.#state.nextSeq, sweepFrom }
      manifest.freed = [...manifest.freed, ...this.#garbage]
      await disk.putNamed(manifestName(manifest.generation), encodeManifest(manifest))
      this.#manifest = manifest
      this.#garbage = []
      committed()
      pages.forget(freed)
      await Promise.all([disk.delete(freed, 'page'), disk.delete(freedRecords, 'record')]).catch(err => {
        // they take up room, and nothing else
        this.#state.logger.error('pages that nobody needs could not be deleted - %e', err)
      })
    })
  }
}

function rowsFrom (runs: Run[], first: number): number {
  return runs.slice(first).reduce((sum, run) => sum + rowsOf(run), 0)
}

function mapTables<T> (value: (name: TableName) => T): Record<TableName, T> {
  return Object.fromEntries(TABLES.map(name => [name, value(name)])) as Record<TableName, T>
}
