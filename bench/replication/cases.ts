import { say } from '../log/say.ts'
import { takes } from '../options.ts'
import { summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import type { CaseResult, CaseTitle, Contender, Samples } from '../report.ts'
import type { SuiteRun } from '../suite.ts'

/** A column of the table: what the specification asks for */
export const TARGET = 'target'

export interface Case {
  title: Omit<CaseTitle, 'suite'>
  target?: number
  rounds: number
  /** One measurement each */
  entrants: Record<Contender, () => Promise<number>>
}

/** Each once without counting, then in turn */
export async function measure (run: SuiteRun, { title, target, rounds, entrants }: Case): Promise<CaseResult> {
  const wanted = Object.entries(entrants).filter(([name]) => takes(run.options, name))
  const { samples, failures } = await interleave(wanted.map(([name, round]) => ({ name, warmUp: round, round })), rounds)
  failures.forEach(({ contender, error }) => { say(run, contender, `${title.case}: ${error.message}`) })

  return figure(title, samples, target)
}

/** A line of the report, with what is asked for beside it */
export function figure (title: Case['title'], samples: Samples, target?: number): CaseResult {
  return summarise({ suite: 'replication', ...title }, target == null ? samples : new Map([...samples, [TARGET, [target]]]))
}
