import { takes, wants } from '../options.ts'
import { inProcess } from './in-process.ts'
import { figure } from './measure.ts'
import { say } from './say.ts'
import type { Opened } from './crash-worker.ts'
import type { LongLog, LongLogPart } from './long-log.ts'
import type { Title } from './measure.ts'
import type { Place } from './workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'

/** Milliseconds that writing, or opening, may take */
const DEADLINE = 120_000

interface CrashCase {
  title: string
  wanted: number
  method: 'appendMany' | 'append'
  /** A round each: entries that were stored before the kill */
  kills: { full: number[], quick: number[] }
}

const CASES: CrashCase[] = [
  {
    title: 'open 1,000,000 after kill -9',
    wanted: 300,
    method: 'appendMany',
    // seven eighths of the 38,000 between two checkpoints: the open has nearly as much to read again as there can be
    kills: { full: [33_000, 33_000, 33_000], quick: [20_000] }
  },
  {
    title: 'open 1,000,000 after kill -9, 40,000 lone records',
    wanted: 400,
    method: 'append',
    // lone records have a checkpoint each 10,000: what one kill leaves counts for the next, which leaves 1,000 less
    kills: { full: [49_000, 49_000, 49_000], quick: [4_000] }
  }
]

/**
 * Measures how long it takes to open a log, LevelDB included, whose process was killed in the middle of a write. All
 * entries that the process had reported as stored have to be there
 */
export const crash: LongLogPart = {
  titles: CASES.map(({ title }) => title),

  async * run (run, workspace, log) {
    for (const one of CASES.filter(({ title }) => wants(run.options, title))) {
      if (takes(run.options, 'ours') && run.timeFor(one.title)) {
        yield await killAndOpen(run, log, one)
      }
    }
  }
}

async function killAndOpen (run: SuiteRun, { place, note }: LongLog, { title, wanted, method, kills }: CrashCase): Promise<CaseResult> {
  const took: number[] = []
  const level: number[] = []
  const lag: number[] = []
  const about: Title = { case: title, unit: 'ms', better: 'less', limitIs: 'opening LevelDB', wanted: { ours: wanted } }

  try {
    for (const count of kills[run.length]) {
      const stored = await writeAndDie(place, method, count)
      const opened = await inProcess('crash', async worker => worker.call<Opened>('open', { place }, DEADLINE))

      if (opened.length < stored) {
        throw new Error(`${stored} were stored before the kill, ${opened.length} are there after it`)
      }

      took.push(opened.datastore + opened.log)
      // the limit is a part of our own time: a log that a crash left can be opened only once
      level.push(opened.datastore)
      lag.push(opened.lag)
    }
  } catch (err: any) {
    say(run, 'ours', `${title}: ${err.message}`)
  }

  return figure(about, new Map([['ours', took], ['limit', level]]), {
    lag,
    note: [...note == null ? [] : [note], `${kills[run.length].map(count => count.toLocaleString('en')).join(', ')} before the kill`].join('; ')
  })
}

/** Kills a process that is still writing. Returns the least number of entries that the log has to have now */
async function writeAndDie (place: Place, method: CrashCase['method'], count: number): Promise<number> {
  return inProcess('crash', async worker => {
    const stored = await worker.call<number>(method, { place, count }, DEADLINE)
    worker.kill()

    return stored
  })
}
