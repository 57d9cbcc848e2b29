import { wants } from './options.ts'
import { summarise } from './report.ts'
import { interleave } from './rounds.ts'
import type { CaseResult, CaseTitle } from './report.ts'
import type { Entrant } from './rounds.ts'
import type { SuiteRun } from './suite.ts'

/** Its warm-up is a round */
export function entrant (name: string, round: () => Promise<number>): Entrant {
  return { name, warmUp: round, round }
}

/** One case, in interleaved rounds, if it is wanted and there is time */
export async function * measure (
  run: SuiteRun, title: CaseTitle, entrants: Entrant[], rounds: number
): AsyncGenerator<CaseResult> {
  if (!wants(run.options, title.case) || !run.timeFor(title.case)) {
    return
  }

  const { samples, failures } = await interleave(entrants, rounds)
  failures.forEach(({ contender, error }) => { run.problem(`${title.case}, ${contender}: ${error.message}`) })
  yield summarise(title, samples)
}
