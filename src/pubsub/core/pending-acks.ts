import { LinkedList } from '../../runtime/linked-list.ts'
import { Waits } from './waits.ts'
import type { Call, Key } from './types.ts'
import type { Waiting } from './waits.ts'
import type { Linked } from '../../runtime/linked-list.ts'

/** What a destination says for good. A relay cannot say it: the destination's connection or signature proves it */
export type FinalStatus = 'acked' | 'not-subscribed' | 'rejected' | 'ignored' | 'too-late' | 'past-life'
/** What it, or a relay on the way, says for now */
export type ReceiptStatus = FinalStatus | 'undecided' | 'congested' | 'unreachable'
/** Why a destination did not get a message, or did not say so */
export type FailureReason = Exclude<ReceiptStatus, 'acked'> | 'too-large' | 'timeout' | 'aborted' | 'stopped'

export interface Outcome {
  acked: Key[]
  failed: Array<{ key: Key, reason: FailureReason }>
}

export interface Tracked<Content> {
  call: Call
  topic: string
  seq: number
  /** What is sent again: the shell's, opaque here */
  content: Content
  bytes: number
  to: Key[]
  /** Acks that satisfy the caller */
  wanted: number
}

export type PendingEffect<Content> =
  /** One more copy for these, by a way that is not one of `avoid`, if there is one. Each gets a `sent` or a `failed` */
  | { type: 'send', call: Call, topic: string, seq: number, content: Content, to: Key[], avoid: readonly Key[] }
  /** A copy for `to` that left by the neighbour `via` was acked, or was not heard of any more */
  | { type: 'way', to: Key, via: Key, ok: boolean }
  | { type: 'settled', call: Call, outcome: Outcome }

export interface PendingAcksLimits {
  maxPending: number
  /** Bytes of what is held, `DESTINATION_BYTES` for each destination among them */
  maxBytes: number
  timeout: number
  /** Milliseconds from when a copy left until the next one. As many copies are sent; the last wait is for an answer */
  intervals: number[]
}

const PENDING_ACKS_LIMITS: PendingAcksLimits = {
  maxPending: 65_536, maxBytes: 64 * 1024 * 1024, timeout: 10_000, intervals: [2500, 5000, 10_000, 10_000]
}

/** Most destinations are settled before they need a list */
const NONE: readonly Key[] = []

/** A guess: an object, a place in a map, the ways that were tried */
const DESTINATION_BYTES = 256

/**
 * - sending: the shell has a copy that has not left yet
 * - waiting: a copy left, or could not; the next one is sent when the timer ends
 * - quiet: nothing is sent any more; an answer may come until the deadline
 */
type State = 'sending' | 'waiting' | 'quiet' | 'acked' | 'failed'

class Destination<Content> implements Waiting {
  before?: Linked
  after?: Linked
  readonly message: Message<Content>
  readonly key: Key
  state: State = 'sending'
  /** Copies that the shell was given */
  copies = 1
  /** How many times it waited for an answer in vain, and once more: each wait is longer */
  round = 1
  /** Ways by which copies left, or were to leave */
  tried = NONE
  /** Those that were said to be no way */
  unreachable = NONE
  hasLeft = false
  /** The neighbour that the copy was written to which the shell has: it may not have taken it */
  writtenTo: Key | undefined
  via: Key | undefined
  queue: number | undefined
  at = 0
  /** What it fails with if nothing else comes; why it failed */
  reason: FailureReason = 'timeout'

  constructor (message: Message<Content>, key: Key) {
    this.message = message
    this.key = key
  }
}

class Message<Content> implements Linked {
  before?: Linked
  after?: Linked
  readonly tracked: Tracked<Content>
  readonly destinations = new Map<Key, Destination<Content>>()
  readonly deadline: number
  open: number
  acked = 0

  constructor (tracked: Tracked<Content>, deadline: number) {
    this.tracked = tracked
    this.deadline = deadline

    for (const key of tracked.to) {
      this.destinations.set(key, new Destination(this, key))
    }

    this.open = this.destinations.size
  }
}

