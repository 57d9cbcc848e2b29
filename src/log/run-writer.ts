import { Pacer } from '../runtime/pacer.ts'
import { Merge } from './core/merge.ts'
import { countOf, encodePage, keyAt } from './core/page.ts'
import { SPECS } from './core/rows.ts'
import { PartWriter } from './core/run.ts'
import type { Rows } from './core/page.ts'
import type { TableName } from './core/rows.ts'
import type { Part, Run } from './core/run.ts'
import type { StoreState } from './state.ts'

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

export interface RunInit {
  table: TableName
  tier: number
  inputs: NextRows[]
  /** There is no older run */
  isBottom: boolean
}

/**
 * Writes one run from several inputs, in slices. What it wrote is garbage until a manifest names it.
 */
export class RunWriter {
  /** The numbers that it took */
  readonly seqs: number[] = []
  /** Those under which something is stored */
  readonly #stored = new Set<number>()
  readonly #state: StoreState
  readonly #isStopped: () => boolean
  readonly #pacer: Pacer
  /** None of them rejects */
  readonly #writes = new Set<Promise<void>>()
  /** Why the first one that failed did */
  #failure?: Error

  constructor (state: StoreState, isStopped: () => boolean = () => false) {
    this.#state = state
    this.#isStopped = isStopped
    this.#pacer = new Pacer(state.clock, SLICE)
  }

  /** Undefined: nothing was left of the inputs */
  async write ({ table, tier, inputs, isBottom }: RunInit): Promise<Run | undefined> {
    const { pageBytes, partPages } = this.#state.sizes
    const pageRows = Math.max(1, Math.floor(pageBytes / (SPECS[table].width + 1)))
    const merge = new Merge({ table, inputs: inputs.length, pageRows, isBottom })
    const parts: Part[] = []
    let part = new PartWriter(table)

    for (;;) {
      const merged = merge.step(STEP)

      if (merged === 'done') {
        break
      }
      if (merged !== 'sliced' && 'wants' in merged) {
        const next = inputs[merged.wants]()
        merge.feed(merged.wants, next instanceof Promise ? await next : next)
      } else if (merged !== 'sliced') {
        await this.#writePage(table, merged.page, part)

        if (part.pages.length === partPages) {
          parts.push(await this.#writePart(part))
          part = new PartWriter(table)
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
   * What it wrote is of no use: returns that. Numbers of pages that could not be stored are given back: an open does not look for
   * records behind a long gap
   */
  async abandon (): Promise<number[]> {
    await Promise.all(this.#writes)

    for (let seq = this.seqs.at(-1); seq === this.#state.nextSeq - 1 && !this.#stored.has(seq); seq = this.seqs.at(-1)) {
      this.seqs.pop()
      this.#state.nextSeq--
    }

    return [...this.#stored]
  }

  async #writePage (table: TableName, rows: Rows, part: PartWriter): Promise<void> {
    const seq = this.#nextSeq()
    const { bytes, sum } = encodePage(seq, table, rows)
    part.add({ seq, rows: rows.size, count: countOf(rows), sum, first: keyAt(rows, 0) }, rows)
    await this.#put(seq, bytes)
  }

  async #writePart (part: PartWriter): Promise<Part> {
    const seq = this.#nextSeq()
    const finishing = part.finish(seq)

    for (let step = finishing.next(); ; step = finishing.next()) {
      if (step.done === true) {
        await this.#put(seq, step.value.bytes)
        return step.value.part
      }
      await this.#pause()
    }
  }

  /** Returns when there is room for another one */
  async #put (seq: number, bytes: Uint8Array): Promise<void> {
    const writing = this.#state.disk.put(seq, 'page', bytes)
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
    if (this.#isStopped()) {
      throw new StoppedError('the log is being closed')
    }
    await this.#pacer.pause()
  }

  #nextSeq (): number {
    const seq = this.#state.nextSeq++
    this.seqs.push(seq)
    return seq
  }
}

/** A merge ended because nobody waits for it any more */
export class StoppedError extends Error {
  static name = 'StoppedError'
  name = 'StoppedError'
}

/** The rows of a run, page after page, of which some are read ahead */
export function rowsOfRun (state: StoreState, table: TableName, { parts }: Run): NextRows {
  const pages = pagesOfRun(state, table, parts)
  const ahead: Array<Promise<Rows | undefined>> = []

  const readNext = async (): Promise<Rows | undefined> => {
    const { value, done } = await pages.next()
    return done === true ? undefined : state.pages.readPage(table, value)
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

async function * pagesOfRun (state: StoreState, table: TableName, parts: Part[]): AsyncGenerator<number> {
  for (const part of parts) {
    const { pages } = await state.pages.readPart(table, part.seq)

    for (const { seq } of pages) {
      yield seq
    }
  }
}

/** Where a run lies */
export async function seqsOfRun (state: StoreState, table: TableName, { parts }: Run): Promise<number[]> {
  const seqs: number[] = []

  for (const { seq } of parts) {
    const { pages } = await state.pages.readPart(table, seq)
    seqs.push(seq, ...pages.map(({ seq }) => seq))
  }

  return seqs
}

/** Rows that are in memory already */
export function rowsOfChunks (chunks: Rows[]): NextRows {
  let next = 0
  return () => chunks[next++]
}
