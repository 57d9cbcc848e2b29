import { toString } from 'uint8arrays/to-string'
import { randomInt } from '../../../src/runtime/random.ts'
import { FINGERPRINT_KEY, inOrder } from '../../fixtures/logs.ts'
import { copyOfId, lent, nameOf } from './copies.ts'
import { compareOnRing, isIn, pages, placed } from './ring.ts'
import { turn } from './time.ts'
import { signalOf } from './writes.ts'
import type { Life } from './life.ts'
import type { Placed } from './ring.ts'
import type { Action } from './writes.ts'
import type { Entry, RingRange } from '../../../src/log/index.ts'
import type { Random } from '../../../src/runtime/random.ts'

/** In the order of the log, one way or the other, from anywhere on, while others write */
export const iterate: Action = async life => {
  const { random, ledger } = life.world
  const reverse = randomInt(random, 2) === 0
  const known = ledger.seen
  const from = known.length > 0 && randomInt(random, 2) === 0 ? known[randomInt(random, known.length)] : undefined
  const isMoment = randomInt(random, 2) === 0
  const isFrom = (entry: Entry): boolean => from == null || (reverse ? !isAfter(entry, from) : !isAfter(from, entry))
  const found: Entry[] = []
  const changes = from == null ? 0 : ledger.changes(nameOf(from))
  // of an entry that is not there nobody knows where it was
  const isThere = (): boolean => from == null || isMoment || (ledger.state(nameOf(from)) === 'here' && ledger.changes(nameOf(from)) === changes)
  const wasThere = isThere()
  const expectAll = expectation(life, reverse ? 'in reverse' : 'in order', isFrom)

  await life.attempt(async () => {
    const start = from == null ? {} : { from: isMoment ? from.clock : copyOfId(from.id) }
    for await (const entry of life.log.entries({ ...start, reverse, signal: signalOf(life) })) {
      found.push(life.take(entry))
      await pauseSometimes(life)
    }
  }, {
    done: () => {
      expectAscending(life, reverse ? found.slice().reverse() : found)
      if (found.length > 0 || (wasThere && isThere())) {
        expectAll(found.map(nameOf))
      }
    }
  })
  await expectTrue(life, found)
}

export const iterateArrivals: Action = async life => {
  const { random, ledger } = life.world
  const from = randomInt(random, 2) === 0 ? 0 : randomInt(random, ledger.highest + 2)
  const found: Array<{ arrival: number, entry: Entry }> = []
  const expectAll = expectation(life, 'as they arrived', entry => (ledger.arrival(nameOf(entry)) ?? 0) >= from)

  await life.attempt(async () => {
    for await (const { arrival, entry } of life.log.arrivals(from, { signal: signalOf(life) })) {
      found.push({ arrival, entry: life.take(entry) })
      await pauseSometimes(life)
    }
  }, {
    done: () => {
      if (found.some(({ arrival }, i) => arrival < (i === 0 ? from : found[i - 1].arrival + 1))) {
        life.world.fail(`arrivals from ${from} on come as ${found.map(({ arrival }) => arrival).join()}`)
      }
      expectAll(found.map(({ entry }) => nameOf(entry)))
    }
  })
  await expectTrue(life, found.map(({ entry }) => entry))
}

/** Page by page, while others write and remove what the cursor stands on */
export const turnPages: Action = async life => {
  const { world: { random, ledger }, log } = life
  const range = anyRange(random)
  const limit = 1 + randomInt(random, 20)
  const places = new Map<string, Placed>()
  const note = async (): Promise<void> => {
    for (const entry of ledger.seen) {
      places.set(nameOf(entry), places.get(nameOf(entry)) ?? await placed(entry))
    }
  }
  await note()
  const expectAll = expectation(life, `in pages of ${limit} from ${range.from} to ${range.to}`, entry => {
    const place = places.get(nameOf(entry))
    return place != null && isIn(place, range)
  })
  let found: Uint8Array[] = []

  await life.attempt(async () => { found = await pages(log, range, limit, async () => pauseSometimes(life)) }, {
    done: () => { expectAll(found.map(id => toString(id, 'base16'))) }
  })

  await note()
  // of what nobody told of yet nobody knows where it is
  const inPages = found.map(id => places.get(toString(id, 'base16'))).filter(place => place != null)
  const wrong = inPages.find((place, i) => !isIn(place, range) || (i > 0 && compareOnRing(inPages[i - 1], place, range) >= 0))

  if (wrong != null) {
    life.world.fail(`in pages of ${range.from} to ${range.to}, ${toString(wrong.id, 'base16')} is out of order or out of the range`)
  }
}

