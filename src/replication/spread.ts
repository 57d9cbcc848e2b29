import { aborted } from '../runtime/aborted.ts'
import { Alarm } from '../runtime/alarm.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import { Outgoing } from './core/outgoing.ts'
import { NotReplicatedError } from './errors.ts'
import { rawOf } from './holdings.ts'
import { entrySize, Outcome } from './wire.ts'
import type { Key } from './core/types.ts'
import type { Message } from './wire.ts'
import type { Entry } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface SpreadInit {
  clock: Clock
  send (to: Key, message: Message): Promise<void>
  /** How many others hear of a new entry at once, for all that we know */
  reach (): number
}

/** Somebody who wants to know who stored an entry */
interface Waiter {
  entry: Entry
  /** So many have to store it; undefined: all of those that are left */
  count?: number
  left: Set<Key>
  stored: Set<Key>
  refused: Set<Key>
  /** Whether a peer that joins is to have it, too */
  wants (peer: Key): boolean
  resolve (): void
  reject (err: Error): void
}

export interface AckOptions extends AbortOptions {
  /** So many are waited for */
  count?: number
  /** Or all of these */
  leaders: Key[]
  wants (peer: Key): boolean
}

/** All there is about what goes to one peer */
interface Way {
  outgoing: Outgoing
  /** Nothing is sent before: it could not be sent */
  pausedUntil: number
  failures: number
}

/**
 * Brings new entries to those who keep them, and knows who has stored them.
 */
export class Spread {
  readonly #init: SpreadInit
  readonly #ways = new Map<Key, Way>()
  readonly #waiters = new Map<string, Set<Waiter>>()
  readonly #alarm: Alarm
  /** Of the last batch, to whomever: one that left and is back, or heard us before a restart, must not answer for another one */
  #number: number
  /** There is something to send when this tick is over */
  #isNew = false
  #isStopped = false

  constructor (init: SpreadInit) {
    this.#init = init
    this.#number = Math.floor(init.clock.now())
    this.#alarm = new Alarm(init.clock, () => { this.#wake() })
  }

  get sizes (): { outgoing: number, awaited: number } {
    return { outgoing: [...this.#ways.values()].reduce((sum, { outgoing }) => sum + outgoing.size, 0), awaited: this.#waiters.size }
  }

  /** Sends it to these, and nobody waits for it */
  spread (entry: Entry, to: Key[]): void {
    if (to.length > 0) {
      this.#addAll(entry, to, () => false)
    }
  }

  /** Sends it to these. Resolves when as many have stored it as was asked for */
  async acked (entry: Entry, to: Key[], { count, leaders, wants, signal }: AckOptions): Promise<void> {
    const id = this.#addAll(entry, to, peer => count != null || leaders.includes(peer))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = { entry, count, left: new Set(count == null ? leaders : to), stored: new Set(), refused: new Set(), wants, resolve, reject }
    const waiters = this.#waiters.get(id) ?? new Set()
    this.#waiters.set(id, waiters.add(waiter))
    this.#check(waiter)

    try {
      await aborted(promise, signal)
    } finally {
      waiters.delete(waiter)
      if (waiters.size === 0) {
        this.#waiters.delete(id)
      }
    }
  }

  /** It is a replicator now: those entries go to it whose keepers are waited for */
  joined (peer: Key): void {
    for (const [id, waiters] of this.#waiters) {
      for (const waiter of waiters) {
        if (waiter.count != null && !waiter.left.has(peer) && !waiter.stored.has(peer) && waiter.wants(peer)) {
          waiter.left.add(peer)
          this.#add(peer, { id, entry: rawOf(waiter.entry), bytes: entrySize(waiter.entry), isAwaited: true })
        }
      }
    }
  }

  /** It is back: what could not be sent is sent at once */
  present (peer: Key): void {
    const way = this.#ways.get(peer)

    if (way != null) {
      way.pausedUntil = way.failures = 0
      // what was under way when it went may not have come
      way.outgoing.expire(Infinity)
      this.#pump(peer, way)
    }
  }

  /** It is no replicator any more: nobody waits for it */
  gone (peer: Key): void {
    this.#ways.delete(peer)

    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters) {
        waiter.left.delete(peer)
        this.#check(waiter)
      }
    }
  }

