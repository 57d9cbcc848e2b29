import { Counters } from '../runtime/counters.ts'
import { Sums } from '../runtime/sums.ts'
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

/** What went through all sessions of a node */
export class Traffic extends Sums<keyof typeof SUMS> {
  readonly dropped = new Counters()
  readonly #resyncs = new Counters()
  #latency?: { observe (seconds: number): void }

  constructor () {
    super(PREFIX, SUMS)
  }

  resync (reason: ResyncReason): void {
    this.#resyncs.add(reason)
  }

  acked (milliseconds: number): void {
    this.#latency?.observe(milliseconds / 1000)
  }

  override register (metrics: Metrics, now: () => SessionsDiagnostics): void {
    super.register(metrics, now)
    metrics.registerCounterGroup(`${PREFIX}_resync_total`, {
      label: 'reason', help: 'how often somebody had lost state', calculate: () => this.#resyncs.toJSON()
    })
    // latencies are no sums: they are observed one by one
    this.#latency = metrics.registerHistogram(`${PREFIX}_delivery_seconds`, {
      help: 'from send() until the other side had said that it has the message', buckets: LATENCIES
    })
  }
}
