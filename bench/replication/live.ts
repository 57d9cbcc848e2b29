import { wants } from '../options.ts'
import { measure } from './cases.ts'
import { RAW_STREAM } from './limits.ts'
import { DEADLINE } from './pair.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Case } from './cases.ts'
import type { Limits } from './limits.ts'
import type { Pair } from './pair.ts'

const ENTRIES = 1_000
const ROUNDS = { full: 7, quick: 5 }

/** Milliseconds */
const TARGET = 400

/** Appends that wait for each other, of which each waits for the other side */
const ACKED = { full: 500, quick: 200 }

/**
 * What is appended while both are there
 */
export async function * live (run: SuiteRun, pair: Pair, limits: Limits): AsyncGenerator<CaseResult> {
  const cases = [
    arrival('1,000 live, appended at once', ENTRIES, 'together', pair, limits),
    arrival('1,000 live, appended one by one', 1, 'alone', pair, limits),
    acked(ACKED[run.length], pair, limits)
  ].filter(({ title }) => wants(run.options, title.case) && run.timeFor(title.case))

  for (const { prepare, ...one } of cases) {
    try {
      await prepare()
      yield await pair.with({}, async () => {
        await pair.meet()
        return measure(run, { ...one, rounds: ROUNDS[run.length] })
      })
    } catch (err: any) {
      run.problem(`ours, ${one.title.case}: ${err.message}`)
    }
  }
}

type LiveCase = Omit<Case, 'rounds'> & { prepare(): Promise<void> }

/** Milliseconds from the first append() at one side until all are stored at the other */
function arrival (title: string, underWay: number, signed: 'together' | 'alone', pair: Pair, limits: Limits): LiveCase {
  return {
    title: { case: title, unit: 'ms', better: 'less', limitIs: 'limit: append() there, then log.join() here' },
    target: TARGET,
    prepare: async () => limits.make(ENTRIES, signed),
    entrants: {
      ours: async () => {
        const length = await pair.a.call<number>('length') + ENTRIES
        const { began } = await pair.a.call<{ began: number }>('append', { count: ENTRIES, underWay }, DEADLINE)
        return await pair.filled(length) - began
      },
      limit: async () => await limits.append(ENTRIES, underWay) + await limits.join(ENTRIES),
      [RAW_STREAM]: async () => limits.send(ENTRIES)
    }
  }
}

function acked (count: number, pair: Pair, limits: Limits): LiveCase {
  return {
    title: { case: "append({ ack: 'leaders' }), one by one", unit: 'entries/s', better: 'more', limitIs: 'limit: append() without others, one by one' },
    prepare: async () => {},
    entrants: {
      ours: async () => (await pair.a.call<{ rate: number }>('append', { count, underWay: 1, ack: 'leaders' }, DEADLINE)).rate,
      limit: async () => count / await limits.append(count, 1) * 1_000
    }
  }
}
