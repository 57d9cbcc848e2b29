import { CHECKPOINT_ENTRIES } from '../../src/log/constants.ts'
import { takes, wants } from '../options.ts'
import { median, summarise } from '../report.ts'
import { interleave } from '../rounds.ts'
import { Worker } from '../workers.ts'
import { say } from './say.ts'
import type { CaseResult, CaseTitle, Contender, Samples } from '../report.ts'
import type { Entrant } from '../rounds.ts'
import type { SuiteRun } from '../suite.ts'
import type { Life } from './long-worker.ts'
import type { Memory } from './memory.ts'
import type { Place, Workspace } from './workspace.ts'

const LENGTH = { full: 1_000_000, quick: 100_000 }

const ROUNDS = 3

/** Entries that are appended to the long log before its memory is looked at */
const APPENDS = 1_000

const RANGES = 1_000

/** Entries that are appended before a crash: the state is nearly as old as it gets */
const LOST_STATE = Math.floor(CHECKPOINT_ENTRIES * 7 / 8)

/** Milliseconds that a round, or making the log, may take */
const DEADLINE = 180_000

/**
 * What a case is about, and what came of it. A round of the long log tells of several
 */
class Figure {
  readonly #title: CaseTitle
  readonly #samples: Samples = new Map()

  constructor (title: Omit<CaseTitle, 'suite'>) {
    this.#title = { suite: 'log', ...title }
  }

  get name (): string {
    return this.#title.case
  }

  add (contender: Contender, value: number | undefined): void {
    if (value != null) {
      this.#samples.set(contender, [...this.#samples.get(contender) ?? [], value])
    }
  }

  /** Nothing if nothing was measured: not every system tells all of it */
  result (): CaseResult[] {
    return this.#samples.size > 0 ? [summarise(this.#title, this.#samples)] : []
  }
}

/**
 * What a log costs that has long been growing
 */
export async function * long (run: SuiteRun, workspace: Workspace): AsyncGenerator<CaseResult> {
  const count = LENGTH[run.length]
  const name = count.toLocaleString('en')
  const parts = [life(name, count), fingerprints(name), crash(name)]
    .filter(({ figures }) => figures.some(figure => wants(run.options, figure.name)))

  if (parts.length === 0 || !run.timeFor(`a log of ${name}`)) {
    return
  }

  const place = workspace.place()
  const rate = await inProcess('long', async worker => worker.call<number>('build', { place, count }, DEADLINE))
  run.note(`made ${name} by appendMany: ${Math.round(rate).toLocaleString('en')} entries/s`)

  for (const { figures, entrants } of parts) {
    if (run.timeFor(figures[0].name)) {
      const { failures } = await interleave(entrants(place).filter(({ name }) => takes(run.options, name)), ROUNDS)
      failures.forEach(({ contender, error }) => { say(run, contender, `${figures[0].name}: ${error.message}`) })
      yield * figures.filter(figure => wants(run.options, figure.name)).flatMap(figure => figure.result())
    }
  }
}

interface Part {
  figures: Figure[]
  entrants (place: Place): Entrant[]
}

/** Each round in a process of its own, that opens it, reads it, and appends to it */
function life (name: string, count: number): Part {
  const open = new Figure({ case: `open ${name} after a close`, unit: 'ms', better: 'less', limitIs: 'opening LevelDB' })
  const read = new Figure({ case: `entries() of ${name}`, unit: 'entries/s', better: 'more', limitIs: 'LevelDB reads all of its values' })
  const ofMemory = (what: string, limitIs?: string): Figure => new Figure({ case: `memory with ${name}, ${what}`, unit: 'MB', better: 'less', limitIs })
  const memory: Record<keyof Memory, Figure> = {
    rss: ofMemory('RSS', 'LevelDB with the same files'),
    anonymous: ofMemory('RSS but for files', 'LevelDB with the same files'),
    heap: ofMemory('heap')
  }
  let length = count

  const add = (contender: Contender, { rate, memory: bytes }: Pick<Life, 'rate' | 'memory'>): void => {
    read.add(contender, rate)
    memory.rss.add(contender, bytes.rss / 1e6)
    memory.anonymous.add(contender, bytes.anonymous == null ? undefined : bytes.anonymous / 1e6)
  }

  return {
    figures: [open, read, memory.rss, memory.anonymous, memory.heap],
    entrants: place => [
      entrant('ours', async () => {
        const life = await inProcess('long', async worker => worker.call<Life>('live', { place, appends: APPENDS }, DEADLINE))
        length = life.length
        addOpened(open, life.opened)
        add('ours', life)
        // without a limit: LevelDB has next to nothing there
        memory.heap.add('ours', life.memory.heap / 1e6)
      }),
      entrant('limit', async () => {
        add('limit', await inProcess('level', async worker => worker.call('live', { place, length, appends: APPENDS }, DEADLINE)))
      })
    ]
  }
}

function fingerprints (name: string): Part {
  const ofRange = (what: string): Figure => new Figure({ case: `fingerprint in ${name}, ${what}`, unit: 'ms', better: 'less', limitIs: 'two values of LevelDB' })
  const middle = ofRange('median')
  const worst = ofRange(`worst of ${RANGES.toLocaleString('en')}`)

  const asEntrant = (name: Contender, script: Script, method: string) => (place: Place): Entrant => entrant(name, async () => {
    const times = await inProcess(script, async worker => worker.call<number[]>(method, { place, count: RANGES }, DEADLINE))
    middle.add(name, median(times))
    worst.add(name, Math.max(...times))
  })

  return {
    figures: [middle, worst],
    entrants: place => [asEntrant('ours', 'long', 'fingerprints')(place), asEntrant('limit', 'level', 'gets')(place)]
  }
}

/** Whoever writes is killed while he does, and what was said to be stored has to be there */
function crash (name: string): Part {
  const open = new Figure({ case: `open ${name} after kill -9`, unit: 'ms', better: 'less', limitIs: 'opening LevelDB' })

  return {
    figures: [open],
    entrants: place => [entrant('ours', async () => {
      const stored = await inProcess('long', async worker => {
        const length = await worker.call<number>('appendUntil', { place, count: LOST_STATE }, DEADLINE)
        worker.kill()

        return length
      })
      const { opened, length } = await inProcess('long', async worker => worker.call<Pick<Life, 'opened' | 'length'>>('open', { place }, DEADLINE))

      if (length < stored) {
        throw new Error(`${stored} were stored before the crash, ${length} are there after it`)
      }

      addOpened(open, opened)
    })]
  }
}

/** The limit is a part of ours: only one of them can be the first to open what a crash left */
function addOpened (figure: Figure, { datastore, log }: Life['opened']): void {
  figure.add('ours', datastore + log)
  figure.add('limit', datastore)
}

function entrant (name: Contender, run: () => Promise<void>): Entrant {
  return { name, round: async () => run().then(() => undefined) }
}

type Script = 'long' | 'level'

/** In a process of its own: memory, and what is kept in it, is not that of the round before */
async function inProcess<T> (script: Script, use: (worker: Worker) => Promise<T>): Promise<T> {
  const worker = new Worker(new URL(`./${script}-worker.ts`, import.meta.url), ['--expose-gc'])

  try {
    return await use(worker)
  } finally {
    await worker.stop()
  }
}
