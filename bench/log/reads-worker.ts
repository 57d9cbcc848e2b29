import { randomBytes, randomInt } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { median } from '../report.ts'
import { serve } from '../workers.ts'
import { withLag } from './lag.ts'
import { openAt, rateOf } from './logs.ts'
import type { OpenLog } from './logs.ts'
import type { Measured } from './measure.ts'
import type { Place } from './workspace.ts'
import type { EntryId } from '../../src/log/entry-id.ts'
import type { Log } from '../../src/log/index.ts'

/** Positions of the ring */
const RING = 2 ** 32

const { promise: opened, resolve: setOpened } = Promise.withResolvers<OpenLog>()

/**
 * Reads our log when there is much in it. The log stays open from one round to the next
 */
serve({
  async open ({ place }: { place: Place }) {
    setOpened(await openAt(place))
  },

  /** Entries a second, with their data */
  async entries ({ count }: { count?: number }) {
    const { log } = await opened
    const expected = count ?? log.length

    return measured(async () => rateOf(expected, async () => readEntries(log, expected)))
  },

  /**
   * Milliseconds for a range that is `share` of the ring: the median of calls one after the other. Of `ranges` in turn,
   * whose pages are in memory then; as many as calls: each is a new one, whose pages are mostly on the disk
   */
  async fingerprint ({ count, share, ranges = count }: { count: number, share: number, ranges?: number }) {
    const { log } = await opened
    const key = randomBytes(32)
    const times: number[] = []
    const starts = Array.from({ length: ranges }, () => randomInt(RING))

    return measured(async () => {
      for (let i = 0; i < count; i++) {
        const from = starts[i % ranges]
        const began = performance.now()
        await log.fingerprint({ from, to: (from + Math.floor(share * RING)) % RING }, key)
        times.push(performance.now() - began)
        // calls that find all in memory never leave microtasks: the lag is to be theirs, not that of this loop
        await setImmediate()
      }

      return median(times)
    })
  },

  /** Microseconds for an entry with its data: the mean of calls one after the other */
  async get ({ count }: { count: number }) {
    const { log } = await opened
    const ids = await someIds(log, count)

    return measured(async () => 1e6 / await rateOf(count, async () => {
      for (const id of ids) {
        const entry = await log.get(id)

        if (entry == null || entry.data.byteLength === 0) {
          throw new Error(`get() does not find ${id.toString()}, which idsInRange named`)
        }
      }
    }))
  },

  async close () {
    await (await opened).close()
  }
})

async function measured (run: () => Promise<number>): Promise<Measured> {
  const { result, lag } = await withLag(run)

  return { value: result, lag: lag.p99 }
}

async function readEntries (log: Log, expected: number): Promise<void> {
  let bytes = 0
  let count = 0

  for await (const { data } of log.entries()) {
    bytes += data.byteLength

    if (++count === expected) {
      break
    }
  }

  if (count !== expected || bytes === 0) {
    throw new Error(`entries() gave ${count} of ${expected}`)
  }
}

/** Ids from all over the ring: a lookup leaves little in memory that helps the next one */
async function someIds (log: Log, count: number): Promise<EntryId[]> {
  const ids: EntryId[] = []

  while (ids.length < count) {
    ids.push(...await log.idsInRange({ from: randomInt(RING) }, { limit: 1 }))
  }

  return ids
}
