import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { Writer } from '../../src/runtime/codec.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { addLanes, expandId, LANES } from '../../src/storage/core/fingerprint.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { allOf, closeLogs, expectSound, FINGERPRINT_KEY, headsOf, idsOf, inOrder, name, naiveHeads, newKey, newLog, outcomes, SetClock, SMALL, text } from '../fixtures/logs.ts'
import type { Sizes } from '../../src/log/constants.ts'
import type { Entry, Log, RingRange } from '../../src/log/index.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { PrivateKey } from '@libp2p/interface'

const RUNS = IS_LONG ? 100 : 15
const RING = 2 ** 32
const AUTHORS = 3

/** What happens to the logs, one after the other */
type Step =
  | { type: 'append', at: number, count: number, group: number }
  /** Some of what one has goes to another, shuffled, some of it twice, in parcels of this size */
  | { type: 'exchange', from: number, to: number, share: number, parcel: number }
  | { type: 'time', at: number, ms: number }

const anyLog = fc.nat(AUTHORS - 1)
const anyAppend = fc.record({ type: fc.constant('append' as const), at: anyLog, count: fc.integer({ min: 1, max: 5 }), group: fc.nat(3) })
const anyExchange = fc.record({
  type: fc.constant('exchange' as const), from: anyLog, to: anyLog, share: fc.constantFrom(0.3, 0.6, 1), parcel: fc.integer({ min: 1, max: 8 })
})
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: anyAppend },
  { weight: 6, arbitrary: anyExchange },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('time' as const), at: anyLog, ms: fc.integer({ min: -2000, max: 2000 }) }) }
)
/** Without the size, most would have a handful */
const anySteps = fc.array(anyStep, { minLength: 1, maxLength: 25, size: 'max' })

function shuffled <T> (items: T[], random: Random): T[] {
  const all = items.slice()
  for (let i = all.length - 1; i > 0; i--) {
    const k = randomInt(random, i + 1);
    [all[i], all[k]] = [all[k], all[i]]
  }
  return all
}

/** A log of an author, and the clock that it believes */
class Peer {
  readonly clock: SetClock
  readonly log: Log

  private constructor (clock: SetClock, log: Log) {
    this.clock = clock
    this.log = log
  }

  static async open (privateKey: PrivateKey, sizes: Partial<Sizes> = {}): Promise<Peer> {
    const clock = new SetClock()
    return new Peer(clock, await newLog({ privateKey, clock }, sizes))
  }

  /** Entries in parcels: all are true, so none may be refused */
  async receive (entries: Entry[], parcel: number): Promise<void> {
    for (let i = 0; i < entries.length; i += parcel) {
      const joined = await this.log.join(entries.slice(i, i + parcel))
      expect(outcomes(joined)).to.satisfy((all: string[]) => all.every(outcome => ['added', 'known'].includes(outcome)))
    }
  }
}

async function play (peers: Peer[], steps: Step[], random: Random): Promise<void> {
  for (const step of steps) {
    switch (step.type) {
      case 'append': {
        const data = Array.from({ length: step.count }, () => text(`${random()}`))
        await peers[step.at].log.appendMany(data, { group: step.group === 0 ? undefined : text(`group ${step.group}`) })
        break
      }
      case 'exchange': {
        const entries = (await allOf(peers[step.from].log)).filter(() => random() < step.share)
        const twice = entries.filter(() => random() < 0.2)
        await peers[step.to].receive(shuffled([...entries, ...twice], random), step.parcel)
        break
      }
      case 'time':
        peers[step.at].clock.time += step.ms
    }
  }
}

/** Everybody gets what anybody has */
async function meet (peers: Peer[], random: Random): Promise<Entry[]> {
  const all = new Map<string, Entry>()

  for (const { log } of peers) {
    (await allOf(log)).forEach(entry => { all.set(name(entry), entry) })
  }
  for (const peer of peers) {
    await peer.receive(shuffled([...all.values()], random), 1 + randomInt(random, 40))
  }

  return [...all.values()]
}

async function sha256 (bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes.slice()))
}

/** Where an entry is on the ring, by the words of the specification */
async function positionOf ({ id, group }: Entry): Promise<number> {
  const hash = group.byteLength === 0 ? id.bytes : await sha256(group)
  return new DataView(hash.buffer, hash.byteOffset).getUint32(0)
}

interface Naive {
  ids: string[]
  heads: string[]
  ring: Array<{ position: number, id: Uint8Array }>
}

async function naiveOf (entries: Entry[]): Promise<Naive> {
  const ring = await Promise.all(entries.map(async entry => ({ position: await positionOf(entry), id: entry.id.bytes })))
  ring.sort((a, b) => a.position - b.position || compare(a.id, b.id))
  return { ids: inOrder(entries).map(name), heads: naiveHeads(entries), ring }
}

