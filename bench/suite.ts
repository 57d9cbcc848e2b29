import type { Options } from './options.ts'
import type { CaseResult, Table } from './report.ts'

/**
 * What a suite has besides its results
 */
export interface SuiteRun {
  options: Options

  /**
   * How long it may take, which measurements have two sets of numbers for
   */
  length: 'full' | 'quick'

  /**
   * Whether there is time to begin another case: if there is not, this says that it is left out
   */
  timeFor (title: string): boolean

  /**
   * Says what nobody may overlook: the run then ends with an error
   */
  problem (text: string): void

  /**
   * Says what is worth a line while the run goes on
   */
  note (text: string): void
}

export interface Suite extends Table {
  run (run: SuiteRun): AsyncGenerator<CaseResult>
}
