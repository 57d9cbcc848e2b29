import { ByteLru, LruMap } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { StoredRecord } from './core/record.ts'
import type { StoredEntry } from './core/record.ts'
import type { Place } from './core/rows.ts'
import type { Disk } from './disk.ts'

/** Records of which it is known when they were forgotten. A guess: far more than are while somebody looks at one */
const MAX_FORGOTTEN = 4096

interface Reading {
  record: Promise<StoredRecord | undefined>
  /** The record was stored anew meanwhile */
  isStale: boolean
}

/**
 * The records of a log, read once and kept as long as there is room.
 */
export class Records {
  readonly #disk: Disk
  readonly #cache: ByteLru<number, StoredRecord>
  /** Records on their way: whoever else wants one waits for the same */
  readonly #reading = new Map<number, Reading>()
  readonly #onDamaged: (seq: number, why: string) => void
  /** How often a record was forgotten, and when: of the last ones */
  #forgotten = 0
  readonly #forgottenAt = new LruMap<number, number>(MAX_FORGOTTEN)
  readonly #readAt = new WeakMap<StoredRecord, number>()

  constructor (disk: Disk, maxBytes: number, onDamaged: (seq: number, why: string) => void) {
    this.#disk = disk
    this.#cache = new ByteLru(maxBytes)
    this.#onDamaged = onDamaged
  }

  /** Undefined: it is not there, or damaged, which is told */
  async read (seq: number): Promise<StoredRecord | undefined> {
    const cached = this.#cache.get(seq)

    if (cached != null) {
      return cached
    }

    return (this.#reading.get(seq) ?? this.#begin(seq)).record
  }

  /** The entries that lie in these places, undefined for those that cannot be read. A record that is needed for many of them is read once */
  async entriesAt (places: Place[]): Promise<Array<StoredEntry | undefined>> {
    const records = new Map<number, StoredRecord | undefined>()

    for (const { seq } of places) {
      records.set(seq, undefined)
    }

    await Promise.all([...records.keys()].map(async seq => {
      const record = await this.read(seq)
      records.set(seq, record)

      if (record == null) {
        this.#onDamaged(seq, 'it is missing')
      }
    }))
    return places.map(({ seq, slot }) => records.get(seq)?.entryAt(slot))
  }

  /** Entries are taken out of it: what was read of it before says less than what is dead */
  forget (seq: number): void {
    this.#cache.delete(seq)
    this.#forgottenAt.set(seq, ++this.#forgotten)
    const reading = this.#reading.get(seq)

    if (reading != null) {
      reading.isStale = true
    }
  }

  /** Whether entries were taken out of it after it was read */
  isStale (record: StoredRecord): boolean {
    const readAt = this.#readAt.get(record) ?? 0
    return this.#forgotten - readAt >= MAX_FORGOTTEN || (this.#forgottenAt.get(record.seq) ?? 0) > readAt
  }

  #begin (seq: number): Reading {
    const reading: Reading = { isStale: false, record: Promise.resolve(undefined) }
    this.#reading.set(seq, reading)
    reading.record = this.#read(seq, reading).finally(() => { this.#reading.delete(seq) })
    return reading
  }

  async #read (seq: number, reading: Reading): Promise<StoredRecord | undefined> {
    let bytes: Uint8Array | undefined

    do {
      reading.isStale = false
      bytes = await this.#disk.get(seq, 'record')
    } while (reading.isStale)

    if (bytes == null) {
      return
    }

    try {
      const record = new StoredRecord(bytes, seq)
      this.#readAt.set(record, this.#forgotten)
      this.#cache.set(seq, record, record.byteLength)
      this.#cache.evict()
      return record
    } catch (err: any) {
      if (!(err instanceof MalformedError)) {
        throw err
      }
      this.#onDamaged(seq, err.message)
    }
  }
}