/**
 * Messages that wait for acks. A destination has one fate:
 *
 * | event | sending | waiting | quiet |
 * |---|---|---|---|
 * | written(via) | noted | - | - |
 * | sent(via), as written | waiting; the timer starts | - | - |
 * | failed(via, reason) | the next copy if a way broke; waiting if a copy left before; else failed(reason) | - | - |
 * | timer, copies left | - | sending; the way failed | - |
 * | timer, no copies left | - | quiet; the way failed | - |
 * | gone(via) | - | sending, or quiet if no copies are left | - |
 * | unreachable, by the way in use, once a way | written: as waiting | sending; the last copy after the timer; then failed after one more interval | - |
 * | undecided | quiet | quiet | quiet |
 * | congested | - | noted as the reason | - |
 * | acked, another final receipt | acked, failed | acked, failed | acked, failed |
 * | deadline, abort, stop | failed | failed | failed |
 *
 * A message is settled when no destination is open, or when as many acked as the caller wanted.
 *
 * Invariants
 * - A destination gets at most `intervals.length` copies, whatever receipts say, and none while one has yet to leave.
 * - A relay's 'unreachable' can be forged. It brings at most one copy for each way.
 * - 'unreachable' never ends a destination while a copy is left, nor within an interval of the last one.
 * - An event costs what it changes, not what is pending: queues are in the order of their ends.
 */
export class PendingAcks<Content> {
  readonly #limits: PendingAcksLimits
  /** By topic and number */
  readonly #messages = new Map<string, Message<Content>>()
  readonly #calls = new Map<Call, Message<Content>>()
  readonly #deadlines = new LinkedList<Message<Content>>()
  /** Queue 0 is the last wait of those that are unreachable, queue 1 follows the first copy, and so on */
  readonly #waits: Waits<Destination<Content>>
  /** Content and destinations that are held */
  #bytes = 0
  /** Effects of the present event */
  readonly #ways: Array<PendingEffect<Content>> = []
  readonly #sends: Array<Extract<PendingEffect<Content>, { type: 'send' }>> = []
  readonly #settled: Array<PendingEffect<Content>> = []

  constructor (limits: PendingAcksLimits = PENDING_ACKS_LIMITS) {
    this.#limits = limits
    this.#waits = new Waits([limits.intervals[0], ...limits.intervals])
  }

  get size (): number {
    return this.#calls.size
  }

  get bytes (): number {
    return this.#bytes
  }

