import { MalformedError } from '../runtime/errors.ts'
import { Pacer } from '../runtime/pacer.ts'
import { StoredRecord } from './core/record.ts'
import { fenceRows, isByArrival, readDead, readFence, seqPrefix } from './core/rows.ts'
import type { Disk } from './disk.ts'
import type { StoreState } from './state.ts'

/** Rows of the table `dead` that are read at once: of several records, which have at most 256 each */
const ROWS = 4096
/** One entry of so many may be dead before the room of all that are is taken back: what stays is copied for less than it costs */
const SHARE = 4

/**
 * Takes the bytes of removed entries off the disk, once there are many: records of which something is left are written anew under
 * their number, without them. Only records from before `before` are touched: no manifest needs those to be as they were.
 * Says whether it found any.
 */
export async function reclaim (state: StoreState, before: number, isStopped: () => boolean): Promise<boolean> {
  const { dead, ring } = state.index.tables

  if (dead.count === 0 || dead.count * SHARE < ring.count + dead.count) {
    return false
  }

  const pacer = new Pacer(state.clock, 1)
  let hasFound = false
  let from: Uint8Array | undefined

  for (let isEnd = false; !isEnd && !isStopped();) {
    const rows = await scanDead(state, from, before)
    isEnd = rows.length < ROWS
    const bySeq = Map.groupBy(rows, row => readDead(row).seq)
    const last = rows.at(-1)

    if (!isEnd && last != null) {
      // more rows of the last record may follow: it is looked at with them
      const { seq } = readDead(last)
      bySeq.delete(seq)
      from = seqPrefix(seq)
    }

    for (const [seq, rows] of bySeq) {
      if (isStopped()) {
        break
      }

      await reclaimRecord(state, seq, new Set(rows.map(row => readDead(row).slot)))
      rows.forEach(row => { dead.remove(row) })
      hasFound = true
      await pacer.pause()
    }
  }

  await reclaimFences(state, before)
  return hasFound
}

async function scanDead ({ index, pages }: StoreState, from: Uint8Array | undefined, before: number): Promise<Uint8Array[]> {
  return pages.read(() => index.tables.dead.scan({ from, to: seqPrefix(before), limit: ROWS }))
}

async function reclaimRecord ({ disk, records }: StoreState, seq: number, slots: Set<number>): Promise<void> {
  const bytes = await disk.get(seq, 'record')
  const left = bytes == null ? undefined : leftOf(bytes, seq, slots)

  if (left != null) {
    await disk.put(seq, 'record', left)
  } else if (bytes != null) {
    await disk.delete([seq], 'record')
  }

  records.forget(seq)
}

function leftOf (bytes: Uint8Array, seq: number, slots: Set<number>): Uint8Array | undefined {
  try {
    return new StoredRecord(bytes, seq).without(slots)
  } catch (err) {
    // it is damaged: whoever reads what else was in it finds that out
    if (err instanceof MalformedError) {
      return bytes
    }
    throw err
  }
}

/** Takes away the first fences as long as no records follow them any more */
async function reclaimFences ({ index, pages, disk }: StoreState, before: number): Promise<void> {
  const { fences } = index.tables

  for (;;) {
    const [row, next] = await pages.read(() => fences.scan({ limit: 2 }))

    if (row == null || next == null || !isByArrival(next)) {
      return
    }

    const fence = readFence(row)
    const end = readFence(next).seq

    if (end > before || await hasRecords(disk, fence.seq, end)) {
      return
    }

    fenceRows(fence).forEach(row => { fences.remove(row) })
  }
}

async function hasRecords (disk: Disk, from: number, end: number): Promise<boolean> {
  for (let shelf = disk.shelfOf(from); shelf < end; shelf = disk.nextShelf(shelf + 1)) {
    const { record } = await disk.shelf(shelf)

    if (record.some(seq => seq >= from && seq < end)) {
      return true
    }
  }

  return false
}
