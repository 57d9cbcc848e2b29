import { Lane } from '../link/index.ts'
import { Alarm } from '../runtime/alarm.ts'
import { Fifo } from '../runtime/bounded.ts'
import { chunks } from '../runtime/chunks.ts'
import { MalformedError, orMalformed } from '../runtime/errors.ts'
import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { Flows } from './core/flows.ts'
import { EnvelopeType } from './envelope.ts'
import * as wire from './wire.ts'
import type { Context, Peer } from './context.ts'
import type { FailureReason } from './core/pending-acks.ts'
import type { Key } from './core/types.ts'
import type { Envelope } from './envelope.ts'
import type { Entry } from '../link/index.ts'

/** What became of a copy: it left by a neighbour, or will not */
export type Fate = { via: Key } | { reason: FailureReason, via?: Key }

/** A message of ours that is to cross relays */
export interface Outgoing {
  topic: string
  /** Whom it is for only; none: all who are on the topic */
  to: Key[]
  /** Destinations by the neighbour that leads to them */
  ways: Map<Key, Key[]>
  lane: Lane
  wantsAck: boolean
  seq: number
  data: Uint8Array
  /** Told once of each destination. Absent: nobody waits for acks */
  onFate? (destination: Key, fate: Fate): void
}

/** Messages of one tick that take the same ways: one signature for all of them */
interface Bundle {
  first: Outgoing
  outgoing: Outgoing[]
  bytes: number
  handover: Handover
}

/** Whether a bundle of ours has found room on all of its ways */
export class Handover {
  /** Destinations that did not get it, and why, when each has found room or will not */
  readonly done: Promise<Map<Key, FailureReason>>
  readonly #open: Set<Key>
  readonly #failures = new Map<Key, FailureReason>()
  /** How to take it back from destinations that have no room now */
  readonly #pending = new Map<Key, () => void>()
  readonly #resolve: (failures: Map<Key, FailureReason>) => void

  constructor (destinations: Key[]) {
    const { promise, resolve } = Promise.withResolvers<Map<Key, FailureReason>>()
    this.#open = new Set(destinations)
    this.done = promise
    this.#resolve = resolve
  }

  admitted (destination: Key): void {
    this.#pending.delete(destination)

    if (this.#open.delete(destination) && this.#open.size === 0) {
      this.#resolve(this.#failures)
    }
  }

  failed (destination: Key, reason: FailureReason): void {
    if (this.#open.has(destination)) {
      this.#failures.set(destination, reason)
      this.admitted(destination)
    }
  }

  waits (destination: Key, takeBack: () => void): void {
    this.#pending.set(destination, takeBack)
  }

  /** Destinations that have no room are not waited for any longer */
  giveUp (): void {
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    pending.forEach(takeBack => { takeBack() })
  }
}

/** An envelope on its way to some destinations */
interface Passing {
  envelope: Uint8Array
  lane: Lane
  trace: number[]
  flow: string
  /** The neighbour that brought it; none: it is ours */
  from?: Key
  /** Whether somebody here waits for acks of it */
  isAwaited?: boolean
  /** Of what is ours: whether it has found room */
  handover?: Handover
  /** Called once for each destination */
  onFate (destination: Key, fate: Fate): void
}

/** What is in the outbox of a neighbour for one destination alone */
interface Queued {
  via: Key
  passing: Passing
  /** False: some of it was written already */
  withdraw (): boolean
}

/** What waits until its destination takes more */
interface Stopped {
  queue: Fifo<{ passing: Passing, since: number, isTakenBack?: boolean }>
  bytes: number
}

/**
 * What goes over relays: our own, signed by the tick, and what others have signed, passed on as it is.
 */
export class Relaying {
  readonly #context: Context
  readonly #flows = new Flows({ stopAt: limits.FLOW_STOP, capacity: limits.FLOW_CAPACITY, maxBytes: limits.FLOW_MAX })
  readonly #bundles = new Map<string, Bundle>()
  /** For destinations that take no more at present, by destination */
  readonly #stopped = new Map<Key, Stopped>()
  /**
   * By destination. What is for several goes on when one of them takes no more: to send it anew would reorder it for
   * the others
   */
  readonly #queued = new Map<Key, Set<Queued>>()
  readonly #alarm: Alarm
  readonly #trace: number
  #isScheduled = false

  constructor (context: Context) {
    this.#context = context
    this.#trace = wire.traceOf(context.self)
    this.#alarm = new Alarm(context.clock, () => { this.#giveUp() })
  }

