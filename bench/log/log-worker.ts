import { need } from '../clock.ts'
import { serve } from '../workers.ts'
import { withLag } from './lag.ts'
import { openAt, rateOf, someData } from './logs.ts'
import type { OpenAtOptions } from './logs.ts'
import type { Place } from './workspace.ts'
import type { Log } from '../../src/log/index.ts'

interface Raw { bytes: Uint8Array, proof: Uint8Array }

/** What is joined: made once, by another log than those that take it */
let made: Raw[] = []

/** The p99 of the loop lag in the last measurement, in milliseconds */
let lastLag = 0

/**
 * Our log in the cases that begin with an empty one: `append`, `appendMany` and `join` return entries a second
 */
serve({
  /** As many callers at once, each of which waits for its last append before the next */
  async append ({ place, count, underWay }: { place: Place, count: number, underWay: number }) {
    const data = someData(count)

    return inLog(place, async log => timed(count, async () => {
      await Promise.all(Array.from({ length: underWay }, async () => {
        for (let next = data.pop(); next != null; next = data.pop()) {
          await log.append(next)
        }
      }))
    }), count)
  },

  /** With a `canAppend` and a listener, as most programs have them */
  async appendMany ({ place, count }: { place: Place, count: number }) {
    const data = someData(count)
    let heard = 0

    return inLog(place, async log => {
      log.addEventListener('entry:add', () => { heard++ })
      const rate = await timed(count, async () => log.appendMany(data))
      await need(`a listener hears of ${count}`, () => heard === count)

      return rate
    }, count, { canAppend: () => true })
  },

  /** Entries of one author, each on top of the one before: signed together, or each of them alone and then shuffled */
  async make ({ place, count, signed }: { place: Place, count: number, signed: 'together' | 'alone' }) {
    made = []

    await inLog(place, async log => {
      const data = someData(count)

      if (signed === 'together') {
        made = (await log.appendMany(data)).map(toRaw)
      } else {
        for (const item of data) {
          made.push(toRaw(await log.append(item)))
        }

        shuffle(made)
      }
    }, count)

    return Math.round(made.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) / count)
  },

  async join ({ place, piece }: { place: Place, piece: number }) {
    return inLog(place, async log => timed(made.length, async () => {
      for (let i = 0; i < made.length; i += piece) {
        await log.join(made.slice(i, i + piece))
      }
    }), made.length)
  },

  async lag () {
    return lastLag
  }
})

async function timed (count: number, run: () => Promise<unknown>): Promise<number> {
  const { result, lag } = await withLag(async () => rateOf(count, run))
  lastLag = lag.p99

  return result
}

/** A log that does not end with all of them was not measured, but lost something */
async function inLog<T> (place: Place, use: (log: Log) => Promise<T>, length: number, options?: OpenAtOptions): Promise<T> {
  const { log, close } = await openAt(place, options)
  const result = await use(log)

  if (log.length !== length) {
    throw new Error(`${log.length} entries are in the log, not ${length}`)
  }

  await close()

  return result
}

function toRaw ({ bytes, proof }: Raw): Raw {
  return { bytes, proof }
}

function shuffle (items: unknown[]): void {
  for (let i = items.length - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1))
    const item = items[i]
    items[i] = items[other]
    items[other] = item
  }
}
