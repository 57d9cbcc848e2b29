import { Sums } from '../runtime/sums.ts'
import type { Lane } from '../link/index.ts'
import type { Metrics } from '@libp2p/interface'

/** Names of lanes, by their numbers */
const LANES = ['data', 'bulk', 'repair', 'control'] as const
const PREFIX = 'libp2p_sheaf_pubsub'
/** Seconds: from a loopback to a resend that came late */
const LATENCIES = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10]

/** What each sum counts */
const SUMS = {
  delivered_messages: 'messages that the user was handed',
  delivered_bytes: 'bytes that the user was handed',
  relayed_messages: 'envelopes passed on for others',
  relayed_bytes: 'bytes passed on for others',
  signatures_checked: 'signatures checked',
  signature_seconds: 'seconds spent on checking signatures',
  acked: 'destinations that acked',
  unacked: 'destinations that did not ack, and should have'
}

/** What went through DirectSub */
export class Traffic extends Sums<keyof typeof SUMS> {
  readonly #published = LANES.map(() => ({ messages: 0, bytes: 0 }))
  #latency?: { observe (seconds: number): void }

  constructor () {
    super(PREFIX, SUMS)
  }

  publish (lane: Lane, bytes: number): void {
    this.#published[lane].messages++
    this.#published[lane].bytes += bytes
  }

  deliver (bytes: number): void {
    this.add('delivered_messages')
    this.add('delivered_bytes', bytes)
  }

  relay (bytes: number): void {
    this.add('relayed_messages')
    this.add('relayed_bytes', bytes)
  }

  verified (milliseconds: number): void {
    this.add('signatures_checked')
    this.add('signature_seconds', milliseconds / 1000)
  }

  /** A publish that waited for acks is settled */
  settled (milliseconds: number, acked: number, failed: number): void {
    this.add('acked', acked)
    this.add('unacked', failed)
    this.#latency?.observe(milliseconds / 1000)
  }

  override register (
    metrics: Metrics, now: () => { sizes: Record<string, number>, dropped: Record<string, number> }
  ): void {
    super.register(metrics, now)

    for (const unit of ['messages', 'bytes'] as const) {
      metrics.registerCounterGroup(`${PREFIX}_published_${unit}_total`, {
        label: 'lane',
        help: `${unit} published`,
        calculate: () => Object.fromEntries(this.#published.map((sum, lane) => [LANES[lane], sum[unit]]))
      })
    }

    // latencies are no sums: they are observed one by one
    this.#latency = metrics.registerHistogram(`${PREFIX}_ack_seconds`, {
      help: 'from publish() until the acks that it waited for came', buckets: LATENCIES
    })
  }
}
