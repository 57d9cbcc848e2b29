import { Worker } from '../workers.ts'
import type { CaseTitle, Contender } from '../report.ts'
import type { Race } from '../rounds.ts'
import type { SuiteRun } from '../suite.ts'
import type { Kind } from './contenders.ts'

/**
 * A contender and the processes in which it runs
 */
export interface Member {
  readonly kind: Kind
  readonly workers: Worker[]
  stop (): Promise<void>
}

/**
 * Starts all at once, each with as many processes as it asks for. Who does not start is left out, and that is said.
 */
export async function startAll (run: SuiteRun, kinds: Kind[], script: URL, start: (kind: Kind, fork: (execArgv?: string[]) => Worker) => Promise<void>): Promise<Member[]> {
  const members = await Promise.all(kinds.map(async (kind): Promise<Member | undefined> => {
    const workers: Worker[] = []
    const stop = async (): Promise<void> => {
      await Promise.all(workers.map(async worker => worker.stop()))
    }

    try {
      await start(kind, execArgv => {
        const worker = new Worker(script, execArgv)
        workers.push(worker)

        return worker
      })

      return { kind, workers, stop }
    } catch (error: any) {
      say(run, kind, `does not start: ${error.message}`)
      await stop()
    }
  }))

  return members.filter(member => member != null)
}

export function report (run: SuiteRun, { case: title }: CaseTitle, failures: Race['failures']): void {
  for (const { contender, error } of failures) {
    say(run, contender, `${title}: ${error.message}`)
  }
}

/**
 * A fault of ours is a problem, that of another is worth a line
 */
export function say (run: SuiteRun, contender: Contender, text: string): void {
  if (contender === 'ours') {
    run.problem(`${contender}, ${text}`)
  } else {
    run.note(`${contender}, ${text}`)
  }
}
