import { keyOfBytes } from '../../runtime/keys.ts'
import { sizeOf } from './types.ts'
import type { TrueEntry } from './types.ts'

/** Bytes that an entry is reckoned to hold beside its own */
const OVERHEAD = 500

/**
 * Entries whose time has not come yet, by their time. When there is no room for all, the one whose time comes last has to come
 * again.
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
    let next: number | undefined

    for (const { time } of this.#entries.values()) {
      next = next == null || time < next ? time : next
    }

    return next
  }

  /** False: there is no room for it */
  add (entry: TrueEntry): boolean {
    const key = keyOfBytes(entry.id)

    if (this.#entries.has(key)) {
      return true
    }

    this.#entries.set(key, entry)
    this.#bytes += sizeOf(entry) + OVERHEAD

    while (this.#bytes > this.#maxBytes) {
      this.#delete(this.#last())
    }

    return this.#entries.has(key)
  }

  /** Those whose time has come */
  take (now: number): TrueEntry[] {
    const due = [...this.#entries.values()].filter(({ time }) => time <= now)
    due.forEach(entry => { this.#delete(entry) })
    return due
  }

  clear (): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  #delete (entry: TrueEntry): void {
    this.#entries.delete(keyOfBytes(entry.id))
    this.#bytes -= sizeOf(entry) + OVERHEAD
  }

  #last (): TrueEntry {
    return [...this.#entries.values()].reduce((last, entry) => entry.time >= last.time ? entry : last)
  }
}
