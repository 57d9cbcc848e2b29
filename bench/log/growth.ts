import { takes, wants } from '../options.ts'
import { inProcess } from './in-process.ts'
import { cut, figure } from './measure.ts'
import { say } from './say.ts'
import type { Growth } from './growth-worker.ts'
import type { Title } from './measure.ts'
import type { Place, Workspace } from './workspace.ts'
import type { CaseResult } from '../report.ts'
import type { SuiteRun } from '../suite.ts'

/** The first entries of a log: their CPU is the base of the ratio */
const FIRST = 100_000

/**
 * The least number of entries at the end whose CPU is averaged: eight checkpoints, so that one round of merges is in
 * the average
 */
const AVERAGED = 320_000

/** Entries of the unmeasured first log: without it the compiler's work would make the base of the ratio larger */
const WARM_UP = 20_000

/** Milliseconds that one run may take */
const DEADLINE = 900_000

export interface Part {
  method: Growth['method']
  /** Entries in all: a full run has eight checkpoints, and the merge after them */
  count: { full: number, quick: number }
  warmUp: number
  /** Whether the case 'loop lag p99' is about this run, too */
  isBulk: boolean
  figures: Array<{ title: Title, value (growth: Growth): number | undefined, note? (growth: Growth): string }>
}

/** Bytes for each entry of 100 B */
function bytes (title: string, most: number): Title {
  return { case: title, unit: 'B/entry', better: 'less', wanted: { ours: most } }
}

/** The ratio of CPU an entry: the last tenth against the first 100,000 */
function cpuAt (count: number, most: number): Part['figures'][number] {
  const title = `appendMany at ${count.toLocaleString('en')} against the first 100,000, CPU an entry`

  return {
    title: { case: title, unit: 'x', better: 'less', wanted: { ours: most } },
    value: growth => {
      const [first, last] = ends(growth)

      return last.cost / first.cost
    },
    note: growth => {
      const [first, last] = ends(growth)

      const rate = Math.round(growth.rate).toLocaleString('en')

      return `${first.cost.toFixed(2)} us, then ${last.cost.toFixed(2)} us over the last ${last.entries.toLocaleString('en')}; ${rate} entries/s in all`
    }
  }
}

/** Microseconds of CPU an entry: over the first 100,000, and over the last tenth or 320,000, whichever is more */
function ends ({ cpu, count }: Growth): Array<{ entries: number, cost: number }> {
  const piece = count / (cpu.length - 1)
  const averaged = Math.min(Math.max(count / 10, AVERAGED), count - FIRST)
  const cost = (from: number, to: number): { entries: number, cost: number } => ({
    entries: to - from,
    cost: (cpu[to / piece] - cpu[from / piece]) / (to - from)
  })

  return [cost(0, FIRST), cost(count - averaged, count)]
}

const PARTS: Part[] = [
  {
    method: 'appendMany',
    count: { full: 2_000_000, quick: 400_000 },
    warmUp: WARM_UP,
    isBulk: true,
    figures: [
      cpuAt(2_000_000, 1.3),
      { title: bytes('bytes to the datastore, appendMany', 330), value: ({ handed }) => handed },
      { title: bytes('bytes on disk', 1_300), value: ({ written }) => written },
      { title: bytes('bytes on disk, at rest', 320), value: ({ rest }) => rest }
    ]
  },
  {
    method: 'join',
    count: { full: 360_000, quick: 40_000 },
    warmUp: WARM_UP,
    isBulk: true,
    figures: [
      { title: bytes('bytes to the datastore, join', 400), value: ({ handed }) => handed }
    ]
  },
  {
    method: 'append',
    count: { full: 360_000, quick: 6_000 },
    warmUp: 500,
    isBulk: false,
    figures: [
      { title: bytes('bytes to the datastore, one by one', 500), value: ({ handed }) => handed },
      { title: bytes('bytes on disk, at rest, one by one', 420), value: ({ rest }) => rest }
    ]
  }
]

/** The run of --long */
export const LONG: Part = {
  method: 'appendMany',
  count: { full: 10_000_000, quick: 10_000_000 },
  warmUp: WARM_UP,
  isBulk: false,
  figures: [
    cpuAt(10_000_000, 1.5),
    { title: bytes('bytes to the datastore, appendMany, at 10,000,000', 360), value: ({ handed }) => handed }
  ]
}

const LAG: Title = { case: 'loop lag p99', unit: 'ms', better: 'less', wanted: { ours: 8 } }

/**
 * Measures what each entry costs in a log that grows from nothing: CPU, bytes to the datastore, bytes on disk, and how
 * long the event loop is blocked. One run for each way to write: most figures are counts, the others are averages over
 * hundreds of thousands of entries
 */
export async function * growth (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const bulk: Growth[] = []
  const wantsLag = wants(run.options, LAG.case)

  for (const part of PARTS.filter(part => isWanted(run, part) || (part.isBulk && wantsLag))) {
    const growth = await workspace.with(async place => grow(run, workspace, part, place))

    if (growth != null) {
      bulk.push(...part.isBulk ? [growth] : [])
      yield * growthResults(run, part, growth)
    }
  }

  if (wantsLag && bulk.length > 0) {
    yield lagOf(bulk)
  }
}

function isWanted (run: SuiteRun, { figures }: Part): boolean {
  return figures.some(({ title }) => wants(run.options, title.case))
}

export async function grow (run: SuiteRun, workspace: Workspace, part: Part, place: Place): Promise<Growth | undefined> {
  const { method, count, warmUp, figures } = part
  const title = figures[0].title.case

  if (!takes(run.options, 'ours') || !run.timeFor(title)) {
    return undefined
  }

  try {
    return await inProcess('growth', async worker => {
      const ask = async (place: Place, count: number): Promise<Growth> => workspace.with(async source => {
        return worker.call<Growth>(method, { place, source, count }, DEADLINE)
      })
      await workspace.with(async place => ask(place, warmUp))

      return ask(place, count[run.length])
    })
  } catch (err: any) {
    say(run, 'ours', `${title}: ${err.message}`)
  }
}

export function growthResults (run: SuiteRun, { count, figures }: Part, growth: Growth): CaseResult[] {
  return figures.filter(({ title }) => wants(run.options, title.case)).map(({ title, value, note }) => {
    const measured = value(growth)
    const notes = [cut(count, run.length), note?.(growth)].filter(text => text != null)

    return figure(title, new Map([['ours', measured == null ? [] : [measured]]]), {
      lag: [growth.lag.p99],
      note: notes.length > 0 ? notes.join('; ') : undefined
    })
  })
}

/** The worse one of appending and joining */
function lagOf (bulk: Growth[]): CaseResult {
  const worst = Math.max(...bulk.map(({ lag }) => lag.p99))
  const each = bulk.map(({ method, lag }) => `${method} ${lag.p99.toFixed(1)}, at worst ${lag.worst.toFixed(1)}`)

  return figure(LAG, new Map([['ours', [worst]]]), { lag: [worst], note: each.join('; ') })
}
