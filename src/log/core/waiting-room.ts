import { bytesOfKey, keyOfBytes } from '../../runtime/keys.ts'
import { sizeOf } from './types.ts'
import type { TrueEntry } from './types.ts'

/** Bytes that an entry is reckoned to hold beside its own */
const OVERHEAD = 500

export interface WaitingRoomInit {
  maxEntries: number
  maxBytes: number
}

interface Waiting {
  entry: TrueEntry
  /** Parents that are not here */
  missing: Set<string>
}

/**
 * Entries that came before their parents. They wait, so that a log is told of parents first, but nobody waits for ever:
 * when there is no room, or nobody has the parents, an entry goes in without them.
 */
export class WaitingRoom {
  readonly #init: WaitingRoomInit
  readonly #entries = new Map<string, Waiting>()
  /** Who waits for a parent */
  readonly #byParent = new Map<string, Set<string>>()
  #bytes = 0

  constructor (init: WaitingRoomInit) {
    this.#init = init
  }

  get size (): number {
    return this.#entries.size
  }

  get bytes (): number {
    return this.#bytes
  }

  has (id: Uint8Array): boolean {
    return this.#entries.has(keyOfBytes(id))
  }

  /** Parents that are waited for, and do not wait here themselves */
  get missing (): Uint8Array[] {
    return [...this.#byParent.keys()].filter(parent => !this.#entries.has(parent)).map(bytesOfKey)
  }

  /** Takes in an entry that lacks these parents. Those that have waited longest leave if there is no room for all */
  add (entry: TrueEntry, missing: Uint8Array[]): TrueEntry[] {
    const id = keyOfBytes(entry.id)

    if (this.#entries.has(id)) {
      return []
    }

    const waiting = { entry, missing: new Set(missing.map(keyOfBytes)) }
    this.#entries.set(id, waiting)
    this.#bytes += sizeOf(entry) + OVERHEAD

    for (const parent of waiting.missing) {
      this.#byParent.set(parent, (this.#byParent.get(parent) ?? new Set()).add(id))
    }

    const left: TrueEntry[] = []

    while (this.#entries.size > this.#init.maxEntries || this.#bytes > this.#init.maxBytes) {
      left.push(this.#remove(this.#entries.keys().next().value as string))
    }

    return left
  }

  /** An entry is in the log, or will never be: those that waited for nothing else leave */
  settle (id: Uint8Array): TrueEntry[] {
    const key = keyOfBytes(id)
    const children = this.#byParent.get(key)
    const left: TrueEntry[] = []
    this.#byParent.delete(key)

    for (const child of children ?? []) {
      const waiting = this.#entries.get(child)
      waiting?.missing.delete(key)

      if (waiting?.missing.size === 0) {
        left.push(this.#remove(child))
      }
    }

    return left
  }

  /** Everybody, those who came first first */
  clear (): TrueEntry[] {
    return [...this.#entries.keys()].map(id => this.#remove(id))
  }

  #remove (id: string): TrueEntry {
    const { entry, missing } = this.#entries.get(id) as Waiting
    this.#entries.delete(id)
    this.#bytes -= sizeOf(entry) + OVERHEAD

    for (const parent of missing) {
      const children = this.#byParent.get(parent)
      children?.delete(id)

      if (children?.size === 0) {
        this.#byParent.delete(parent)
      }
    }

    return entry
  }
}
