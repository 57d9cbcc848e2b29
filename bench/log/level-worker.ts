import { randomFillSync, randomInt } from 'node:crypto'
import { serve } from '../workers.ts'
import { levelAt } from './level.ts'
import { rateOf, STORED_BYTES } from './logs.ts'
import type { Measured } from './measure.ts'
import type { Place } from './workspace.ts'
import type { LevelDatastore } from 'datastore-level'

/** Values that are written at once */
const WRITTEN_AT_ONCE = 1_000

/** Values that are read at once, and bytes of them */
const READ_AT_ONCE = 256
const READ_BYTES = 1024 * 1024

/** Of a second */
const UNITS = { ms: 1e3, us: 1e6 }

let db: LevelDatastore['db']
let length = 0

/**
 * What a log of so many entries has to read for one of them: a page of its index, and the record with the entry. Its
 * ring has 46 bytes an entry, a record has 256 entries
 */
const PARTS = {
  page: { bytes: 16 * 1024, entries: 356 },
  record: { bytes: 60 * 1024, entries: 256 }
}
let parts: LevelDatastore['db']

/**
 * Reads a LevelDB without a log, which holds a value for each entry, in their order
 */
serve({
  async fill ({ place, count }: { place: Place, count: number }) {
    const datastore = levelAt(place.dir)
    await datastore.open()
    db = datastore.db

    for (; length < count; length += WRITTEN_AT_ONCE) {
      await db.batch(puts(length))
    }
  },

  async fillParts ({ place, count }: { place: Place, count: number }) {
    const datastore = levelAt(place.dir)
    await datastore.open()
    parts = datastore.db
    length = count

    for (const [name, { bytes, entries }] of Object.entries(PARTS)) {
      for (let i = 0; i * entries < count; i++) {
        await parts.put(`/${name}${keyOf(i)}`, randomFillSync(new Uint8Array(bytes)))
      }
    }
  },

  /** Time to get a random page, and then a random record */
  async getParts ({ count }: { count: number }): Promise<Measured> {
    const rate = await rateOf(count, async () => {
      for (let i = 0; i < count; i++) {
        for (const [name, { entries }] of Object.entries(PARTS)) {
          await get(`/${name}${keyOf(randomInt(Math.floor(length / entries)))}`, parts)
        }
      }
    })

    return { value: UNITS.us / rate }
  },

  /** Values a second */
  async values ({ count = length }: { count?: number }): Promise<Measured> {
    return { value: await rateOf(count, async () => readValues(count)) }
  },

  /** Time to get one random value, or `together` of them at once */
  async get ({ count, together, unit }: { count: number, together: number, unit: keyof typeof UNITS }): Promise<Measured> {
    const rate = await rateOf(count, async () => {
      for (let i = 0; i < count; i++) {
        await Promise.all(anyKeys(together).map(async key => get(key)))
      }
    })

    return { value: UNITS[unit] / rate }
  }
})

function puts (from: number): Array<{ type: 'put', key: string, value: Uint8Array }> {
  const values = randomFillSync(new Uint8Array(WRITTEN_AT_ONCE * STORED_BYTES))

  return Array.from({ length: WRITTEN_AT_ONCE }, (_, i) => {
    return { type: 'put', key: keyOf(from + i), value: values.subarray(i * STORED_BYTES, (i + 1) * STORED_BYTES) }
  })
}

function anyKeys (count: number): string[] {
  return Array.from({ length: count }, () => keyOf(randomInt(length)))
}

async function get (key: string, from = db): Promise<void> {
  if (await from.get(key) == null) {
    throw new Error(`LevelDB does not have ${key}`)
  }
}

function keyOf (i: number): string {
  return `/bench/${i.toString().padStart(12, '0')}`
}

async function readValues (count: number): Promise<void> {
  // it takes what LevelDB can, which its type does not tell
  const options: { highWaterMarkBytes: number } = { highWaterMarkBytes: READ_BYTES }
  const values = db.values(options)
  let left = count

  while (left > 0) {
    const read = await values.nextv(READ_AT_ONCE)

    if (read.length === 0) {
      throw new Error(`${left} of ${count} values are not there`)
    }

    left -= read.length
  }
  await values.close()
}
