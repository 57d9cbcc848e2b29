import { say } from '../log/say.ts'
import { takes, wants } from '../options.ts'
import { interleave } from '../rounds.ts'
import { figure } from './cases.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Pair } from './pair.ts'

const ROUNDS = { full: 15, quick: 5 }

/** Meetings until it takes no longer what the compiler has not seen yet: the first ones take twice as long */
const WARM_UP = 15

/** Milliseconds */
const TARGET = 30

const TITLE = 'dial() to replicator:join at both'
const FROM_OPEN = 'connection:open to replicator:join at both'

/**
 * How soon two who meet know each other as replicators
 */
export async function * joining (run: SuiteRun, pair: Pair): AsyncGenerator<CaseResult> {
  if (!wants(run.options, TITLE) || !takes(run.options, 'ours') || !run.timeFor(TITLE)) {
    return
  }

  const fromDial: number[] = []
  const fromOpen: number[] = []
  const connecting: number[] = []
  const meet = async (): Promise<[number, number, number]> => pair.with({}, async () => {
    const { began, open } = await pair.dial()
    const last = Math.max(...await Promise.all([pair.a.call<number>('joined'), pair.b.call<number>('joined')]))
    return [last - began, last - open, open - began]
  })
  const { failures } = await interleave([{
    name: 'ours',
    warmUp: async () => {
      for (let i = 0; i < WARM_UP; i++) {
        await meet()
      }
    },
    round: async () => {
      const [dialled, opened, connected] = await meet()
      fromDial.push(dialled)
      fromOpen.push(opened)
      connecting.push(connected)
      return undefined
    }
  }], ROUNDS[run.length])
  failures.forEach(({ contender, error }) => { say(run, contender, `${TITLE}: ${error.message}`) })

  yield figure({ case: TITLE, unit: 'ms', better: 'less', limitIs: 'limit: until the connection is open' }, new Map([['ours', fromDial], ['limit', connecting]]), TARGET)
  yield figure({ case: FROM_OPEN, unit: 'ms', better: 'less' }, new Map([['ours', fromOpen]]), TARGET)
}
