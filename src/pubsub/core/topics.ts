import type { Call, Key, SubscribeOutcome } from './types.ts'

/**
 * Our own subscriptions: one entry for each topic that somebody here holds. Absent topics have no entry.
 *
 * | event               | absent                | pending               | subscribed                                 |
 * |---------------------|-----------------------|-----------------------|--------------------------------------------|
 * | subscribe           | -> pending            | one holder more       | one holder more; the call waits for those who have not confirmed |
 * | announce            | off, if it was said   | -> subscribed, on     | -                                          |
 * | asked               | -                     | on at once            | -                                          |
 * | unsubscribe, abort  | false                 | one holder less; the last one: -> absent | as pending              |
 * | confirmed by all or | -                     | -                     | calls settle                               |
 * | deadline            |                       |                       |                                            |
 *
 * What is announced is the difference between what others were told and what is held: a topic that comes and goes in
 * one
 * tick is never spoken of.
 */
interface Topic {
  holders: number
  /** The announcement that named it; absent while it is pending */
  seq?: number
  /** Calls that wait for the announcement */
  calls: Set<Call>
}

/** Calls that wait until these neighbours have dealt with an announcement */
interface Confirmation {
  seq: number
  /** With the topic of each */
  calls: Map<Call, string>
  unconfirmed: Set<Key>
  deadline: number
}

/** Calls that have an outcome now */
export type Settled = Array<{ call: Call, outcome: SubscribeOutcome }>

export class Topics {
  readonly #timeout: number
  readonly #topics = new Map<string, Topic>()
  /** What others were told that we are on */
  readonly #announced = new Set<string>()
  /** Topics whose announcement may be due */
  readonly #dirty = new Set<string>()
  /** The announcement that each neighbour has dealt with; none yet: -1 */
  readonly #confirmed = new Map<Key, number>()
  /** Neighbours that let a deadline pass: nobody waits for them until they confirm something */
  readonly #silent = new Set<Key>()
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

    if (entry == null) {
      return 'absent'
    }

