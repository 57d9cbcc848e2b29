import { wants } from '../options.ts'
import { crash } from './crash.ts'
import { grow, growthResults, LONG } from './growth.ts'
import { inProcess } from './in-process.ts'
import { cut } from './measure.ts'
import { memory, memoryOf, TITLE_AT_TEN_MILLION } from './memory.ts'
import { reads } from './reads.ts'
import { say } from './say.ts'
import type { Place, Workspace } from './workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'

/** Entries of the log before the first case */
const LENGTH = { full: 1_000_000, quick: 40_000 }

/** Milliseconds that building it may take */
const DEADLINE = 180_000

/** A closed log with many entries */
export interface LongLog {
  place: Place
  length: number
  /** For the line of a case whose title names another length */
  note?: string
}

export interface LongLogPart {
  titles: string[]
  run (run: SuiteRun, workspace: Workspace, log: LongLog): AsyncGenerator<CaseResult>
}

/** The crashes come last, because they leave more entries in the log than there were */
const PARTS: LongLogPart[] = [reads, memory, crash]

/**
 * Measures what a log of a million entries costs to read, to keep open, and to open after a kill: one log for all of
 * these cases
 */
export async function * longLog (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const parts = PARTS.filter(({ titles }) => titles.some(title => wants(run.options, title)))
  const length = LENGTH[run.length]
  const name = `a log of ${length.toLocaleString('en')}`

  if (parts.length === 0 || !run.timeFor(name)) {
    return
  }

  const place = workspace.place()

  try {
    await inProcess('growth', async worker => worker.call('appendMany', { place, count: length }, DEADLINE))
  } catch (err: any) {
    say(run, 'ours', `${name}: ${err.message}`)
    return
  }

  for (const part of parts) {
    yield * part.run(run, workspace, { place, length, note: cut(LENGTH, run.length) })
  }
}

/**
 * Measures how a log grows to ten million entries, and how much memory that log takes (only with --long)
 */
export async function * tenMillion (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const titles = [...LONG.figures.map(({ title }) => title.case), TITLE_AT_TEN_MILLION]

  if (!run.options.long || !titles.some(title => wants(run.options, title))) {
    return
  }

  const place = workspace.place()
  const growth = await grow(run, workspace, LONG, place)

  if (growth != null) {
    yield * growthResults(run, LONG, growth)
    yield * memoryOf(run, TITLE_AT_TEN_MILLION, place)
  }
}
