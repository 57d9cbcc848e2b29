import type { Call, Key, SubscribeOutcome } from './types.ts'

/**
 * Our own subscriptions: one entry a topic, and who was told of it. Absent topics have no entry.
 *
 * | event         | absent      | pending                    | subscribed               | retracting            |
 * |---------------|-------------|----------------------------|--------------------------|-----------------------|
 * | subscribe     | -> pending  | holders + 1                | holders + 1              | -> pending, told kept |
 * | flush         | -           | -> subscribed, announced   | -                        | retracted -> absent   |
 * | unsubscribe / | false       | holders - 1; at 0 absent,  | holders - 1; at 0        | false                 |
 * | abort         |             | or retracting if some were told | -> retracting       |                       |
 * | asked         | no          | yes, asker is told         | yes, asker is told       | no                    |
 * | acked by all, | -           | -                          | waiting calls settle     | -                     |
 * | or deadline   |             |                            |                          |                       |
 */
export type Topic =
  | { state: 'pending', holders: number, calls: Set<Call>, told: Set<Key> }
  | { state: 'subscribed', holders: number, calls: Set<Call>, told: Set<Key>, unacked: Map<Key, number>, deadline: number }
  | { state: 'retracting', told: Set<Key> }

/** Calls that have an outcome now */
export type Settled = Array<{ call: Call, outcome: SubscribeOutcome }>

/** What one flush has to tell: the same to all of `to` */
export interface Flushed {
  to: Key[]
  on: string[]
  off: string[]
}

export class Topics {
  readonly #topics = new Map<string, Topic>()
  /** Topics that the next flush has something to say of */
  readonly #dirty = new Set<string>()
  /** Subscribed topics that not everybody has confirmed */
  readonly #unconfirmed = new Set<string>()

  get size (): number {
    return this.#topics.size
  }

  get needsFlush (): boolean {
    return this.#dirty.size > 0
  }

  state (topic: string): Topic['state'] | 'absent' {
    return this.#topics.get(topic)?.state ?? 'absent'
  }

  /** Whether this node wants what is published on it: from the tick of subscribe() on */
  isOn (topic: string): boolean {
    const state = this.state(topic)
    return state === 'pending' || state === 'subscribed'
  }

