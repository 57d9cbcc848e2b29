import type { Contender } from '../report.ts'
import type { SuiteRun } from '../suite.ts'

/**
 * A fault of ours is a problem, that of a limit is worth a line
 */
export function say (run: SuiteRun, contender: Contender, text: string): void {
  if (contender === 'ours') {
    run.problem(`${contender}, ${text}`)
  } else {
    run.note(`${contender}, ${text}`)
  }
}