    return entry.seq == null ? 'pending' : 'subscribed'
  }

  /** Whether no call waits any more until others know it */
  isKnown (topic: string): boolean {
    const entry = this.#topics.get(topic)
    return entry?.seq != null && (this.#confirmations.size === 0 || this.#waiting(topic).length === 0)
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

  subscribe (topic: string, call: Call, now: number): Settled {
    const entry = this.#topics.get(topic)

    if (entry?.seq != null) {
      entry.holders++
      return this.#await(entry.seq, new Map([[call, topic]]), now)
    }

    if (entry == null) {
      this.#topics.set(topic, { holders: 1, calls: new Set([call]) })
      this.#dirty.add(topic)
    } else {
      entry.holders++
      entry.calls.add(call)
    }

    return []
  }

  /** One holder less, the newest of those whose calls still wait first; or none left at all */
  unsubscribe (topic: string, all: boolean): { isRemoved: boolean, settled: Settled } {
    const entry = this.#topics.get(topic)

    if (entry == null) {
      return { isRemoved: false, settled: [] }
    }

    const waiting = this.#waiting(topic)
    const cancelled = all ? waiting : waiting.slice(-1)
    cancelled.forEach(call => { this.#drop(topic, call) })
    this.#release(topic, entry, all ? entry.holders : 1)
    return { isRemoved: true, settled: cancelled.map(call => ({ call, outcome: 'cancelled' })) }
  }

  /** The signal of a call aborted: it does not hold the topic any more. A call that was settled holds it for good */
  abort (topic: string, call: Call): boolean {
    const entry = this.#topics.get(topic)

    if (entry == null || !this.#drop(topic, call)) {
      return false
    }

    this.#release(topic, entry, 1)
    return true
  }

  /**
   * What is to be announced now, under the number `seq`: nothing, if others know it all. Calls wait until it is
   * confirmed
   */
  announce (seq: number, now: number): { on: string[], off: string[], settled: Settled } {
    const on: string[] = []
    const off: string[] = []
    const calls = new Map<Call, string>()

    for (const topic of this.#dirty) {
      if (!this.#topics.has(topic)) {
        this.#announced.delete(topic)
        off.push(topic)
      } else if (!this.#announced.has(topic)) {
        this.#announced.add(topic)
        on.push(topic)
      }
    }

    const number = on.length + off.length > 0 ? seq : seq - 1

    for (const topic of this.#dirty) {
      const entry = this.#topics.get(topic)

      if (entry != null) {
        entry.seq ??= number
        entry.calls.forEach(call => calls.set(call, topic))
        entry.calls.clear()
      }
    }

    this.#dirty.clear()
    return { on, off, settled: this.#await(number, calls, now) }
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
  confirmed (by: Key, seq: number): Settled {
    this.#silent.delete(by)
    this.#confirmed.set(by, Math.max(seq, this.#confirmed.get(by) ?? -1))
    return this.#settle(({ unconfirmed, seq: wanted }) => { if (wanted <= seq) { unconfirmed.delete(by) } })
  }

  /** A neighbour went: nobody waits for it */
  down (neighbour: Key): Settled {
    this.#silent.delete(neighbour)
    this.#confirmed.delete(neighbour)
    return this.#settle(({ unconfirmed }) => { unconfirmed.delete(neighbour) })
  }

  /** A new life begins to number its announcements anew, and has told nobody anything */
  restart (): void {
    this.#announced.clear()
    this.#confirmed.clear()
    this.#silent.clear()

    for (const { calls } of this.#confirmations) {
      calls.forEach((topic, call) => this.#topics.get(topic)?.calls.add(call))
    }
    for (const [topic, entry] of this.#topics) {
      entry.seq = undefined
      this.#dirty.add(topic)
    }

    this.#confirmations.clear()
  }

  /** Those who did not confirm in time are not waited for */
  expire (now: number): Settled {
    return this.#settle(({ unconfirmed, deadline }) => {
      if (deadline <= now) {
        unconfirmed.forEach(neighbour => this.#silent.add(neighbour))
        unconfirmed.clear()
      }
    })
  }

  nextDeadline (): number {
    // the oldest is the first, and all wait for as long
    const [oldest] = this.#confirmations
    return oldest?.deadline ?? Infinity
  }

  /** Ends them all: one more announcement says so, calls settle as cancelled */
  stop (): Settled {
    return [...this.#topics.keys()].flatMap(topic => this.unsubscribe(topic, true).settled)
  }

  #await (seq: number, calls: Map<Call, string>, now: number): Settled {
    const unconfirmed = new Set<Key>()

    for (const [neighbour, confirmed] of this.#confirmed) {
      if (confirmed < seq && !this.#silent.has(neighbour)) {
        unconfirmed.add(neighbour)
      }
    }
    if (unconfirmed.size === 0) {
      return [...calls.keys()].map(call => ({ call, outcome: 'subscribed' }))
    }
    if (calls.size > 0) {
      this.#confirmations.add({ seq, calls, unconfirmed, deadline: now + this.#timeout })
    }

    return []
  }

  #settle (update: (confirmation: Confirmation) => void): Settled {
    const settled: Settled = []

    for (const confirmation of this.#confirmations) {
      update(confirmation)

      if (confirmation.unconfirmed.size === 0) {
        this.#confirmations.delete(confirmation)
        confirmation.calls.forEach((_, call) => settled.push({ call, outcome: 'subscribed' }))
      }
    }

    return settled
  }

  /** Calls for this topic that have no outcome, the oldest first */
  #waiting (topic: string): Call[] {
    const confirming = [...this.#confirmations].flatMap(({ calls }) => [...calls].filter(([, other]) => other === topic).map(([call]) => call))
    return [...confirming, ...this.#topics.get(topic)?.calls ?? []].sort((a, b) => a - b)
  }

  #drop (topic: string, call: Call): boolean {
    for (const confirmation of this.#confirmations) {
      if (confirmation.calls.get(call) === topic) {
        confirmation.calls.delete(call)

        if (confirmation.calls.size === 0) {
          this.#confirmations.delete(confirmation)
        }
        return true
      }
    }

    return this.#topics.get(topic)?.calls.delete(call) === true
  }

  #release (topic: string, entry: Topic, holders: number): void {
    entry.holders -= holders

    if (entry.holders === 0) {
      this.#topics.delete(topic)
      this.#announced.has(topic) ? this.#dirty.add(topic) : this.#dirty.delete(topic)
    }
  }
}
