import { FlightTracker } from '../src/transfer/core/flight.ts'
import { entrant, measure as measureCase } from './measure.ts'
import { Worker } from './workers.ts'
import type { CaseResult, CaseTitle } from './report.ts'
import type { Entrant } from './rounds.ts'
import type { Suite, SuiteRun } from './suite.ts'

const MB = 1_000_000
/** Milliseconds that a step may take */
const DEADLINE = 60_000

/** How much is measured */
const PACE = {
  full: { rounds: 5, bytes: 256 * MB, relayed: 64 * MB, fragments: 1_000_000 },
  quick: { rounds: 1, bytes: 32 * MB, relayed: 8 * MB, fragments: 200_000 }
}

/** A stream beside the small messages whose writer waits for the event 'drain', and for nothing else */
const DRAIN_ONLY = 'drain only'
const RAW = 'raw stream'
/** Bytes in flight while the accounting is measured: as many fragments as a node has at most */
const IN_FLIGHT = 1024
/** Bytes of the budget of a peer for what nobody reads, and what is left for others, in MB. From the spec */
const MOST_MEMORY = 16.8 + 16

const TITLES = {
  hop: { case: 'goodput one hop, 256 MB', unit: 'MB/s', better: 'more', limitIs: RAW, wanted: { ratio: 0.8 } },
  relayed: { case: 'goodput over one relay', unit: 'MB/s', better: 'more', limitIs: 'raw stream, handed on' },
  small: { case: 'small message p50 beside 256 MB', unit: 'ms', better: 'less', limitIs: 'idle', wanted: { ratio: 5 } },
  fair: { case: 'four at once, Jain', unit: '', better: 'more', wanted: { ours: 0.98 } },
  accounting: { case: 'accounting, register + ack a second', unit: '1/s', better: 'more', wanted: { ours: 500_000 } },
  memory: { case: 'memory beside a stalled reader', unit: 'MB', better: 'less', wanted: { ours: MOST_MEMORY } },
  entry: { case: 'a 16 MB entry at a late joiner', unit: 'ms', better: 'less' }
} satisfies Record<string, Omit<CaseTitle, 'suite'>>

/** Three nodes, a process each, with TCP, noise and yamux between them: the first, a relay, and the last */
export const transfer: Suite = {
  peers: [DRAIN_ONLY],
  hasWanted: true,

  async * run (run) {
    const nodes = new Nodes()
    const pace = PACE[run.length]

    try {
      await nodes.start()
      yield * measure(run, TITLES.hop, [
        entrant('ours', async () => nodes.goodput('send', pace.bytes)), entrant('limit', async () => nodes.goodput('raw', pace.bytes))
      ])
      yield * measure(run, TITLES.relayed, [
        entrant('ours', async () => nodes.relayed('send', pace.relayed)), entrant('limit', async () => nodes.relayed('raw', pace.relayed))
      ])
      yield * measure(run, TITLES.small, [
        entrant('ours', async () => nodes.echo('ours', pace.bytes)),
        entrant('limit', async () => nodes.echo('idle', pace.bytes)),
        entrant(DRAIN_ONLY, async () => nodes.echo(DRAIN_ONLY, pace.bytes))
      ])
      yield * measure(run, TITLES.fair, [entrant('ours', async () => nodes.jain(pace.bytes / 4))])
      yield * measure(run, TITLES.accounting, [entrant('ours', async () => accounting(pace.fragments))])
      yield * measure(run, TITLES.memory, [entrant('ours', async () => nodes.stalled(pace.bytes))], 1)
      yield * measure(run, TITLES.entry, [entrant('ours', async () => nodes.lateEntry(16 * 1024 * 1024))])
    } finally {
      await nodes.stop()
    }
  }
}

class Nodes {
  readonly #workers = Array.from({ length: 3 }, () => new Worker(new URL('./transfer/worker.ts', import.meta.url)))
  #ids: string[] = []

