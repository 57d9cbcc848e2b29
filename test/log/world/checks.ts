import { equals } from 'uint8arrays/equals'
import { toString } from 'uint8arrays/to-string'
import { randomInt } from '../../../src/runtime/random.ts'
import { collect, FINGERPRINT_KEY, inOrder, naiveHeads } from '../../fixtures/logs.ts'
import { nameOf } from './copies.ts'
import { anyRange } from './reads.ts'
import { naiveRange, pages } from './ring.ts'
import type { Life } from './life.ts'
import type { Truth } from './truth.ts'
import type { Entry, Log } from '../../../src/log/index.ts'
import type { Random } from '../../../src/runtime/random.ts'

/** A log that is read, and who hears of what is wrong with it */
export interface Reading {
  log: Log
  truth: Truth
  random: Random
  fail (...what: string[]): void
  /** A copy of what was handed out */
  take (entry: Entry): Entry
}

/** What is in a log, read in every way there is */
export interface Content {
  entries: Entry[]
  arrivals: Map<string, number>
}

/** Reads all of a log that is at rest, and says what is wrong with it in itself: whatever was promised, all ways to read it agree */
export async function read (reading: Reading): Promise<Content> {
  const { log, truth, random, fail } = reading
  const take = (entry: Entry): Entry => reading.take(entry)
  const entries = (await collect(log.entries())).map(take)
  const ids = entries.map(nameOf)
  fail(...await truth.check(entries))
  expectSame(reading, 'in the order of the log', ids, inOrder(entries).map(nameOf))
  expectSame(reading, 'as the length', [log.length], [ids.length])

  const reversed = (await collect(log.entries({ reverse: true }))).map(take)
  fail(...await truth.check(reversed))
  expectSame(reading, 'in reverse', reversed.map(nameOf), ids.slice().reverse())

  const arrived = (await collect(log.arrivals())).map(({ arrival, entry }) => ({ arrival, entry: take(entry) }))
  fail(...await truth.check(arrived.map(({ entry }) => entry)))
  expectSame(reading, 'as they arrived', arrived.map(({ entry }) => nameOf(entry)).sort(), ids.slice().sort())
  expectSame(reading, 'as numbers of arrivals', arrived.map(({ arrival }) => arrival), [...new Set(arrived.map(({ arrival }) => arrival))].sort((a, b) => a - b))

  const all = (await naiveRange(entries, {})).map(({ id }) => toString(id, 'base16'))
  expectSame(reading, 'on the ring', (await pages(log, {}, 1 + randomInt(random, 30))).map(id => toString(id, 'base16')), all)
  const range = anyRange(random)
  const some = (await naiveRange(entries, range)).map(({ id }) => toString(id, 'base16'))
  expectSame(reading, `between ${range.from} and ${range.to}`, (await pages(log, range, 1 + randomInt(random, 30))).map(id => toString(id, 'base16')), some)
  expectSame(reading, `as the count between ${range.from} and ${range.to}`, [(await log.fingerprint(range, FINGERPRINT_KEY)).count], [some.length])

  const gotten = await Promise.all(entries.map(async ({ id }) => log.get(id)))
  expectSame(reading, 'by their ids', gotten.map(entry => entry == null ? 'nothing' : nameOf(take(entry))), ids)
  const { bytes } = log.diagnostics()
  expectSame(reading, 'as their bytes', [bytes], [entries.reduce((sum, { bytes, proof }) => sum + bytes.byteLength + proof.byteLength, 0)])

  return { entries, arrivals: new Map(arrived.map(({ arrival, entry }) => [nameOf(entry), arrival])) }
}

/** Parts of a log: what is read from somewhere on is the same as the end of the whole */
export async function readFromSomewhere (life: Life, { entries, arrivals }: Content): Promise<void> {
  const { world: { random }, log } = life

  if (entries.length === 0) {
    return
  }

  const at = randomInt(random, entries.length)
  const read = async (options: Parameters<typeof log.entries>[0]): Promise<string[]> => (await collect(log.entries(options))).map(entry => nameOf(life.take(entry)))
  const ids = entries.map(nameOf)
  expectSame(life.reading, 'from an id on', await read({ from: entries[at].id }), ids.slice(at))
  expectSame(life.reading, 'from an id down', await read({ from: entries[at].id, reverse: true }), ids.slice(0, at + 1).reverse())
  const { time, counter } = entries[at].clock
  const isBefore = ({ clock }: Entry): boolean => clock.time < time || (clock.time === time && clock.counter < counter)
  expectSame(life.reading, 'from a moment on', await read({ from: entries[at].clock }), ids.slice(entries.filter(isBefore).length))

  const numbers = [...arrivals.values()].sort((a, b) => a - b)
  const arrived = (await collect(log.arrivals(numbers[at]))).map(({ arrival }) => arrival)
  expectSame(life.reading, 'from an arrival on', arrived, numbers.slice(at))
}

/** What the heads and the fingerprint say: that takes all that was ever here, and another log that has the same */
export async function compareWithOthers (life: Life, { entries }: Content): Promise<void> {
  const { world, log } = life
  const here = new Set(entries.map(nameOf))
  const heads = (await log.heads()).map(entry => nameOf(life.take(entry))).sort()

  // a disk that is damaged forgets what was there once
  if (!world.options.isRot) {
    expectSame(life.reading, 'as heads', heads, naiveHeads(entries, world.ledger.seen.filter(entry => !here.has(nameOf(entry)))))
  }

  const mirror = await world.mirror.of(entries)
  const [own, others] = await Promise.all([log, mirror].map(async log => log.fingerprint({}, FINGERPRINT_KEY)))
  expectSame(life.reading, 'as the count of the fingerprint', [own.count], [entries.length])

  if (!equals(own.fingerprint, others.fingerprint)) {
    world.fail('the fingerprint is another one than that of a log which has the same entries')
  }
}

export async function checkMarks ({ world: { ledger, options, fail }, log }: Life): Promise<void> {
  for (const program of ledger.programs) {
    const marked = await log.marked(program)

    if (!ledger.marked(program).has(marked) && !options.isRot) {
      fail(`${program} is marked with ${marked}, and not with ${[...ledger.marked(program)].join(' or ')}`)
    }

    ledger.setMarked(program, marked)
  }
}

function expectSame <T> ({ fail }: Reading, what: string, found: T[], expected: T[]): void {
  if (found.length === expected.length && found.every((item, i) => item === expected[i])) {
    return
  }

  const missing = expected.filter(item => !found.includes(item))
  const extra = found.filter(item => !expected.includes(item))
  fail(`${what}: ${found.length} where ${expected.length} are expected; missing ${missing.join()}; extra ${extra.join()}`)
}
