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
type Sum = keyof typeof SUMS
const NAMES = Object.keys(SUMS) as Sum[]

/** What went through: sums that only grow, so counting costs an addition, and whoever wants them reads them */
export class Traffic {
  readonly #published = LANES.map(() => ({ messages: 0, bytes: 0 }))
  readonly #sums = Object.fromEntries(NAMES.map(name => [name, 0])) as Record<Sum, number>
  #latency?: { observe (seconds: number): void }

  publish (lane: Lane, bytes: number): void {
    this.#published[lane].messages++
    this.#published[lane].bytes += bytes
  }

  deliver (bytes: number): void {
    this.#sums.delivered_messages++
    this.#sums.delivered_bytes += bytes
  }

  relay (bytes: number): void {
    this.#sums.relayed_messages++
    this.#sums.relayed_bytes += bytes
  }

  verified (milliseconds: number): void {
    this.#sums.signatures_checked++
    this.#sums.signature_seconds += milliseconds / 1000
  }

  /** A publish that waited for acks is settled */
  settled (milliseconds: number, acked: number, failed: number): void {
    this.#sums.acked += acked
    this.#sums.unacked += failed
    this.#latency?.observe(milliseconds / 1000)
  }

  register (metrics: Metrics, now: () => { sizes: Record<string, number>, dropped: Record<string, number> }): void {
    for (const unit of ['messages', 'bytes'] as const) {
      metrics.registerCounterGroup(`${PREFIX}_published_${unit}_total`, {
        label: 'lane',
        help: `${unit} published`,
        calculate: () => Object.fromEntries(this.#published.map((sum, lane) => [LANES[lane], sum[unit]]))
      })
    }
    for (const name of NAMES) {
      metrics.registerCounter(`${PREFIX}_${name}_total`, { help: SUMS[name], calculate: () => this.#sums[name] })
    }

    metrics.registerCounterGroup(`${PREFIX}_dropped_total`, {
      label: 'reason', help: 'what was dropped or refused', calculate: () => now().dropped
    })
    metrics.registerMetricGroup(`${PREFIX}_size`, {
      label: 'of', help: 'entries of each table and queue', calculate: () => now().sizes
    })
    // latencies are no sums: they are observed one by one
    this.#latency = metrics.registerHistogram(`${PREFIX}_ack_seconds`, {
      help: 'from publish() until the acks that it waited for came', buckets: LATENCIES
    })
  }
}
