import { Pacer } from '../runtime/pacer.ts'
import { Merge } from './core/merge.ts'
import { encodePage } from './core/page.ts'
import { countOf, keyAt } from './core/rows.ts'
import { PartWriter } from './core/run.ts'
import type { Rows, TableSpec } from './core/rows.ts'
import type { Part, Run } from './core/run.ts'
import type { Pages, PageStore } from './pages.ts'
import type { Clock } from '../runtime/clock.ts'

/** Rows that are merged between two looks at the clock */
const STEP = 128
/** Milliseconds of a slice: appends and reads go on between two of them */
const SLICE = 1
/** Pages that are written at once */
const WRITES = 16
/** Pages of an input that are read ahead */
const READS = 2

/** Where the rows of an input come from; undefined: there are no more */
export type NextRows = () => Promise<Rows | undefined> | Rows | undefined

export interface RunWriterInit {
  store: PageStore
  clock: Clock
  /** Bytes of the rows of a page */
  pageBytes: number
  /** Pages of a part */
  partPages: number
  isStopped? (): boolean
}

export interface RunInit {
  spec: TableSpec
  tier: number
  inputs: NextRows[]
  /** There is no older run */
  isBottom: boolean
}

/** Nobody waits for a run any more */
export class StoppedError extends Error {
  static name = 'StoppedError'
  name = 'StoppedError'
}

/**
 * Writes one run from several inputs, in slices. What it wrote is garbage until a manifest names it.
 */
export class RunWriter {
  /** The numbers that it took */
  readonly seqs: number[] = []
  /** Those under which something is stored */
  readonly #stored = new Set<number>()
  readonly #init: RunWriterInit
  readonly #pacer: Pacer
  /** None of them rejects */
  readonly #writes = new Set<Promise<void>>()
  /** Why the first one that failed did */
  #failure?: Error

  constructor (init: RunWriterInit) {
    this.#init = init
    this.#pacer = new Pacer(init.clock, SLICE)
  }

  /** Undefined: nothing was left of the inputs */
  async write ({ spec, tier, inputs, isBottom }: RunInit): Promise<Run | undefined> {
    const { pageBytes, partPages } = this.#init
    const pageRows = Math.max(1, Math.floor(pageBytes / (spec.width + 1)))
    const merge = new Merge({ spec, inputs: inputs.length, pageRows, isBottom })
    const parts: Part[] = []
    let part = new PartWriter(spec)

    for (let merged = merge.step(STEP); merged !== 'done'; merged = merge.step(STEP)) {
      if (merged !== 'sliced' && 'wants' in merged) {
        const next = inputs[merged.wants]()
        merge.feed(merged.wants, next instanceof Promise ? await next : next)
      } else if (merged !== 'sliced') {
        await this.#writePage(spec, merged.page, part)

        if (part.pages.length === partPages) {
          parts.push(await this.#writePart(part))
          part = new PartWriter(spec)
        }
      }

      await this.#pause()
    }

    if (part.pages.length > 0) {
      parts.push(await this.#writePart(part))
    }

    await this.#written()
    return parts.length === 0 ? undefined : { tier, parts }
  }

  /**
   * What it wrote is of no use: returns that. Numbers of pages that could not be stored are given back: an open does
   * not look for records behind a long gap
   */
  async abandon (): Promise<number[]> {
    const { store } = this.#init
    await Promise.all(this.#writes)

    for (let seq = this.seqs.at(-1); seq === store.nextSeq - 1 && !this.#stored.has(seq); seq = this.seqs.at(-1)) {
      this.seqs.pop()
      store.nextSeq--
    }

    return [...this.#stored]
  }

  async #writePage (spec: TableSpec, rows: Rows, part: PartWriter): Promise<void> {
    const seq = this.#nextSeq()
    const { bytes, sum } = encodePage(seq, spec, rows)
    part.add({ seq, rows: rows.size, count: countOf(rows), sum, first: keyAt(rows, 0) }, rows)
    await this.#put(seq, bytes)
  }

  async #writePart (part: PartWriter): Promise<Part> {
    const finishing = part.finish()

    for (let step = finishing.next(); ; step = finishing.next()) {
      if (step.done === true) {
        // a number that is taken is written at once: keys that come in order cost LevelDB the least
        const written = step.value(this.#nextSeq())
        await this.#put(written.part.seq, written.bytes)
        return written.part
      }
      await this.#pause()
    }
  }

  /** Returns when there is room for another one */
  async #put (seq: number, bytes: Uint8Array): Promise<void> {
    const writing = this.#init.store.putPage(seq, bytes)
      .then(() => { this.#stored.add(seq) }, err => { this.#failure ??= err })
      .finally(() => { this.#writes.delete(writing) })
    this.#writes.add(writing)

    if (this.#writes.size >= WRITES) {
      await this.#written()
    }
  }

  async #written (): Promise<void> {
    await Promise.all(this.#writes)

    if (this.#failure != null) {
      throw this.#failure
    }
  }

  async #pause (): Promise<void> {
    if (this.#init.isStopped?.() === true) {
      throw new StoppedError('the run is not needed any more')
    }
    await this.#pacer.pause()
  }

  #nextSeq (): number {
    const seq = this.#init.store.nextSeq++
    this.seqs.push(seq)
    return seq
  }
}

/** Rows that are in memory already */
export function rowsOfChunks (chunks: Rows[]): NextRows {
  let next = 0
  return () => chunks[next++]
}

/** The rows of a run, page after page, of which some are read ahead; `seqs` becomes where the run lies */
export function rowsOfRun (pages: Pages, spec: TableSpec, { parts }: Run, seqs: number[]): NextRows {
  const numbers = pagesOfRun(pages, spec, parts, seqs)
  const ahead: Array<Promise<Rows | undefined>> = []

  const readNext = async (): Promise<Rows | undefined> => {
    const { value, done } = await numbers.next()
    return done === true ? undefined : pages.readPage(spec, value)
  }

  return async () => {
    while (ahead.length < READS) {
      const next = readNext()
      next.catch(() => {})
      ahead.push(next)
    }
    return ahead.shift()
  }
}

async function * pagesOfRun (pages: Pages, spec: TableSpec, parts: Part[], seqs: number[]): AsyncGenerator<number> {
  for (const { seq } of parts) {
    const part = await pages.readPart(spec, seq)
    seqs.push(seq)

    for (const seq of part.seqs) {
      seqs.push(seq)
      yield seq
    }
  }
}
