import { randomInt } from '../../../src/runtime/random.ts'
import { said, text } from '../../fixtures/logs.ts'
import { copyOf, copyOfId, lent, nameOf } from './copies.ts'
import { delivery, junk } from './foreign.ts'
import type { Life } from './life.ts'
import type { RawEntry } from '../../../src/log/core/types.ts'
import type { AppendOptions, Entry, JoinOutcome, TrimOptions } from '../../../src/log/index.ts'

/** Milliseconds that a clock may be ahead, from the specification, and how far from it nothing is said of what becomes of an entry */
const MAX_AHEAD = 60_000
const MARGIN = 5_000

/** One of the things that a program changes a log with */
export type Action = (life: Life) => Promise<void>

export const append: Action = async life => {
  const { world, log } = life
  const [data] = newTexts(life, 1)
  const options = appendOptions(life)
  const { scribbles } = world.options
  const group = Uint8Array.from(options.group ?? [])

  await life.attempt(async () => lent(buffersOf([data], options), scribbles, async () => log.append(data.bytes, options)), {
    done: entry => { expectAppended(life, [data.text], [entry], group) }
  })
}

export const appendMany: Action = async life => {
  const { world, log } = life
  const items = newTexts(life, randomInt(world.random, 24))
  const options = appendOptions(life)
  const group = Uint8Array.from(options.group ?? [])
  const bytes = items.map(({ bytes }) => bytes)
  const isStream = randomInt(world.random, 3) === 0
  // one that is read later cannot be used again before
  const buffers = isStream ? [] : buffersOf(items, options)

  await life.attempt(async () => lent(buffers, world.options.scribbles, async () => log.appendMany(isStream ? streamOf(bytes) : bytes, options)), {
    done: entries => { expectAppended(life, items.map(({ text }) => text), entries, group) }
  })
}

export const appendAtOnce: Action = async life => {
  await Promise.all(Array.from({ length: 2 + randomInt(life.world.random, 12) }, async () => append(life)))
}

/** What others made, as they may hand it in, and among it what is not true */
export const join: Action = async life => {
  const { random, foreign } = life.world
  const from = randomInt(random, foreign.entries.length)
  const some = delivery(foreign.entries.slice(from, from + 1 + randomInt(random, 16)), random)
  await joinAll(life, some, randomInt(random, 3) === 0 ? randomInt(random, 6) : 0)
}

/** Entries of clocks that are ahead */
export const joinAhead: Action = async life => {
  const { random, foreign } = life.world
  await joinAll(life, delivery(foreign.ahead, random), 0)
}

/** What came and went may come again */
export const joinAgain: Action = async life => {
  const { random, ledger } = life.world
  const from = randomInt(random, ledger.seen.length + 1)
  const gone = ledger.seen.slice(from, from + 40).filter(entry => ledger.state(nameOf(entry)) === 'gone')
  await joinAll(life, gone, 0)
}

export const remove: Action = async life => {
  const { random, ledger, options: { scribbles } } = life.world
  const here = ledger.here
  const from = randomInt(random, 2) === 0 ? 0 : randomInt(random, here.length + 1)
  const some = here.slice(from, from + randomInt(random, 30)).filter(() => randomInt(random, 5) > 0)
  // those that are not there as well, and some of them twice
  const others = ledger.seen.filter(() => randomInt(random, 40) === 0)
  const ids = [...some, ...others].map(({ id }) => copyOfId(id))
  const before = [...some, ...others].map(entry => ({ id: nameOf(entry), changes: ledger.changes(nameOf(entry)) }))

  await life.attempt(async () => lent(ids.map(({ bytes }) => bytes), scribbles, async () => life.log.remove(ids)), {
    touches: () => before.map(({ id }) => id),
    done: () => {
      // what was lost on a damaged disk cannot be removed
      before.filter(({ id, changes }) => !life.world.options.isRot && ledger.state(id) === 'here' && ledger.changes(id) === changes).forEach(({ id }) => {
        life.world.fail(`${id} was to be removed, and nobody was told that it was`)
      })
    }
  })
}

export const trim: Action = async life => {
  const { ledger } = life.world
  const isFirst = life.attempts === 0
  const { begun } = life
  const { removals } = ledger
  const options = trimOptions(life)

  await life.attempt(async () => life.log.trim(options), {
    // also what came in after it was asked to trim, and before its turn
    touches: () => ledger.seen.map(nameOf).filter(id => ledger.state(id) !== 'gone'),
    done: count => {
      const { length } = life.log
      const went = ledger.removals - removals

      // what else happens meanwhile has its own say
      if (isFirst && life.begun === begun + 1 && (length > (options.length ?? Infinity) || went !== count)) {
        life.world.fail(`a trim to ${options.length ?? 'any'} removed ${count}, ${went} went, and ${length} stayed`)
      }
    }
  })
}

export const mark: Action = async life => {
  const { random, ledger } = life.world
  const program = `program ${randomInt(random, 2)}`
  const arrival = randomInt(random, 1000)
  const done = ledger.mark(program, arrival)
  await life.attempt(async () => life.log.mark(program, arrival), { done })
}

