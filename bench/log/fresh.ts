import { wants } from '../options.ts'
import { start } from './in-process.ts'
import { cut, measure } from './measure.ts'
import type { Contest, Title } from './measure.ts'
import type { Workspace } from './workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Worker } from '../workers.ts'

const ROUNDS = { full: 5, quick: 3 }

/** Milliseconds that a round may take */
const ROUND_DEADLINE = 60_000

interface Ask {
  method: string
  params?: object
}

interface FreshCase {
  title: string
  wanted?: Title['wanted']
  /** Entries in a round */
  count: { full: number, quick: number, warmUp: number }
  /** What is made before the first round, and joined in each */
  make?: { count: number, signed: 'together' | 'alone' }
  ours: Ask
  /** By what they are. The slowest is the one that counts */
  limits: Record<string, Ask>
}

const SIGNATURES = { 'Ed25519 signatures': { method: 'sign' } }
const WRITES = { 'LevelDB batch writes': { method: 'write' } }

const CASES: FreshCase[] = [
  {
    title: 'append 100 B, 1,000 under way',
    count: { full: 20_000, quick: 10_000, warmUp: 5_000 },
    ours: { method: 'append', params: { underWay: 1_000 } },
    limits: SIGNATURES
  },
  {
    title: 'append 100 B, one after the other',
    wanted: { ratio: 0.65 },
    count: { full: 4_000, quick: 1_000, warmUp: 10_000 },
    ours: { method: 'append', params: { underWay: 1 } },
    limits: { 'a signature, a LevelDB put': { method: 'signAndWrite' } }
  },
  {
    // with a listener and a `canAppend`
    title: 'appendMany 100 B, 100,000 at once',
    wanted: { ours: 130_000 },
    count: { full: 100_000, quick: 30_000, warmUp: 20_000 },
    ours: { method: 'appendMany' },
    limits: WRITES
  },
  {
    title: 'join a chain of 10,000',
    wanted: { ratio: 0.25 },
    count: { full: 10_000, quick: 10_000, warmUp: 10_000 },
    make: { count: 10_000, signed: 'together' },
    ours: { method: 'join', params: { piece: 10_000 } },
    limits: { ...WRITES, 'SHA-256': { method: 'hash' } }
  },
  {
    title: 'join 2,000 signed alone, shuffled, by 100',
    wanted: { ratio: 0.85 },
    count: { full: 2_000, quick: 2_000, warmUp: 2_000 },
    make: { count: 2_000, signed: 'alone' },
    ours: { method: 'join', params: { piece: 100 } },
    limits: { 'Ed25519 verifications': { method: 'verify' } }
  }
]

/**
 * Measures how many entries a second go into a log that was empty, beside what the machine can do at most
 */
export async function * fresh (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const cases = CASES.filter(({ title }) => wants(run.options, title))

  if (cases.length === 0) {
    return
  }

  const log = start('log')
  const machine = start('limit')

  try {
    for (const one of cases) {
      if (run.timeFor(one.title)) {
        yield await compare(run, workspace, one, log, machine)
      }
    }
  } finally {
    await Promise.all([log.stop(), machine.stop()])
  }
}

async function compare (run: SuiteRun, workspace: Workspace, one: FreshCase, log: Worker, machine: Worker): Promise<CaseResult> {
  const { title, wanted, count, make, ours, limits } = one

  if (make != null) {
    await workspace.with(async place => log.call('make', { place, ...make }, ROUND_DEADLINE))
  }

  const asContest = (worker: Worker, { method, params }: Ask): Contest => {
    const ask = async (count: number): Promise<number> => workspace.with(async place => {
      return worker.call<number>(method, { place, count, ...params }, ROUND_DEADLINE)
    })

    return { warmUp: async () => ask(count.warmUp), round: async () => ({ value: await ask(count[run.length]) }) }
  }
  const oursOnly = asContest(log, ours)

  return measure(run, {
    title: { case: title, unit: 'entries/s', better: 'more', wanted },
    rounds: ROUNDS[run.length],
    note: cut(count, run.length),
    ours: { ...oursOnly, round: async () => ({ ...await oursOnly.round(), lag: await log.call<number>('lag') }) },
    limits: Object.fromEntries(Object.entries(limits).map(([name, ask]) => [name, asContest(machine, ask)]))
  })
}
