import { serve } from '../workers.ts'
import { bytesIn, writtenBytes } from './disk.ts'
import { withLag } from './lag.ts'
import { CountingLevel } from './level.ts'
import { openAt, rateOf, someData } from './logs.ts'
import { Parcel } from './parcel.ts'
import type { Lag } from './lag.ts'
import type { Place } from './workspace.ts'
import type { Log } from '../../src/log/index.ts'

/** Entries that are handed to `appendMany` at once, and forgotten then */
const PIECE = 10_000

/** Entries that are joined at once: as many as replication has in a message of 192 KiB */
const JOINED_AT_ONCE = 400

export interface Growth {
  method: 'appendMany' | 'join' | 'append'
  /** Entries in all */
  count: number
  /** Entries a second */
  rate: number
  lag: Lag
  /** Microseconds of CPU of the whole process, LevelDB's threads too, up to the end of each piece */
  cpu: number[]
  /** Bytes of keys and values that the datastore was handed, for each entry. Closing is included */
  handed: number
  /** Bytes that the process wrote to files, for each entry. Closing is included */
  written?: number
  /** Bytes of the directory after close, for each entry */
  rest: number
}

/**
 * Grows our log from nothing, and counts. All pieces have the same data: making it is no part of the measurement
 */
serve({
  async appendMany ({ place, count }: { place: Place, count: number }) {
    const data = someData(PIECE)

    return grow('appendMany', place, count, async (log, onPiece) => {
      for (let left = count; left > 0; left -= PIECE) {
        await log.appendMany(data.slice(0, left))
        onPiece()
      }
    })
  },

  /** Joins a chain of another author. The log of that author is closed before the measurement begins */
  async join ({ place, source, count }: { place: Place, source: Place, count: number }) {
    const parcels = await chain(source, count)

    return grow('join', place, count, async log => {
      for (const parcel of parcels) {
        await log.join(parcel.entries())
      }
    })
  },

  async append ({ place, count }: { place: Place, count: number }) {
    const data = someData(PIECE)

    return grow('append', place, count, async log => {
      for (let i = 0; i < count; i++) {
        await log.append(data[i % PIECE])
      }
    })
  }
})

async function grow (method: Growth['method'], place: Place, count: number, use: (log: Log, onPiece: () => void) => Promise<void>): Promise<Growth> {
  const before = writtenBytes()
  const datastore = new CountingLevel(place.dir)
  const { log, close } = await openAt(place, { datastore })
  const cpu = [cpuNow()]
  const { result: rate, lag } = await withLag(async () => rateOf(count, async () => use(log, () => { cpu.push(cpuNow()) })))

  if (log.length !== count) {
    throw new Error(`${log.length} entries are in the log, not ${count}`)
  }

  await close()
  const after = writtenBytes()

  return {
    method,
    count,
    rate,
    lag,
    cpu,
    handed: datastore.handed / count,
    written: before == null || after == null ? undefined : (after - before) / count,
    rest: await bytesIn(place.dir) / count
  }
}

function cpuNow (): number {
  const { user, system } = process.cpuUsage()

  return user + system
}

async function chain (place: Place, count: number): Promise<Parcel[]> {
  const { log, close } = await openAt(place)
  const data = someData(PIECE)
  const parcels: Parcel[] = []

  for (let left = count; left > 0; left -= PIECE) {
    const entries = await log.appendMany(data.slice(0, left))

    for (let i = 0; i < entries.length; i += JOINED_AT_ONCE) {
      parcels.push(new Parcel(entries.slice(i, i + JOINED_AT_ONCE)))
    }
  }

  await close()

  return parcels
}
