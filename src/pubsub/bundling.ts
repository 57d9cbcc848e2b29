import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { EnvelopeType } from './envelope.ts'
import { Handover } from './handover.ts'
import * as wire from './wire.ts'
import type { Context } from './context.ts'
import type { FailureReason } from './core/pending-acks.ts'
import type { Key } from './core/types.ts'
import type { Fate, Parcels } from './parcels.ts'
import type { Lane } from '../link/index.ts'

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

/** What we publish to destinations behind neighbours: messages of one tick are signed together */
export class Bundling {
  readonly #context: Context
  readonly #parcels: Parcels
  readonly #bundles = new Map<string, Bundle>()
  #isScheduled = false

  constructor (context: Context, parcels: Parcels) {
    this.#context = context
    this.#parcels = parcels
  }

  /** Bundles with the others of this tick, which share what it returns */
  send (outgoing: Outgoing): Handover {
    const { topic, to, ways, lane, wantsAck, data } = outgoing
    const name = `${lane}${wantsAck ? '!' : ' '}${topic.length} ${topic}${to.join('')}`
    let bundle = this.#bundles.get(name)

    if (bundle != null && (bundle.first.ways !== ways || bundle.bytes + data.byteLength > limits.BUNDLE_BYTES ||
      bundle.outgoing.length === limits.BUNDLE_MESSAGES)) {
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

  stop (): void {
    this.#bundles.forEach(bundle => { fail(bundle, 'stopped') })
    this.#bundles.clear()
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
      this.#parcels.pass(ways, {
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
