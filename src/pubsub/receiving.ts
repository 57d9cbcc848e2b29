import { inOrder } from '../runtime/in-order.ts'
import { then } from '../runtime/then.ts'
import * as limits from './constants.ts'
import { Dedup } from './core/dedup.ts'
import { EnvelopeType, publicKeyOf, readEnvelope } from './envelope.ts'
import { peerOf } from './keys.ts'
import * as wire from './wire.ts'
import type { Arrived, Context, Peer } from './context.ts'
import type { Arrival } from './core/dedup.ts'
import type { Key } from './core/types.ts'
import type { Verdict } from './core/verdicts.ts'
import type { Envelope } from './envelope.ts'
import type { Message, TopicValidator } from './index.ts'
import type { Receipts } from './receipts.ts'
import type { Cargo, Relaying } from './relaying.ts'

export interface ReceivingInit {
  context: Context
  relaying: Relaying
  receipts: Receipts
  validators: Map<string, TopicValidator>
  onMessage (message: Message): void
  /** A receipt about messages of ours, and the neighbour that brought it */
  onReceipt (receipt: wire.Receipt, by: Key): void
}

/** What there is to know of a message beside what its user sees */
interface Origin {
  key: Key
  epoch: number
  /** The neighbour that brought it */
  by: Peer
  wantsAck: boolean
}

const VERDICTS: Record<'accept' | 'ignore' | 'reject', Verdict> = {
  accept: 'accepted', ignore: 'ignored', reject: 'rejected'
}

/** What arrives: told apart, believed or not, validated, delivered once, answered truly. */
export class Receiving {
  readonly dedup = new Dedup()
  readonly #init: ReceivingInit
  readonly #context: Context

  constructor (init: ReceivingInit) {
    this.#init = init
    this.#context = init.context
  }

  /** From the neighbour itself: the connection says that it is true */
  onMessage ({ from: by, bytes }: Arrived, body: Uint8Array): void {
    const { wantsAck, topic, seq, data } = wire.decodeMessage(body)
    const { key, peerId: from, epoch } = by
    const message: Message = { type: 'unsigned', from, topic, data, sequenceNumber: BigInt(seq), epoch }
    this.#deliver(message, seq, { key, epoch, by, wantsAck }, bytes)
  }

