import { Workspace } from './log/workspace.ts'
import { TARGET } from './replication/cases.ts'
import { differences } from './replication/differences.ts'
import { joining } from './replication/joining.ts'
import { coldJoiner, lateJoiner } from './replication/late-joiner.ts'
import { Limits, RAW_STREAM } from './replication/limits.ts'
import { live } from './replication/live.ts'
import { Pair } from './replication/pair.ts'
import type { Suite } from './suite.ts'

/**
 * How soon one node has what another has: a process for each, TCP, noise and yamux between them, entries of 100 B on LevelDB
 */
export const replication: Suite = {
  peers: [RAW_STREAM, TARGET],

  async * run (run) {
    const workspace = await Workspace.open()
    const pair = new Pair(workspace)
    const limits = new Limits(workspace)

    try {
      yield * joining(run, pair)
      yield * live(run, pair, limits)
      yield * lateJoiner(run, workspace, pair, limits)
      yield * coldJoiner(run, workspace)
      yield * differences(run, workspace, pair)
    } finally {
      await Promise.all([pair.stop(), limits.stop()])
      await workspace.close()
    }
  }
}
