import { Lane } from '../link/index.ts'
import { Alarm } from '../runtime/alarm.ts'
import { chunks } from '../runtime/chunks.ts'
import { MalformedError, orMalformed } from '../runtime/errors.ts'
import { FairQueue } from '../runtime/fair-queue.ts'
import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { EnvelopeType } from './envelope.ts'
import * as wire from './wire.ts'
import type { Context, Peer } from './context.ts'
import type { FailureReason } from './core/pending-acks.ts'
import type { Key } from './core/types.ts'
import type { Envelope } from './envelope.ts'
import type { Entry } from '../link/index.ts'
import type { Flow } from './core/flows.ts'
import type { Queued } from '../runtime/fair-queue.ts'

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
  isOwn: boolean
  /** Neighbours that it may not go by */
  mayNot? (via: Key): boolean
  /** Whether somebody here waits for acks of it */
  isAwaited?: boolean
  /** Of what is ours: whether it has found room */
  handover?: Handover
  /** Called once for each destination */
  onFate (destination: Key, fate: Fate): void
}

/** One that waits until its destination takes more */
interface Waiting extends Queued {
  passing: Passing
}

/** Those that wait for one destination in one lane */
interface Line {
  to: Key
  queue: FairQueue<Waiting>
  /** When the destination last took something */
  since: number
}

/** What a neighbour brought for others: it is counted for each destination until that has taken it */
export class Cargo {
  readonly destinations: Key[]
  /** Those for which too much is held: they do not get it */
  readonly congested: Key[] = []
  /** The others */
  readonly wanted: Key[] = []
  readonly from: Peer
  readonly parcel: wire.Parcel
  readonly #letGo: (from: Peer, flow: Flow) => void
  #isPassedOn = false

