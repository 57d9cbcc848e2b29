import { cp } from 'node:fs/promises'
import { takes, wants } from '../options.ts'
import { figure } from './cases.ts'
import { DEADLINE } from './pair.ts'
import type { Place, Workspace } from '../log/workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Pair } from './pair.ts'
import type { Said } from './traffic.ts'
import type { Filled } from './worker.ts'

const LENGTH = { full: 1_000_000, quick: 100_000 }
const DIFFERENT = 100
const ROUNDS = 3

/** Of a million, from the specification */
const TARGETS = { ms: 1_000, kilobytes: 25, trips: 4 }

/** What one round gave */
interface Round {
  /** Milliseconds from dial() until what was lacking is stored, and until both have seen that nothing differs */
  stored: number
  equal: number
  /** Questions of who finds them until they are stored, and bytes of both sides' and of their answers, without the entries */
  trips: number
  compared: number
  /** The same bytes of both, until both have seen that nothing differs */
  bothCompared: number
  /** All bytes on the connection until then */
  connection: number
}

/**
 * Two who have nearly the same
 */
export async function * differences (run: SuiteRun, workspace: Workspace, pair: Pair): AsyncGenerator<CaseResult> {
  const name = `${DIFFERENT} of ${LENGTH[run.length].toLocaleString('en')} differ`

  if (!wants(run.options, name) || !takes(run.options, 'ours') || !run.timeFor(name)) {
    return
  }

  const rounds: Round[] = []
  const a = await pair.template(LENGTH[run.length])
  const b = workspace.place()
  await cp(a.dir, b.dir, { recursive: true })

  try {
    for (let i = 0; i < ROUNDS; i++) {
      rounds.push(await differ(pair, a, b, LENGTH[run.length] + (i + 1) * DIFFERENT))
    }
  } catch (err: any) {
    run.problem(`ours, ${name}: ${err.message}`)
  } finally {
    // a process that has ended is said by what was asked of it
    await pair.stopNodes().catch(() => {})
  }

  yield * figures(name, run.length === 'full', rounds)
}

async function differ (pair: Pair, a: Place, b: Place, length: number): Promise<Round> {
  await pair.start(a, b, true)
  await pair.a.call('append', { count: DIFFERENT, underWay: DIFFERENT })
  const { began } = await pair.dial()
  const { at, said } = await pair.b.call<Filled>('filled', { length }, DEADLINE)
  const other = await pair.a.call<Said>('takeTraffic')
  const equal = Math.max(...await Promise.all([pair.a.call<number>('equal'), pair.b.call<number>('equal')]))
  const rest = await Promise.all([pair.a.call<Said>('takeTraffic'), pair.b.call<Said>('takeTraffic')])
  const lacking = said as Said
  const sum = (all: Said[], of: keyof Said): number => all.reduce((sum, said) => sum + said[of], 0)

  return {
    stored: at - began,
    equal: equal - began,
    trips: Math.max(lacking.questions, other.questions),
    compared: sum([lacking, other], 'compared'),
    bothCompared: sum([lacking, other, ...rest], 'compared'),
    connection: sum([lacking, other, ...rest], 'sent')
  }
}

function * figures (name: string, isFull: boolean, rounds: Round[]): Generator<CaseResult> {
  const of = (what: string, unit: string, key: keyof Round, scale: number, target?: number): CaseResult => {
    return figure({ case: `${name}: ${what}`, unit, better: 'less' }, new Map([['ours', rounds.map(round => round[key] / scale)]]), isFull ? target : undefined)
  }

  yield of('dial() to stored', 'ms', 'stored', 1, TARGETS.ms)
  yield of('to both say equal', 'ms', 'equal', 1)
  yield of('round trips', 'trips', 'trips', 1, TARGETS.trips)
  yield of('to find them', 'kB', 'compared', 1_000, TARGETS.kilobytes)
  yield of('all comparing', 'kB', 'bothCompared', 1_000)
  yield of('connection', 'kB', 'connection', 1_000)
}
