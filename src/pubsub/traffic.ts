import type { Lane } from '../link/index.ts'
import type { Metrics } from '@libp2p/interface'

/** Names of lanes, by their numbers */
const LANES = ['data', 'bulk', 'repair', 'control'] as const
const PREFIX = 'libp2p_sheaf_pubsub'
/** Seconds: from a loopback to a resend that came late */
const LATENCIES = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10]

interface Sum {
  messages: number
  bytes: number
}

/** What went through: sums that only grow, so counting costs an addition, and whoever wants them reads them */
export class Traffic {
  readonly published = LANES.map((): Sum => ({ messages: 0, bytes: 0 }))
  readonly delivered: Sum = { messages: 0, bytes: 0 }
  /** Envelopes that were passed on for others */
  readonly relayed: Sum = { messages: 0, bytes: 0 }
  readonly signatures = { checked: 0, seconds: 0 }
  readonly acks = { acked: 0, failed: 0 }
  #latency?: { observe (seconds: number): void }

  publish (lane: Lane, bytes: number): void {
    add(this.published[lane], bytes)
  }

  deliver (bytes: number): void {
    add(this.delivered, bytes)
  }

  relay (bytes: number): void {
    add(this.relayed, bytes)
  }

  verified (milliseconds: number): void {
    this.signatures.checked++
    this.signatures.seconds += milliseconds / 1000
  }

  /** A publish that waited for acks is settled */
  settled (milliseconds: number, acked: number, failed: number): void {
    this.acks.acked += acked
    this.acks.failed += failed
    this.#latency?.observe(milliseconds / 1000)
  }

  /** `now`: the sums of the present life, of which there may be none */
  static register (metrics: Metrics, now: () => { traffic: Traffic, sizes: Record<string, number>, dropped: Record<string, number> }): void {
    const byLane = (of: keyof Sum) => () => Object.fromEntries(now().traffic.published.map((sum, lane) => [LANES[lane], sum[of]]))
    const counter = (name: string, help: string, calculate: () => number): void => { metrics.registerCounter(`${PREFIX}_${name}_total`, { help, calculate }) }

    metrics.registerCounterGroup(`${PREFIX}_published_messages_total`, { label: 'lane', help: 'messages published', calculate: byLane('messages') })
    metrics.registerCounterGroup(`${PREFIX}_published_bytes_total`, { label: 'lane', help: 'bytes published', calculate: byLane('bytes') })
    counter('delivered_messages', 'messages that the user was handed', () => now().traffic.delivered.messages)
    counter('delivered_bytes', 'bytes that the user was handed', () => now().traffic.delivered.bytes)
    counter('relayed_messages', 'envelopes passed on for others', () => now().traffic.relayed.messages)
    counter('relayed_bytes', 'bytes passed on for others', () => now().traffic.relayed.bytes)
    counter('signatures_checked', 'signatures checked', () => now().traffic.signatures.checked)
    counter('signature_seconds', 'seconds spent on checking signatures', () => now().traffic.signatures.seconds)
    counter('acked', 'destinations that acked', () => now().traffic.acks.acked)
    counter('unacked', 'destinations that did not ack, and should have', () => now().traffic.acks.failed)
    metrics.registerCounterGroup(`${PREFIX}_dropped_total`, { label: 'reason', help: 'what was dropped or refused', calculate: () => now().dropped })
    metrics.registerMetricGroup(`${PREFIX}_size`, { label: 'of', help: 'entries of each table and queue', calculate: () => now().sizes })
  }

  /** Latencies are no sums: they are observed one by one */
  observe (metrics?: Metrics): void {
    this.#latency = metrics?.registerHistogram(`${PREFIX}_ack_seconds`, { help: 'from publish() until the acks that it waited for came', buckets: LATENCIES })
  }
}

function add (sum: Sum, bytes: number): void {
  sum.messages++
  sum.bytes += bytes
}
