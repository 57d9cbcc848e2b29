import { Alarm } from '../runtime/alarm.ts'
import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { Windows } from './core/windows.ts'
import { peerOf } from './keys.ts'
import { publicKeyOf, readSealed, SealType, verifySealed } from './seal.ts'
import * as wire from './wire.ts'
import type { ReceiptStatus } from './core/deliveries.ts'
import type { PubsubCore } from './core/pubsub.ts'
import type { Key } from './core/types.ts'
import type { Message, TopicValidator } from './index.ts'
import type { Sealed } from './seal.ts'
import type { Neighbour, Shared } from './shared.ts'

export interface InboxInit {
  shared: Shared
  core: PubsubCore
  validators: Map<string, TopicValidator>
  onMessage (message: Message): void
  /** A receipt about messages of ours */
  onReceipt (receipt: wire.Receipt, from: Key): void
  /** Something that `origin` sealed came by a neighbour: it is a way to it */
  onHeard (origin: Key): void
  /** To tell the origin of a message what became of it */
  sendReceipt (to: Key, receipt: wire.Receipt): void
  /** For others */
  forward (from: Neighbour, parcel: wire.Parcel, sealed: Sealed, bytes: number): void
}

/**
 * What arrives: told apart, believed or not, delivered once, acked.
 */
export class Inbox {
  readonly windows = new Windows({
    maxOrigins: limits.MAX_WINDOWS, maxTopics: limits.MAX_TOPICS_PER_PEER, bits: limits.WINDOW_BITS, ttl: limits.WINDOW_TTL
  })

  readonly #init: InboxInit
  readonly #alarm: Alarm
  /** Receipts of this tick, by origin, and by what they say */
  readonly #receipts = new Map<Key, Map<string, wire.Receipt>>()