  nextAt (): number {
    return Math.min(this.#deadlines.first?.deadline ?? Infinity, this.#waits.nextAt())
  }

  /** From before the first copy is sent. 'congested': there is no room, and nothing was noted */
  track (tracked: Tracked<Content>, now: number): Array<PendingEffect<Content>> | 'congested' {
    const { call, topic, seq, to, wanted } = tracked

    if (to.length === 0 || wanted <= 0) {
      return [{ type: 'settled', call, outcome: { acked: [], failed: [] } }]
    }
    if (this.#calls.size >= this.#limits.maxPending || this.#bytes + bytesOf(tracked) > this.#limits.maxBytes) {
      return 'congested'
    }

    if (this.#messages.has(nameOf(topic, seq)) || this.#calls.has(call)) {
      throw new Error(`Call ${call} or message ${seq} of ${topic} is pending already`)
    }

    const message = new Message(tracked, now + this.#limits.timeout)
    this.#messages.set(nameOf(topic, seq), message)
    this.#calls.set(call, message)
    this.#deadlines.push(message)
    this.#bytes += bytesOf(tracked)
    return []
  }

  /** The copy was written to this neighbour: from now on it may speak of it */
  written (topic: string, seq: number, key: Key, via: Key): void {
    const destination = this.#find(topic, seq, key)

    if (destination?.state === 'sending') {
      destination.writtenTo = via
    }
  }

  /** The neighbour has taken the copy that was written to it. If it has spoken of it before, that says so already */
  sent (topic: string, seq: number, key: Key, via: Key, now: number): void {
    const destination = this.#find(topic, seq, key)

    if (destination?.state === 'sending' && destination.writtenTo === via) {
      destination.hasLeft = true
      destination.reason = 'timeout'
      destination.tried = added(destination.tried, via)
      this.#wait(destination, destination.round, now, via)
    }
  }

  /** The copy will not leave: the outbox of `via` gave it up, or there was no way at all */
  failed (
    topic: string, seq: number, key: Key, reason: FailureReason, via: Key | undefined, now: number
  ): Array<PendingEffect<Content>> {
    const destination = this.#find(topic, seq, key)

    if (destination?.state !== 'sending') {
      return []
    }

    destination.reason = reason

    if (reason === 'unreachable' && via != null && destination.copies < this.#limits.intervals.length) {
      destination.tried = added(destination.tried, via)
      this.#sendNext(destination)
    } else if (destination.hasLeft || reason === 'unreachable') {
      // it may be reachable again before the time is over
      this.#wait(destination, destination.round, now)
    } else {
      this.#close(destination, 'failed')
    }

    return this.#take()
  }

  /**
   * A receipt that `by` brought, of these destinations themselves, or of a relay about them. It costs as much as it
   * names of what is pending, never the product of what it names
   */
  receipt (
    status: ReceiptStatus, topic: string, seqs: number[], about: Key[], by: Key, now: number
  ): Array<PendingEffect<Content>> {
    const named = new Set(about)

    for (const seq of seqs) {
      for (const destination of this.#named(topic, seq, named)) {
        if (isOpen(destination.state)) {
          this.#answered(destination, status, by, now)
        }
      }
    }

    return this.#take()
  }

  /** A neighbour is gone: what left by it is sent by another way. Its outbox says what becomes of copies in there */
  gone (neighbour: Key): Array<PendingEffect<Content>> {
    this.#waits.by(neighbour).forEach(destination => { this.#sendNext(destination) })
    return this.#take()
  }

  wake (now: number): Array<PendingEffect<Content>> {
    for (const message of this.#deadlines) {
      if (message.deadline > now) {
        break
      }
      this.#end(message)
    }
    for (let due = this.#waits.due(now); due != null; due = this.#waits.due(now)) {
      this.#onTimer(due)
    }

    return this.#take()
  }

  abort (call: Call): Array<PendingEffect<Content>> {
    this.#end(this.#calls.get(call), 'aborted')
    return this.#take()
  }

  stop (): Array<PendingEffect<Content>> {
    this.#calls.forEach(message => { this.#end(message, 'stopped') })
    return this.#take()
  }

  check (): void {
    const messages = [...this.#deadlines]
    const all = messages.flatMap(({ destinations }) => [...destinations.values()])
    const bytes = messages.reduce((sum, { tracked }) => sum + bytesOf(tracked), 0)
    this.#waits.check(all.filter(({ state }) => state === 'waiting'))

    for (const message of messages) {
      const { destinations, open, acked, tracked: { call, topic, seq, wanted } } = message
      const states = [...destinations.values()].map(({ state }) => state)
      const count = states.filter(state => state === 'acked').length
      const isCounted = states.filter(isOpen).length === open && count === acked
      const isNamed = this.#calls.get(call) === message && this.#messages.get(nameOf(topic, seq)) === message

      if (!isCounted || !isNamed || open === 0 || acked >= wanted) {
        throw new Error(`Call ${call}: ${open} open, ${acked} of ${wanted} acked, is miscounted, or should be settled`)
      }
    }

    const hasStrays = this.#messages.size !== messages.length || this.size !== messages.length

    if (hasStrays || bytes !== this.#bytes || all.some(({ copies }) => copies > this.#limits.intervals.length)) {
      throw new Error('There are too many copies, or names, or bytes')
    }
  }

  #find (topic: string, seq: number, key: Key): Destination<Content> | undefined {
    return this.#messages.get(nameOf(topic, seq))?.destinations.get(key)
  }

  /** Destinations of a message that a receipt names: whichever of the two is shorter is gone through */
  #named (topic: string, seq: number, about: ReadonlySet<Key>): Array<Destination<Content>> {
    const destinations = this.#messages.get(nameOf(topic, seq))?.destinations

    if (destinations == null) {
      return []
    }
    if (destinations.size < about.size) {
      return [...destinations.values()].filter(({ key }) => about.has(key))
    }

    return [...about].map(key => destinations.get(key)).filter(destination => destination != null)
  }

  #answered (destination: Destination<Content>, status: ReceiptStatus, by: Key, now: number): void {
    switch (status) {
      case 'unreachable': this.#onUnreachable(destination, by, now); break
      case 'congested': destination.reason = destination.via == null ? destination.reason : status; break
      case 'undecided':
        this.#waits.stop(destination)
        destination.state = 'quiet'
        destination.reason = status
        break
      case 'acked':
        this.#credit(destination, by)
        this.#close(destination, 'acked')
        break
      default:
        destination.reason = status
        this.#close(destination, 'failed')
    }
  }

