import { keyOfBytes } from '../../runtime/keys.ts'
import { sizeOf } from './types.ts'
import type { TrueEntry } from './types.ts'

/** Bytes that an entry is reckoned to hold beside its own */
const OVERHEAD = 500

/**
 * Entries whose time has not come yet. An entry that waits keeps its room, because its sender was told that it waits.
 * An entry that finds no room has to be sent again.
 */
export class Early {
  readonly #maxBytes: number
  readonly #entries = new Map<string, TrueEntry>()
  #bytes = 0

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get size (): number {
    return this.#entries.size
  }

  /** When the time of the first one comes */
  get next (): number | undefined {
    const times = Array.from(this.#entries.values(), ({ time }) => time)
    return times.length === 0 ? undefined : times.reduce((first, time) => Math.min(first, time))
  }

  /** False: there is no room for it */
  add (entry: TrueEntry): boolean {
    const key = keyOfBytes(entry.id)

    if (this.#entries.has(key)) {
      return true
    }

    const bytes = this.#bytes + sizeOf(entry) + OVERHEAD

    if (bytes > this.#maxBytes) {
      return false
    }

    this.#entries.set(key, entry)
    this.#bytes = bytes
    return true
  }

  /** The entries whose time has come. They keep their room until they are deleted */
  due (now: number): TrueEntry[] {
    return [...this.#entries.values()].filter(({ time }) => time <= now)
  }

  delete (entries: TrueEntry[]): void {
    for (const entry of entries) {
      this.#bytes -= this.#entries.delete(keyOfBytes(entry.id)) ? sizeOf(entry) + OVERHEAD : 0
    }
  }

  clear (): void {
    this.#entries.clear()
    this.#bytes = 0
  }
}