  async start (): Promise<void> {
    const [a, relay, b] = this.#workers
    const started = await Promise.all(this.#workers.map(async worker => worker.call<{ address: string, id: string }>('start')))
    this.#ids = started.map(({ id }) => id)
    await a.call('dial', started[1])
    await b.call('dial', started[1])
    await Promise.all([a.call('meet', { id: this.#ids[1] }), relay.call('meet', { id: this.#ids[2] })])
    await a.call('meet', { id: this.#ids[2] })
  }

  /** MB a second from the first to the one beside it */
  async goodput (method: 'send' | 'raw', bytes: number): Promise<number> {
    return this.#timed(this.#workers[1], method, { id: this.#ids[1], bytes }, bytes)
  }

  async relayed (method: 'send' | 'raw', bytes: number): Promise<number> {
    const to = method === 'send' ? this.#ids[2] : this.#ids[1]
    return this.#timed(this.#workers[2], method, { id: to, bytes, isForwarded: true }, bytes)
  }

  async echo (beside: 'ours' | 'idle' | typeof DRAIN_ONLY, bytes: number): Promise<number> {
    const { p50 } = await this.#workers[0].call<{ p50: number }>('echoes', { id: this.#ids[1], beside, bytes }, DEADLINE)
    return p50
  }

  /** How even four transfers were when the first of them was done */
  async jain (bytes: number): Promise<number> {
    const [a, b] = this.#workers
    await b.call('forget')
    const shares = b.call<number[]>('shares', { bytes }, DEADLINE)
    await a.call('send', { id: this.#ids[1], bytes, names: ['one', 'two', 'three', 'four'] }, DEADLINE)
    const all = await shares
    return all.reduce((sum, share) => sum + share, 0) ** 2 / (4 * all.reduce((sum, share) => sum + share ** 2, 0))
  }

  /** MB that the receiver grew by while eight were sent to it, one of which nobody reads */
  async stalled (bytes: number): Promise<number> {
    const [a, b] = this.#workers
    const before = await b.call<number>('memory')
    await a.call('send', { id: this.#ids[1], bytes, names: ['stalled'], isWaiting: false })
    const names = Array.from({ length: 7 }, (_, i) => `${i}`)
    const sent = a.call('send', { id: this.#ids[1], bytes, names }, 3 * DEADLINE).then(() => true)
    const later = async (): Promise<false> => new Promise(resolve => { setTimeout(() => { resolve(false) }, 50) })
    let most = 0

    do {
      most = Math.max(most, await b.call<number>('memory'))
    } while (!await Promise.race([sent, later()]))

    await a.call('abort')
    return (most - before) / MB
  }

  /** Milliseconds from the start of a node until it has the one entry of a log */
  async lateEntry (bytes: number): Promise<number> {
    const [a, relay] = this.#workers
    const { address } = await a.call<{ address: string }>('append', { bytes }, DEADLINE)
    return relay.call<number>('join', { address, bytes }, DEADLINE)
  }

  async stop (): Promise<void> {
    await Promise.allSettled(this.#workers.map(async worker => worker.call('stop')))
    await Promise.all(this.#workers.map(async worker => worker.stop()))
  }

  async #timed (at: Worker, method: string, params: object, bytes: number): Promise<number> {
    await at.call('forget')
    const [began, ended] = await Promise.all([
      this.#workers[0].call<number>(method, params, DEADLINE), at.call<number>('heard', { bytes }, DEADLINE)
    ])
    return bytes / MB / ((ended - began) / 1000)
  }
}

/** Fragments a second that are put in flight and acked, of 16 owners, with many others in flight */
function accounting (count: number): number {
  const flight = new FlightTracker<object, number, string>()
  const window: object[] = []
  const began = performance.now()

  for (let i = 0; i < count; i++) {
    const fragment = {}
    flight.register(fragment, i % 16, 65_536, 'peer', i)
    window.push(fragment)

    if (window.length >= IN_FLIGHT) {
      window.splice(0, IN_FLIGHT / 2).forEach(fragment => { flight.ack(fragment) })
    }
  }

  window.forEach(fragment => { flight.ack(fragment) })
  return count * 1000 / (performance.now() - began)
}

function measure (
  run: SuiteRun, title: Omit<CaseTitle, 'suite'>, entrants: Entrant[], rounds = PACE[run.length].rounds
): AsyncGenerator<CaseResult> {
  return measureCase(run, { suite: 'transfer', ...title }, entrants, rounds)
}
