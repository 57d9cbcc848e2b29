import type { Call, Effect, Key } from './types.ts'

/**
 * Our own subscriptions: one entry for each topic that somebody here holds. Absent topics have no entry.
 *
 * | event                    | absent            | pending                          | subscribed                   |
 * |--------------------------|-------------------|----------------------------------|------------------------------|
 * | subscribe                | -> pending        | one holder more                  | one holder more; the call    |
 * |                          |                   |                                  | waits for those who have not |
 * |                          |                   |                                  | confirmed                    |
 * | announce                 | off, if it was on | -> subscribed, on                | -                            |
 * | asked                    | -                 | on at once                       | -                            |
 * | unsubscribe, abort       | false             | one holder less; none: -> absent | as pending                   |
 * | all confirmed, deadline  | -                 | -                                | calls settle                 |
 *
 * What is announced is the difference between what others were told and what is held: a topic that comes and goes in
 * one tick is never spoken of.
 */
interface Topic {
  holders: number
  /** The announcement that named it; absent while it is pending */
  seq?: number
  /** Calls that have no outcome, the oldest first, and what each waits for; none: the announcement */
  readonly calls: Map<Call, Confirmation | undefined>
}

/** Neighbours that have not dealt with an announcement yet */
interface Confirmation {
  readonly seq: number
  readonly unconfirmed: Set<Key>
  readonly deadline: number
}

export class Topics {
  readonly #timeout: number
  readonly #topics = new Map<string, Topic>()
  /** What others were told that we are on */
  readonly #announced = new Set<string>()
  /** Topics whose announcement may be due */
  readonly #dirty = new Set<string>()
  /**
   * The announcement that each neighbour has dealt with; none yet: -1. One that let a deadline pass counts as if it had
   * dealt with all, until it confirms something
   */
  readonly #confirmed = new Map<Key, number>()
  /** What calls wait for, the oldest first */
  readonly #confirmations = new Set<Confirmation>()

  /** `timeout`: milliseconds that a call waits for neighbours to confirm */
  constructor (timeout: number) {
    this.#timeout = timeout
  }

  get size (): number {
    return this.#topics.size
  }

  /** Whether the next announcement has something to say */
  get isDirty (): boolean {
    return this.#dirty.size > 0
  }

  /** Whether this node wants what is published on it: from the tick of subscribe() on */
  isOn (topic: string): boolean {
    return this.#topics.has(topic)
  }

  state (topic: string): 'absent' | 'pending' | 'subscribed' {
    const entry = this.#topics.get(topic)
    const state = entry?.seq == null ? 'pending' : 'subscribed'
    return entry == null ? 'absent' : state
  }

  /** Whether no call waits any more until others know it */
  isKnown (topic: string): boolean {
    const entry = this.#topics.get(topic)
    return entry?.seq != null && entry.calls.size === 0
  }

