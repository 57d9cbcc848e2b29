import { say } from '../log/say.ts'
import { takes } from '../options.ts'
import { summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import type { Place, Workspace } from '../log/workspace.ts'
import type { CaseResult, Contender } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Worker } from '../workers.ts'

/** Columns of the table: a log that is not shared; a database whose checkpoint is gone; what the specification asks for, by the limit */
export const LOG_ALONE = 'log alone'
export const SCRATCH = 'from scratch'
export const TARGET = 'target'

const ROUNDS = { full: 7, quick: 5 }

/** Milliseconds that a round may take */
const ROUND_DEADLINE = 60_000

/** The share of appends a second that puts should reach */
const PUTS_BY_APPENDS = 0.7

interface Ask {
  method: string
  params?: object
}

export interface Case {
  title: string
  unit: string
  better: 'more' | 'less'
  limitIs: string
  /** Of the filled place; others begin with an empty one */
  reads: boolean
  /** In a round. Without it as many as there are */
  count?: { full: number, quick: number, warmUp: number }
  /** Share of the limit */
  target?: number
  contenders: Record<Contender, Ask>
}

type What = 'keyValue' | 'documents'

function puts (title: string, what: What, underWay: number, count: NonNullable<Case['count']>): Case {
  return {
    title,
    unit: 'puts/s',
    better: 'more',
    limitIs: 'append() of the same to a shared log',
    reads: false,
    count,
    target: PUTS_BY_APPENDS,
    contenders: {
      ours: { method: what === 'keyValue' ? 'put' : 'putDocument', params: { underWay } },
      limit: { method: 'append', params: { underWay, what } },
      [LOG_ALONE]: { method: 'appendAlone', params: { underWay, what } }
    }
  }
}

function reads (title: string, unit: string, limitIs: string, contenders: Case['contenders'], count?: Case['count']): Case {
  return { title, unit, better: 'more', limitIs, reads: true, count, contenders }
}

export const CASES: Case[] = [
  puts('KeyValue: put 100 B, 1,000 under way', 'keyValue', 1_000, { full: 40_000, quick: 20_000, warmUp: 20_000 }),
  puts('KeyValue: put 100 B, one after the other', 'keyValue', 1, { full: 4_000, quick: 1_000, warmUp: 500 }),
  puts('Documents: put 100 B, an index, 1,000 under way', 'documents', 1_000, { full: 40_000, quick: 20_000, warmUp: 20_000 }),
  reads('KeyValue: get, 64 under way', 'gets/s', 'get() of entries by their ids', {
    ours: { method: 'get', params: { underWay: 64 } },
    limit: { method: 'getEntry', params: { underWay: 64 } }
  }, { full: 40_000, quick: 10_000, warmUp: 10_000 }),
  reads('KeyValue: entries()', 'items/s', 'entries() of the log', {
    ours: { method: 'all' },
    limit: { method: 'allEntries' }
  }),
  reads('Documents: query by an index, 10 found', 'docs/s', 'get() of 10 entries at once by their ids', {
    ours: { method: 'query' },
    limit: { method: 'getEntries' }
  }, { full: 40_000, quick: 10_000, warmUp: 10_000 }),
  {
    title: 'Documents: open from a checkpoint',
    unit: 'ms',
    better: 'less',
    limitIs: 'opening the shared log',
    reads: true,
    contenders: {
      ours: { method: 'open', params: { hasCheckpoint: true } },
      limit: { method: 'openLog' },
      [SCRATCH]: { method: 'open', params: { hasCheckpoint: false } }
    }
  }
]

export interface Setting {
  workspace: Workspace
  workers: Map<Contender, Worker>
  filled: Place
  /** In the filled place */
  keys: number
}

export async function measure (run: SuiteRun, one: Case, { workspace, workers, filled, keys }: Setting): Promise<CaseResult> {
  const ask = async (name: Contender, { method, params }: Ask, count: number): Promise<number | undefined> => {
    const at = async (place: Place): Promise<number | undefined> => workers.get(name)?.call<number>(method, { place, count, ...params }, ROUND_DEADLINE)
    return one.reads ? at(filled) : workspace.with(at)
  }
  const entrants = Object.entries(one.contenders).filter(([name]) => takes(run.options, name)).map(([name, asked]) => ({
    name,
    warmUp: async () => ask(name, asked, one.count?.warmUp ?? keys),
    round: async () => ask(name, asked, one.count?.[run.length] ?? keys)
  }))
  const { samples, failures } = await interleave(entrants, ROUNDS[run.length])
  failures.forEach(({ contender, error }) => { say(run, contender, `${one.title}: ${error.message}`) })
  const title = { suite: 'database', case: one.title, unit: one.unit, better: one.better, limitIs: `limit: ${one.limitIs}` }
  const result = summarise(title, samples)

  return one.target == null || result.limit == null ? result : summarise(title, new Map([...samples, [TARGET, [result.limit * one.target]]]))
}
