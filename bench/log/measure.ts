import { takes } from '../options.ts'
import { median, significant, summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { say } from './say.ts'
import type { CaseResult, CaseTitle, Contender, Samples } from '../report.ts'
import type { Entrant } from '../rounds.ts'
import type { SuiteRun } from '../suite.ts'

export type Title = Omit<CaseTitle, 'suite'>

/** What came of one round, and for how long it blocked the loop of its process */
export interface Measured {
  value: number
  lag?: number
}

export interface Contest {
  warmUp? (): Promise<unknown>
  round (): Promise<Measured>
}

export interface Measurement {
  title: Title
  rounds: number
  note?: string
  ours: Contest
  /** By name. The worst of them counts as the limit: nothing can be better than that one allows */
  limits: Record<string, Contest>
}

/**
 * Measures ours and its limits in turn
 */
export async function measure (run: SuiteRun, { title, rounds, note, ours, limits }: Measurement): Promise<CaseResult> {
  const lag: number[] = []
  const contests = [
    ...(takes(run.options, 'ours') ? [['ours', ours] as const] : []),
    ...(takes(run.options, 'limit') ? Object.entries(limits) : [])
  ]
  const entrants = contests.map(([name, { warmUp, round }]): Entrant => ({
    name,
    warmUp,
    round: async () => {
      const measured = await round()

      if (name === 'ours' && measured.lag != null) {
        lag.push(measured.lag)
      }

      return measured.value
    }
  }))
  const { samples, failures } = await interleave(entrants, rounds)
  failures.forEach(({ contender, error }) => { say(run, contender, `${title.case}: ${error.message}`) })
  const limitIs = leastOf(samples, Object.keys(limits), title.better)

  return figure({ ...title, limitIs }, new Map([
    ['ours', samples.get('ours') ?? []],
    ['limit', samples.get(limitIs) ?? []]
  ]), { lag, note })
}

/**
 * A line of the report, with the median lag of its rounds and a note
 */
export function figure (title: Title, samples: Samples, { lag = [], note }: { lag?: number[], note?: string } = {}): CaseResult {
  return {
    ...summarise({ suite: 'log', ...title }, samples),
    ...(lag.length > 0 ? { lag: significant(median(lag)) } : {}),
    ...(note == null ? {} : { note })
  }
}

/** The note of a case that is measured at a smaller size than a full run has */
export function cut (size: { full: number, quick: number }, length: SuiteRun['length']): string | undefined {
  return size[length] === size.full ? undefined : `cut: ${size[length].toLocaleString('en')} instead of ${size.full.toLocaleString('en')} entries`
}

function leastOf (samples: Samples, names: Contender[], better: Title['better']): Contender {
  const good = (name: Contender): number => {
    const values = samples.get(name) ?? []

    if (values.length === 0) {
      return Infinity
    }

    return better === 'more' ? median(values) : -median(values)
  }

  return names.reduce((a, b) => good(b) < good(a) ? b : a)
}
