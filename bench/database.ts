import { CASES, LOG_ALONE, measure, SCRATCH, TARGET } from './database/cases.ts'
import { Workspace } from './log/workspace.ts'
import { wants } from './options.ts'
import { Worker } from './workers.ts'
import type { Suite } from './suite.ts'

/** Keys of the databases that are read */
const KEYS = { full: 100_000, quick: 20_000 }

/** Milliseconds that making those may take */
const DEADLINE = 60_000

/**
 * What a database costs over the log that it is on: a node without others, LevelDB in a temporary directory
 */
export const database: Suite = {
  peers: [LOG_ALONE, SCRATCH, TARGET],

  async * run (run) {
    const cases = CASES.filter(({ title }) => wants(run.options, title))
    const workspace = await Workspace.open()
    const filled = workspace.place()
    // a process each: what one has compiled and collected is not for the other
    const workers = new Map(cases.flatMap(({ contenders }) => Object.keys(contenders)).map(name => [name, new Worker(new URL('./database/worker.ts', import.meta.url))]))

    try {
      if (cases.some(({ reads }) => reads)) {
        await workers.get('ours')?.call('fill', { place: filled, count: KEYS[run.length] }, DEADLINE)
      }

      for (const one of cases) {
        if (run.timeFor(one.title)) {
          yield await measure(run, one, { workspace, workers, filled, keys: KEYS[run.length] })
        }
      }
    } finally {
      await Promise.all([...workers.values()].map(async worker => worker.stop()))
      await workspace.close()
    }
  }
}
