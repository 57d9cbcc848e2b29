import { compare } from 'uint8arrays/compare'
import { keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import { compareMoments } from './core/hybrid-clock.ts'
import { WaitingRoom } from './core/waiting-room.ts'
import { AppendRefusedError } from './errors.ts'
import type { TrueEntry } from './core/types.ts'
import type { WritesInit } from './writes.ts'

export interface Admitted {
  entry: TrueEntry
  /** Parents that are not here */
  absent: Uint8Array[]
}

export type Admission = 'added' | 'known' | 'waiting' | AppendRefusedError

/**
 * Says which entries of others go in, and in which order: parents first. Those whose parents are not here may wait for them.
 */
export class Admissions {
  readonly waiting = new WaitingRoom({ maxEntries: limits.MAX_WAITING, maxBytes: limits.MAX_WAITING_BYTES })
  readonly #init: WritesInit

  constructor (init: WritesInit) {
    this.#init = init
  }

  /** Who goes in now, parents first. Those who were called from the waiting room are put into `called` */
  async sort (entries: TrueEntry[], admissions: Map<string, Admission>, mayWait: boolean, called: TrueEntry[]): Promise<Admitted[]> {
    const { canAppend, store } = this.#init
    const ready: Admitted[] = []
    const here = new Set<string>()
    const left = entries.slice().sort((a, b) => compareMoments(b, a) || compare(b.id, a.id)).map(entry => ({ entry, mayWait }))
    const call = (waiting: TrueEntry[]): void => {
      called.push(...waiting)
      left.push(...waiting.map(entry => ({ entry, mayWait: false })))
    }

    for (let next = left.pop(); next != null; next = left.pop()) {
      const { entry, mayWait } = next
      const key = keyOfBytes(entry.id)

      if (here.has(key) || await store.locate(entry.id) != null) {
        continue
      }

      const absent = await this.absent(entry, here)

      if (absent.length > 0 && mayWait) {
        admissions.set(key, 'waiting')
        call(this.waiting.add(entry, absent))
        continue
      }

      if (canAppend == null || await canAppend(entry)) {
        here.add(key)
        ready.push({ entry, absent })
        admissions.set(key, 'added')
      } else {
        admissions.set(key, new AppendRefusedError('canAppend of this log refused the entry'))
      }

      // whoever waited for it does so no longer, be it that it will never be here
      call(this.waiting.settle(entry.id))
    }

    return ready
  }

  /** Its parents that are neither stored nor among these */
  async absent ({ parents }: TrueEntry, here: Set<string>): Promise<Uint8Array[]> {
    const { store } = this.#init
    const absent: Uint8Array[] = []

    for (const parent of parents) {
      if (!here.has(keyOfBytes(parent)) && !store.catalogue.isHead(parent) && await store.locate(parent) == null) {
        absent.push(parent)
      }
    }

    return absent
  }
}
