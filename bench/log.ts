import { fresh } from './log/fresh.ts'
import { growth } from './log/growth.ts'
import { longLog, tenMillion } from './log/long-log.ts'
import { Workspace } from './log/workspace.ts'
import type { Suite } from './suite.ts'

/**
 * How fast a log takes entries, what each of them costs, and what a long one costs: all of it on LevelDB, in a
 * temporary directory
 */
export const log: Suite = {
  peers: [],
  hasWanted: true,

  async * run (run) {
    const workspace = await Workspace.open()

    try {
      yield * fresh(run, workspace)
      yield * growth(run, workspace)
      yield * longLog(run, workspace)
      yield * tenMillion(run, workspace)
    } finally {
      await workspace.close()
    }
  }
}
