import { Lane } from '../link/index.ts'
import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { SealType } from './seal.ts'
import * as wire from './wire.ts'
import type { FailureReason } from './core/deliveries.ts'
import type { PubsubCore } from './core/pubsub.ts'
import type { Key } from './core/types.ts'
import type { Plan } from './plans.ts'
import type { Sealed } from './seal.ts'
import type { Neighbour, Shared } from './shared.ts'
import type { Entry } from '../link/index.ts'

/** Messages of one tick that take the same ways: one signature for all of them */
interface Bundle {
  plan: Plan
  lane: number
  wantsAck: boolean
  messages: wire.Bundle['messages']
  bytes: number
  /** When all of it has found room: those who did not get it, and why */
  handedOver: PromiseWithResolvers<Map<Key, FailureReason>>
}

/**
 * What goes over relays: our own, sealed by the flush, and what others have sealed, passed on as it is.
 */
export class Parcels {
  readonly #shared: Shared
  readonly #core: PubsubCore
  readonly #bundles = new Map<string, Bundle>()
  #isScheduled = false

  constructor (shared: Shared, core: PubsubCore) {
    this.#shared = shared
    this.#core = core
  }

  /** Bundles with the others of this tick. The promise is the same for all of a bundle */
  add (plan: Plan, lane: number, wantsAck: boolean, seq: number, data: Uint8Array): Promise<Map<Key, FailureReason>> {
    const name = `${lane}${wantsAck ? '!' : ' '}${plan.topic}\n${plan.to.join('')}`
    let bundle = this.#bundles.get(name)

    if (bundle != null && (bundle.plan !== plan || bundle.bytes + data.byteLength > limits.BUNDLE_BYTES || bundle.messages.length === limits.BUNDLE_MESSAGES)) {
      this.#bundles.delete(name)
      this.#seal(bundle)
      bundle = undefined
    }
    if (bundle == null) {
      bundle = { plan, lane, wantsAck, messages: [], bytes: 0, handedOver: Promise.withResolvers() }
      this.#bundles.set(name, bundle)
    }

    bundle.messages.push({ seq, data })
    bundle.bytes += data.byteLength

    if (!this.#isScheduled) {
      this.#isScheduled = true
      this.#shared.clock.soon(() => { this.#flush() })
    }

    return bundle.handedOver.promise
  }

  /** Seals something of ours and sends it to one peer, by a relay */
  sendTo (key: Key, type: SealType, content: Uint8Array): void {
    const sealed = this.#shared.sealer.seal(this.#core.epoch, type, content)

    inOrder(this.#shared.outbound, 'parcels', sealed, sealed => {
      const via = this.#core.routes.next(key)
      if (via != null) {
        void this.#put(via, { hops: 0, lane: wire.CONTROL_LANE, destinations: [key], sealed })
      }
    }, err => { this.#shared.log('could not seal - %e', err) })
  }

  /** For others: towards those whom a neighbour leads to. Says which ones it could not be passed on to */
  forward (from: Neighbour, parcel: wire.Parcel, sealed: Sealed, bytes: number): void {
    const isAllowed = this.#core.greeting.isRelay && parcel.hops + 1 <= limits.HOP_LIMIT
    const byVia = new Map<Key, Key[]>()
    const lost: Key[] = []

    for (const key of parcel.destinations) {
      const via = isAllowed ? this.#core.routes.next(key, from.key) : undefined
      via == null || via === from.key ? lost.push(key) : byVia.set(via, [...byVia.get(via) ?? [], key])
    }
    for (const [via, destinations] of byVia) {
      // the origin may send as much more as has left here: a slow neighbour slows down who sends to it
      const release = from.link.keep(bytes)
      void this.#put(via, { ...parcel, destinations, hops: parcel.hops + 1 }, sealed.origin, release)
    }
    if (lost.length > 0) {
      this.#shared.counters.add(isAllowed ? 'parcel to nowhere' : 'parcel too far')
      this.#sayUnreachable(sealed, lost)
    }
  }

  clear (): void {
    for (const { handedOver, plan } of this.#bundles.values()) {
      handedOver.resolve(new Map(plan.recipients.map(key => [key, 'stopped'])))
    }
    this.#bundles.clear()
  }

  #flush (): void {
    const bundles = [...this.#bundles.values()]
    this.#isScheduled = false
    this.#bundles.clear()
    bundles.forEach(bundle => { this.#seal(bundle) })
  }

  #seal (bundle: Bundle): void {
    const { plan: { topic, to }, wantsAck, messages, handedOver } = bundle
    const sealed = this.#shared.sealer.seal(this.#core.epoch, SealType.BUNDLE, wire.encodeBundle({ topic, to, wantsAck, messages }))

    inOrder(this.#shared.outbound, 'parcels', sealed, sealed => {
      handedOver.resolve(this.#handOver(bundle, sealed))
    }, err => { handedOver.reject(err) })
  }

  async #handOver ({ plan, lane }: Bundle, sealed: Uint8Array): Promise<Map<Key, FailureReason>> {
    const failed = new Map<Key, FailureReason>()

    await Promise.all([...plan.relayed].flatMap(([via, all]) => chunks(all, limits.MAX_DESTINATIONS).map(async destinations => {
      const reason = await this.#put(via, { hops: 0, lane, destinations, sealed }, 'own')
      if (reason != null) {
        destinations.forEach(key => failed.set(key, reason))
      }
    })))

    return failed
  }

  /** Resolves when the neighbour's outbox has room for it, with the reason if it never will */
  #put (via: Key, parcel: wire.Parcel, flow?: string, release: () => void = () => {}): Promise<FailureReason | undefined> | FailureReason | undefined {
    const link = this.#shared.neighbours.get(via)?.link
    const frame = wire.encodeParcel(parcel)

    if (link == null || frame.bytes > link.maxFrame) {
      release()
      return link == null ? 'unreachable' : 'too-large'
    }
    if (parcel.lane === wire.CONTROL_LANE) {
      link.sendControl(frame)
      release()
      return
    }

    const room = Promise.withResolvers<FailureReason | undefined>()
    const entry: Entry = {
      frame,
      lane: parcel.lane as Lane,
      flow,
      onAdmitted: () => { room.resolve(undefined) },
      onSent: release,
      onDropped: () => {
        release()
        room.resolve('unreachable')
      }
    }
    const outcome = link.send(entry)

    if (outcome === 'refused') {
      release()
      this.#shared.counters.add('parcel that found no place to wait')
      return 'congested'
    }

    return outcome === 'waiting' ? room.promise : undefined
  }

  /** Tells the origin of messages that a way has come to its end here */
  #sayUnreachable (sealed: Sealed, about: Key[]): void {
    if (sealed.type !== SealType.BUNDLE) {
      return
    }

    const { topic, messages } = wire.decodeBundle(sealed.content)
    const seqs = messages.map(({ seq }) => seq)
    this.sendReceipt(sealed.origin, { status: 'unreachable', of: sealed.origin, epoch: sealed.epoch, topic, seqs, about })
  }

  /** A receipt, straight if its origin is a neighbour */
  sendReceipt (to: Key, receipt: wire.Receipt): void {
    const neighbour = this.#shared.neighbours.get(to)

    if (neighbour != null) {
      neighbour.link.sendControl(wire.encodeReceiptFrame(receipt))
    } else {
      this.sendTo(to, SealType.RECEIPT, wire.encodeReceipt(receipt))
    }
  }
}

function chunks<T> (items: T[], size: number): T[][] {
  const all: T[][] = []
  for (let i = 0; i < items.length; i += size) {
    all.push(items.slice(i, i + size))
  }
  return all
}
