import { LinkedList } from './linked-list.ts'
import type { Linked } from './linked-list.ts'

/** What a flow may send in a turn: no item or piece of one is much larger */
const QUANTUM = 65_536

/** Something that waits its turn */
export interface Queued extends Linked {
  readonly bytes: number
  /** Of the queue that it is in */
  place?: Flow
}

/** The items of one name */
interface Flow extends Linked {
  readonly name: string
  readonly items: LinkedList<Queued>
  bytes: number
  /** Bytes that it may still send in this turn */
  deficit: number
  isParked: boolean
}

/**
 * Items in flows that take turns by bytes (deficit round robin): the first item of a flow waits for at most one turn of
 * each other flow, however much these have. The items of a flow keep their order.
 *
 * Invariants (`check`): a flow is here exactly while it has items, and is either parked or has turns.
 */
export class FairQueue<T extends Queued> {
  readonly #flows = new Map<string, Flow>()
  readonly #turns = new LinkedList<Flow>()
  readonly #parked = new LinkedList<Flow>()
  /** The one that was pushed to last: most of the time it is the next one, too */
  #last?: Flow
  #length = 0
  #bytes = 0

  get length (): number {
    return this.#length
  }

  get bytes (): number {
    return this.#bytes
  }

  /** Whether none has turns: all are parked, or there are none */
  get isIdle (): boolean {
    return this.#turns.first == null
  }

  bytesOf (name: string): number {
    return this.#flow(name)?.bytes ?? 0
  }

  has (item: T): boolean {
    return item.place != null && this.#flows.get(item.place.name) === item.place
  }

  push (item: T, name: string): void {
    let flow = this.#flow(name)

    if (flow == null) {
      flow = { name, items: new LinkedList(), bytes: 0, deficit: QUANTUM, isParked: false }
      this.#flows.set(name, flow)
      this.#turns.push(flow)
    }

    this.#last = flow
    flow.items.push(item)
    flow.bytes += item.bytes
    item.place = flow
    this.#bytes += item.bytes
    this.#length++
  }

  /** The item whose turn it is: the same one until it is removed, parked, or has used its turn up */
  next (): T | undefined {
    for (let flow = this.#turns.first; flow != null; flow = this.#turns.first) {
      if (flow === this.#turns.last) {
        // a flow that is alone owes nothing to those that come later
        flow.deficit = QUANTUM
      } else if (flow.deficit <= 0) {
        flow.deficit += QUANTUM
        this.#turns.remove(flow)
        this.#turns.push(flow)
        continue
      }

      return flow.items.first as T
    }
  }

  /** So many bytes of the item whose turn it is have left; the rest of it stays */
  use (item: T, bytes: number): void {
    const flow = item.place as Flow
    flow.deficit -= bytes
    flow.bytes -= bytes
    this.#bytes -= bytes
  }

  /** `left`: how many of its bytes have not left */
  remove (item: T, left = item.bytes): void {
    const flow = item.place as Flow
    this.use(item, left)
    this.#length--
    flow.items.remove(item)
    item.place = undefined

    if (flow.items.first == null) {
      (flow.isParked ? this.#parked : this.#turns).remove(flow)
      this.#flows.delete(flow.name)
      this.#last = this.#last === flow ? undefined : this.#last
    }
  }

  /** The flow whose turn it is has no turns until `unpark` */
  park (item: T): void {
    const flow = item.place as Flow
    flow.isParked = true
    this.#turns.remove(flow)
    this.#parked.push(flow)
  }

  unpark (): void {
    for (const flow of this.#parked) {
      flow.isParked = false
      this.#parked.remove(flow)
      this.#turns.push(flow)
    }
  }

  * [Symbol.iterator] (): IterableIterator<T> {
    for (const { items } of this.#flows.values()) {
      yield * items as LinkedList<T>
    }
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    const listed = [...this.#turns, ...this.#parked]
    const flows = [...this.#flows.values()]

    if (listed.length !== flows.length || !flows.every(flow => listed.includes(flow) && flow.items.first != null) ||
      [...this].length !== this.#length || flows.reduce((sum, { bytes }) => sum + bytes, 0) !== this.#bytes) {
      throw new Error(`a queue is not sound: ${this.#length} items of ${this.#bytes} bytes in ${flows.length} flows`)
    }
  }

  #flow (name: string): Flow | undefined {
    return this.#last?.name === name ? this.#last : this.#flows.get(name)
  }
}
