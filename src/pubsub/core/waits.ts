import { LinkedList } from '../../runtime/linked-list.ts'
import type { Key } from './types.ts'
import type { Linked } from '../../runtime/linked-list.ts'

/** What waits for an answer. The fields are those of `Waits` */
export interface Waiting extends Linked {
  /** The neighbour that the copy left by. Undefined: it did not leave */
  via: Key | undefined
  /** The queue that it waits in. Undefined: it does not wait */
  queue: number | undefined
  /** Until when */
  at: number
}

/**
 * Who waits for an answer, until when, and by which neighbour a copy left. All waits of one queue have the same length,
 * so that each queue is in the order of its ends: all that is done here costs O(1).
 *
 * Invariants: an item waits in one queue at most; it is found by its neighbour exactly while it waits and has one.
 */
export class Waits<T extends Waiting> {
  readonly #lengths: number[]
  readonly #queues: Array<LinkedList<T>>
  readonly #byVia = new Map<Key, Set<T>>()

  /** Milliseconds of each queue */
  constructor (lengths: number[]) {
    this.#lengths = lengths
    this.#queues = lengths.map(() => new LinkedList())
  }

  nextAt (): number {
    return this.#queues.reduce((next, { first }) => Math.min(next, first?.at ?? Infinity), Infinity)
  }

  /** One whose time is over: it still waits */
  due (now: number): T | undefined {
    return this.#queues.find(({ first }) => first != null && first.at <= now)?.first
  }

  by (neighbour: Key): T[] {
    return [...this.#byVia.get(neighbour) ?? []]
  }

  start (item: T, queue: number, now: number, via?: Key): void {
    item.via = via
    item.queue = queue
    item.at = now + this.#lengths[queue]
    this.#queues[queue].push(item)

    if (via != null) {
      const all = this.#byVia.get(via)
      all == null ? this.#byVia.set(via, new Set([item])) : all.add(item)
    }
  }

  stop (item: T): void {
    const { queue, via } = item

    if (queue == null) {
      return
    }

    this.#queues[queue].remove(item)
    item.queue = undefined
    item.via = undefined
    const all = via == null ? undefined : this.#byVia.get(via)

    if (via != null && all?.delete(item) === true && all.size === 0) {
      this.#byVia.delete(via)
    }
  }

  /** Throws unless exactly these wait */
  check (items: T[]): void {
    const queued = this.#queues.flatMap(queue => [...queue])
    const found = [...this.#byVia]
      .flatMap(([key, all]) => [...all].filter(({ via, queue }) => via === key && queue != null))
    const isSorted = this.#queues.every((queue, number) =>
      [...queue].every((item, i, all) => item.queue === number && item.at >= (all[i - 1]?.at ?? 0)))

    if (!isSorted || queued.length !== items.length || new Set([...queued, ...items]).size !== items.length) {
      throw new Error(`${queued.length} items wait, not ${items.length}, or a queue is out of order`)
    }
    if (found.length !== items.filter(({ via }) => via != null).length) {
      throw new Error(`${found.length} items are found by their neighbour`)
    }
  }
}
