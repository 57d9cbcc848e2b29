import { Counters } from '../runtime/counters.ts'
import { Sums } from '../runtime/sums.ts'
import type { SharedLog } from './index.ts'
import type { JoinOutcome } from '../log/index.ts'
import type { Metrics } from '@libp2p/interface'

const PREFIX = 'libp2p_sheaf_log'
/** Seconds: from a loopback to leaders that are waited for as long as that may take */
const LATENCIES = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 20]

/** What each sum counts */
const SUMS = {
  appended_entries: 'entries that were appended here',
  appended_bytes: 'bytes of payloads that were appended here',
  join_seconds: 'seconds spent on verifying and storing entries of others',
  removed_entries: 'entries that were removed here, as others keep them'
}

/** What a log is like now. A log that is closed has none of these */
const GAUGES: Record<string, { help: string, of (log: SharedLog): number }> = {
  entries: { help: 'entries that are here', of: log => log.length },
  bytes: { help: 'bytes of the entries that are here', of: log => log.diagnostics().log.bytes },
  replicators: { help: 'peers that keep a part, this one included', of: log => log.replicators().length },
  coverage: { help: 'share of all entries that at least one replicator keeps', of: log => log.coverage() },
  copies: { help: 'replicators that keep the entries that fewest keep', of: log => log.diagnostics().copies },
  missing_entries: {
    help: 'entries that others had and that could not be fetched when they were compared last',
    of: log => log.synced().peers.reduce((sum, { missing }) => sum + missing, 0)
  },
  problems: { help: 'problems that diagnostics() names', of: log => log.diagnostics().problems.length }
}

/** What went through all shared logs of a node */
export class Traffic extends Sums<keyof typeof SUMS> {
  /** What was dropped or refused, of all logs */
  readonly dropped = new Counters()
  readonly #received = new Counters()
  #latency?: { observe (seconds: number): void }

  constructor () {
    super(PREFIX, SUMS)
  }

  /** What became of entries that another peer sent. Undefined: the entry is not for this node to keep */
  received (outcomes: Array<JoinOutcome | undefined>): void {
    outcomes.forEach(outcome => { this.#received.add(outcome?.status ?? 'not kept') })
  }

  acked (milliseconds: number): void {
    this.#latency?.observe(milliseconds / 1000)
  }

  registerLogs (metrics: Metrics, logs: () => SharedLog[]): void {
    this.register(metrics, () => ({ sizes: sizesOf(logs()), dropped: this.dropped.toJSON() }))

    for (const [name, { help, of }] of Object.entries(GAUGES)) {
      metrics.registerMetricGroup(`${PREFIX}_${name}`, {
        label: 'log', help, calculate: () => Object.fromEntries(logs().map(log => [log.id, of(log)]))
      })
    }

    metrics.registerCounterGroup(`${PREFIX}_received_entries_total`, {
      label: 'outcome', help: 'entries that others sent', calculate: () => this.#received.toJSON()
    })
    // latencies are no sums: they are observed one by one
    this.#latency = metrics.registerHistogram(`${PREFIX}_ack_seconds`, {
      help: "from an append with 'ack' until the others had stored it", buckets: LATENCIES
    })
  }
}

function sizesOf (logs: SharedLog[]): Record<string, number> {
  const sum: Record<string, number> = {}

  for (const log of logs) {
    for (const [name, size] of Object.entries(log.diagnostics().sizes)) {
      sum[name] = (sum[name] ?? 0) + size
    }
  }

  return sum
}
