import { MalformedError } from '../runtime/errors.ts'
import { Pacer } from '../runtime/pacer.ts'
import { walk } from '../storage/pages.ts'
import { StoredRecord } from './core/record.ts'
import { placeIn, seqPrefix } from './core/rows.ts'
import type { StoreState } from './state.ts'

/** Rows of the table `dead` that are read at once: of several records, which have at most 256 each */
const ROWS = 4096
/**
 * One entry of so many may be dead before the room of all that are is taken back: what stays is copied for less than it
 * costs
 */
const SHARE = 4

/**
 * Takes the bytes of removed entries off the disk, once there are many: records of which something is left are written
 * anew under their number, without them. Only records from before `before` are touched: no manifest needs those to be
 * as they were. Says whether it found any.
 */
export async function reclaim (state: StoreState, before: number, isStopped: () => boolean): Promise<boolean> {
  const { index, pages, clock } = state
  const { dead, ring } = index.tables

  if (dead.count === 0 || dead.count * SHARE < ring.count + dead.count) {
    return false
  }

  const pacer = new Pacer(clock, 1)
  let rows: Uint8Array[] = []
  let hasFound = false
  const take = async (): Promise<void> => {
    const places = rows.map(row => placeIn('dead', row))
    // in this order: who reads a record has asked before which of its entries are dead
    await reclaimRecord(state, places[0].seq, new Set(places.map(({ slot }) => slot)))
    rows.forEach(row => { dead.remove(row) })
    rows = []
    hasFound = true
    await pacer.pause()
  }

  for await (const some of walk(
    async options => pages.read(() => dead.scan({ ...options, to: seqPrefix(before) })), ROWS
  )) {
    for (const row of some) {
      if (isStopped()) {
        return hasFound
      }
      if (rows.length > 0 && placeIn('dead', row).seq !== placeIn('dead', rows[0]).seq) {
        await take()
      }
      rows.push(row)
    }
  }

  if (rows.length > 0) {
    await take()
  }

  return hasFound
}

async function reclaimRecord ({ disk, records }: StoreState, seq: number, slots: Set<number>): Promise<void> {
  const bytes = await disk.getRecord(seq)
  const left = bytes == null ? undefined : leftOf(bytes, seq, slots)

  if (left != null) {
    await disk.putRecord(seq, left)
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