  subscribed (): string[] {
    return [...this.#topics.keys()]
  }

  isAnnounced (topic: string): boolean {
    return this.#announced.has(topic)
  }

  /** What others were told that we are on */
  get announced (): string[] {
    return [...this.#announced]
  }

  subscribe (topic: string, call: Call, now: number): Effect[] {
    const entry: Topic = this.#topics.get(topic) ?? { holders: 0, calls: new Map() }
    entry.calls.set(call, undefined)

    if (entry.holders++ === 0) {
      this.#topics.set(topic, entry)
      this.#dirty.add(topic)
    }

    return entry.seq == null ? [] : this.#await([entry], entry.seq, now)
  }

  /** One holder less, the newest of those whose calls still wait first; or none left at all */
  unsubscribe (topic: string, all: boolean): { isRemoved: boolean, settled: Effect[] } {
    const entry = this.#topics.get(topic)

    if (entry == null) {
      return { isRemoved: false, settled: [] }
    }

    const cancelled = [...entry.calls.keys()].slice(all ? 0 : -1)
    cancelled.forEach(call => entry.calls.delete(call))
    this.#release(topic, entry, all ? entry.holders : 1)
    const settled = cancelled.map((call): Effect => ({ type: 'subscribe-settled', call, outcome: 'cancelled' }))
    return { isRemoved: true, settled }
  }

  /** The signal of a call aborted: it does not hold the topic any more. A call that was settled holds it for good */
  abort (topic: string, call: Call): boolean {
    const entry = this.#topics.get(topic)

    if (entry?.calls.delete(call) !== true) {
      return false
    }

    this.#release(topic, entry, 1)
    return true
  }

  /**
   * What is to be announced now, under the number `seq`: nothing, if others know it all. Calls wait until it is
   * confirmed
   */
  announce (seq: number, now: number): { on: string[], off: string[], settled: Effect[] } {
    const dirty = [...this.#dirty]
    const on = dirty.filter(topic => this.#topics.has(topic) && !this.#announced.has(topic))
    const off = dirty.filter(topic => !this.#topics.has(topic))
    const entries = dirty.map(topic => this.#topics.get(topic)).filter(entry => entry != null)
    const number = on.length + off.length > 0 ? seq : seq - 1
    on.forEach(topic => this.#announced.add(topic))
    off.forEach(topic => this.#announced.delete(topic))
    entries.forEach(entry => { entry.seq = number })
    this.#dirty.clear()
    return { on, off, settled: this.#await(entries, number, now) }
  }

  /**
   * Somebody asks for a topic that is still pending: it is announced now. Its calls wait for the next `announce` all
   * the same
   */
  tellEarly (topic: string): boolean {
    const isNew = this.state(topic) === 'pending' && !this.#announced.has(topic)

    if (isNew) {
      this.#announced.add(topic)
    }

    return isNew
  }

  up (neighbour: Key): void {
    this.#confirmed.set(neighbour, -1)
  }

  /** A neighbour has dealt with our announcements up to `seq` */
  confirmed (by: Key, seq: number): Effect[] {
    this.#confirmed.set(by, seq)
    return this.#settle(({ unconfirmed, seq: wanted }) => { if (wanted <= seq) { unconfirmed.delete(by) } })
  }

  /** A neighbour went: nobody waits for it */
  down (neighbour: Key): Effect[] {
    this.#confirmed.delete(neighbour)
    return this.#settle(({ unconfirmed }) => { unconfirmed.delete(neighbour) })
  }

  /** A new life begins to number its announcements anew, and has told nobody anything */
  restart (): void {
    this.#announced.clear()
    this.#confirmed.clear()
    this.#confirmations.clear()

    for (const [topic, entry] of this.#topics) {
      entry.seq = undefined
      entry.calls.forEach((_, call) => entry.calls.set(call, undefined))
      this.#dirty.add(topic)
    }
  }

  /** Those who did not confirm in time are not waited for */
  expire (now: number): Effect[] {
    return this.#settle(({ unconfirmed, deadline }) => {
      if (deadline <= now) {
        unconfirmed.forEach(neighbour => this.#confirmed.set(neighbour, Infinity))
        unconfirmed.clear()
      }
    })
  }

  nextDeadline (): number {
    const [oldest] = this.#confirmations
    return oldest?.deadline ?? Infinity
  }

  /** Ends them all: one more announcement says so, calls settle as cancelled */
  stop (): Effect[] {
    return this.subscribed().flatMap(topic => this.unsubscribe(topic, true).settled)
  }

  /** Calls for these topics wait for those who have not dealt with this announcement */
  #await (entries: Topic[], seq: number, now: number): Effect[] {
    const confirmation = { seq, unconfirmed: new Set<Key>(), deadline: now + this.#timeout }

    if (entries.some(({ calls }) => calls.size > 0)) {
      this.#confirmations.add(confirmation)
    }

    this.#confirmed.forEach((confirmed, neighbour) => confirmed < seq && confirmation.unconfirmed.add(neighbour))

    for (const { calls } of entries) {
      calls.forEach((earlier, call) => calls.set(call, earlier ?? confirmation))
    }

    return this.#settle(() => {})
  }

  #settle (update: (confirmation: Confirmation) => void): Effect[] {
    const settled: Effect[] = []
    this.#confirmations.forEach(update)

    for (const confirmation of [...this.#confirmations].filter(({ unconfirmed }) => unconfirmed.size === 0)) {
      this.#confirmations.delete(confirmation)

      for (const { calls } of this.#topics.values()) {
        const over = [...calls.keys()].filter(call => calls.get(call) === confirmation)
        over.forEach(call => calls.delete(call))
        settled.push(...over.map((call): Effect => ({ type: 'subscribe-settled', call, outcome: 'subscribed' })))
      }
    }

    return settled
  }

  #release (topic: string, entry: Topic, holders: number): void {
    entry.holders -= holders

    if (entry.holders === 0) {
      this.#topics.delete(topic)
      this.#announced.has(topic) ? this.#dirty.add(topic) : this.#dirty.delete(topic)
    }
  }
}
