import { randomBytes, randomInt } from 'node:crypto'
import { LevelDatastore } from 'datastore-level'
import { serve } from '../workers.ts'
import { rateOf, STORED_BYTES } from './logs.ts'
import { more, settledMemory } from './memory.ts'
import type { Memory } from './memory.ts'
import type { Place } from './workspace.ts'

/** Values that are read at once, and bytes of them */
const READ_AT_ONCE = 256
const READ_BYTES = 1024 * 1024

/**
 * LevelDB without a log, with the very files of one: what opening, reading and keeping them costs without us
 */
serve({
  async live ({ place, length, appends }: { place: Place, length: number, appends: number }): Promise<{ rate: number, memory: Memory }> {
    const before = await settledMemory()
    const datastore = await open(place)
    const rate = await rateOf(length, async () => readAll(datastore.db))
    await Promise.all(Array.from({ length: appends }, async (_, i) => datastore.db.put(`/bench/${i}`, randomBytes(STORED_BYTES))))
    const memory = more(await settledMemory(), before)
    await datastore.close()

    return { rate, memory }
  },

  /** Milliseconds that it takes to get two random values, again and again: a range has two ends */
  async gets ({ place, count }: { place: Place, count: number }) {
    const datastore = await open(place)
    const { db } = datastore
    const keys = await db.keys().all()
    const times: number[] = []

    for (let i = 0; i < count; i++) {
      const ends = [keys[randomInt(keys.length)], keys[randomInt(keys.length)]]
      const began = performance.now()
      await Promise.all(ends.map(async key => db.get(key)))
      times.push(performance.now() - began)
    }
    await datastore.close()

    return times
  }
})

async function open ({ dir }: Place): Promise<LevelDatastore> {
  const datastore = new LevelDatastore(dir)
  await datastore.open()

  return datastore
}

async function readAll (db: LevelDatastore['db']): Promise<void> {
  // it takes what LevelDB can, which its type does not tell
  const options: { highWaterMarkBytes: number } = { highWaterMarkBytes: READ_BYTES }
  const values = db.values(options)

  while ((await values.nextv(READ_AT_ONCE)).length > 0) {
    // read, and forgotten
  }
  await values.close()
}
