import { wants } from '../options.ts'
import { start } from './in-process.ts'
import { measure } from './measure.ts'
import { say } from './say.ts'
import type { LongLogPart } from './long-log.ts'
import type { Contest, Measured, Title } from './measure.ts'
import type { Worker } from '../workers.ts'

const ROUNDS = 3

/** Milliseconds that a round, or filling LevelDB, may take */
const DEADLINE = 120_000

interface Ask {
  method: string
  params?: object
}

interface ReadCase {
  title: Title
  /** Calls, or entries, of a round and of the warm-up. A round without a number reads all entries */
  count: { round?: number, warmUp: number }
  ours: Ask
  limits: Record<string, Ask>
}

/** Ranges of which the pages stay in memory: replication asks for parts of what it has just asked for */
const WARM = 16

/** A range has two ends */
const TWO_VALUES = { 'two values of LevelDB': { method: 'get', params: { together: 2, unit: 'ms' } } }

const CASES: ReadCase[] = [
  {
    title: { case: 'entries() in order', unit: 'entries/s', better: 'more', wanted: { ratio: 0.25 } },
    count: { warmUp: 50_000 },
    ours: { method: 'entries' },
    limits: { 'LevelDB reads one value an entry': { method: 'values' } }
  },
  {
    title: { case: 'fingerprint, narrow', unit: 'ms', better: 'less', wanted: { ours: 0.1 } },
    count: { round: 2_000, warmUp: 500 },
    ours: { method: 'fingerprint', params: { share: 1 / 1_000, ranges: WARM } },
    limits: TWO_VALUES
  },
  {
    title: { case: 'fingerprint, narrow, of ranges that were not asked for before', unit: 'ms', better: 'less' },
    count: { round: 2_000, warmUp: 500 },
    ours: { method: 'fingerprint', params: { share: 1 / 1_000 } },
    limits: TWO_VALUES
  },
  {
    title: { case: 'fingerprint, wide', unit: 'ms', better: 'less', wanted: { ours: 0.4 } },
    count: { round: 1_000, warmUp: 500 },
    ours: { method: 'fingerprint', params: { share: 1 / 2, ranges: WARM } },
    limits: TWO_VALUES
  },
  {
    title: { case: 'get by id', unit: 'us', better: 'less', wanted: { ours: 150 } },
    count: { round: 2_000, warmUp: 500 },
    ours: { method: 'get' },
    limits: { 'a page and then a record of LevelDB': { method: 'getParts' } }
  }
]

/**
 * Measures how fast entries and fingerprints are read. The limit is a LevelDB that holds one value an entry
 */
export const reads: LongLogPart = {
  titles: CASES.map(({ title }) => title.case),

  async * run (run, workspace, { place, length, note }) {
    const log = start('reads')
    const level = start('level')
    const values = workspace.place()

    try {
      await log.call('open', { place }, DEADLINE)
      await level.call('fill', { place: values, count: length }, DEADLINE)
      await level.call('fillParts', { place: workspace.place(), count: length }, DEADLINE)

      for (const { title, count, ours, limits } of CASES.filter(({ title }) => wants(run.options, title.case))) {
        const asContest = (worker: Worker, { method, params }: Ask): Contest => {
          const ask = async (count?: number): Promise<Measured> => worker.call(method, { count, ...params }, DEADLINE)

          return { warmUp: async () => ask(Math.min(count.warmUp, length)), round: async () => ask(count.round) }
        }

        if (run.timeFor(title.case)) {
          yield await measure(run, {
            title,
            rounds: ROUNDS,
            note,
            ours: asContest(log, ours),
            limits: Object.fromEntries(Object.entries(limits).map(([name, ask]) => [name, asContest(level, ask)]))
          })
        }
      }

      await log.call('close', {}, DEADLINE)
    } catch (err: any) {
      say(run, 'ours', `reading a log of ${length.toLocaleString('en')}: ${err.message}`)
    } finally {
      await Promise.all([log.stop(), level.stop()])
    }
  }
}
