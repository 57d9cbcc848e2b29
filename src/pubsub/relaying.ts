import { Lane } from '../link/index.ts'
import { MalformedError, orMalformed } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { EnvelopeType } from './envelope.ts'
import * as wire from './wire.ts'
import type { Context, Peer } from './context.ts'
import type { Flow } from './core/flows.ts'
import type { Key } from './core/types.ts'
import type { Envelope } from './envelope.ts'
import type { Parcels } from './parcels.ts'
import type { Receipts } from './receipts.ts'
import type { Entry } from '../link/index.ts'

/** What a neighbour brought for others: it is counted for each destination until that has taken it */
export class Cargo {
  readonly destinations: Key[]
  /** Those for which too much is held: they do not get it */
  readonly congested: Key[] = []
  /** The others */
  readonly wanted: Key[] = []
  readonly from: Peer
  readonly parcel: wire.Parcel
  readonly #parcels: Parcels
  #isPassedOn = false

  constructor (from: Peer, self: Key, parcel: wire.Parcel, parcels: Parcels) {
    this.from = from
    this.parcel = parcel
    this.destinations = parcel.destinations.filter(key => key !== self)
    this.destinations.forEach(to => (from.flows.hold(this.#flow(to)) ? this.wanted : this.congested).push(to))
    this.#parcels = parcels
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
    this.#parcels.letGo(this.from, this.#flow(to))
  }

  #flow (to: Key): Flow {
    return { to, lane: this.parcel.lane, bytes: this.parcel.envelope.byteLength }
  }
}

/** What others signed, passed on as it is */
export class Relaying {
  readonly #context: Context
  readonly #parcels: Parcels
  readonly #receipts: Receipts
  readonly #trace: number

  constructor (context: Context, parcels: Parcels, receipts: Receipts) {
    this.#context = context
    this.#receipts = receipts
    this.#parcels = parcels
    this.#trace = wire.traceOf(context.self)
  }

  /** Counts what a neighbour brought for others. It has to be passed on or dropped */
  receive (from: Peer, parcel: wire.Parcel): Cargo {
    return new Cargo(from, this.#context.self, parcel, this.#parcels)
  }

  /** For others: towards those whom a neighbour leads to. Tells the origin which ones it could not be passed on to */
  forward (cargo: Cargo, envelope: Envelope): void {
    const { from, parcel, wanted, congested } = cargo
    const { ways, lost } = this.#waysOf(from, parcel, wanted, envelope)

    cargo.passOn([...lost, ...congested])
    this.#context.traffic.relay(parcel.envelope.byteLength)
    this.#parcels.pass(ways, {
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
      const frame = wire.encodeParcel({
        ...parcel, trace: [...parcel.trace, this.#trace], lane: Lane.CONTROL, destinations
      })
      const entry: Entry = { frame, lane: Lane.CONTROL }
      const neighbour = this.#context.peers.get(via)?.neighbour

      if (neighbour?.send(entry) !== 'admitted') {
        neighbour?.withdraw(entry)
        this.#context.counters.add('receipt that found no room')
      }
    }
  }

  #waysOf (
    from: Peer, parcel: wire.Parcel, destinations: Key[], envelope: Envelope
  ): { ways: Map<Key, Key[]>, lost: Key[] } {
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

  /** Tells the origin of messages that a way has come to its end here */
  #say (status: 'unreachable' | 'congested', envelope: Envelope, about: Key[], by: Peer): void {
    const { counters } = this.#context

    if (about.length > 0) {
      counters.add(status === 'unreachable' ? 'parcel to nowhere' : 'parcel to somebody congested', about.length)
      const bundle = envelope.type === EnvelopeType.BUNDLE
        ? orMalformed(() => wire.decodeBundle(envelope.content))
        : undefined

      if (bundle instanceof MalformedError) {
        this.#context.fault(envelope.origin, 'malformed envelope')
      } else if (bundle?.wantsAck === true) {
        const { origin: of, epoch } = envelope
        this.#receipts.add({ status, of, epoch, topic: bundle.topic, about, by }, bundle.messages.map(({ seq }) => seq))
      }
    }
  }
}

/** Envelopes of one flow keep their order, and flows share what there is */
function flowOf ({ origin, type, content }: Envelope): string {
  return type === EnvelopeType.BUNDLE ? `${origin} ${wire.topicOfBundle(content)}` : origin
}
