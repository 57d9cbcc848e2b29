import { serve } from '../workers.ts'
import { openAt, rateOf, someData } from './logs.ts'
import type { Place } from './workspace.ts'
import type { Log } from '../../src/log/index.ts'

interface Raw { bytes: Uint8Array, proof: Uint8Array }

/** What is joined: made once, by another log than those that take it */
let made: Raw[] = []

/**
 * Our log in the cases that begin with an empty one. All methods but `make` return entries a second
 */
serve({
  /** As many callers at once, each of which waits for its last append before the next */
  async append ({ place, count, underWay }: { place: Place, count: number, underWay: number }) {
    const data = someData(count)

    return inLog(place, async log => rateOf(count, async () => {
      await Promise.all(Array.from({ length: underWay }, async () => {
        for (let next = data.pop(); next != null; next = data.pop()) {
          await log.append(next)
        }
      }))
    }), count)
  },

  async appendMany ({ place, count }: { place: Place, count: number }) {
    const data = someData(count)

    return inLog(place, async log => rateOf(count, async () => log.appendMany(data)), count)
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
    return inLog(place, async log => rateOf(made.length, async () => {
      for (let i = 0; i < made.length; i += piece) {
        await log.join(made.slice(i, i + piece))
      }
    }), made.length)
  }
})

/** A log that does not end with all of them was not measured, but lost something */
async function inLog<T> (place: Place, use: (log: Log) => Promise<T>, length: number): Promise<T> {
  const { log, close } = await openAt(place)
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