  subscribed (): string[] {
    return [...this.#topics.keys()].filter(topic => this.isOn(topic))
  }

  /** Who was told of it; for tests and diagnostics */
  told (topic: string): Key[] {
    return [...this.#topics.get(topic)?.told ?? []]
  }

  subscribe (topic: string, call: Call): Settled {
    const entry = this.#topics.get(topic)

    if (entry == null || entry.state === 'retracting') {
      this.#topics.set(topic, { state: 'pending', holders: 1, calls: new Set([call]), told: entry?.told ?? new Set() })
      this.#dirty.add(topic)
      return []
    }

    entry.holders++

    if (entry.state === 'subscribed' && entry.unacked.size === 0) {
      return [{ call, outcome: 'subscribed' }]
    }

    entry.calls.add(call)
    return []
  }

  /** One holder less, the newest of those that still wait before one that is settled; or none left at all */
  unsubscribe (topic: string, all: boolean): { removed: boolean, settled: Settled } {
    const entry = this.#topics.get(topic)

    if (entry == null || entry.state === 'retracting') {
      return { removed: false, settled: [] }
    }

    const calls = [...entry.calls]
    const cancelled = all ? calls : calls.slice(-1)
    cancelled.forEach(call => entry.calls.delete(call))
    this.#release(topic, entry, all ? entry.holders : 1)
    return { removed: true, settled: cancelled.map(call => ({ call, outcome: 'cancelled' })) }
  }

  /** The signal of a call aborted: it no longer holds the topic. A call that was settled holds it for good */
  abort (topic: string, call: Call): boolean {
    const entry = this.#topics.get(topic)

    if (entry == null || entry.state === 'retracting' || !entry.calls.delete(call)) {
      return false
    }

    this.#release(topic, entry, 1)
    return true
  }

  /**
   * Announces what is pending and retracts what is retracting, to `neighbours`.
   */
  flush (neighbours: Key[]): Flushed[] {
    const on: string[] = []
    const off = new Map<Key, string[]>()

    for (const topic of this.#dirty) {
      const entry = this.#topics.get(topic)

      if (entry?.state === 'pending') {
        on.push(topic)
      } else if (entry?.state === 'retracting') {
        this.#topics.delete(topic)
        for (const key of entry.told) {
          off.set(key, [...off.get(key) ?? [], topic])
        }
      }
    }

    this.#dirty.clear()
    return group(neighbours, on, off)
  }

  /** What `flush` announced as on is on its way: to each of `sent` in the announcement of that number */
  announced (on: string[], sent: Map<Key, number>, deadline: number): Settled {
    const settled: Settled = []

    for (const topic of on) {
      const entry = this.#topics.get(topic)

      if (entry?.state !== 'pending') {
        continue
      }

      const { holders, calls, told } = entry
      for (const to of sent.keys()) {
        told.add(to)
      }
      this.#topics.set(topic, { state: 'subscribed', holders, calls, told, unacked: new Map(sent), deadline })
      this.#unconfirmed.add(topic)
      settled.push(...this.#confirm(topic))
    }

    return settled
  }

  /** Whether we are on `topic`; the asker was told so */
  asked (topic: string, by: Key): boolean {
    const entry = this.#topics.get(topic)

    if (entry == null || entry.state === 'retracting') {
      return false
    }

    entry.told.add(by)
    return true
  }

  /**
   * All that anybody was told of, to tell it to `to` as well: subscribed topics, and pending ones of which somebody knows,
   * since what is left out of a full announcement counts as retracted.
   */
  full (to: Key[]): string[] {
    const topics: string[] = []

    for (const [topic, entry] of this.#topics) {
      if (entry.state === 'subscribed' || (entry.state === 'pending' && entry.told.size > 0)) {
        topics.push(topic)
        to.forEach(key => entry.told.add(key))
      }
    }

    return topics
  }

  /** A neighbour came, and is told of everything in the announcement of this number: who subscribes from now on waits for it, too */
  awaits (by: Key, seq: number, deadline: number): void {
    for (const [topic, entry] of this.#topics) {
      if (entry.state === 'subscribed') {
        // whoever waits already waits no longer than it would have
        entry.deadline = entry.unacked.size > 0 ? entry.deadline : deadline
        entry.unacked.set(by, seq)
        this.#unconfirmed.add(topic)
      }
    }
  }

  /** `by` has dealt with our announcements up to `seq` */
  acked (by: Key, seq: number): Settled {
    return this.#confirmAll(unacked => {
      const wanted = unacked.get(by)
      if (wanted != null && wanted <= seq) {
        unacked.delete(by)
      }
    })
  }

  /** A neighbour went: nobody waits for it, and it knows nothing any more */
  gone (key: Key): Settled {
    for (const entry of this.#topics.values()) {
      entry.told.delete(key)
    }
    return this.#confirmAll(unacked => { unacked.delete(key) })
  }

  /** Those who did not confirm in time are not waited for */
  expire (now: number): Settled {
    return this.#confirmAll((unacked, deadline) => {
      if (deadline <= now) {
        unacked.clear()
      }
    })
  }

  nextDeadline (): number {
    let next = Infinity
    for (const topic of this.#unconfirmed) {
      const entry = this.#topics.get(topic)
      if (entry?.state === 'subscribed') {
        next = Math.min(next, entry.deadline)
      }
    }
    return next
  }

  /** Ends them all: what is subscribed will be retracted by one more flush, calls settle as cancelled */
  stop (): Settled {
    return [...this.#topics.keys()].flatMap(topic => this.unsubscribe(topic, true).settled)
  }

  #release (topic: string, entry: Exclude<Topic, { state: 'retracting' }>, holders: number): void {
    entry.holders -= holders

    if (entry.holders > 0) {
      return
    }

    this.#unconfirmed.delete(topic)

    if (entry.told.size === 0) {
      this.#topics.delete(topic)
      this.#dirty.delete(topic)
    } else {
      this.#topics.set(topic, { state: 'retracting', told: entry.told })
      this.#dirty.add(topic)
    }
  }

  #confirmAll (update: (unacked: Map<Key, number>, deadline: number) => void): Settled {
    const settled: Settled = []

    for (const topic of this.#unconfirmed) {
      const entry = this.#topics.get(topic)

      if (entry?.state === 'subscribed') {
        update(entry.unacked, entry.deadline)
        settled.push(...this.#confirm(topic))
      }
    }

    return settled
  }

  #confirm (topic: string): Settled {
    const entry = this.#topics.get(topic)

    if (entry?.state !== 'subscribed' || entry.unacked.size > 0) {
      return []
    }

    const settled: Settled = [...entry.calls].map(call => ({ call, outcome: 'subscribed' }))
    entry.calls.clear()
    this.#unconfirmed.delete(topic)
    return settled
  }
}

/** One message for all who hear the same: usually one in all */
function group (neighbours: Key[], on: string[], off: Map<Key, string[]>): Flushed[] {
  const groups = new Map<string, Flushed>()

  for (const key of neighbours) {
    const retracted = off.get(key) ?? []

    if (on.length + retracted.length > 0) {
      const name = retracted.join('\n')
      const same = groups.get(name) ?? { to: [], on, off: retracted }
      same.to.push(key)
      groups.set(name, same)
    }
  }

  // nobody is here to hear it: it is announced all the same
  if (groups.size === 0 && on.length > 0) {
    return [{ to: [], on, off: [] }]
  }

  return [...groups.values()]
}
