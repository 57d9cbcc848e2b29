import { rowsOf } from '../storage/core/run.ts'
import { nextShelf } from '../storage/disk.ts'
import { DamagedPageError } from '../storage/pages.ts'
import { rowsOfChunks, rowsOfRun, RunWriter, StoppedError } from '../storage/run-writer.ts'
import { MAX_NAMED } from './constants.ts'
import { encodeManifest, FIRST } from './core/manifest.ts'
import { forTables, SPECS, TABLES } from './core/rows.ts'
import { StoreFailedError } from './errors.ts'
import { reclaim } from './reclaim.ts'
import type { Counters } from './core/log-index.ts'
import type { Manifest } from './core/manifest.ts'
import type { TableName } from './core/rows.ts'
import type { StoreState } from './state.ts'
import type { Rows } from '../storage/core/rows.ts'
import type { Run } from '../storage/core/run.ts'
import type { NextRows } from '../storage/run-writer.ts'

/** Useless pages that may stay on the disk: a deleted key makes LevelDB write its neighbours anew. A guess: 16 MB */
const MAX_FREED = 1000

/** What a checkpoint is made of: all that came before `tail` */
interface Cut {
  tail: number
  counters: Counters
  chunks: Record<TableName, Rows[]>
}

/** Two manifests are kept */
export function manifestName (generation: number): string {
  return `manifest/${generation % 2}`
}

