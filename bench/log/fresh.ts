import { takes, wants } from '../options.ts'
import { median, summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { Worker } from '../workers.ts'
import { say } from './say.ts'
import type { CaseResult, Contender, Samples } from '../report.ts'
import type { Entrant } from '../rounds.ts'
import type { SuiteRun } from '../suite.ts'
import type { Workspace } from './workspace.ts'

const ROUNDS = { full: 5, quick: 3 }

/** Milliseconds that a round may take */
const ROUND_DEADLINE = 60_000

interface Ask {
  method: string
  params?: object
}

interface FreshCase {
  title: string
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
    count: { full: 4_000, quick: 1_000, warmUp: 500 },
    ours: { method: 'append', params: { underWay: 1 } },
    limits: { 'a signature, a LevelDB put': { method: 'signAndWrite' } }
  },
  {
    title: 'appendMany 100 B, 100,000 at once',
    count: { full: 100_000, quick: 100_000, warmUp: 20_000 },
    ours: { method: 'appendMany' },
    limits: WRITES
  },
  {
    title: 'join a chain of 10,000',
    count: { full: 10_000, quick: 10_000, warmUp: 10_000 },
    make: { count: 10_000, signed: 'together' },
    ours: { method: 'join', params: { piece: 10_000 } },
    limits: { ...WRITES, 'SHA-256': { method: 'hash' } }
  },
  {
    title: 'join 2,000 signed alone, shuffled, by 100',
    count: { full: 2_000, quick: 2_000, warmUp: 2_000 },
    make: { count: 2_000, signed: 'alone' },
    ours: { method: 'join', params: { piece: 100 } },
    limits: { 'Ed25519 verifications': { method: 'verify' } }
  }
]

/**
 * Entries a second into a log that was empty
 */
export async function * fresh (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const cases = CASES.filter(({ title }) => wants(run.options, title))

  if (cases.length === 0) {
    return
  }

  const log = new Worker(new URL('./log-worker.ts', import.meta.url))
  const machine = new Worker(new URL('./limit-worker.ts', import.meta.url))

  try {
    for (const one of cases) {
      if (run.timeFor(one.title)) {
        yield await measure(run, workspace, one, log, machine)
      }
    }
  } finally {
    await Promise.all([log.stop(), machine.stop()])
  }
}

async function measure (run: SuiteRun, workspace: Workspace, { title, count, make, ours, limits }: FreshCase, log: Worker, machine: Worker): Promise<CaseResult> {
  if (make != null) {
    await workspace.with(async place => log.call('make', { place, ...make }, ROUND_DEADLINE))
  }

  const asEntrant = (name: Contender, worker: Worker, { method, params }: Ask): Entrant => {
    const ask = async (count: number): Promise<number> => workspace.with(async place => worker.call<number>(method, { place, count, ...params }, ROUND_DEADLINE))

    return { name, warmUp: async () => ask(count.warmUp), round: async () => ask(count[run.length]) }
  }

  const entrants = [
    ...(takes(run.options, 'ours') ? [asEntrant('ours', log, ours)] : []),
    ...(takes(run.options, 'limit') ? Object.entries(limits).map(([name, ask]) => asEntrant(name, machine, ask)) : [])
  ]
  const { samples, failures } = await interleave(entrants, ROUNDS[run.length])
  failures.forEach(({ contender, error }) => { say(run, contender, `${title}: ${error.message}`) })
  const limit = slowest(samples, Object.keys(limits))

  return summarise({ suite: 'log', case: title, unit: 'entries/s', better: 'more', limitIs: limit }, new Map([
    ['ours', samples.get('ours') ?? []],
    ['limit', samples.get(limit) ?? []]
  ]))
}

function slowest (samples: Samples, names: string[]): string {
  const rate = (name: string): number => median(samples.get(name) ?? []) ?? Infinity

  return names.reduce((a, b) => rate(b) < rate(a) ? b : a)
}
