import { Counters } from '../runtime/counters.ts'
import type { ResyncReason, SessionsDiagnostics } from './index.ts'
import type { Metrics } from '@libp2p/interface'

const PREFIX = 'libp2p_sheaf_session'
/** Seconds: from a loopback to a message that waited for its peer */
const LATENCIES = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 10, 60, 600]

/** What each sum counts */
const SUMS = {
  sent_messages: 'messages that were handed in to be sent',
  sent_bytes: 'bytes of messages that were handed in to be sent',
  acked_messages: 'messages of which the other side has said that it has them',
  delivered_messages: 'messages that the program was handed',
  delivered_bytes: 'bytes of messages that the program was handed',
  rounds: 'rounds that came to a new key',
  failed_rounds: 'rounds that did not',
  stored_records: 'records that were stored'
}
export type Sum = keyof typeof SUMS
const NAMES = Object.keys(SUMS) as Sum[]

/** What went through all sessions: sums that only grow, and whoever wants them reads them */
export class Traffic {
  readonly dropped = new Counters()
  readonly #resyncs = new Counters()
  readonly #sums = Object.fromEntries(NAMES.map(name => [name, 0])) as Record<Sum, number>
  #latency?: { observe (seconds: number): void }

  add (sum: Sum, count = 1): void {
    this.#sums[sum] += count
  }

  resync (reason: ResyncReason): void {
    this.#resyncs.add(reason)
  }

  acked (milliseconds: number): void {
    this.#latency?.observe(milliseconds / 1000)
  }

  register (metrics: Metrics, now: () => SessionsDiagnostics): void {
    for (const name of NAMES) {
      metrics.registerCounter(`${PREFIX}_${name}_total`, { help: SUMS[name], calculate: () => this.#sums[name] })
    }

    metrics.registerCounterGroup(`${PREFIX}_resync_total`, {
      label: 'reason', help: 'how often somebody had lost state', calculate: () => this.#resyncs.toJSON()
    })
    metrics.registerCounterGroup(`${PREFIX}_dropped_total`, {
      label: 'reason', help: 'what was dropped or refused', calculate: () => this.dropped.toJSON()
    })
    metrics.registerMetricGroup(`${PREFIX}_size`, {
      label: 'of', help: 'entries and bytes of each table and queue', calculate: () => now().sizes
    })
    // latencies are no sums: they are observed one by one
    this.#latency = metrics.registerHistogram(`${PREFIX}_delivery_seconds`, {
      help: 'from send() until the other side had said that it has the message', buckets: LATENCIES
    })
  }
}