/**
 * A checkpoint writes memtables as runs, and a manifest that names all runs. Merges go on beside it: the next manifest
 * names what they wrote.
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
  /** The newest one that is stored */
  #manifest: Manifest
  #cut?: Cut
  /** Writers of runs that nothing names yet */
  readonly #writers = new Set<RunWriter>()
  #flushing?: Promise<void>
  #merging?: Promise<void>
  #isStopped = false
  /** Entries, records and bytes since the last cut */
  #entries = 0
  #records = 0
  #bytes = 0
  /** Pages that became useless since the newest manifest, which may need them */
  #freed: number[]
  /** Deleted pages that the newest manifest still names as useless: so a crash in the middle leaves none behind */
  #deleted = new Set<number>()
  /** Why the last checkpoint failed */
  failure?: Error
  readonly #onDamaged: (err: Error) => void

  /** `freed`: pages that a crash left behind */
  constructor (state: StoreState, manifest: Manifest | undefined, freed: number[], onDamaged: (err: Error) => void) {
    this.#state = state
    this.#manifest = manifest ?? FIRST
    this.#freed = freed
    this.#onDamaged = onDamaged
  }

  /** A record was stored */
  note (entries: number, bytes: number): void {
    this.#records++
    this.#entries += entries
    this.#bytes += bytes
  }

  /**
   * Resolves when there is room for another record. Throws a StoreFailedError when the disk does not take what is there
   */
  async ready (): Promise<void> {
    if (this.#isFull && this.#cut != null) {
      await this.#flushing

      if (this.#cut != null) {
        await this.#flush()
      }
      if (this.#cut != null) {
        throw new StoreFailedError(`The log cannot write what it holds in memory (${this.failure?.message}): ` +
          'make room on the disk, and write again')
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
      }
      for (let next = this.#next(true); next != null; next = this.#next(true)) {
        await this.#mergeRuns(...next)
      }

      await this.#flushAll()

      // once to say that it is not needed, once to take it off the disk, and once to say that it is gone
      for (let i = 0; i < 3 && this.#freed.length + this.#manifest.freed.length > 0; i++) {
        await this.#commit(0)
      }
    } catch (err) {
      // all is stored: the next one who opens the log does it
      this.#state.logger.error('runs could not be merged - %e', err)
    }
  }

  /** What goes on beside the log ends soon */
  async stop (): Promise<void> {
    this.#isStopped = true
    await this.#flushing
    await this.#merging
  }

  /** An index that was made anew takes the place of all there was; `freed`: what that lay in */
  async replace (freed: number[]): Promise<void> {
    this.#freed = this.#freed.concat(freed)
    this.#isStopped = false
    this.#freeze()
    await this.#flush()

    if (this.#cut != null) {
      throw this.failure ?? new StoreFailedError('The index that was made anew could not be written')
    }
  }

  /** Merges what is to be merged, one after the other, until nothing is */
  merge (): void {
    if (this.#merging != null || this.#isStopped || this.failure != null) {
      return
    }

    this.#merging = this.#mergeAll().catch(err => {
      if (err instanceof DamagedPageError) {
        this.#onDamaged(err)
      } else if (!(err instanceof StoppedError)) {
        // it is tried again after the next checkpoint
        this.#state.logger.error('runs could not be merged - %e', err)
      }
    }).finally(() => {
      this.#merging = undefined
    })
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
    disk.nextSeq = nextShelf(disk.nextSeq)
    const chunks = index.freeze()
    this.#cut = { tail: disk.nextSeq, counters: index.counters, chunks }
    this.#entries = this.#records = this.#bytes = 0
  }

  async #flushAll (): Promise<void> {
    while (this.#records > 0 || this.#cut != null) {
      if (this.#cut == null) {
        this.#freeze()
      }

      await this.#flush()

      if (this.#cut != null) {
        throw new StoreFailedError(`The checkpoint of the log could not be written (${this.failure?.message}): ` +
          'nothing is lost, but the next open takes longer')
      }
    }
  }

  async #flush (): Promise<void> {
    this.#flushing ??= this.#writeCut().then(() => {
      this.failure = undefined
    }, (err: Error) => {
      this.failure = err
      this.#state.logger.error('a checkpoint could not be written - %e', err)
    }).finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
    this.merge()
  }

  async #writeCut (): Promise<void> {
    const { tables } = this.#state.index
    const cut = this.#cut as Cut

    await this.#writing(undefined, async writer => {
      const runs: Partial<Record<TableName, Run>> = {}

      for (const name of TABLES) {
        const isBottom = tables[name].runs.length === 0
        const rows = rowsOfChunks(cut.chunks[name])
        runs[name] = await writer.write({ spec: SPECS[name], tier: 0, inputs: [rows], isBottom })
      }

      this.#writers.delete(writer)
      await this.#commit(MAX_FREED, cut, runs)
      TABLES.forEach(name => { tables[name].thaw(runs[name]) })
      this.#cut = undefined
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
    const isTooLarge = (runs: Run[]): boolean => isSmall && rowsIn(runs) > sizes.checkpointEntries

    for (const name of TABLES) {
      const { runs } = index.tables[name]
      const count = runs.reduce((sum, { parts }) => parts.reduce((sum, part) => sum + part.count, sum), 0)
      const most = Math.min(2 * count + sizes.checkpointEntries / 32, name === 'named' ? 2 * MAX_NAMED : Infinity)

      // more than half of all rows cancel each other, or are to be forgotten
      if (runs.length > 1 && rowsIn(runs) > most && !isTooLarge(runs)) {
        return [name, runs]
      }

      for (const tier of new Set(runs.map(({ tier }) => tier))) {
        const ofTier = runs.filter(run => run.tier === tier).slice(0, sizes.mergeRuns)

        if (ofTier.length === sizes.mergeRuns && !isTooLarge(ofTier)) {
          return [name, ofTier]
        }
      }
    }
  }

  async #mergeRuns (name: TableName, runs: Run[], isStopped?: () => boolean): Promise<void> {
    const { index, pages } = this.#state
    const table = index.tables[name]
    const isBottom = table.runs[0] === runs[0]
    const spec = SPECS[name]

    await this.#writing(isStopped, async writer => {
      const freed: number[] = []
      const inputs = runs.map((run, i) => {
        const rows = rowsOfRun(pages, spec, run, freed)
        // parents that were named longest ago are forgotten
        return name === 'named' && isBottom ? firstOf(rows, Math.max(MAX_NAMED - rowsIn(runs.slice(i + 1)), 0)) : rows
      })
      const run = await writer.write({ spec, tier: Math.max(...runs.map(({ tier }) => tier)) + 1, inputs, isBottom })
      this.#writers.delete(writer)
      table.replace(runs, run)
      this.#freed = this.#freed.concat(freed)
      pages.forget(freed)
    })
  }

  /** Pages of a failed writer are useless, but stay: a manifest that failed may be stored, and name them */
  async #writing (isStopped: undefined | (() => boolean), run: (writer: RunWriter) => Promise<void>): Promise<void> {
    const { disk, clock, sizes: { pageBytes, partPages } } = this.#state
    const writer = new RunWriter({ store: disk, clock, pageBytes, partPages, isStopped })
    this.#writers.add(writer)

    try {
      await run(writer)
    } catch (err) {
      const useless = await writer.abandon()
      this.#freed = this.#freed.concat(useless)
      throw err
    } finally {
      this.#writers.delete(writer)
    }
  }

  /** Writes a manifest. Then deletes the pages that the one before called useless, if they are more than `maxFreed` */
  async #commit (maxFreed: number, cut?: Cut, added: Partial<Record<TableName, Run>> = {}): Promise<void> {
    const { disk, index } = this.#state
    const before = this.#manifest
    const useless = before.freed.filter(seq => !this.#deleted.has(seq))
    const since = this.#freed.length
    const manifest: Manifest = {
      generation: before.generation + 1,
      tail: cut?.tail ?? before.tail,
      tailBefore: before.tail,
      nextSeq: disk.nextSeq,
      counters: cut?.counters ?? before.counters,
      runs: forTables(name => [...index.tables[name].runs, ...added[name] == null ? [] : [added[name]]]),
      freed: [...useless, ...this.#freed],
      unfinished: [...this.#writers].flatMap(({ seqs }) => seqs)
    }

    await disk.putNamed(manifestName(manifest.generation), encodeManifest(manifest))
    this.#manifest = manifest
    this.#freed = this.#freed.slice(since)
    this.#deleted = new Set()

    if (useless.length > maxFreed) {
      try {
        await disk.delete(useless, 'page')
        this.#deleted = new Set(useless)
      } catch (err) {
        // they take up room, and nothing else
        this.#state.logger.error('pages that nobody needs could not be deleted - %e', err)
      }
    }
  }
}

/** Leaves out all rows of an input but the first `left` ones. All of them are read */
function firstOf (rows: NextRows, left: number): NextRows {
  return async () => {
    const next = await rows()

    if (next != null) {
      const size = Math.min(next.size, left)
      left -= size
      return { ...next, size }
    }
  }
}

function rowsIn (runs: Run[]): number {
  return runs.reduce((sum, run) => sum + rowsOf(run), 0)
}