  answered (peer: Key, number: number, outcomes: Outcome[]): void {
    const way = this.#ways.get(peer)

    if (way == null) {
      return
    }

    way.failures = 0
    way.outgoing.answered(number).forEach(({ id }, i) => {
      for (const waiter of this.#waiters.get(id) ?? []) {
        waiter.left.delete(peer);
        (outcomes[i] === Outcome.STORED ? waiter.stored : waiter.refused).add(peer)
        this.#check(waiter)
      }
    })
    this.#pump(peer, way)
  }

  stop (): void {
    this.#isStopped = true
    this.#ways.clear()
    this.#alarm.set(Infinity)

    for (const waiter of [...this.#waiters.values()].flatMap(waiters => [...waiters])) {
      waiter.reject(new NotReplicatedError('The log was closed before enough others had stored the entry. It is in the log, and goes out when that is opened again'))
    }
  }

  #check ({ count, left, stored, refused, resolve, reject }: Waiter): void {
    if (count != null ? stored.size >= count : left.size === 0 && refused.size === 0) {
      resolve()
    } else if (count == null && left.size === 0) {
      reject(new NotReplicatedError(`${refused.size} of the leaders refused the entry, ${stored.size} stored it. It is in the log: see canAppend of theirs, and their clocks`))
    }
  }

  #addAll (entry: Entry, to: Key[], isAwaitedFrom: (peer: Key) => boolean): string {
    const id = keyOfBytes(entry.id.bytes)
    const raw = rawOf(entry)
    const bytes = entrySize(raw)
    to.forEach(peer => { this.#add(peer, { id, entry: raw, bytes, isAwaited: isAwaitedFrom(peer) }) })
    return id
  }

  #add (peer: Key, item: Parameters<Outgoing['add']>[0]): void {
    let way = this.#ways.get(peer)

    if (this.#isStopped) {
      return
    }
    if (way == null) {
      way = {
        outgoing: new Outgoing({
          number: () => ++this.#number,
          window: limits.WINDOW,
          batchBytes: limits.BATCH_BYTES,
          batchEntries: limits.BATCH_ENTRIES,
          maxQueued: limits.MAX_QUEUED,
          maxBytes: limits.MAX_QUEUED_BYTES,
          timeout: limits.ANSWER_TIMEOUT
        }),
        pausedUntil: 0,
        failures: 0
      }
      this.#ways.set(peer, way)
    }

    way.outgoing.add(item)

    // what else is new in this tick goes with it
    if (!this.#isNew) {
      this.#isNew = true
      this.#arm()
    }
  }

  #wake (): void {
    const now = this.#init.clock.now()
    this.#isNew = false

    for (const [peer, way] of this.#ways) {
      way.outgoing.expire(now)
      this.#pump(peer, way)
    }

    this.#arm()
  }

  #pump (peer: Key, way: Way): void {
    const { clock, send, reach } = this.#init
    const now = clock.now()

    if (way.pausedUntil > now) {
      return
    }

    for (let batch = way.outgoing.take(now); batch != null; batch = way.outgoing.take(now)) {
      const { number, items } = batch

      send(peer, { type: 'entries', number, reach: reach(), entries: items.map(({ entry }) => entry) }).catch(() => {
        // it is out of reach for the moment, or for longer: then it leaves
        way.outgoing.lost(number)
        way.pausedUntil = clock.now() + Math.min(limits.RETRY_FIRST * 2 ** way.failures++, limits.RETRY_CAP)
        this.#arm()
      })
    }

    if (way.outgoing.takeBehind()) {
      // if it does not arrive: they compare now and then anyway
      send(peer, { type: 'nudge' }).catch(() => {})
    }

    this.#arm()
  }

  #arm (): void {
    const now = this.#init.clock.now()
    let next = Infinity

    if (this.#isStopped) {
      return
    }

    for (const { outgoing, pausedUntil } of this.#ways.values()) {
      if (outgoing.size > 0) {
        next = Math.min(next, outgoing.nextTimeout(), pausedUntil > now ? pausedUntil : Infinity)
      }
    }

    this.#alarm.set(this.#isNew ? now : next)
  }
}
