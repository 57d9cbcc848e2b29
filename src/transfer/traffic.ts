import type { TransfersDiagnostics } from './index.ts'
import type { Metrics } from '@libp2p/interface'

const PREFIX = 'libp2p_sheaf_transfer'

/** What each sum counts */
const SUMS = {
  sent_transfers: 'transfers that were begun here',
  completed_transfers: 'transfers of which the other side has taken everything',
  failed_transfers: 'transfers that ended before that',
  sent_bytes: 'bytes of payloads that the other side has taken',
  received_transfers: 'payloads that the program here has taken, verified',
  unreceived_transfers: 'offers that were not taken, and payloads that ended too early',
  received_bytes: 'bytes of payloads that the program here has taken'
}
export type Sum = keyof typeof SUMS
const NAMES = Object.keys(SUMS) as Sum[]

/** What went through all transfers: sums that only grow, and whoever wants them reads them */
export class Traffic {
  readonly #sums = Object.fromEntries(NAMES.map(name => [name, 0])) as Record<Sum, number>

  add (sum: Sum, count = 1): void {
    this.#sums[sum] += count
  }

  register (metrics: Metrics, now: () => TransfersDiagnostics): void {
    for (const name of NAMES) {
      metrics.registerCounter(`${PREFIX}_${name}_total`, { help: SUMS[name], calculate: () => this.#sums[name] })
    }

    metrics.registerCounterGroup(`${PREFIX}_dropped_total`, {
      label: 'reason', help: 'what was dropped or refused', calculate: () => now().dropped
    })
    metrics.registerMetricGroup(`${PREFIX}_size`, {
      label: 'of', help: 'entries and bytes of each table and queue', calculate: () => now().sizes
    })
  }
}
