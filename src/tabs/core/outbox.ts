import { HELD_BYTES, WINDOW_BYTES } from '../constants.ts'

/** What a tab is told: of an entry that came, which it can read again from the log, or of something that is over */
export interface Item<T> {
  bytes: number
  value: T
  /** The log whose entry came: where the tab is behind, it is told so once, and reads on by itself */
  log?: string
}

/** What is to be posted now: `behind`, logs of which entries were left out */
export interface Posting<T> {
  items: Array<Item<T>>
  behind: string[]
}

/**
 * Events for one tab. A hidden tab that does not read costs the leader WINDOW_BYTES on their way, and HELD_BYTES that
 * wait: of logs it is told only that there is more, of messages it loses the latest, and is told how many.
 *
 * Invariants: what was posted and not acknowledged is at most WINDOW_BYTES and one item (O1); what waits is at most
 * HELD_BYTES (O2); what is posted keeps the order in which it came, but for entries that were left out (O3).
 */
export class Outbox<T> {
  readonly #behind = new Set<string>()
  #held: Array<Item<T>> = []
  #heldBytes = 0
  #unacked = 0
  #lost = 0

  get held (): number {
    return this.#held.length
  }

  get unacked (): number {
    return this.#unacked
  }

  push (item: Item<T>): Posting<T> {
    const isOpen = this.#unacked < WINDOW_BYTES && this.#held.length === 0

    if (isOpen && (item.log == null || !this.#behind.has(item.log))) {
      this.#unacked += item.bytes
      return { items: [item], behind: [] }
    }
    if (item.log != null) {
      this.#behind.add(item.log)
    } else if (this.#heldBytes + item.bytes > HELD_BYTES) {
      this.#lost++
    } else {
      this.#held.push(item)
      this.#heldBytes += item.bytes
    }

    return { items: [], behind: [] }
  }

  /** The tab has dealt with so many bytes */
  acked (bytes: number): Posting<T> {
    this.#unacked = Math.max(0, this.#unacked - bytes)
    const items: Array<Item<T>> = []

    while (this.#held.length > items.length && this.#unacked < WINDOW_BYTES) {
      const item = this.#held[items.length]
      this.#unacked += item.bytes
      this.#heldBytes -= item.bytes
      items.push(item)
    }

    this.#held = this.#held.slice(items.length)
    const isOpen = this.#held.length === 0 && this.#unacked < WINDOW_BYTES
    const behind = isOpen ? [...this.#behind] : []
    isOpen && this.#behind.clear()
    return { items, behind }
  }

  /** How many items were lost since the last call */
  takeLost (): number {
    const lost = this.#lost
    this.#lost = 0
    return lost
  }
}
