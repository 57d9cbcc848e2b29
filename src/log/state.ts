import { positionIn } from './core/rows.ts'
import { sizeOf } from './core/types.ts'
import type { Sizes } from './constants.ts'
import type { Addition, LogIndex } from './core/log-index.ts'
import type { StoredRecord } from './core/record.ts'
import type { Place } from './core/rows.ts'
import type { TrueEntry } from './core/types.ts'
import type { Records } from './records.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Disk } from '../storage/disk.ts'
import type { Pages } from '../storage/pages.ts'
import type { Logger } from '@libp2p/interface'

/** What the parts of a store share */
export interface StoreState {
  readonly clock: Clock
  readonly logger: Logger
  readonly sizes: Sizes
  readonly disk: Disk
  readonly pages: Pages
  readonly records: Records
  /** Another one when it had to be made anew */
  index: LogIndex
}

/** What the index is to know of an entry */
export function additionOf (entry: TrueEntry, { seq, slot }: Place, absent: Uint8Array[], isLate = false): Addition {
  const { id, time, counter, author, previous, parents, group } = entry
  return {
    seq,
    slot,
    id,
    time,
    counter,
    author,
    previous,
    parents,
    group,
    position: positionIn(entry),
    size: sizeOf(entry),
    absent,
    isLate
  }
}

const NONE: Uint8Array[] = []

/** What the index is to know of a stored record, but for entries that are out of it */
export function additionsOf (record: StoredRecord): Addition[] {
  const absent: Uint8Array[][] = []
  const additions: Addition[] = []
  record.absent.forEach(({ slot, absent: ofSlot }) => { absent[slot] = ofSlot })

  for (let slot = 0; slot < record.size; slot++) {
    const entry = record.entryAt(slot)

    if (entry != null) {
      additions.push(additionOf(entry, entry, absent[slot] ?? NONE, entry.isLate))
    }
  }

  return additions
}
