import { wants } from '../options.ts'
import { summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { Line } from './line.ts'
import { report } from './running.ts'
import type { CaseResult, CaseTitle } from '../report.ts'
import type { SuiteRun } from '../suite.ts'
import type { Kind } from './contenders.ts'

const BESIDE: CaseTitle = {
  suite: 'pubsub',
  case: 'publish beside 8 MB of another topic, p95',
  unit: 'ms',
  better: 'less'
}

const ACKED: CaseTitle = {
  suite: 'pubsub',
  case: 'acked publish, one by one',
  unit: 'msg/s',
  better: 'more'
}

const FLOOD_BYTES = 8 * 1024 * 1024
const ROUNDS = { full: 5, quick: 2 }
const PROBES = { full: 20, quick: 5 }
const MESSAGES = { full: 3_000, quick: 500 }

/**
 * How long a message waits for others, and for its ack. Between two processes
 */
export async function * waits (run: SuiteRun, kinds: Kind[]): AsyncGenerator<CaseResult> {
  yield * measure(run, BESIDE, kinds.filter(kind => kind !== 'limit'), async line => line.wait(PROBES[run.length], FLOOD_BYTES))
  // the others have no acks. The limit is an echo
  yield * measure(run, ACKED, kinds.filter(kind => kind === 'ours' || kind === 'limit'), async line => line.acked(MESSAGES[run.length]))
}

async function * measure (run: SuiteRun, title: CaseTitle, kinds: Kind[], round: (line: Line) => Promise<number>): AsyncGenerator<CaseResult> {
  if (kinds.length === 0 || !wants(run.options, title.case) || !run.timeFor(title.case)) {
    return
  }

  const lines = kinds.map(kind => new Line(kind))

  try {
    await Promise.all(lines.map(async line => line.start(1)))
    const entrants = lines.map(line => ({ name: line.kind, warmUp: async () => round(line), round: async () => round(line) }))
    const { samples, failures } = await interleave(entrants, ROUNDS[run.length])
    report(run, title, failures)
    yield summarise(title, samples)
  } finally {
    await Promise.all(lines.map(async line => line.stop()))
  }
}
