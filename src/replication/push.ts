import { aborted } from '../runtime/aborted.ts'
import { Alarm } from '../runtime/alarm.ts'
import { Bell } from '../runtime/bell.ts'
import { LruMap } from '../runtime/bounded.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { Outgoing } from './core/outgoing.ts'
import { rawOf } from './digests.ts'
import { NotReplicatedError } from './errors.ts'
import { entrySize, Outcome } from './wire.ts'
import type { ReplicationContext } from './context.ts'
import type { Item } from './core/outgoing.ts'
import type { Key } from './core/types.ts'
import type { Message } from './wire.ts'
import type { Entry } from '../log/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface PushInit {
  context: Pick<ReplicationContext, 'clock' | 'trust' | 'sizes'>
  send (to: Key, message: Message): Promise<void>
  /** Whether something large is on its way to or from this peer */
  isBusy (peer: Key): boolean
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
  /** Leaders that did not answer in time: the append does not wait for them */
  silent: Set<Key>
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

/** The one queue of appends that wait for room */
const ROOM = 'appends'
const CLOSED = 'The log was closed before enough others had stored the entry. ' +
  'It is in the log, and goes out when that is opened again'
/** Peers whose clocks are told of: the last ones. A guess */
const MAX_CLOCKS = 64

/**
 * Brings new entries to those who keep them, and knows who has stored them.
 */
export class Push {
  readonly #init: PushInit
  readonly #ways = new Map<Key, Way>()
  readonly #waiters = new Map<string, Set<Waiter>>()
  readonly #alarm: Alarm
  /** Bytes of the entries that somebody waits for, and for those who wait until they are fewer */
  #awaitedBytes = 0
  readonly #settled = new Bell()
  readonly #room: Mailboxes
  /** When peers said last that the time of an entry had not come */
  readonly #later = new LruMap<Key, number>(MAX_CLOCKS)
  /**
   * Of the last batch, to whomever: one that left and is back, or heard us before a restart, must not answer for
   * another one
   */
  #number: number
  /** There is something to send when this tick is over */
  #isNew = false
  #isStopped = false

