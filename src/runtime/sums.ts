import type { Metrics } from '@libp2p/interface'

/** What a service counts and measures for metrics: sums that only grow, so counting costs an addition */
export class Sums<Name extends string> {
  readonly #prefix: string
  readonly #helps: Record<Name, string>
  readonly #sums: Record<Name, number>

  /** `helps`: each sum, and what it counts */
  constructor (prefix: string, helps: Record<Name, string>) {
    this.#prefix = prefix
    this.#helps = helps
    this.#sums = Object.fromEntries(this.#names.map(name => [name, 0])) as Record<Name, number>
  }

  add (name: Name, count = 1): void {
    this.#sums[name] += count
  }

  /** And the sizes of tables and queues, and what was dropped, as `diagnostics()` says them */
  register (
    metrics: Metrics, now: () => { sizes: Record<string, number>, dropped: Record<string, number> }
  ): void {
    for (const name of this.#names) {
      metrics.registerCounter(`${this.#prefix}_${name}_total`, {
        help: this.#helps[name], calculate: () => this.#sums[name]
      })
    }

    metrics.registerCounterGroup(`${this.#prefix}_dropped_total`, {
      label: 'reason', help: 'what was dropped or refused', calculate: () => now().dropped
    })
    metrics.registerMetricGroup(`${this.#prefix}_size`, {
      label: 'of', help: 'entries and bytes of each table and queue', calculate: () => now().sizes
    })
  }

  get #names (): Name[] {
    return Object.keys(this.#helps) as Name[]
  }
}
