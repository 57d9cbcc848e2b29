import { Key } from 'interface-datastore'
import { then } from '../runtime/then.ts'
import * as limits from './constants.ts'
import { decodeContent } from './core/entry.ts'
import { checkOf, decodeJournal, encodeJournal, locationsOf } from './core/records.ts'
import { TornError } from './core/sealed.ts'
import { corrupt, StoreCorruptError } from './errors.ts'
import { hash } from './signatures.ts'
import type { Blocks } from './blocks.ts'
import type { Addition, Change, Listed } from './core/catalogue.ts'
import type { JournalRecord, Placed } from './core/records.ts'
import type { Listing } from './listing.ts'
import type { Datastore } from 'interface-datastore'

export interface JournalInit {
  datastore: Datastore
  base: string
  blocks: Blocks
  listing: Listing
  /** The last record that is in the state */
  stored: number
}

/**
 * What changed since the state, a record a write. They do not repeat what the blocks say that were written with them: that is read
 * there, and hashed, when a crash made it necessary.
 */
export class Journal {
  readonly #init: JournalInit
  /** The first record that is not in the state, and the last one */
  #first: number
  #last: number
  /** Entries in those after the last cut, and bytes of them */
  #entries = 0
  #bytes = 0

  constructor (init: JournalInit) {
    this.#init = init
    this.#first = init.stored + 1
    this.#last = init.stored
  }

  get isEmpty (): boolean {
    return this.#first > this.#last
  }

  /** It would take long to read it again */
  get isLarge (): boolean {
    return this.#entries >= limits.CHECKPOINT_ENTRIES || this.#bytes >= limits.CHECKPOINT_BYTES
  }

  /** The record of a change: write it with its blocks, then `settle` it */
  next (placed: Placed, { added, removed, tip }: Change): { key: Key, bytes: Uint8Array } {
    const number = this.#last + 1
    const absent = added.map(({ absent: ids }, index) => ({ index, ids })).filter(({ ids }) => ids.length > 0)
    const check = checkOf(added.map(({ id }) => id))
    return { key: this.#key(number), bytes: encodeJournal({ ...placed, number, absent, check, removed, tip }) }
  }

  settle ({ added, removed }: Pick<Change, 'added' | 'removed'>): void {
    this.#last++

    for (const { size } of [...added, ...removed]) {
      this.#entries++
      this.#bytes += size
    }
  }

  /** A state is being written that has all so far. Returns the last record of that */
  cut (): number {
    this.#entries = 0
    this.#bytes = 0
    return this.#last
  }

  /** What is in it up to this record is in the state */
  async clear (last: number): Promise<void> {
    await this.#delete(this.#first, last)
    this.#first = last + 1
  }

  /** Each change, in order. If the last one is torn, nothing of it is left */
  async replay (apply: (change: Change) => Promise<void>): Promise<void> {
    const { blocks, datastore } = this.#init
    const records = await this.#read()
    // what later ones removed is in no block any more
    const removed = new Map(records.flatMap(({ record }) => record?.removed ?? []).map(listed => [listed.arrival, listed]))

    for (const [i, { number, record }] of records.entries()) {
      const isLast = i === records.length - 1
      const change = record == null ? undefined : await this.#changeOf(record, removed)

      if (change != null) {
        await apply(change)
        this.settle(change)
      } else if (isLast) {
        await blocks.remove(record == null ? [] : locationsOf(record))
        await datastore.delete(this.#key(number))
      } else {
        throw new StoreCorruptError(`Blocks are missing that record ${number} of the journal names: restore the datastore, or drop the log`)
      }
      if (isLast && change != null) {
        // the crash may have come before that
        await blocks.remove(change.removed)
      }
    }
  }

  /** Those that are not in the state, in order; without a record where it is torn, as the last one may be */
  async #read (): Promise<Array<{ number: number, record?: JournalRecord }>> {
    const prefix = `${this.#init.base}/journal/`
    const stored: Array<{ number: number, value: Uint8Array }> = []

    for await (const { key, value } of this.#init.datastore.query({ prefix })) {
      const number = parseInt(key.toString().slice(prefix.length), 36)

      if (number >= this.#first) {
        stored.push({ number, value })
      } else {
        // a crash came before it was deleted
        await this.#delete(number, number)
      }
    }

    return stored.sort((a, b) => a.number - b.number).map(({ number, value }, i) => {
      if (number !== this.#first + i) {
        throw new StoreCorruptError(`Record ${this.#first + i} of the journal is missing: restore the datastore, or drop the log`)
      }

      return { number, record: readRecord(value, i === stored.length - 1) }
    })
  }

  /** What a record did, read from the blocks that were written with it; undefined: they are not all there */
  async #changeOf (record: JournalRecord, removed: Map<number, Listed>): Promise<Change | undefined> {
    const { blocks, listing } = this.#init
    const locations = locationsOf(record)
    const absent = new Map(record.absent.map(({ index, ids }) => [index, ids]))
    const stored = await blocks.storedAt(locations)
    const added: Addition[] = []

    for (const [i, location] of locations.entries()) {
      const there = stored[i]
      const gone = removed.get(location.arrival)

      if (there != null) {
        const listed = then(hash(there.bytes), id => listing.list({ ...decodeContent(there.bytes), ...there, id }, location, absent.get(i)))
        added.push(listed instanceof Promise ? await listed : listed)
      } else if (gone != null) {
        added.push({ ...gone, absent: absent.get(i) ?? [] })
      } else {
        return undefined
      }
    }

    return checkOf(added.map(({ id }) => id)) === record.check ? { ...record, added } : undefined
  }

  async #delete (first: number, last: number): Promise<void> {
    const batch = this.#init.datastore.batch()
    for (let number = first; number <= last; number++) {
      batch.delete(this.#key(number))
    }
    await batch.commit()
  }

  #key (number: number): Key {
    return new Key(`${this.#init.base}/journal/${number.toString(36).padStart(11, '0')}`, false)
  }
}

/** The last one may be torn itself */
function readRecord (value: Uint8Array, isLast: boolean): JournalRecord | undefined {
  try {
    return decodeJournal(value)
  } catch (err: any) {
    if (!isLast || !(err instanceof TornError)) {
      throw corrupt('The journal', err)
    }
  }
}
