import { Fifo } from '../../runtime/bounded.ts'
import type { RawEntry } from '../../log/core/types.ts'

/** A new entry on its way to one peer */
export interface Item {
  /** Its id, as the key of a map */
  id: string
  entry: RawEntry
  bytes: number
  /** Somebody waits until this peer has stored it: it is sent until it has, or is gone */
  isAwaited: boolean
}

export interface Batch {
  number: number
  items: Item[]
}

export interface OutgoingInit {
  /** Batches that may be unanswered */
  window: number
  batchBytes: number
  batchEntries: number
  /** Entries, and bytes of them, that may wait */
  maxQueued: number
  maxBytes: number
  /** Milliseconds after which an answer is taken for lost */
  timeout: number
}

/**
 * New entries for one peer: some batches under way, the rest waits until they are answered, so that a slow disk over there slows
 * us down. What is too much for that is let go, and the peer is told to compare.
 */
export class Outgoing {
  readonly #init: OutgoingInit
  readonly #queue = new Fifo<Item>()
  readonly #underWay = new Map<number, { items: Item[], until: number }>()
  #again: Item[] = []
  #bytes = 0
  #number = 0
  #isBehind = false

  constructor (init: OutgoingInit) {
    this.#init = init
  }

  get size (): number {
    return this.#queue.length + this.#again.length + [...this.#underWay.values()].reduce((sum, { items }) => sum + items.length, 0)
  }

  add (item: Item): void {
    const { maxQueued, maxBytes } = this.#init

    if (!item.isAwaited && (this.#queue.length >= maxQueued || this.#bytes + item.bytes > maxBytes)) {
      this.#isBehind = true
      return
    }

    this.#queue.push(item)
    this.#bytes += item.bytes
  }

  /** Whether something was let go since this was asked last: the peer has to compare to have it */
  takeBehind (): boolean {
    const { size } = this.#underWay
    const isBehind = this.#isBehind && size === 0 && this.#queue.length === 0
    this.#isBehind &&= !isBehind
    return isBehind
  }

  /** The next batch, if there is something to send, and room for it */
  take (now: number): Batch | undefined {
    const { window, batchBytes, batchEntries, timeout } = this.#init
    const items: Item[] = []
    let bytes = 0

    if (this.#underWay.size >= window) {
      return
    }

    for (let next = this.#again[0] ?? this.#queue.peek(); next != null; next = this.#again[0] ?? this.#queue.peek()) {
      if (items.length > 0 && (items.length >= batchEntries || bytes + next.bytes > batchBytes)) {
        break
      }
      if (this.#again.shift() == null) {
        this.#queue.shift()
        this.#bytes -= next.bytes
      }
      items.push(next)
      bytes += next.bytes
    }

    if (items.length > 0) {
      const number = ++this.#number
      this.#underWay.set(number, { items, until: now + timeout })
      return { number, items }
    }
  }

  /** A batch was answered */
  answered (number: number): Item[] {
    const batch = this.#underWay.get(number)
    this.#underWay.delete(number)
    return batch?.items ?? []
  }

  /** A batch was not answered, or could not be sent: what somebody waits for is sent again */
  lost (number: number): void {
    const items = this.answered(number)
    this.#again.push(...items.filter(({ isAwaited }) => isAwaited))
    this.#isBehind ||= items.some(({ isAwaited }) => !isAwaited)
  }

  /** The answers to these were expected by now */
  nextTimeout (): number {
    let next = Infinity
    for (const { until } of this.#underWay.values()) {
      next = Math.min(next, until)
    }
    return next
  }

  expire (now: number): void {
    for (const [number, { until }] of this.#underWay) {
      if (until <= now) {
        this.lost(number)
      }
    }
  }
}
