import { wants } from '../options.ts'
import { summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { Line } from './line.ts'
import { say } from './running.ts'
import type { CaseResult, Contender } from '../report.ts'
import type { Entrant } from '../rounds.ts'
import type { SuiteRun } from '../suite.ts'
import type { Kind } from './contenders.ts'
import type { RoundInit, RoundReport } from './line.ts'

const KIB = 1024

const SIZES = [
  { name: '100 B', bytes: 100 },
  { name: '1 KiB', bytes: KIB },
  { name: '64 KiB', bytes: 64 * KIB }
]

const TOPOLOGIES: Array<{ name: string, hops: number, kinds: Kind[] }> = [
  { name: 'two nodes', hops: 1, kinds: ['ours', 'limit', 'gossipsub', 'floodsub'] },
  { name: 'line of three', hops: 2, kinds: ['ours', 'limit', 'gossipsub'] }
]

/** Milliseconds of publishing in a round */
const PACE = {
  full: { rounds: 5, warmUp: 500, round: 1_000 },
  quick: { rounds: 3, warmUp: 75, round: 150 }
}

/** Messages in a round at most: those that are slow would take a round's time many times over to finish what they began */
const MOST: Record<Kind, { full: number, quick: number }> = {
  ours: { full: 4_000_000, quick: 4_000_000 },
  limit: { full: 4_000_000, quick: 4_000_000 },
  gossipsub: { full: 2_000, quick: 200 },
  floodsub: { full: 2_000, quick: 200 }
}

/** The same at 64 KiB and more; FloodSub's stream breaks in a burst, so more of it would be more of nothing */
const MOST_LARGE: typeof MOST = {
  ...MOST,
  gossipsub: { full: 500, quick: 60 },
  floodsub: { full: 200, quick: 60 }
}

/** Milliseconds of silence after which nothing more is expected; ours may lose nothing, so it gets long */
const IDLE: typeof MOST = {
  ours: { full: 3_000, quick: 2_000 },
  limit: { full: 3_000, quick: 2_000 },
  gossipsub: { full: 1_500, quick: 1_000 },
  floodsub: { full: 1_000, quick: 400 }
}

/** The raw stream without gathering, measured on the limit's processes and only where there is time for it */
const ONE_WRITE_EACH = 'one write each'

/**
 * Messages a second that arrive, by their size, over one hop and over two
 */
export async function * throughput (run: SuiteRun, wanted: Kind[]): AsyncGenerator<CaseResult> {
  const lines = wanted.map(kind => new Line(kind))

  try {
    for (const { name, hops, kinds } of TOPOLOGIES) {
      const cases = SIZES
        .map(size => ({ ...size, title: `${name}, ${size.name}` }))
        .filter(({ title }) => wants(run.options, title))

      if (cases.length === 0 || !run.timeFor(name)) {
        continue
      }

      const started = await startLines(run, lines.filter(({ kind }) => kinds.includes(kind)), hops)

      for (const { title, bytes } of cases) {
        if (run.timeFor(title)) {
          yield await measure(run, title, bytes, started)
        }
      }
    }
  } finally {
    await Promise.all(lines.map(async line => line.stop()))
  }
}

async function startLines (run: SuiteRun, lines: Line[], hops: number): Promise<Line[]> {
  const started = await Promise.all(lines.map(async line => line.start(hops).then(() => true, error => {
    say(run, line.kind, `does not start, ${hops} hops: ${error.message}`)

    return false
  })))

  return lines.filter((_, i) => started[i])
}

async function measure (run: SuiteRun, title: string, bytes: number, lines: Line[]): Promise<CaseResult> {
  const entrants = lines.flatMap(line => line.kind === 'limit' && run.length === 'full'
    ? [new Sender(run, title, line, bytes), new Sender(run, title, line, bytes, ONE_WRITE_EACH)]
    : [new Sender(run, title, line, bytes)]
  )
  const { samples, failures } = await interleave(entrants, PACE[run.length].rounds)

  for (const { contender, error } of failures) {
    say(run, contender, `${title}: ${error.message}`)
  }

  const lost = entrants
    .filter(({ lost }) => lost > 0)
    .map(({ name, lost, sent }): [string, string] => [name, `${lost} of ${sent}`])

  return summarise({ suite: 'pubsub', case: title, unit: 'msg/s', better: 'more' }, samples, Object.fromEntries(lost))
}

/**
 * One contender in one case
 */
class Sender implements Entrant {
  readonly name: Contender
  sent = 0
  lost = 0
  private readonly run: SuiteRun
  private readonly title: string
  private readonly line: Line
  private readonly init: Omit<RoundInit, 'ms'>
  private broken = false

  constructor (run: SuiteRun, title: string, line: Line, bytes: number, name: Contender = line.kind) {
    this.run = run
    this.title = title
    this.line = line
    this.name = name
    this.init = {
      size: bytes,
      max: (bytes < 64 * KIB ? MOST : MOST_LARGE)[line.kind][run.length],
      gather: name !== ONE_WRITE_EACH,
      idle: IDLE[line.kind][run.length]
    }
  }

  async warmUp (): Promise<void> {
    await this.measure(PACE[this.run.length].warmUp)
  }

  async round (): Promise<number> {
    return this.measure(PACE[this.run.length].round)
  }

  private async measure (ms: number): Promise<number> {
    if (this.broken) {
      // what was lost may have taken the stream along
      await this.line.restart()
      this.broken = false
    }

    const report = await this.line.round({ ...this.init, ms })
    this.examine(report)

    return report.rate
  }

  private examine ({ sent, received, duplicates, refused, reason }: RoundReport): void {
    this.sent += sent

    if (refused > 0) {
      this.run.note(`${this.name}, ${this.title}: publish refused ${refused}: ${reason ?? ''}`)
    }

    if (duplicates > 0) {
      say(this.run, this.name, `${this.title}: ${duplicates} came twice`)
    }

    if (received < sent) {
      this.lost += sent - received
      this.broken = true
      say(this.run, this.name, `${this.title}: lost ${sent - received} of ${sent}`)
    }
  }
}
