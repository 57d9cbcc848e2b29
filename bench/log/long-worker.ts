import { randomBytes, randomInt } from 'node:crypto'
import { serve } from '../workers.ts'
import { openAt, rateOf, someData } from './logs.ts'
import { more, settledMemory } from './memory.ts'
import type { OpenLog } from './logs.ts'
import type { Memory } from './memory.ts'
import type { Place } from './workspace.ts'

/** Entries that are handed to `appendMany` at once */
const BUILT_AT_ONCE = 100_000
const CRASHED_AT_ONCE = 1_000

/** Calls of `appendMany` at any time before the crash */
const UNDER_WAY = 4

/** Positions of the ring */
const RING = 2 ** 32

export interface Life {
  opened: OpenLog['opened']
  length: number
  /** Entries a second that `entries()` gives */
  rate: number
  /** Bytes over what there was before it was opened */
  memory: Memory
}

/**
 * Our log when there is much in it
 */
serve({
  async build ({ place, count }: { place: Place, count: number }) {
    const { log, close } = await openAt(place)

    const rate = await rateOf(count, async () => {
      for (let left = count; left > 0; left -= BUILT_AT_ONCE) {
        await log.appendMany(someData(Math.min(left, BUILT_AT_ONCE)))
      }
    })
    await close()

    return rate
  },

  /** All that a program does with it: opens it, reads it, appends to it */
  async live ({ place, appends }: { place: Place, appends: number }): Promise<Life> {
    const before = await settledMemory()
    const { log, opened, close } = await openAt(place)
    const { length } = log
    const rate = await rateOf(length, async () => readAll(log))
    await Promise.all(someData(appends).map(async data => log.append(data)))
    const memory = more(await settledMemory(), before)
    await close()

    return { opened, length, rate, memory }
  },

  /** Milliseconds that each of them takes */
  async fingerprints ({ place, count }: { place: Place, count: number }) {
    const { log, close } = await openAt(place)
    const key = randomBytes(32)
    const times: number[] = []

    for (let i = 0; i < count; i++) {
      const range = { from: randomInt(RING), to: randomInt(RING) }
      const began = performance.now()
      await log.fingerprint(range, key)
      times.push(performance.now() - began)
    }
    await close()

    return times
  },

  /** Appends until somebody kills it. Returns how long the log is at least when as many as that are stored */
  async appendUntil ({ place, count }: { place: Place, count: number }) {
    const { log } = await openAt(place)
    const enough = Promise.withResolvers<number>()
    let length = log.length
    const least = length + count
    const appendOn = async (): Promise<void> => {
      for (;;) {
        await log.appendMany(someData(CRASHED_AT_ONCE))
        length += CRASHED_AT_ONCE

        if (length >= least) {
          enough.resolve(length)
        }
      }
    }

    for (let i = 0; i < UNDER_WAY; i++) {
      appendOn().catch(enough.reject)
    }

    return enough.promise
  },

  async open ({ place }: { place: Place }) {
    const { log, opened, close } = await openAt(place)
    const { length } = log
    await close()

    return { opened, length }
  }
})

async function readAll (log: OpenLog['log']): Promise<void> {
  let bytes = 0
  let count = 0

  for await (const { data } of log.entries()) {
    bytes += data.byteLength
    count++
  }

  if (count !== log.length || bytes === 0) {
    throw new Error(`entries() gave ${count} of ${log.length}`)
  }
}
