import { wants } from '../options.ts'
import { median, summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { report, startAll } from './running.ts'
import type { CaseResult, CaseTitle } from '../report.ts'
import type { Entrant } from '../rounds.ts'
import type { SuiteRun } from '../suite.ts'
import type { Kind } from './contenders.ts'
import type { Member } from './running.ts'

const HEAP: CaseTitle = {
  suite: 'pubsub',
  case: 'heap of an idle neighbour',
  unit: 'KB',
  better: 'less'
}

const ROUNDS = 3

/** Neighbours that come in a round: enough for one to show in a heap of some 30 MB */
const NEIGHBOURS = { full: 50, quick: 12 }

/**
 * Neighbours before the first round, so that what there is once is not shared out among the others: also the code that
 * is compiled when it has run often, which came to 8 KB a neighbour behind 5
 */
const FIRST = 60

/**
 * What one more neighbour costs that subscribes to nothing. libp2p and identify alone, without
 * any pubsub, run beside it: their share is subtracted.
 */
export async function * heap (run: SuiteRun, wanted: Kind[]): AsyncGenerator<CaseResult> {
  if (!wants(run.options, HEAP.case) || !run.timeFor(HEAP.case)) {
    return
  }

  // without the stack itself there is nothing to subtract
  const kinds: Kind[] = [...wanted.filter(kind => kind !== 'limit'), 'limit']
  const stars = await startAll(run, kinds, new URL('./heap-worker.ts', import.meta.url), async (kind, fork) => {
    const [hub, neighbours] = [fork(['--expose-gc']), fork()]
    const address = await hub.call<string>('startHub', { kind })
    await neighbours.call('startNeighbours', { kind, hub: address })
    await neighbours.call('addNeighbours', { count: FIRST })
  })

  try {
    yield await measure(run, stars)
  } finally {
    await Promise.all(stars.map(async star => star.stop()))
  }
}

async function measure (run: SuiteRun, stars: Member[]): Promise<CaseResult> {
  const count = NEIGHBOURS[run.length]
  const { samples, failures } = await interleave(stars.map(star => asEntrant(star, count)), ROUNDS)
  report(run, HEAP, failures)

  const stack = median(samples.get('limit') ?? [])
  samples.delete('limit')

  for (const [kind, values] of samples) {
    samples.set(kind, values.map(value => value - stack))
  }

  return summarise(HEAP, samples)
}

function asEntrant ({ kind, workers: [hub, neighbours] }: Member, count: number): Entrant {
  let known = FIRST
  let before: number

  return {
    name: kind,
    warmUp: async () => {
      before = await hub.call<number>('heap', { count: known })
    },
    round: async () => {
      await neighbours.call('addNeighbours', { count })
      known += count
      const after = await hub.call<number>('heap', { count: known })
      const kilobytes = (after - before) / count / 1_000
      before = after

      return kilobytes
    }
  }
}