async function naiveFingerprint (ids: Uint8Array[]): Promise<{ count: number, fingerprint: Uint8Array }> {
  const sum = new Uint32Array(LANES)
  const lanes = new Uint32Array(LANES)
  ids.forEach(id => {
    expandId(id, 0, lanes)
    addLanes(sum, 0, lanes)
  })
  const writer = new Writer().bytes(FINGERPRINT_KEY).uvarint(ids.length)
  sum.forEach(lane => { [0, 8, 16, 24].forEach(shift => writer.byte((lane >>> shift) & 0xff)) })
  return { count: ids.length, fingerprint: (await sha256(writer.finish())).subarray(0, 16) }
}

/** Ranges that end at positions where something is are those that count wrong */
function rangesOf ({ ring }: Naive, random: Random): Array<Required<RingRange>> {
  const bounds = [0, ...ring.map(({ position }) => position), ...ring.map(({ position }) => (position + 1) % RING), randomInt(random, RING)]
  const pick = (): number => bounds[randomInt(random, bounds.length)]
  const ranges = Array.from({ length: 8 }, () => [pick(), pick()].sort((a, b) => a - b)).map(([from, to]) => ({ from, to }))
  return [{ from: 0, to: 0 }, ...ranges.filter(({ from, to }) => from < to)]
}

async function expectNaive (log: Log, naive: Naive, random: Random): Promise<void> {
  expect(await idsOf(log)).to.deep.equal(naive.ids)
  expect(log.length).to.equal(naive.ids.length)
  expect(await headsOf(log)).to.deep.equal(naive.heads)

  for (const range of rangesOf(naive, random)) {
    const inside = naive.ring.filter(({ position }) => position >= range.from && (range.to === 0 || position < range.to)).map(({ id }) => id)
    const { count, fingerprint } = await log.fingerprint(range, FINGERPRINT_KEY)
    const expected = await naiveFingerprint(inside)
    expect([count, fingerprint.join()]).to.deep.equal([expected.count, expected.fingerprint.join()])
    expect((await log.idsInRange(range, { limit: 10_000 })).map(({ bytes }) => bytes.join())).to.deep.equal(inside.map(id => id.join()))
  }
}

describe('logs that hold the same entries', () => {
  let keys: PrivateKey[]

  before(async () => { keys = await Promise.all(Array.from({ length: AUTHORS }, newKey)) })
  afterEach(closeLogs)

  async function open (sizes: (i: number) => Partial<Sizes>): Promise<Peer[]> {
    return Promise.all(keys.map(async (key, i) => Peer.open(key, sizes(i))))
  }

  for (const [how, sizes] of [
    ['where all of it is in memory', () => ({})],
    ['where little is in memory and there are many runs', () => SMALL],
    ['where some have much in memory and some have not', (i: number) => i % 2 === 0 ? SMALL : {}]
  ] as const) {
    it(`are the same, in order, heads and fingerprints, ${how}`, async () => {
      await fc.assert(fc.asyncProperty(anySteps, fc.nat(), async (steps, seed) => {
        const random = seededRandom(seed)
        const peers = await open(sizes)
        await play(peers, steps, random)
        const naive = await naiveOf(await meet(peers, random))

        for (const { log } of peers) {
          await expectNaive(log, naive, random)
          await expectSound(log)
          expect(log.diagnostics().waiting).to.equal(0)
        }
        await closeLogs()
      }), { seed: 1, numRuns: RUNS })
    }).timeout(120_000)
  }

  it('are the same at any time, also while they lack some', async () => {
    await fc.assert(fc.asyncProperty(anySteps, fc.nat(), async (steps, seed) => {
      const random = seededRandom(seed)
      const peers = await open(i => i === 1 ? SMALL : {})
      await play(peers, steps, random)

      for (const { log } of peers) {
        const entries = await allOf(log)
        await expectNaive(log, await naiveOf(entries), random)
        const other = await Peer.open(keys[0])
        await other.receive(shuffled(entries, random), 5)
        await expectNaive(other.log, await naiveOf(entries), random)
      }
      await closeLogs()
    }), { seed: 2, numRuns: RUNS })
  }).timeout(120_000)

  it('have all that anybody made, in whatever order it came', async () => {
    const [author, ...others] = await open(() => SMALL)
    const made = await author.log.appendMany(Array.from({ length: 200 }, (_, i) => text(`${i}`)))
    const random = seededRandom(5)

    for (const peer of others) {
      await peer.receive(shuffled(made.slice(100), random), 9)
      expect(peer.log.length).to.equal(100)
      await peer.receive(shuffled(made, random), 7)
      await expectNaive(peer.log, await naiveOf(made), random)
    }
  })
})
