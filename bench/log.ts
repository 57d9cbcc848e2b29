import { fresh } from './log/fresh.ts'
import { long } from './log/long.ts'
import { Workspace } from './log/workspace.ts'
import type { Suite } from './suite.ts'

/**
 * How fast a log takes entries, and what a long one costs: all of it on LevelDB, in a temporary directory
 */
export const log: Suite = {
  peers: [],

  async * run (run) {
    const workspace = await Workspace.open()

    try {
      yield * fresh(run, workspace)
      yield * long(run, workspace)
    } finally {
      await workspace.close()
    }
  }
}
