import { Worker } from '../workers.ts'
import type { BlastReport } from './blast.ts'
import type { Kind } from './contenders.ts'
import type { Count } from './tally.ts'

export interface RoundInit {
  size: number
  ms: number
  max: number
  /** Whether the limit gathers messages into larger writes */
  gather: boolean
  /** Milliseconds without anything new after which the rest is lost */
  idle: number
}

export interface RoundReport {
  /** Messages received, by seconds from the first publish to the last receipt */
  rate: number
  /** Without those that publish itself said it could not deliver */
  sent: number
  received: number
  duplicates: number
  refused: number
  reason?: string
}

/** Milliseconds that a round may take beyond the time for which it publishes */
const DEADLINE = 10_000

/** Milliseconds that a round of probes may take, with what is before each */
const PROBES_DEADLINE = 60_000

let rounds = 0

/**
 * Two processes that are connected, or three where the one in the middle is all that the ends know.
 * The first publishes, the last receives.
 */
export class Line {
  readonly kind: Kind
  private hops = 0
  private readonly workers: Worker[] = []

  constructor (kind: Kind) {
    this.kind = kind
  }

  /**
   * New nodes for so many hops, in the processes that are there already: to start one takes longer than a round
   */
  async start (hops: number): Promise<void> {
    this.hops = hops

    while (this.workers.length < hops + 1) {
      this.workers.push(new Worker(new URL('./worker.ts', import.meta.url)))
    }

    const addresses = await Promise.all(this.workers.map(async worker => worker.call<string[]>('start', { kind: this.kind })))

    if (this.hops === 1) {
      await this.publisher.call('dial', { address: addresses[1][0] })
    } else {
      await this.connectThree(addresses[1][0], addresses[2][0])
    }

    if (this.kind !== 'limit') {
      await this.join()
    }
  }

  async round (init: RoundInit): Promise<RoundReport> {
    const round = ++rounds
    const deadline = init.ms + DEADLINE
    await this.receiver.call('expect', { round })
    const blast = await this.publisher.call<BlastReport>('blast', { ...init, round, hops: this.hops }, deadline)
    const refused = blast.refused ?? 0
    const sent = blast.sent - refused
    const { received, duplicates, last } = await this.receiver.call<Count>('collect', { expected: sent, idle: init.idle, deadline }, deadline * 2)

    return {
      rate: received === 0 ? 0 : received / (last - blast.started) * 1_000,
      sent,
      received,
      duplicates,
      refused,
      reason: blast.reason
    }
  }

  /** Milliseconds that 95 % of so many small messages took, each behind so many bytes of another topic */
  async wait (count: number, bytes: number): Promise<number> {
    await this.publisher.call('probe', { count, bytes }, PROBES_DEADLINE)
    return this.receiver.call<number>('waits', { count }, DEADLINE)
  }

  /** Messages a second, each when the last one was acked */
  async acked (count: number): Promise<number> {
    return this.publisher.call<number>('acked', { count }, DEADLINE)
  }

  async restart (): Promise<void> {
    await this.stop()
    await this.start(this.hops)
  }

  async stop (): Promise<void> {
    await Promise.all(this.workers.splice(0).map(async worker => worker.stop()))
  }

  private async connectThree (relay: string, last: string): Promise<void> {
    await this.publisher.call('dial', { address: relay })
    await this.receiver.call('dial', { address: relay })
    await this.workers[1].call('relay', {
      // what we measure is a relay that has no part in the topic, the others know none
      subscribe: this.kind !== 'ours',
      next: last.split('/').at(-1)
    })
  }

  private async join (): Promise<void> {
    await this.publisher.call('subscribe')
    await this.receiver.call('subscribe')
    await this.publisher.call('ready', { links: 1 })

    if (this.kind !== 'ours') {
      await this.receiver.call('ready', { links: 1 })
      await this.workers[1].call('ready', { links: this.hops === 1 ? 1 : 2 })
    }
  }

  private get publisher (): Worker {
    return this.workers[0]
  }

  private get receiver (): Worker {
    return this.workers[this.workers.length - 1]
  }
}