/** Hands in entries that others made, and things that they did not make, and looks at what becomes of each */
export async function joinAll (life: Life, entries: Entry[], junks: number): Promise<void> {
  const { world: { random, ledger, foreign, options: { scribbles } } } = life
  const offers: Array<{ raw: RawEntry, entry?: Entry }> = entries.map(entry => ({ raw: copyOf(entry), entry }))

  for (let i = 0; i < junks; i++) {
    offers.splice(randomInt(random, offers.length + 1), 0, { raw: junk(foreign.entries, random) })
  }

  const raws = offers.map(({ raw: { bytes, proof } }) => ({ bytes, proof }))
  const signal = signalOf(life)
  const verdicts = entries.length === 0 ? [] : offers.map(({ entry }) => entry == null ? ['refused', 'known'] : expectedOutcomes(life, entry))
  ledger.offer(entries)

  await life.attempt(async () => lent(raws.flatMap(({ bytes, proof }) => [bytes, proof]), scribbles, async () => life.log.join(raws, { signal })), {
    touches: () => entries.map(nameOf),
    done: outcomes => {
      verdicts.forEach((expected, i) => {
        const outcome = outcomeOf(outcomes[i])
        if (!expected.includes(outcome)) {
          life.world.fail(`${i} of ${raws.length}, ${offers[i].entry == null ? 'junk' : said(offers[i].entry as Entry)}, was ${outcome}, and not ${expected.join(' or ')}`)
        }
      })
    }
  })
}

/** What may become of a true entry that is handed in now */
function expectedOutcomes ({ world }: Life, entry: Entry): string[] {
  const ahead = Number(entry.clock.time) - world.time.wall()
  const waits = ['known', 'waiting', 'FutureEntryError']
  const comes = world.isRefused(said(entry)) ? ['AppendRefusedError', 'known'] : ['added', 'known']

  // the clock may be set meanwhile; and a log does not have to believe one that goes back
  if (Math.abs(ahead - MAX_AHEAD) < MARGIN || world.options.clock !== 'even' || world.time.behind > 0) {
    return [...waits, ...comes]
  }

  return ahead > MAX_AHEAD ? waits : comes
}

function outcomeOf (outcome: JoinOutcome): string {
  if (outcome.status !== 'refused') {
    return outcome.status
  }
  return ['AppendRefusedError', 'FutureEntryError'].includes(outcome.reason.name) ? outcome.reason.name : 'refused'
}

function expectAppended (life: Life, texts: string[], entries: Entry[], group: Uint8Array): void {
  const { world } = life

  if (entries.length !== texts.length) {
    world.fail(`${texts.length} were appended, and ${entries.length} came of it`)
  }

  entries.map(entry => life.take(entry)).forEach((entry, i) => {
    if (said(entry) !== texts[i]) {
      world.fail(`'${texts[i]}' was appended, and the entry says '${said(entry)}'`)
    }
    if (entry.group.toString() !== group.toString()) {
      world.fail(`'${texts[i]}' is in another group than it was appended to`)
    }
    if (world.ledger.state(nameOf(entry)) == null) {
      world.fail(`'${texts[i]}' was appended, and nobody was told that it was added`)
    }
  })
}

interface Data {
  text: string
  bytes: Uint8Array
}

function newTexts ({ world: { random, ledger, newName } }: Life, count: number): Data[] {
  const texts = Array.from({ length: count }, () => `${newName()}${'.'.repeat(randomInt(random, 20) === 0 ? randomInt(random, 2000) : randomInt(random, 20))}`)
  ledger.ask(texts)
  return texts.map(what => ({ text: what, bytes: text(what) }))
}

function appendOptions (life: Life): AppendOptions {
  const { random } = life.world
  const group = randomInt(random, 3) === 0 ? text(`group ${randomInt(random, 5)}`) : undefined
  return { ...group == null ? {} : { group }, signal: signalOf(life) }
}

function trimOptions ({ world: { random }, log }: Life): TrimOptions {
  switch (randomInt(random, 4)) {
    case 0:
      return { length: Math.max(0, log.length - randomInt(random, 40)) }
    case 1:
      return { age: randomInt(random, 120_000) }
    case 2:
      return { bytes: Math.floor(log.diagnostics().bytes * (0.5 + random() / 2)) }
    default: {
      const which = randomInt(random, 8)
      return { when: ({ id }) => id.bytes[31] % 8 === which }
    }
  }
}

/** Mostly none, sometimes one that is aborted before, at once or some turns later */
export function signalOf ({ world: { random, time } }: Life): AbortSignal | undefined {
  const kind = randomInt(random, 16)

  if (kind === 0) {
    return AbortSignal.abort()
  }
  if (kind < 3) {
    const controller = new AbortController()
    time.after(kind === 1 ? 0 : randomInt(random, 20), () => { controller.abort() })
    return controller.signal
  }
}

function buffersOf (items: Data[], { group }: AppendOptions): Uint8Array[] {
  return [...items.map(({ bytes }) => bytes), ...group == null ? [] : [group]]
}

async function * streamOf (items: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const item of items) {
    yield item
    await Promise.resolve()
  }
}
