import { takes, wants } from '../options.ts'
import { figure, measure } from './cases.ts'
import { RAW_STREAM } from './limits.ts'
import { Pair } from './pair.ts'
import type { Place, Workspace } from '../log/workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Limits } from './limits.ts'

interface Length {
  count: number
  /** Milliseconds */
  target: number
  rounds: { full: number, quick: number }
}

const LENGTHS: Length[] = [
  { count: 1_000, target: 150, rounds: { full: 7, quick: 3 } },
  { count: 10_000, target: 1_000, rounds: { full: 5, quick: 3 } },
  // it takes longer than all of a quick run
  { count: 100_000, target: 10_000, rounds: { full: 3, quick: 0 } }
]

/** The first thing that two new processes do. They take too long to start for a quick run */
const COLD = { count: 1_000, target: 150, rounds: { full: 3, quick: 0 } }

const titleOf = (count: number): string => `late joiner, ${count.toLocaleString('en')} entries`

/**
 * Milliseconds from dial() until all that the other has is stored
 */
export async function * lateJoiner (run: SuiteRun, workspace: Workspace, pair: Pair, limits: Limits): AsyncGenerator<CaseResult> {
  for (const { count, target, rounds } of LENGTHS) {
    const title = titleOf(count)

    if (rounds[run.length] === 0 || !wants(run.options, title) || !run.timeFor(title)) {
      continue
    }

    const template = await pair.template(count)
    await limits.make(count, 'together')
    yield await measure(run, {
      title: { case: title, unit: 'ms', better: 'less', limitIs: 'limit: log.join() of them, by 500' },
      target,
      rounds: rounds[run.length],
      entrants: {
        ours: async () => pair.with({ a: template }, async () => catchUp(pair, count)),
        limit: async () => limits.join(count),
        [RAW_STREAM]: async () => limits.send(count)
      }
    })
  }
}

/** As the first above, where no code has run before: what a person sees who starts a program */
export async function * coldJoiner (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const title = `${titleOf(COLD.count)}, new processes`

  if (COLD.rounds[run.length] === 0 || !wants(run.options, title) || !takes(run.options, 'ours') || !run.timeFor(title)) {
    return
  }

  const samples: number[] = []

  for (let i = 0; i < COLD.rounds[run.length]; i++) {
    const pair = new Pair(workspace)

    try {
      const template: Place = await pair.template(COLD.count)
      samples.push(await pair.with({ a: template }, async () => catchUp(pair, COLD.count)))
    } catch (err: any) {
      run.problem(`ours, ${title}: ${err.message}`)
    } finally {
      await pair.stop()
    }
  }

  yield figure({ case: title, unit: 'ms', better: 'less' }, new Map([['ours', samples]]), COLD.target)
}

async function catchUp (pair: Pair, count: number): Promise<number> {
  const { began } = await pair.dial()
  return await pair.filled(count) - began
}
