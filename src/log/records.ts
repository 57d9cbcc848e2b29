import { ByteLru } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { StoredRecord } from './core/record.ts'
import type { Disk } from '../storage/disk.ts'

/**
 * The records of a log, read once and kept as long as there is room.
 */
export class Records {
  readonly #disk: Disk
  readonly #cache: ByteLru<number, StoredRecord>
  /** Records on their way: whoever else wants one waits for the same */
  readonly #reading = new Map<number, Promise<StoredRecord | undefined>>()
  readonly #onDamaged: (seq: number, why: string) => void

  constructor (disk: Disk, maxBytes: number, onDamaged: (seq: number, why: string) => void) {
    this.#disk = disk
    this.#cache = new ByteLru(maxBytes)
    this.#onDamaged = onDamaged
  }

  /** Undefined: the record is not there, or is damaged, which is told */
  async read (seq: number): Promise<StoredRecord | undefined> {
    return this.#cache.get(seq) ?? this.#reading.get(seq) ?? this.#begin(seq)
  }

  /** The record was stored anew, without some entries: whoever reads it from here on does not see them */
  forget (seq: number): void {
    this.#cache.delete(seq)
    this.#reading.delete(seq)
  }

  /** From here on, what is on the disk counts: records in memory may have rotted there since they were read */
  clear (): void {
    this.#cache.clear()
    this.#reading.clear()
  }

  async #begin (seq: number): Promise<StoredRecord | undefined> {
    const isWanted = (): boolean => this.#reading.get(seq) === reading
    const reading = this.#read(seq).then(record => {
      // a record that was forgotten meanwhile is not kept
      if (record != null && isWanted()) {
        this.#cache.set(seq, record, record.byteLength)
        this.#cache.evict()
      }
      return record
    }).finally(() => isWanted() && this.#reading.delete(seq))
    this.#reading.set(seq, reading)
    return reading
  }

  async #read (seq: number): Promise<StoredRecord | undefined> {
    const bytes = await this.#disk.getRecord(seq)

    try {
      return bytes == null ? undefined : new StoredRecord(bytes, seq)
    } catch (err: any) {
      if (!(err instanceof MalformedError)) {
        throw err
      }
      this.#onDamaged(seq, err.message)
    }
  }
}
