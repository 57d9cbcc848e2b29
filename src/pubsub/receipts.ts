import { Lane } from '../link/index.ts'
import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { EnvelopeType } from './envelope.ts'
import * as wire from './wire.ts'
import type { Context, Peer } from './context.ts'
import type { Frame } from '../link/index.ts'

/** What is to be told about messages of `of`, which `by` brought */
export interface Answer extends Omit<wire.Receipt, 'seqs'> {
  by: Peer
}

/** Receipts that this node writes: what is the same of all messages of a tick is said once */
export class Receipts {
  readonly #context: Context
  /** Those of this tick, by what they say */
  readonly #open = new Map<string, { answer: Answer, seqs: number[] }>()

  constructor (context: Context) {
    this.#context = context
  }

  add (answer: Answer, seqs: number[]): void {
    const { status, of, epoch, topic, about } = answer
    const name = [status, of, epoch, about.join(''), topic].join(' ')

    if (this.#open.size === 0) {
      this.#context.clock.soon(() => { this.#sendAll() })
    }

    for (const seq of seqs) {
      const open = this.#open.get(name) ?? { answer, seqs: [] }
      this.#open.set(name, open)

      if (open.seqs.push(seq) === limits.MAX_SEQS) {
        this.#open.delete(name)
        this.#send(open.answer, open.seqs)
      }
    }
  }

  stop (): void {
    this.#open.clear()
  }

  #sendAll (): void {
    const all = [...this.#open.values()]
    this.#open.clear()
    all.forEach(({ answer, seqs }) => { this.#send(answer, seqs) })
  }

  /**
   * Straight if its reader is a neighbour, else by the way that what it speaks of came by: that was there a moment ago,
   * where the one that leads there may have died meanwhile. The other one if the first is gone
   */
  #send ({ by, ...said }: Answer, seqs: number[]): void {
    const { core, peers, signer, outbound, counters, log } = this.#context
    const receipt = { ...said, seqs }
    const peer = peers.get(receipt.of)

    if (peer != null) {
      this.#put(peer, wire.encodeReceiptFrame(receipt))
      return
    }

    // who brings what does not arrive pays for the signature
    by.neighbour.spend(said.about.length > 0 ? limits.SIGNATURE_COST : 0)
    const signed = signer.sign(core.epoch, EnvelopeType.RECEIPT, wire.encodeReceipt(receipt))

    inOrder(outbound, 'parcels', signed, envelope => {
      const via = peers.get(by.key) ?? peers.get(core.routing.next(receipt.of) ?? by.key)

      if (via == null) {
        counters.add('receipt that found no way')
      } else {
        this.#put(via, wire.encodeParcel({ trace: [], lane: Lane.CONTROL, destinations: [receipt.of], envelope }))
      }
    }, err => { log('could not sign a receipt - %e', err) })
  }

  #put ({ neighbour }: Peer, frame: Frame): void {
    if (neighbour.send({ frame, lane: Lane.CONTROL }) === 'refused') {
      this.#context.counters.add('receipt that found no place to wait')
    }
  }
}
