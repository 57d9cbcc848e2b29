import { wants } from '../options.ts'
import { summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { report, startAll } from './running.ts'
import type { CaseResult, CaseTitle } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Kind } from './contenders.ts'
import type { Member } from './running.ts'

const LATENCY: CaseTitle = {
  suite: 'pubsub',
  case: 'subscribe to remote event, one process',
  unit: 'ms',
  better: 'less'
}

const LOSS: CaseTitle = {
  suite: 'pubsub',
  case: 'lost of 100 in the tick after a subscribe',
  unit: 'messages',
  better: 'less'
}

const ROUNDS = { full: 5, quick: 3 }

/** Subscriptions in a round, of which the median counts */
const SUBSCRIPTIONS = { full: 30, quick: 15 }

/** Milliseconds of silence after which what has not come is lost; GossipSub's heartbeat takes 1,000 and brings nothing */
const IDLE = { full: 1_500, quick: 400 }

const PUBLISHED = 100

/**
 * How soon a subscription is known, and what gets lost until it is
 */
export async function * membership (run: SuiteRun, kinds: Kind[]): AsyncGenerator<CaseResult> {
  const latency = wants(run.options, LATENCY.case) && run.timeFor(LATENCY.case)
  const loss = wants(run.options, LOSS.case) && run.timeFor(LOSS.case)

  if (!latency && !loss) {
    return
  }

  const pairs = await startAll(run, kinds, new URL('./pair-worker.ts', import.meta.url), async (kind, fork) => {
    await fork().call('start', { kind })
  })

  try {
    if (latency) {
      yield await measureLatency(run, pairs)
    }

    if (loss) {
      yield await measureLoss(run, pairs.filter(({ kind }) => kind !== 'limit'))
    }
  } finally {
    await Promise.all(pairs.map(async pair => pair.stop()))
  }
}

async function measureLatency (run: SuiteRun, pairs: Member[]): Promise<CaseResult> {
  const count = SUBSCRIPTIONS[run.length]
  const entrants = pairs.map(({ kind, workers: [worker] }) => {
    const round = async (): Promise<number> => worker.call(kind === 'limit' ? 'probeLatency' : 'subscribeLatency', { count })

    return { name: kind, warmUp: round, round }
  })
  const { samples, failures } = await interleave(entrants, ROUNDS[run.length])
  report(run, LATENCY, failures)

  return summarise(LATENCY, samples)
}

async function measureLoss (run: SuiteRun, pairs: Member[]): Promise<CaseResult> {
  const entrants = pairs.map(({ kind, workers: [worker] }) => ({
    name: kind,
    round: async () => worker.call<number>('lostAfterSubscribe', { count: PUBLISHED, idle: IDLE[run.length] })
  }))
  const { samples, failures } = await interleave(entrants, ROUNDS[run.length])
  report(run, LOSS, failures)

  // the median would hide it
  for (const lost of samples.get('ours') ?? []) {
    if (lost > 0) {
      run.problem(`ours, ${LOSS.case}: ${lost}`)
    }
  }

  return summarise(LOSS, samples)
}