  get sizes (): Record<string, number> {
    return { flows: this.#flows.size, flowBytes: this.#flows.bytes, stopped: this.#stopped.size }
  }

  /** Bundles with the others of this tick, which share what it returns */
  send (outgoing: Outgoing): Handover {
    const { topic, to, ways, lane, wantsAck, data } = outgoing
    const name = `${lane}${wantsAck ? '!' : ' '}${topic.length} ${topic}${to.join('')}`
    let bundle = this.#bundles.get(name)

    if (bundle != null && (bundle.first.ways !== ways || bundle.bytes + data.byteLength > limits.BUNDLE_BYTES || bundle.outgoing.length === limits.BUNDLE_MESSAGES)) {
      this.#bundles.delete(name)
      this.#sign(bundle)
      bundle = undefined
    }
    if (bundle == null) {
      bundle = { first: outgoing, outgoing: [], bytes: 0, handover: new Handover([...ways.values()].flat()) }
      this.#bundles.set(name, bundle)
    }

    bundle.outgoing.push(outgoing)
    bundle.bytes += data.byteLength

    if (!this.#isScheduled) {
      this.#isScheduled = true
      this.#context.clock.soon(() => { this.#flush() })
    }

    return bundle.handover
  }

  /** For others: towards those whom a neighbour leads to. Tells the origin which ones it could not be passed on to */
  forward (from: Peer, parcel: wire.Parcel, envelope: Envelope): void {
    const { core } = this.#context
    const isAllowed = core.greeting.isRelay && parcel.trace.length < limits.HOP_LIMIT
    const crossed = new Set(parcel.trace)
    // it never goes back, nor to where it was, nor to its origin
    const mayNot = (via: Key): boolean => via === from.key || via === envelope.origin || crossed.has(wire.traceOf(via))
    const ways = new Map<Key, Key[]>()
    const lost: Key[] = []
    const congested: Key[] = []

    for (const key of parcel.destinations) {
      const via = isAllowed ? core.routing.next(key, mayNot) : undefined

      if (via == null) {
        lost.push(key)
      } else if (this.#hold(key, parcel.envelope.byteLength, from)) {
        const others = ways.get(via)
        others == null ? ways.set(via, [key]) : others.push(key)
      } else {
        congested.push(key)
      }
    }

    this.#context.traffic.relay(parcel.envelope.byteLength)
    this.#pass(ways, {
      envelope: parcel.envelope,
      lane: parcel.lane,
      trace: [...parcel.trace, this.#trace],
      flow: flowOf(envelope),
      from: from.key,
      onFate: (destination, fate) => {
        this.#release(destination, parcel.envelope.byteLength)

        if ('reason' in fate) {
          this.#say(fate.reason === 'congested' ? 'congested' : 'unreachable', envelope, [destination], from)
        }
      }
    })
    this.#say('unreachable', envelope, lost, from)
    this.#say('congested', envelope, congested, from)
  }

  /**
   * A receipt: straight if its reader is a neighbour, else the way that leads there, or that what it speaks of came by
   */
  sendReceipt (to: Key, receipt: wire.Receipt, by?: Key): void {
    const { core, peers, signer, outbound, counters, log } = this.#context
    const peer = peers.get(to)

    if (peer != null) {
      this.#sendControl(peer, wire.encodeReceiptFrame(receipt))
      return
    }

    const signed = signer.sign(core.epoch, EnvelopeType.RECEIPT, wire.encodeReceipt(receipt))

    inOrder(outbound, 'parcels', signed, envelope => {
      const via = peers.get(core.routing.next(to) ?? by ?? '')

      if (via == null) {
        counters.add('receipt that found no way')
      } else {
        this.#sendControl(via, wire.encodeParcel({ trace: [], lane: Lane.CONTROL, destinations: [to], envelope }))
      }
    }, err => { log('could not sign a receipt - %e', err) })
  }

  /** A neighbour asks us to stop, or to go on, with what is for a destination behind it */
  onFlow (from: Peer, { destination, isOpen }: wire.Flow): void {
    if (isOpen || this.#context.core.routing.isReachable(destination)) {
      this.#flows.flow(destination, from.key, isOpen)
      isOpen ? this.#resume(destination) : this.#takeBack(destination, from.key)
    }
  }

  /** A neighbour is gone: what it had stopped goes another way */
  down (neighbour: Key): void {
    this.#flows.down(neighbour).forEach(destination => { this.#resume(destination) })
  }

  stop (): void {
    for (const bundle of this.#bundles.values()) {
      fail(bundle, 'stopped')
    }
    for (const [destination, { queue }] of this.#stopped) {
      for (const { passing, isTakenBack } of queue.clear()) {
        if (isTakenBack !== true) {
          passing.onFate(destination, { reason: 'stopped' })
        }
      }
    }

    this.#bundles.clear()
    this.#stopped.clear()
    this.#flows.clear()
    this.#alarm.set(Infinity)
  }

