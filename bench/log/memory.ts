import { takes, wants } from '../options.ts'
import { inProcess } from './in-process.ts'
import { figure } from './measure.ts'
import { say } from './say.ts'
import type { LongLogPart } from './long-log.ts'
import type { Memory } from './memory-worker.ts'
import type { Place } from './workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'

const TITLE = 'memory'
export const TITLE_AT_TEN_MILLION = 'memory at 10,000,000'

/** MB that a log of ten million entries may take, so a log of one million as well */
const MOST = 120

const ROUNDS = { full: 3, quick: 1 }

/** Milliseconds that a process may take */
const DEADLINE = 120_000

/**
 * Measures the anonymous memory of a process that uses an open log, minus that of the same process when it uses LevelDB
 * on the same files without a log
 */
export const memory: LongLogPart = {
  titles: [TITLE],

  async * run (run, workspace, { place, note }) {
    if (run.timeFor(TITLE)) {
      yield * memoryOf(run, TITLE, place, note)
    }
  }
}

export async function * memoryOf (run: SuiteRun, title: string, place: Place, note?: string): AsyncGenerator<CaseResult> {
  if (!wants(run.options, title) || !takes(run.options, 'ours')) {
    return
  }

  const differences: number[] = []
  const lag: number[] = []
  let last = ''

  try {
    for (let i = 0; i < ROUNDS[run.length]; i++) {
      const withLog = await ask(place, 'withLog')
      const without = await ask(place, 'withoutLog')

      if (withLog.anonymous == null || without.anonymous == null) {
        run.note(`left out, this system does not tell: ${title}`)
        return
      }

      differences.push((withLog.anonymous - without.anonymous) / 1e6)
      lag.push(withLog.lag)
      last = `in the last round ${told(withLog)} with it, ${told(without)} without`
    }
  } catch (err: any) {
    say(run, 'ours', `${title}: ${err.message}`)
  }

  yield figure({ case: title, unit: 'MB', better: 'less', wanted: { ours: MOST } }, new Map([['ours', differences]]), {
    lag,
    note: note == null ? last : `${note}; ${last}`
  })
}

async function ask (place: Place, method: 'withLog' | 'withoutLog'): Promise<Memory> {
  return inProcess('memory', async worker => worker.call<Memory>(method, { place }, DEADLINE))
}

function told ({ anonymous = 0, working = 0 }: Memory): string {
  return `${megabytes(anonymous)} (${megabytes(working)} before V8 gave back what it had free)`
}

function megabytes (bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}