  constructor (init: InboxInit) {
    const { clock } = init.shared
    this.#init = init
    this.#alarm = new Alarm(clock, () => {
      this.windows.expire(clock.now())
      this.#alarm.set(this.windows.size > 0 ? clock.now() + limits.WINDOW_TTL : Infinity)
    })
  }

  stop (): void {
    this.#alarm.set(Infinity)
    this.windows.clear()
  }

  /** From the neighbour itself: the connection says that it is true */
  onMessage (from: Neighbour, body: Uint8Array): void {
    const { wantsAck, topic, seq, data } = wire.decodeMessage(body)
    this.#deliver({ type: 'unsigned', from: from.peerId, topic, data, sequenceNumber: BigInt(seq) }, from.key, from.epoch, seq, wantsAck)
  }

  onParcel (from: Neighbour, body: Uint8Array, bytes: number): void {
    const parcel = wire.decodeParcel(body)
    const sealed = readSealed(parcel.sealed)
    const { shared } = this.#init
    // what is verified elsewhere is not dealt with yet
    const verdict = verifySealed(sealed)
    const release = verdict instanceof Promise ? from.link.keep(bytes) : undefined

    inOrder(shared.inbound, from.key, verdict, isTrue => {
      release?.()
      if (isTrue) {
        this.#onTrueParcel(from, parcel, sealed, bytes)
      } else {
        from.link.fault('a parcel whose signature is wrong')
      }
    }, err => {
      release?.()
      shared.counters.add('parcel that was not dealt with')
      shared.log('a parcel from %p was not dealt with - %e', from.peerId, err)
    })
  }

  onReceipt (from: Neighbour, body: Uint8Array): void {
    this.#receipt(from.key, from.key, wire.decodeReceipt(body))
  }

  #onTrueParcel (from: Neighbour, parcel: wire.Parcel, sealed: Sealed, bytes: number): void {
    const { core, shared, onHeard, forward } = this.#init
    const { origin, epoch } = sealed

    if (origin === shared.self) {
      shared.counters.add('parcel of our own')
      return
    }
    if ((shared.neighbours.get(origin)?.epoch ?? epoch) !== epoch) {
      shared.counters.add('parcel of another life')
      return
    }

    core.routes.learn(origin, from.key, parcel.hops, shared.clock.now())
    onHeard(origin)
    const others = parcel.destinations.filter(key => key !== shared.self)

    if (others.length < parcel.destinations.length) {
      this.#open(from.key, sealed)
    }
    if (others.length > 0) {
      forward(from, { ...parcel, destinations: others }, sealed, bytes)
    }
  }

  #open (via: Key, sealed: Sealed): void {
    if (sealed.type === SealType.RECEIPT) {
      this.#receipt(sealed.origin, via, wire.decodeReceipt(sealed.content))
    } else if (sealed.type === SealType.BUNDLE) {
      this.#openBundle(sealed)
    }
  }

  #openBundle (sealed: Sealed): void {
    const { origin, epoch, signature } = sealed
    const { topic, to, wantsAck, messages } = wire.decodeBundle(sealed.content)

    if (to.length > 0 && !to.includes(this.#init.shared.self)) {
      this.#init.shared.counters.add('parcel for somebody else')
      return
    }

    const from = peerOf(origin)
    const key = publicKeyOf(sealed)

    for (const { seq, data } of messages) {
      this.#deliver({ type: 'signed', from, topic, data, sequenceNumber: BigInt(seq), key, signature }, origin, epoch, seq, wantsAck)
    }
  }

  #deliver (message: Message, origin: Key, epoch: number, seq: number, wantsAck: boolean): void {
    const { core, shared, validators } = this.#init
    const { topic } = message

    if (!core.topics.isOn(topic)) {
      shared.counters.add('message on a topic that we are not on')
      this.#ack(wantsAck, 'not-subscribed', origin, epoch, topic, seq)
      return
    }
    const now = shared.clock.now()
    this.#alarm.setIfUnset(now + limits.WINDOW_TTL)

    if (!this.windows.accept(origin, epoch, topic, seq, now)) {
      shared.counters.add('message that came before')
      this.#ack(wantsAck, 'acked', origin, epoch, topic, seq)
      return
    }

    const validator = validators.get(topic)

    if (validator == null) {
      this.#accept(message, origin, epoch, seq, wantsAck)
      return
    }

    const verdict = validator(message.from, message)
    inOrder(shared.inbound, `${topic} of ${origin}`, verdict, verdict => {
      if (verdict === 'accept') {
        this.#accept(message, origin, epoch, seq, wantsAck)
      } else {
        shared.counters.add(`message that the validator said to ${verdict}`)
      }
    }, err => {
      shared.counters.add('message whose validator failed')
      shared.log('the validator of %s failed - %e', topic, err)
    })
  }

  #accept (message: Message, origin: Key, epoch: number, seq: number, wantsAck: boolean): void {
    this.#init.onMessage(message)
    this.#ack(wantsAck, 'acked', origin, epoch, message.topic, seq)
  }

  /** All acks of a tick go together */
  #ack (isWanted: boolean, status: ReceiptStatus, of: Key, epoch: number, topic: string, seq: number): void {
    if (!isWanted) {
      return
    }
    if (this.#receipts.size === 0) {
      this.#init.shared.clock.soon(() => { this.#sendReceipts() })
    }

    const receipts = this.#receipts.get(of) ?? new Map<string, wire.Receipt>()
    const name = `${status} ${epoch} ${topic}`
    const receipt = receipts.get(name) ?? { status, of, epoch, topic, seqs: [], about: [] }
    receipt.seqs.push(seq)
    receipts.set(name, receipt)

    if (receipt.seqs.length === limits.MAX_SEQS) {
      receipts.delete(name)
      this.#init.sendReceipt(of, receipt)
    }

    this.#receipts.set(of, receipts)
  }

  #sendReceipts (): void {
    const all = [...this.#receipts]
    this.#receipts.clear()

    for (const [of, receipts] of all) {
      for (const receipt of receipts.values()) {
        this.#init.sendReceipt(of, receipt)
      }
    }
  }

  /** Only a relay that says 'unreachable' speaks of others than itself */
  #receipt (from: Key, via: Key, receipt: wire.Receipt): void {
    const { shared, core, onReceipt } = this.#init

    if (receipt.of !== shared.self || receipt.epoch !== core.epoch) {
      shared.counters.add('receipt for somebody else')
      return
    }

    onReceipt({ ...receipt, about: receipt.status === 'unreachable' ? receipt.about : [from] }, via)
  }
}