  #flush (): void {
    const bundles = [...this.#bundles.values()]
    this.#isScheduled = false
    this.#bundles.clear()
    bundles.forEach(bundle => { this.#sign(bundle) })
  }

  #sign (bundle: Bundle): void {
    const { first: { topic, to, ways, lane, wantsAck }, outgoing, handover } = bundle
    const { core, self, signer, outbound, log } = this.#context
    const content = wire.encodeBundle({ topic, to, wantsAck, messages: outgoing })
    const signed = signer.sign(core.epoch, EnvelopeType.BUNDLE, content)

    inOrder(outbound, 'parcels', signed, envelope => {
      this.#pass(ways, {
        envelope,
        lane,
        trace: [],
        flow: `${self} ${topic}`,
        handover,
        isAwaited: wantsAck,
        onFate: (destination, fate) => { settle(bundle, destination, fate) }
      })
    }, err => {
      log.error('could not sign what was published - %e', err)
      fail(bundle, 'unreachable')
    })
  }

  /** Hands an envelope to the neighbours that lead on, but for destinations that take no more at present */
  #pass (ways: Map<Key, Key[]>, passing: Passing): void {
    for (const [via, all] of ways) {
      const open = all.filter(destination => !this.#mustWait(destination, via, passing))

      for (const destinations of chunks(open, limits.MAX_DESTINATIONS)) {
        this.#put(via, destinations, passing)
      }
    }
  }

  #mustWait (destination: Key, via: Key, passing: Passing): boolean {
    if (!this.#flows.isStopped(destination, via)) {
      // what waited because of another neighbour goes first: messages keep their order
      this.#resume(destination)
      return false
    }

    const stopped = this.#stopped.get(destination) ?? { queue: new Fifo(), bytes: 0 }

    if (stopped.bytes + passing.envelope.byteLength > limits.MAX_STOPPED_BYTES) {
      passing.onFate(destination, { reason: 'congested', via })
      return true
    }

    const since = this.#context.clock.now()
    const item: { passing: Passing, since: number, isTakenBack?: boolean } = { passing, since }
    passing.handover?.waits(destination, () => {
      item.isTakenBack = true
      passing.onFate(destination, { reason: 'congested', via })
    })
    stopped.queue.push(item)
    stopped.bytes += passing.envelope.byteLength
    this.#stopped.set(destination, stopped)
    this.#alarm.setIfUnset(since + limits.FLOW_TIMEOUT)
    return true
  }

  #put (via: Key, destinations: Key[], passing: Passing): void {
    const { envelope, lane, trace, flow, handover, isAwaited, onFate } = passing
    const neighbour = this.#context.peers.get(via)?.neighbour
    const frame = wire.encodeParcel({ trace, lane, destinations, envelope })
    const end = (fate: Fate): void => { destinations.forEach(destination => { onFate(destination, fate) }) }
    // not at once: what goes another way must not go into an outbox that is just being cleared
    const lose = (): void => { this.#context.clock.soon(() => { end({ reason: 'unreachable', via }) }) }

    if (neighbour == null || frame.bytes > neighbour.maxFrame) {
      end({ reason: neighbour == null ? 'unreachable' : 'too-large', via })
      return
    }

    const admit = (): void => { destinations.forEach(destination => { handover?.admitted(destination) }) }
    const entry: Entry = {
      frame,
      lane,
      flow,
      onAdmitted: admit,
      onSent: () => {
        forget?.()
        // a slow link takes long to bring what was written: that is not yet the time to send it again
        isAwaited ? neighbour.whenTaken(() => { end({ via }) }, lose) : end({ via })
      },
      onDropped: () => {
        forget?.()
        lose()
      }
    }
    const forget = destinations.length > 1 ? undefined : this.#remember(destinations[0], { via, passing, withdraw: () => neighbour.withdraw(entry) })

    switch (neighbour.send(entry)) {
      case 'admitted':
        admit()
        break
      case 'waiting':
        handover?.waits(destinations[0], () => {
          if (neighbour.withdraw(entry)) {
            forget?.()
            end({ reason: 'congested', via })
          }
        })
        break
      case 'refused':
        this.#context.counters.add('parcel that found no place to wait')
        forget?.()
        end({ reason: 'congested', via })
    }
  }

  /** Returns how to forget it */
  #remember (destination: Key, queued: Queued): () => void {
    const all = this.#queued.get(destination) ?? new Set<Queued>()
    this.#queued.set(destination, all.add(queued))

    return () => {
      if (all.delete(queued) && all.size === 0 && this.#queued.get(destination) === all) {
        this.#queued.delete(destination)
      }
    }
  }

  /** A destination takes no more: what is for it in the outbox of the neighbour that says so waits outside */
  #takeBack (destination: Key, via: Key): void {
    for (const queued of [...this.#queued.get(destination) ?? []]) {
      if (queued.via === via && queued.withdraw()) {
        this.#queued.get(destination)?.delete(queued)
        this.#pass(new Map([[via, [destination]]]), queued.passing)
      }
    }
  }

  /** A destination takes more: what waited for it goes the way that leads there now */
  #resume (destination: Key): void {
    const { core, counters } = this.#context
    const stopped = this.#stopped.get(destination)
    this.#stopped.delete(destination)

    for (const { passing, isTakenBack } of stopped?.queue.clear() ?? []) {
      if (isTakenBack === true) {
        continue
      }

      const crossed = new Set(passing.trace)
      const via = core.routing.next(destination, via => via === passing.from || crossed.has(wire.traceOf(via)))

      if (via == null) {
        counters.add('parcel to nowhere')
        passing.onFate(destination, { reason: 'unreachable' })
      } else {
        this.#pass(new Map([[via, [destination]]]), passing)
      }
    }
  }

  /** Neighbours that asked us to stop and never to go on */
  #giveUp (): void {
    const before = this.#context.clock.now() - limits.FLOW_TIMEOUT
    let next = Infinity

    for (const [destination, stopped] of this.#stopped) {
      for (let first = stopped.queue.peek(); first != null && first.since <= before; first = stopped.queue.peek()) {
        stopped.queue.shift()
        stopped.bytes -= first.passing.envelope.byteLength

        if (first.isTakenBack !== true) {
          first.passing.onFate(destination, { reason: 'congested' })
        }
      }

      const first = stopped.queue.peek()

      if (first == null) {
        this.#stopped.delete(destination)
      } else {
        next = Math.min(next, first.since + limits.FLOW_TIMEOUT)
      }
    }

    this.#alarm.set(next)
  }

  #hold (destination: Key, bytes: number, from: Peer): boolean {
    const outcome = this.#flows.hold(destination, bytes, from.key)

    if (outcome === 'stop') {
      from.neighbour.send({ frame: wire.encodeFlowFrame({ destination, isOpen: false }), lane: Lane.CONTROL, isOwn: true })
    }

    return outcome !== 'full'
  }

  #release (destination: Key, bytes: number): void {
    for (const key of this.#flows.release(destination, bytes)) {
      this.#context.peers.get(key)?.neighbour.send({ frame: wire.encodeFlowFrame({ destination, isOpen: true }), lane: Lane.CONTROL, isOwn: true })
    }
  }

  #sendControl ({ neighbour }: Peer, frame: Entry['frame']): void {
    if (neighbour.send({ frame, lane: Lane.CONTROL }) === 'refused') {
      this.#context.counters.add('control frame that found no place to wait')
    }
  }

  /**
   * Tells the origin of messages that a way has come to its end here. It costs a signature, which the bringer pays for
   */
  #say (status: 'unreachable' | 'congested', envelope: Envelope, about: Key[], from: Peer): void {
    if (about.length === 0) {
      return
    }

    this.#context.counters.add(status === 'unreachable' ? 'parcel to nowhere' : 'parcel to somebody congested', about.length)

    const bundle = envelope.type === EnvelopeType.BUNDLE ? orMalformed(() => wire.decodeBundle(envelope.content)) : undefined

    if (bundle instanceof MalformedError) {
      this.#context.fault(envelope.origin, 'malformed envelope')
    } else if (bundle != null) {
      const seqs = bundle.messages.map(({ seq }) => seq)
      from.neighbour.spend(limits.SIGNATURE_COST)
      this.sendReceipt(envelope.origin, { status, of: envelope.origin, epoch: envelope.epoch, topic: bundle.topic, seqs, about }, from.key)
    }
  }
}

function fail (bundle: Bundle, reason: FailureReason): void {
  for (const [via, destinations] of bundle.first.ways) {
    destinations.forEach(destination => { settle(bundle, destination, { reason, via }) })
  }
}

function settle ({ outgoing, handover }: Bundle, destination: Key, fate: Fate): void {
  if ('reason' in fate) {
    handover.failed(destination, fate.reason)
  }

  outgoing.forEach(one => { one.onFate?.(destination, fate) })
}

/** Envelopes of one flow keep their order, and flows share what there is */
function flowOf ({ origin, type, content }: Envelope): string {
  return type === EnvelopeType.BUNDLE ? `${origin} ${wire.topicOfBundle(content)}` : origin
}
