import { entrant, measure as measureCase } from './measure.ts'
import { Worker } from './workers.ts'
import type { CaseResult, CaseTitle } from './report.ts'
import type { Entrant } from './rounds.ts'
import type { Kind } from './session/worker.ts'
import type { Suite, SuiteRun } from './suite.ts'

const KIB = 1024
/** Milliseconds that a step may take */
const DEADLINE = 60_000

/** How much is measured */
const PACE = {
  full: { rounds: 5, messages: 20_000, time: 2_000, strangers: 20, crowd: 100 },
  quick: { rounds: 3, messages: 4_000, time: 500, strangers: 5, crowd: 20 }
}

/** DirectSub with its acks: what a message costs that is not sealed, and of which is known that it has arrived */
const WITH_ACKS = 'clear, with acks'

const TITLES = {
  rounds: { case: 'rounds a second', unit: '1/s', better: 'more' },
  sealed: {
    case: 'sealed against clear, 1 KiB', unit: 'msg/s', better: 'more', limitIs: 'clear, without acks', wanted: { ratio: 0.7 }
  },
  stranger: { case: 'first message to a stranger', unit: 'ms', better: 'less' },
  memory: { case: 'memory of an idle session', unit: 'KiB', better: 'less' }
} satisfies Record<string, Omit<CaseTitle, 'suite'>>
const LAG = 'loop lag p99 while rekeying, over idle'
/** Milliseconds over idle that are wanted at most */
const MOST_LAG = 5

/** Two nodes, a process each, with TCP, noise and yamux between them */
export const session: Suite = {
  peers: [WITH_ACKS],
  hasWanted: true,

  async * run (run) {
    const pair = new Pair()

    try {
      await pair.start()
      yield * measure(run, TITLES.rounds, [entrant('ours', async () => {
        return pair.a.call<number>('rounds', { time: PACE[run.length].time }, DEADLINE)
      })])
      yield * measure(run, TITLES.sealed, [
        sender(run, pair, 'ours', 'sealed'), sender(run, pair, 'limit', 'clear'), sender(run, pair, WITH_ACKS, 'acked')
      ])
      yield * lag(run, pair)
      yield * measure(run, TITLES.stranger, [entrant('ours', async () => pair.meetStranger())], PACE[run.length].strangers)
      yield * memory(run, pair)
    } finally {
      await pair.stop()
    }
  }
}

class Pair {
  readonly a: Worker
  readonly b: Worker
  #address = ''
  #id = ''

  constructor () {
    const script = new URL('./session/worker.ts', import.meta.url)
    this.a = new Worker(script, ['--expose-gc'])
    this.b = new Worker(script)
  }

  async start (): Promise<void> {
    [this.#address] = await Promise.all([this.a.call<string>('start'), this.b.call('start')])
    this.#id = await this.a.call('id')
    await this.b.call('dial', { address: this.#address })
    await Promise.all([this.a.call('meet'), this.b.call('meet')])
  }

  /** Messages a second */
  async send (kind: Kind, messages: number): Promise<number> {
    await this.b.call('forget')
    const [began, ended] = await Promise.all([
      this.a.call<number>('blast', { kind, messages, bytes: KIB }, DEADLINE),
      this.b.call<number>('heard', { messages }, DEADLINE)
    ])
    return messages * 1000 / (ended - began)
  }

  async meetStranger (): Promise<number> {
    return this.b.call('stranger', { address: this.#address, to: this.#id }, DEADLINE)
  }

  /** KiB of one of so many sessions */
  async idleSessions (many: number): Promise<number> {
    await this.b.call('crowd', { address: this.#address, to: this.#id, many }, DEADLINE)
    const [before, known] = await Promise.all([this.a.call<number>('heap'), this.a.call<number>('known')])
    await this.b.call('greet', { to: this.#id }, DEADLINE)
    const [after, now] = await Promise.all([this.a.call<number>('heap'), this.a.call<number>('known')])
    return (after - before) / (now - known) / KIB
  }

  async stop (): Promise<void> {
    await Promise.allSettled([this.a.call('stop'), this.b.call('stop')])
    await Promise.all([this.a.stop(), this.b.stop()])
  }
}

function sender (run: SuiteRun, pair: Pair, name: string, kind: Kind): Entrant {
  return entrant(name, async () => pair.send(kind, PACE[run.length].messages))
}

/** What is wanted is said of the difference, so that is what is reported */
async function * lag (run: SuiteRun, pair: Pair): AsyncGenerator<CaseResult> {
  const { time } = PACE[run.length]
  yield * measure(run, { case: LAG, unit: 'ms', better: 'less', wanted: { ours: MOST_LAG } }, [
    entrant('ours', async () => {
      const idle = await pair.a.call<number>('lag', { time, isRekeying: false }, DEADLINE)
      return Math.max(0, await pair.a.call<number>('lag', { time, isRekeying: true }, DEADLINE) - idle)
    })
  ])
}

async function * memory (run: SuiteRun, pair: Pair): AsyncGenerator<CaseResult> {
  const { crowd } = PACE[run.length]
  let result: Promise<number> | undefined
  const once: Entrant = {
    name: 'ours',
    round: async () => {
      result ??= pair.idleSessions(crowd)
      return result
    }
  }
  yield * measure(run, TITLES.memory, [once], 1)
}

function measure (
  run: SuiteRun, title: Omit<CaseTitle, 'suite'>, entrants: Entrant[], rounds = PACE[run.length].rounds
): AsyncGenerator<CaseResult> {
  return measureCase(run, { suite: 'session', ...title }, entrants, rounds)
}