  /** Believed of the way in use only, and once of each way */
  #onUnreachable (destination: Destination<Content>, by: Key, now: number): void {
    if (by !== (destination.state === 'sending' ? destination.writtenTo : destination.via)) {
      return
    }

    destination.hasLeft = true
    destination.tried = added(destination.tried, by)
    destination.reason = 'unreachable'

    if (!destination.unreachable.includes(by)) {
      destination.unreachable = added(destination.unreachable, by)
      this.#ways.push({ type: 'way', to: destination.key, via: by, ok: false })
      this.#waits.stop(destination)
      const left = this.#limits.intervals.length - destination.copies

      // the last copy is kept for later, when a way may have opened
      if (left > 1) {
        this.#sendNext(destination)
      } else {
        this.#wait(destination, left === 1 ? destination.round : 0, now)
      }
    }
  }

  #onTimer (destination: Destination<Content>): void {
    const { key, via, queue } = destination

    if (queue === 0) {
      this.#close(destination, 'failed')
    } else {
      if (via != null) {
        this.#ways.push({ type: 'way', to: key, via, ok: false })
      }
      destination.round++
      this.#sendNext(destination)
    }
  }

  /** The way that brought the ack gets the credit if a copy left by it; another one only if there was no other */
  #credit ({ key, tried }: Destination<Content>, by: Key): void {
    if (tried.length === 1 || tried.includes(by)) {
      this.#ways.push({ type: 'way', to: key, via: tried.length === 1 ? tried[0] : by, ok: true })
    }
  }

  #sendNext (destination: Destination<Content>): void {
    const { key, message: { tracked: { call, topic, seq, content } }, tried } = destination
    this.#waits.stop(destination)

    if (destination.copies === this.#limits.intervals.length) {
      destination.state = 'quiet'
      return
    }

    destination.copies++
    destination.state = 'sending'
    destination.writtenTo = undefined
    const last = this.#sends.at(-1)

    if (last?.call === call && last.avoid.length === tried.length && last.avoid.every((via, i) => via === tried[i])) {
      last.to.push(key)
    } else {
      this.#sends.push({ type: 'send', call, topic, seq, content, to: [key], avoid: tried })
    }
  }

  #wait (destination: Destination<Content>, queue: number, now: number, via?: Key): void {
    destination.state = 'waiting'
    this.#waits.start(destination, queue, now, via)
  }

  #close (destination: Destination<Content>, state: 'acked' | 'failed'): void {
    const { message } = destination
    this.#waits.stop(destination)
    destination.state = state
    message.open--
    message.acked += state === 'acked' ? 1 : 0

    if (message.open === 0 || message.acked === message.tracked.wanted) {
      this.#settle(message)
    }
  }

  #end (message?: Message<Content>, reason?: FailureReason): void {
    for (const destination of message?.destinations.values() ?? []) {
      if (isOpen(destination.state)) {
        destination.reason = reason ?? destination.reason
        this.#close(destination, 'failed')
      }
    }
  }

  #settle (message: Message<Content>): void {
    const { tracked, destinations } = message
    const { call, topic, seq } = tracked
    const outcome: Outcome = { acked: [], failed: [] }

    for (const destination of destinations.values()) {
      const { key, state, reason } = destination

      switch (state) {
        case 'acked': outcome.acked.push(key); break
        case 'failed': outcome.failed.push({ key, reason }); break
        default: this.#waits.stop(destination)
      }
    }

    this.#messages.delete(nameOf(topic, seq))
    this.#calls.delete(call)
    this.#deadlines.remove(message)
    this.#bytes -= bytesOf(tracked)
    this.#settled.push({ type: 'settled', call, outcome })
  }

  /** What is known of ways comes first: the shell chooses others for what is sent */
  #take (): Array<PendingEffect<Content>> {
    return [...this.#ways.splice(0), ...this.#sends.splice(0), ...this.#settled.splice(0)]
  }
}

function nameOf (topic: string, seq: number): string {
  return `${seq} ${topic}`
}

function bytesOf ({ bytes, to }: Tracked<unknown>): number {
  return bytes + to.length * DESTINATION_BYTES
}

function isOpen (state: State): boolean {
  return state !== 'acked' && state !== 'failed'
}

function added (keys: readonly Key[], key: Key): readonly Key[] {
  return keys.includes(key) ? keys : [...keys, key]
}
