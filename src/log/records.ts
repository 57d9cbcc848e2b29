import { ByteLru } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { StoredRecord } from './core/record.ts'
import type { StoredEntry } from './core/record.ts'
import type { Place } from './core/rows.ts'
import type { Disk } from './disk.ts'

/**
 * The records of a log, read once and kept as long as there is room.
 */
export class Records {
  readonly #disk: Disk
  readonly #cache: ByteLru<number, StoredRecord>
  readonly #reading = new Map<number, Promise<StoredRecord | undefined>>()
  readonly #onDamaged: (seq: number, why: string) => void

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

    const reading = this.#reading.get(seq) ?? this.#read(seq).finally(() => { this.#reading.delete(seq) })
    this.#reading.set(seq, reading)
    return reading
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

  /** It is stored in another form now, or not at all */
  forget (seq: number): void {
    this.#cache.delete(seq)
    this.#reading.delete(seq)
  }

  async #read (seq: number): Promise<StoredRecord | undefined> {
    const bytes = await this.#disk.get(seq, 'record')

    if (bytes == null) {
      return
    }

    try {
      const record = new StoredRecord(bytes, seq)
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