  constructor (from: Peer, self: Key, parcel: wire.Parcel, letGo: (from: Peer, flow: Flow) => void) {
    this.from = from
    this.parcel = parcel
    this.destinations = parcel.destinations.filter(key => key !== self)
    this.destinations.forEach(to => (from.flows.hold(this.#flow(to)) ? this.wanted : this.congested).push(to))
    this.#letGo = letGo
  }

  /** All but `refused` go on: each is let go when it has left, or will not */
  passOn (refused: Key[]): void {
    this.#isPassedOn = true
    refused.forEach(to => { this.letGo(to) })
  }

  /** Nobody gets it, unless it was passed on */
  drop (): void {
    if (!this.#isPassedOn) {
      this.passOn(this.destinations)
    }
  }

  letGo (to: Key): void {
    this.#letGo(this.from, this.#flow(to))
  }

  #flow (to: Key): Flow {
    return { to, lane: this.parcel.lane, bytes: this.parcel.envelope.byteLength }
  }
}

/**
 * What goes over relays: our own, signed by the tick, and what others have signed, passed on as it is.
 */
export class Relaying {
  readonly #context: Context
  readonly #bundles = new Map<string, Bundle>()
  /** What waits for destinations that take no more at present, by lane and destination */
  readonly #lines = new Map<string, Line>()
  /** Bytes of ours that wait there. What others brought is bounded by what they may bring */
  #ownWaiting = 0
  /** Neighbours that were not told of all that has left */
  readonly #untold = new Set<Peer>()
  readonly #alarm: Alarm
  readonly #trace: number
  #isScheduled = false

  constructor (context: Context) {
    this.#context = context
    this.#trace = wire.traceOf(context.self)
    this.#alarm = new Alarm(context.clock, () => { this.#tick() })
  }

  get sizes (): Record<string, number> {
    const { budget, peers } = this.#context
    let flows = 0
    peers.forEach(peer => { flows += peer.flows.size })
    return { flows, flowBytes: budget.held, lines: this.#lines.size }
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

  /** Counts what a neighbour brought for others. It has to be passed on or dropped */
  receive (from: Peer, parcel: wire.Parcel): Cargo {
    return new Cargo(from, this.#context.self, parcel, this.#letGo)
  }

  /** For others: towards those whom a neighbour leads to. Tells the origin which ones it could not be passed on to */
  forward (cargo: Cargo, envelope: Envelope): void {
    const { from, parcel, wanted, congested } = cargo
    const { ways, lost } = this.#waysOf(from, parcel, wanted, envelope)

    cargo.passOn([...lost, ...congested])
    this.#context.traffic.relay(parcel.envelope.byteLength)
    this.#pass(ways, {
      envelope: parcel.envelope,
      lane: parcel.lane,
      trace: [...parcel.trace, this.#trace],
      flow: flowOf(envelope),
      isOwn: false,
      mayNot: via => this.#mayNot(via, from, parcel, envelope),
      onFate: (destination, fate) => {
        cargo.letGo(destination)

        if ('reason' in fate) {
          this.#say(fate.reason === 'congested' ? 'congested' : 'unreachable', envelope, [destination], from)
        }
      }
    })
    this.#say('unreachable', envelope, lost, from)
    this.#say('congested', envelope, congested, from)
  }

  /** A receipt of others. It does not wait: where there is no room, it was lost on the way like others */
  forwardReceipt (from: Peer, parcel: wire.Parcel, envelope: Envelope): void {
    const others = parcel.destinations.filter(key => key !== this.#context.self)

    for (const [via, destinations] of this.#waysOf(from, parcel, others, envelope).ways) {
      const frame = wire.encodeParcel({ ...parcel, trace: [...parcel.trace, this.#trace], lane: Lane.CONTROL, destinations })
      const entry: Entry = { frame, lane: Lane.CONTROL }
      const neighbour = this.#context.peers.get(via)?.neighbour

      if (neighbour?.send(entry) !== 'admitted') {
        neighbour?.withdraw(entry)
        this.#context.counters.add('receipt that found no room')
      }
    }
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

  /** A neighbour says what has left it */
  onFlow (from: Peer, flows: Flow[]): void {
    for (const flow of flows) {
      from.flows.told(flow)
      const line = this.#lines.get(nameOf(flow))

      if (line != null) {
        line.since = this.#context.clock.now()
        this.#advance(line)
      }
    }
  }

  /** A neighbour is gone: what waited for it goes another way */
  down (peer: Peer): void {
    this.#untold.delete(peer)
    this.#lines.forEach(line => { this.#advance(line) })
  }

  stop (): void {
    for (const bundle of this.#bundles.values()) {
      fail(bundle, 'stopped')
    }
    for (const { to, queue } of this.#lines.values()) {
      for (const { passing } of queue) {
        passing.onFate(to, { reason: 'stopped' })
      }
    }

    this.#bundles.clear()
    this.#lines.clear()
    this.#untold.clear()
    this.#alarm.set(Infinity)
  }

  #waysOf (from: Peer, parcel: wire.Parcel, destinations: Key[], envelope: Envelope): { ways: Map<Key, Key[]>, lost: Key[] } {
    const { core } = this.#context
    const isAllowed = core.greeting.isRelay && parcel.trace.length < limits.HOP_LIMIT
    const ways = new Map<Key, Key[]>()
    const lost: Key[] = []

    for (const key of destinations) {
      const via = isAllowed ? core.routing.next(key, via => this.#mayNot(via, from, parcel, envelope)) : undefined
      const others = via == null ? lost : ways.get(via)
      others == null ? ways.set(via as Key, [key]) : others.push(key)
    }

    return { ways, lost }
  }

  /** It never goes back, nor to where it was, nor to its origin */
  #mayNot (via: Key, from: Peer, { trace }: wire.Parcel, { origin }: Envelope): boolean {
    return via === from.key || via === origin || trace.includes(wire.traceOf(via))
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
        isOwn: true,
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
      const open = all.filter(to => this.#mayGo(to, via, passing) || !this.#wait(to, passing))

      for (const destinations of chunks(open, limits.MAX_DESTINATIONS)) {
        this.#put(via, destinations, passing)
      }
    }
  }

  /** Not before what waits already. What goes to a neighbour itself is bounded by its credit */
  #mayGo (to: Key, via: Key, { lane, envelope }: Passing): boolean {
    const peer = this.#context.peers.get(via)
    const flow = { to, lane, bytes: envelope.byteLength }
    return peer == null || (!this.#lines.has(nameOf(flow)) && (to === via || peer.flows.bring(flow)))
  }

  /** Makes it wait for its destination. True: it waits, or will never go */
  #wait (to: Key, passing: Passing): true {
    const { lane, flow, envelope: { byteLength: bytes }, isOwn, handover, onFate } = passing
    const name = nameOf({ to, lane })
    const line = this.#lines.get(name) ?? { to, queue: new FairQueue(), since: this.#context.clock.now() }

    if (isOwn && this.#ownWaiting + bytes > limits.MAX_OWN_WAITING) {
      onFate(to, { reason: 'congested' })
      return true
    }

    const item: Waiting = { bytes, passing }
    this.#ownWaiting += isOwn ? bytes : 0
    line.queue.push(item, flow)
    this.#lines.set(name, line)
    this.#alarm.setIfUnset(this.#context.clock.now() + limits.FLOW_TICK)
    handover?.waits(to, () => {
      this.#leave(line, item)
      onFate(to, { reason: 'congested' })
    })
    return true
  }

  #leave ({ to, queue }: Line, item: Waiting): void {
    const { bytes, passing: { isOwn, lane } } = item
    queue.remove(item)
    this.#ownWaiting -= isOwn ? bytes : 0

    if (queue.length === 0) {
      this.#lines.delete(nameOf({ to, lane }))
    }
  }

  /** What waits for a destination goes the way that leads there now, as long as that takes more */
  #advance (line: Line): void {
    const { core, counters } = this.#context
    const { to, queue } = line

    for (let item = queue.next(); item != null; item = queue.next()) {
      const { bytes, passing } = item
      const via = core.routing.next(to, passing.mayNot)
      const peer = via == null ? undefined : this.#context.peers.get(via)

      if (via != null && via !== to && peer?.flows.bring({ to, lane: passing.lane, bytes }) === false) {
        return
      }

      this.#leave(line, item)

      if (via == null) {
        counters.add('parcel to nowhere')
        passing.onFate(to, { reason: 'unreachable' })
      } else {
        this.#put(via, [to], passing)
      }
    }
  }

  /** What left is told, ways may have changed, and who took nothing for long gets nothing */
  #tick (): void {
    const now = this.#context.clock.now()

    for (const peer of this.#untold) {
      this.#tell(peer)
    }
    for (const line of [...this.#lines.values()]) {
      this.#advance(line)

      if (line.since <= now - limits.FLOW_TIMEOUT) {
        for (const item of line.queue) {
          this.#leave(line, item)
          item.passing.onFate(line.to, { reason: 'congested' })
        }
      }
    }

    this.#alarm.set(this.#lines.size > 0 ? now + limits.FLOW_TICK : Infinity)
  }

  readonly #letGo = (from: Peer, flow: Flow): void => {
    if (from.flows.letGo(flow)) {
      this.#tell(from)
    } else {
      this.#untold.add(from)
      this.#alarm.setIfUnset(this.#context.clock.now() + limits.FLOW_TICK)
    }
  }

  #tell (peer: Peer): void {
    this.#untold.delete(peer)

    for (let flows = peer.flows.tell(); flows.length > 0; flows = peer.flows.tell()) {
      // a neighbour that lives anew counts anew
      if (this.#context.peers.get(peer.key) === peer) {
        peer.neighbour.send({ frame: wire.encodeFlows(flows), lane: Lane.CONTROL, isOwn: true })
      }
    }
  }

  #put (via: Key, destinations: Key[], passing: Passing): void {
    const { envelope, lane, trace, flow, handover, isAwaited, onFate } = passing
    const peer = this.#context.peers.get(via)
    const frame = wire.encodeParcel({ trace, lane, destinations, envelope })
    const end = (fate: Fate): void => { destinations.forEach(to => { onFate(to, fate) }) }
    // it did not leave: so it is not on its way
    const fail = (reason: FailureReason): void => {
      destinations.forEach(to => { peer?.flows.told({ to, lane, bytes: envelope.byteLength }) })
      end({ reason, via })
    }
    // not at once: what goes another way must not go into an outbox that is just being cleared
    const lose = (): void => { this.#context.clock.soon(() => { end({ reason: 'unreachable', via }) }) }

    if (peer == null || frame.bytes > peer.neighbour.maxFrame) {
      fail(peer == null ? 'unreachable' : 'too-large')
      return
    }

    const { neighbour } = peer
    const admit = (): void => { destinations.forEach(to => { handover?.admitted(to) }) }
    const entry: Entry = {
      frame,
      lane,
      flow,
      onAdmitted: admit,
      // a slow link takes long to bring what was written: that is not yet the time to send it again
      onSent: () => { isAwaited ? neighbour.whenTaken(() => { end({ via }) }, lose) : end({ via }) },
      onDropped: lose
    }

    switch (neighbour.send(entry)) {
      case 'admitted':
        admit()
        break
      case 'waiting':
        handover?.waits(destinations[0], () => { neighbour.withdraw(entry) && fail('congested') })
        break
      case 'refused':
        this.#context.counters.add('parcel that found no place to wait')
        fail('congested')
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

function nameOf ({ to, lane }: Pick<Flow, 'to' | 'lane'>): string {
  return `${lane}${to}`
}
