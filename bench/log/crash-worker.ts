import { serve } from '../workers.ts'
import { withLag } from './lag.ts'
import { openAt, someData } from './logs.ts'
import type { OpenLog } from './logs.ts'
import type { Place } from './workspace.ts'
import type { Log } from '../../src/log/index.ts'

/** Entries of one call of `appendMany`, and such calls at any time */
const PIECE = 1_000
const UNDER_WAY = 4

export interface Opened {
  /** Milliseconds for LevelDB, and for the log on it */
  datastore: number
  log: number
  length: number
  lag: number
}

/**
 * Writes until the process is killed, or opens the log after that. A writer answers when `count` more entries are
 * stored, with the length that the log has at least, and goes on writing
 */
serve({
  async appendMany ({ place, count }: { place: Place, count: number }) {
    const data = someData(PIECE)

    return writeOn(place, count, UNDER_WAY, async log => (await log.appendMany(data)).length)
  },

  /** One entry after the other */
  async append ({ place, count }: { place: Place, count: number }) {
    const [data] = someData(1)

    return writeOn(place, count, 1, async log => {
      await log.append(data)

      return 1
    })
  },

  async open ({ place }: { place: Place }): Promise<Opened> {
    const { result: { log, opened, close }, lag } = await withLag(async () => openAt(place))
    const { length } = log
    await close()

    return { ...opened, length, lag: lag.p99 }
  }
})

async function writeOn (place: Place, count: number, underWay: number, write: (log: Log) => Promise<number>): Promise<number> {
  const { log }: OpenLog = await openAt(place)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let length = log.length
  const enough = length + count
  const on = async (): Promise<void> => {
    for (;;) {
      // not in one step: that would forget what the other writers added meanwhile
      const added = await write(log)
      length += added

      if (length >= enough) {
        resolve(length)
      }
    }
  }

  for (let i = 0; i < underWay; i++) {
    on().catch(reject)
  }

  return promise
}