  onParcel (arrived: Arrived, body: Uint8Array): void {
    const { from, bytes } = arrived
    const parcel = wire.decodeParcel(body)
    from.neighbour.spend(limits.DESTINATION_COST * parcel.destinations.length)
    const envelope = readEnvelope(parcel.envelope)

    const isReceipt = envelope.type === EnvelopeType.RECEIPT
    const drop = (): void => { !isReceipt && this.#init.relaying.receive(from, parcel).drop() }

    if (this.#isUnwanted(envelope)) {
      drop()
      return
    }

    this.#context.deal(arrived, [envelope], envelope => this.#context.verify(from, envelope), ([isTrue]) => {
      if (!isTrue) {
        from.neighbour.fault('a parcel whose signature is wrong')
      } else if (isReceipt) {
        this.#openReceipt(from, parcel, envelope)
      } else {
        this.#open(this.#init.relaying.receive(from, parcel), envelope, bytes)
      }
    }, drop)
  }

  onReceipt ({ from }: Arrived, body: Uint8Array): void {
    from.neighbour.spend(limits.RECEIPT_COST)
    this.#receipt(from.key, from, wire.decodeReceipt(body))
  }

  #isUnwanted ({ origin, epoch }: Envelope): boolean {
    const { self, peers, counters } = this.#context

    if (origin === self) {
      counters.add('parcel of our own')
    } else if ((peers.get(origin)?.epoch ?? epoch) !== epoch) {
      counters.add('parcel of another life')
    } else if (this.#context.isIgnored(origin)) {
      counters.add('parcel of somebody who broke the protocol')
    } else {
      return false
    }

    return true
  }

  #openReceipt (from: Peer, parcel: wire.Parcel, envelope: Envelope): void {
    this.#blaming(envelope, () => {
      if (parcel.destinations.includes(this.#context.self)) {
        this.#receipt(envelope.origin, from, wire.decodeReceipt(envelope.content))
      }
      this.#init.relaying.forwardReceipt(from, parcel, envelope)
    })
  }

  #open (cargo: Cargo, envelope: Envelope, bytes: number): void {
    const isForUs = cargo.destinations.length < cargo.parcel.destinations.length

    this.#blaming(envelope, () => {
      if (envelope.type === EnvelopeType.BUNDLE) {
        this.#openBundle(cargo, envelope, isForUs, bytes)
      } else {
        this.#init.relaying.forward(cargo, envelope)
      }
    }, () => { cargo.drop() })
  }

  /** Its origin signed it: what is wrong in it is the fault of the origin */
  #blaming (envelope: Envelope, open: () => void, onFault = (): void => {}): void {
    try {
      open()
    } catch (err: any) {
      this.#context.log('%s signed something malformed - %e', peerOf(envelope.origin), err)
      this.#context.fault(envelope.origin, 'malformed envelope')
      onFault()
    }
  }

  /**
   * Where a validator stands, nothing is passed on that it refuses: of messages that were signed together, none or all
   */
  #openBundle (cargo: Cargo, envelope: Envelope, isForUs: boolean, bytes: number): void {
    const { self, counters } = this.#context
    const { origin, epoch, signature, content } = envelope
    const { from } = cargo
    const isValidated = this.#init.validators.size > 0 && this.#init.validators.has(wire.topicOfBundle(content))

    if (!isValidated) {
      this.#init.relaying.forward(cargo, envelope)
    }
    if (!isForUs && !isValidated) {
      return
    }

    const { topic, to, wantsAck, messages } = wire.decodeBundle(content)

    if (isForUs && to.length > 0 && !to.includes(self)) {
      counters.add('parcel for somebody else')
      cargo.drop()
      return
    }

    const key = publicKeyOf(envelope)
    const signed = { type: 'signed' as const, from: peerOf(origin), topic, epoch, key, signature }
    const about = { key: origin, epoch, by: from, wantsAck }
    const share = Math.floor(bytes / messages.length)
    const verdicts = messages.map(({ seq, data }) => {
      const message: Message = { ...signed, data, sequenceNumber: BigInt(seq) }
      return isForUs ? this.#deliver(message, seq, about, share) : this.#validate(message)
    })

    if (isValidated) {
      void Promise.all(verdicts.map(async verdict => verdict)).then(verdicts => {
        // a copy of what is undecided is passed on with the first one, or not at all
        if (verdicts.some(verdict => verdict === 'rejected' || verdict === 'ignored' || verdict === 'undecided')) {
          counters.add('bundle that the validator did not let pass')
          cargo.drop()
        } else {
          this.#init.relaying.forward(cargo, envelope)
        }
      })
    }
  }

  /** Returns what became of it, which a validator may have to say later */
  #deliver (
    message: Message, seq: number, origin: Origin, bytes: number
  ): Arrival | 'not-subscribed' | Promise<Verdict> {
    const { core, clock, counters, inbound } = this.#context
    const { topic } = message
    const { key, epoch, by } = origin

    if (!core.topics.isOn(topic)) {
      counters.add('message on a topic that we are not on')
      this.#answer('not-subscribed', topic, seq, origin)
      return 'not-subscribed'
    }

    const hasValidator = this.#init.validators.has(topic)
    const arrival = hasValidator
      ? this.dedup.receive(key, epoch, topic, seq, by.key)
      : this.dedup.accept(key, epoch, topic, seq, clock.now(), by.key)

    if (arrival !== 'new') {
      counters.add(`message that was ${arrival} before`)
      this.#answer(arrival === 'accepted' ? 'acked' : arrival, topic, seq, origin)
      return arrival
    }
    if (!hasValidator) {
      this.#hand(message)
      this.#answer('acked', topic, seq, origin)
      return 'accepted'
    }

    const verdict = this.#validate(message)
    // what a validator has not decided is not dealt with yet
    const release = verdict instanceof Promise ? by.neighbour.keep(bytes) : undefined
    const { promise, resolve } = Promise.withResolvers<Verdict>()
    const decide = (verdict: Verdict): void => {
      release?.()
      this.#decide(verdict, message, seq, origin)
      resolve(verdict)
    }
    inOrder(inbound, `${topic} of ${key}`, verdict, decide, () => {
      counters.add('message whose validator took too long')
      decide('ignored')
    })
    return promise
  }

  #hand (message: Message): void {
    this.#context.traffic.deliver(message.data.byteLength)
    this.#init.onMessage(message)
  }

  #decide (verdict: Verdict, message: Message, seq: number, origin: Origin): void {
    const { key, epoch } = origin

    if (this.dedup.decide(key, epoch, message.topic, seq, verdict, this.#context.clock.now())) {
      switch (verdict) {
        case 'accepted': this.#hand(message); break
        case 'rejected': this.#context.fault(key, 'message that the validator rejected'); break
        case 'ignored': this.#context.counters.add('message that the validator ignored'); break
      }
      this.#answer(verdict === 'accepted' ? 'acked' : verdict, message.topic, seq, origin)
    }
  }

  /** A validator that fails has not accepted it */
  #validate (message: Message): Verdict | Promise<Verdict> {
    const { counters, log } = this.#context
    const failed = (err: unknown): Verdict => {
      counters.add('message whose validator failed')
      log.error('the validator of %s failed - %e', message.topic, err)
      return 'ignored'
    }

    try {
      const verdict = this.#init.validators.get(message.topic)?.(message.from, message) ?? 'accept'
      const named = then(verdict, verdict => VERDICTS[verdict] ?? 'ignored')
      return named instanceof Promise ? named.catch(failed) : named
    } catch (err) {
      return failed(err)
    }
  }

  #answer (status: wire.ReceiptStatus, topic: string, seq: number, { key: of, epoch, by, wantsAck }: Origin): void {
    if (wantsAck) {
      this.#init.receipts.add({ status, of, epoch, topic, about: [], by }, [seq])
    }
  }

  /** Only a relay that knows no way, or has no room, speaks of others than itself */
  #receipt (from: Key, by: Peer, receipt: wire.Receipt): void {
    const { self, core, counters } = this.#context
    by.neighbour.spend(limits.ITEM_COST * (receipt.seqs.length + receipt.about.length))

    if (receipt.of !== self || receipt.epoch !== core.epoch) {
      counters.add('receipt for somebody else')
      return
    }

    const isOfRelay = (receipt.status === 'unreachable' || receipt.status === 'congested') && receipt.about.length > 0
    this.#init.onReceipt({ ...receipt, about: isOfRelay ? receipt.about : [from] }, by.key)
  }
}