  constructor (init: PushInit) {
    this.#init = init
    this.#number = Math.floor(init.context.clock.now())
    this.#room = new Mailboxes({
      name: 'appends that wait for room', clock: init.context.clock, deadline: Infinity, capacity: Infinity
    })
    this.#alarm = new Alarm(init.context.clock, () => { this.#wake() })
  }

  get sizes (): { outgoing: number, awaited: number } {
    return {
      outgoing: [...this.#ways.values()].reduce((sum, { outgoing }) => sum + outgoing.size, 0),
      awaited: this.#waiters.size
    }
  }

  /** Peers whose clocks are behind ours further than a log takes: they said so lately */
  get behind (): Key[] {
    const since = this.#init.context.clock.now() - limits.CLOCKS_REMEMBERED
    return [...this.#later.entries()].filter(([, at]) => at >= since).map(([peer]) => peer)
  }

  /** Sends it to these, and nobody waits for it */
  push (entry: Entry, to: Key[]): void {
    if (to.length > 0) {
      this.#addAll(entry, to, () => false)
    }
  }

  /** Sends it to these. Resolves when as many have stored it as was asked for */
  async acked (entry: Entry, to: Key[], { count, leaders, wants, signal }: AckOptions): Promise<void> {
    const bytes = entrySize(rawOf(entry))

    await this.#makeRoom(bytes, signal)

    if (this.#isStopped) {
      throw new NotReplicatedError(CLOSED)
    }

    const id = this.#addAll(entry, to, peer => count != null || leaders.includes(peer))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = {
      entry,
      count,
      left: new Set(count == null ? leaders : to),
      stored: new Set(),
      refused: new Set(),
      silent: new Set(),
      wants,
      resolve,
      reject
    }
    const waiters = this.#waiters.get(id) ?? new Set()
    this.#waiters.set(id, waiters.add(waiter))
    this.#check(waiter)

    try {
      await aborted(promise, signal)
    } finally {
      this.#awaitedBytes -= bytes
      this.#settled.ring()
      waiters.delete(waiter)
      if (waiters.size === 0) {
        this.#waiters.delete(id)
      }
    }
  }

  /** A program that appends faster than others store is slowed down: its appends wait in their order */
  async #makeRoom (bytes: number, signal?: AbortSignal): Promise<void> {
    const isRoom = (): boolean =>
      this.#awaitedBytes === 0 || this.#awaitedBytes + bytes <= limits.MAX_AWAITED_BYTES || this.#isStopped

    if (!isRoom() || this.#room.isBusy(ROOM)) {
      await this.#room.turn(ROOM, async () => {
        while (!isRoom()) {
          await this.#settled.rung({ signal })
        }
        signal?.throwIfAborted()
        this.#awaitedBytes += bytes
      }, { signal })
    } else {
      signal?.throwIfAborted()
      this.#awaitedBytes += bytes
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
    this.#init.context.trust.answered(peer)
    if (outcomes.includes(Outcome.LATER)) {
      this.#later.set(peer, this.#init.context.clock.now())
    }
    way.outgoing.answered(number).forEach((item, i) => {
      if (outcomes[i] === Outcome.LATER && this.#isAwaited(item, peer)) {
        this.#sendLater(peer, item)
        return
      }

      for (const waiter of this.#waiters.get(item.id) ?? []) {
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
    this.#settled.ring()

    for (const waiter of [...this.#waiters.values()].flatMap(waiters => [...waiters])) {
      waiter.reject(new NotReplicatedError(CLOSED))
    }
  }

  /** Where all of the leaders are asked for, one of them at least has to have it: silence is no copy */
  #check ({ count, left, stored, refused, silent, resolve, reject }: Waiter): void {
    if (count != null
      ? stored.size >= count
      : left.size === 0 && refused.size === 0 && (silent.size === 0 || stored.size > 0)) {
      resolve()
    } else if (count == null && left.size === 0) {
      reject(new NotReplicatedError(`${refused.size} of the leaders refused the entry, ${silent.size} did not ` +
        `answer, ${stored.size} stored it. It is in the log: see canAppend of theirs, and their clocks`))
    }
  }

  #isAwaited ({ id, isAwaited }: Item, peer: Key): boolean {
    return isAwaited && [...this.#waiters.get(id) ?? []].some(({ left }) => left.has(peer))
  }

  /**
   * The other side takes the entry later, as the two clocks differ by more than a log takes: the entry is sent again
   */
  #sendLater (peer: Key, item: Item): void {
    this.#init.context.clock.after(limits.LATER_RETRY, () => {
      if (this.#isAwaited(item, peer)) {
        this.#add(peer, item)
      }
    })
  }

  /** A peer did not answer in time: appends that wait for all leaders go on without it */
  #timedOut (peer: Key): void {
    const { trust, clock } = this.#init.context
    trust.timedOut(peer, clock.now() - limits.ANSWER_TIMEOUT, clock.now())

    for (const waiter of [...this.#waiters.values()].flatMap(waiters => [...waiters])) {
      if (waiter.count == null && waiter.left.delete(peer)) {
        waiter.silent.add(peer)
        this.#check(waiter)
      }
    }
  }

  #addAll (entry: Entry, to: Key[], isAwaitedFrom: (peer: Key) => boolean): string {
    const id = keyOfBytes(entry.id.bytes)
    const raw = rawOf(entry)
    const bytes = entrySize(raw)
    to.forEach(peer => { this.#add(peer, { id, entry: raw, bytes, isAwaited: isAwaitedFrom(peer) }) })
    return id
  }

  #add (peer: Key, item: Item): void {
    let way = this.#ways.get(peer)

    if (this.#isStopped) {
      return
    }
    if (way == null) {
      way = {
        outgoing: new Outgoing({
          number: () => ++this.#number,
          window: limits.WINDOW,
          maxUnderWay: limits.MAX_UNDER_WAY_BYTES,
          batchBytes: this.#init.context.sizes.batchBytes,
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
    const now = this.#init.context.clock.now()
    this.#isNew = false

    for (const [peer, way] of this.#ways) {
      // an answer comes behind what is large
      if (!this.#init.isBusy(peer) && way.outgoing.expire(now)) {
        this.#timedOut(peer)
      }
      this.#pump(peer, way)
    }

    this.#arm()
  }

  #pump (peer: Key, way: Way): void {
    const { context: { clock }, send, reach } = this.#init
    const now = clock.now()

    if (way.pausedUntil > now) {
      return
    }

    for (let batch = way.outgoing.take(now); batch != null; batch = way.outgoing.take(now)) {
      const { number, items } = batch

      send(peer, {
        type: 'entries', number, reach: reach(), entries: items.map(({ entry }) => entry)
      }).then(() => { way.outgoing.left(number, clock.now()) }, () => {
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
    const now = this.#init.context.clock.now()
    let next = Infinity

    if (this.#isStopped) {
      return
    }

    for (const [peer, { outgoing, pausedUntil }] of this.#ways) {
      if (outgoing.size > 0) {
        const timeout = this.#init.isBusy(peer)
          ? Math.max(outgoing.nextTimeout(), now + limits.ANSWER_TIMEOUT)
          : outgoing.nextTimeout()
        next = Math.min(next, timeout, pausedUntil > now ? pausedUntil : Infinity)
      }
    }

    this.#alarm.set(this.#isNew ? now : next)
  }
}
