import { randomBytes, randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { sleep } from '../clock.ts'
import { serve } from '../workers.ts'
import { withLag } from './lag.ts'
import { levelAt } from './level.ts'
import { openAt, someData, STORED_BYTES } from './logs.ts'
import type { Place } from './workspace.ts'
import type { Log } from '../../src/log/index.ts'
import type { LevelDatastore } from 'datastore-level'

/**
 * What the process does before its memory is read: entries appended, read in order, looked up by id; fingerprints
 * asked for
 */
const APPENDED = 20_000
const READ = 100_000
const GOT = 2_000
const FINGERPRINTS = 1_000

/** Positions of the ring */
const RING = 2 ** 32

/** Pairs that are written, and read, at once */
const AT_ONCE = 256

/** Collections until the heap stays as it is: each one may free what the last one made unreachable */
const COLLECTIONS = 20

/** Share of the heap below which a difference between two collections is no difference */
const STILL = 0.0005

export interface Memory {
  /** Bytes that belong to no file: LevelDB maps its files, and the system takes those pages back at will */
  anonymous?: number
  /** The same while V8 still had the room that it had made for young objects */
  working?: number
  lag: number
}

/**
 * Reads the memory of this process after it has worked with a log, or with as many bytes of LevelDB: the loaded
 * modules are the same
 */
serve({
  async withLog ({ place }: { place: Place }): Promise<Memory> {
    const { log, close } = await openAt(place)
    const { lag } = await withLag(async () => useLog(log))
    const working = anonymousMemory()
    const anonymous = await settledMemory()
    await close()

    return { anonymous, working, lag: lag.p99 }
  },

  async withoutLog ({ place }: { place: Place }): Promise<Memory> {
    const datastore = levelAt(place.dir)
    await datastore.open()
    const { lag } = await withLag(async () => useLevel(datastore.db))
    const working = anonymousMemory()
    const anonymous = await settledMemory()
    await datastore.close()

    return { anonymous, working, lag: lag.p99 }
  }
})

async function useLog (log: Log): Promise<void> {
  const key = randomBytes(32)
  let left = READ
  await log.appendMany(someData(APPENDED))

  for await (const entry of log.entries()) {
    if (entry.data.byteLength === 0 || --left === 0) {
      break
    }
  }

  for (let i = 0; i < GOT; i++) {
    const [id] = await log.idsInRange({ from: randomInt(RING) }, { limit: 1 })
    await log.get(id)
  }

  for (let i = 0; i < FINGERPRINTS; i++) {
    await log.fingerprint({ from: randomInt(RING), to: randomInt(RING) }, key)
    await setImmediate()
  }
}

/** Writes only what it has read, under the same keys: for the log in these files nothing changes */
async function useLevel (db: LevelDatastore['db']): Promise<void> {
  const pairs = db.iterator()
  const keys: string[] = []
  let read = 0

  while (read < READ * STORED_BYTES) {
    const some = await pairs.nextv(AT_ONCE)

    if (some.length === 0) {
      break
    }

    if (read < APPENDED * STORED_BYTES) {
      await db.batch(some.map(([key, value]) => ({ type: 'put', key, value })))
    }

    for (const [key, value] of some) {
      keys.push(key)
      read += value.byteLength
    }
  }
  await pairs.close()

  for (let i = 0; i < GOT; i++) {
    await db.get(keys[randomInt(keys.length)])
  }
}

/**
 * Anonymous memory after garbage collection, in bytes. The last resort, as V8 keeps room for young objects, 15 to 130 MB
 * by chance, until memory is wanted
 */
async function settledMemory (): Promise<number | undefined> {
  if (globalThis.gc == null) {
    throw new Error('Run with --expose-gc')
  }

  let before = Infinity

  for (let i = 0; i < COLLECTIONS; i++) {
    globalThis.gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    const { heapUsed, external } = process.memoryUsage()
    // `external` has the array buffers in it
    const heap = heapUsed + external

    if (Math.abs(heap - before) < heap * STILL) {
      break
    }

    before = heap
    // what is done with a promise or a timer lets go of it in a later turn
    await sleep(20)
  }

  return anonymousMemory()
}

/** In bytes. Only Linux tells */
function anonymousMemory (): number | undefined {
  if (process.platform !== 'linux') {
    return undefined
  }

  const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]

  return kilobytes == null ? undefined : Number(kilobytes) * 1024
}
