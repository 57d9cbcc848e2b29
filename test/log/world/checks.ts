import { equals } from 'uint8arrays/equals'
import { toString } from 'uint8arrays/to-string'
import { randomInt } from '../../../src/runtime/random.ts'
import { collect, FINGERPRINT_KEY, inOrder, naiveHeads } from '../../fixtures/logs.ts'
import { nameOf } from './copies.ts'
import { shuffled } from './disk.ts'
import { anyRange } from './reads.ts'
import { naiveRange, pages } from './ring.ts'
import type { Mirror } from './mirror.ts'
import type { Truth } from './truth.ts'
import type { Entry, Log } from '../../../src/log/index.ts'
import type { Random } from '../../../src/runtime/random.ts'

/** Entries that are asked for by their ids each time that all is read */
const MOST_ASKED = 40

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

  const asked = shuffled(entries, random).slice(0, MOST_ASKED)
  const answers = await Promise.all(asked.map(async ({ id }) => log.get(id)))
  expectSame(reading, 'by their ids', answers.map(entry => entry == null ? 'nothing' : nameOf(take(entry))), asked.map(nameOf))
  const { bytes } = log.diagnostics()
  expectSame(reading, 'as their bytes', [bytes], [entries.reduce((sum, { bytes, proof }) => sum + bytes.byteLength + proof.byteLength, 0)])

  return { entries, arrivals: new Map(arrived.map(({ arrival, entry }) => [nameOf(entry), arrival])) }
}

/** Parts of a log: what is read from somewhere on is the same as the end of the whole */
export async function readFromSomewhere (reading: Reading, { entries, arrivals }: Content): Promise<void> {
  const { log, random } = reading

  if (entries.length === 0) {
    return
  }

  const at = randomInt(random, entries.length)
  const read = async (options: Parameters<typeof log.entries>[0]): Promise<string[]> => (await collect(log.entries(options))).map(entry => nameOf(reading.take(entry)))
  const ids = entries.map(nameOf)
  expectSame(reading, 'from an id on', await read({ from: entries[at].id }), ids.slice(at))
  expectSame(reading, 'from an id down', await read({ from: entries[at].id, reverse: true }), ids.slice(0, at + 1).reverse())
  const { time, counter } = entries[at].clock
  const isBefore = ({ clock }: Entry): boolean => clock.time < time || (clock.time === time && clock.counter < counter)
  expectSame(reading, 'from a moment on', await read({ from: entries[at].clock }), ids.slice(entries.filter(isBefore).length))

  const numbers = [...arrivals.values()].sort((a, b) => a - b)
  const arrived = (await collect(log.arrivals(numbers[at]))).map(({ arrival }) => arrival)
  expectSame(reading, 'from an arrival on', arrived, numbers.slice(at))
}

/** What the heads say of all that ever was in the log */
export async function checkHeads (reading: Reading, { entries }: Content, seen: Entry[]): Promise<void> {
  const here = new Set(entries.map(nameOf))
  const heads = (await reading.log.heads()).map(entry => nameOf(reading.take(entry))).sort()
  expectSame(reading, 'as heads', heads, naiveHeads(entries, seen.filter(entry => !here.has(nameOf(entry)))))
}

/** The fingerprint is that of another log which has the same entries */
export async function checkFingerprint (reading: Reading, { entries }: Content, mirror: Mirror): Promise<void> {
  const other = await mirror.of(entries)
  const [own, others] = await Promise.all([reading.log, other].map(async log => log.fingerprint({}, FINGERPRINT_KEY)))
  expectSame(reading, 'as the count of the fingerprint', [own.count], [entries.length])

  if (!equals(own.fingerprint, others.fingerprint)) {
    reading.fail('the fingerprint is another one than that of a log which has the same entries')
  }
}

function expectSame <T> ({ fail }: Reading, what: string, found: T[], expected: T[]): void {
  if (found.length === expected.length && found.every((item, i) => item === expected[i])) {
    return
  }

  const missing = expected.filter(item => !found.includes(item))
  const extra = found.filter(item => !expected.includes(item))
  fail(found.length === 1 && expected.length === 1
    ? `${what}: ${found[0]} where ${expected[0]} is expected`
    : `${what}: ${found.length} where ${expected.length} are expected; missing ${missing.join()}; extra ${extra.join()}`)
}