/** What is here is found by its id, and what is not here is not */
export const lookUp: Action = async life => {
  const { world: { random, ledger, options: { scribbles } }, log } = life
  const some = ledger.seen.filter(() => randomInt(random, 20) === 0)

  await Promise.all(some.map(async entry => {
    const expectOne = expectation(life, 'by its id', other => other === entry)
    const asked = copyOfId(entry.id)
    await life.attempt(async () => lent([asked.bytes], scribbles, async () => {
      if (randomInt(random, 2) === 0) {
        return await log.has(asked) ? [entry] : []
      }
      const found = await log.get(asked)
      return found == null ? [] : [life.take(found)]
    }), {
      done: found => {
        expectOne(found.map(nameOf))
        if (found.length > 0 && nameOf(found[0]) !== nameOf(entry)) {
          life.world.fail(`${nameOf(entry)} was asked for, and ${nameOf(found[0])} was handed out`)
        }
      }
    })
  }))
}

export const ask: Action = async life => {
  const { log, world: { random } } = life
  const key = Uint8Array.from(FINGERPRINT_KEY)
  await life.attempt(async () => lent([key], life.world.options.scribbles, async () => log.fingerprint(anyRange(random), key)))
  await life.attempt(async () => log.heads(), { done: heads => { heads.forEach(entry => life.take(entry)) } })
  log.diagnostics()
}

/**
 * What a read that begins now has to find of those that match: all that are here all the while. It may find what comes or
 * goes meanwhile, and nothing else
 */
function expectation (life: Life, how: string, matches: (entry: Entry) => boolean): (found: string[]) => void {
  const { ledger, fail } = life.world
  const touched = life.touchedFromNow()
  const before = new Map(ledger.seen.map(entry => [nameOf(entry), { state: ledger.state(nameOf(entry)), changes: ledger.changes(nameOf(entry)) }]))

  return found => {
    const ids = new Set(found)
    const isTouched = touched()
    const still = (id: string): boolean => before.get(id)?.state === ledger.state(id) && before.get(id)?.changes === ledger.changes(id) && !isTouched.has(id)
    const twice = found.filter((id, i) => still(id) && found.indexOf(id) < i)
    // what is lost on a damaged disk is missed when all is at rest
    const missing = ledger.seen.filter(entry => !life.world.options.isRot && still(nameOf(entry)) && ledger.state(nameOf(entry)) === 'here' && matches(entry) && !ids.has(nameOf(entry)))
    const extra = found.filter(id => still(id) && ledger.state(id) === 'gone')

    if (twice.length + missing.length + extra.length > 0) {
      fail(`${how} ${found.length} were read; missing ${missing.map(nameOf).join()}; not here, and read ${extra.join()}; twice ${twice.join()}`)
    }
  }
}

function expectAscending ({ world: { fail } }: Life, entries: Entry[]): void {
  const at = entries.findIndex((entry, i) => i > 0 && !isAfter(entry, entries[i - 1]))

  if (at >= 0) {
    fail(`${at} of ${entries.length} entries, ${nameOf(entries[at])}, does not belong behind ${nameOf(entries[at - 1])}`)
  }
}

async function expectTrue ({ world }: Life, entries: Entry[]): Promise<void> {
  world.fail(...await world.truth.check(entries))
}

function isAfter (a: Entry, b: Entry): boolean {
  return nameOf(a) !== nameOf(b) && inOrder([a, b])[1] === a
}

export function anyRange (random: Random): RingRange {
  const position = (): number => randomInt(random, 2 ** 32)
  return [{}, { from: position() }, { to: position() }, { from: position(), to: position() }][randomInt(random, 4)]
}

async function pauseSometimes ({ world: { random } }: Life): Promise<void> {
  if (randomInt(random, 10) === 0) {
    await turn()
  }
}
