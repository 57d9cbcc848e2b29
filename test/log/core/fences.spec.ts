import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Fences } from '../../../src/log/core/fences.ts'
import { compareMoments } from '../../../src/log/core/hybrid-clock.ts'
import { Reader, Writer } from '../../../src/runtime/codec.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import type { Fence } from '../../../src/log/core/fences.ts'
import type { Moment } from '../../../src/log/core/hybrid-clock.ts'
import type { Random } from '../../../src/runtime/random.ts'

/** Apart from one fence to the next: entries, or numbers of records */
const ENTRIES = 4096
const NUMBERS = 512
/** Bytes of a fence on the disk at most: five numbers, of which three are differences */
const FENCE_BYTES = 32

interface Item extends Moment {
  arrival: number
  isLate: boolean
  isHere: boolean
}

interface Stored {
  seq: number
  arrival: number
  items: Item[]
}

type Step = 'add' | 'leap' | 'remove' | 'removeOld' | 'compact' | 'copy' | 'decode'
const anySteps = fc.array(fc.oneof(
  { weight: 20, arbitrary: fc.constant<Step>('add') },
  { weight: 3, arbitrary: fc.constantFrom<Step>('leap', 'remove') },
  { weight: 1, arbitrary: fc.constantFrom<Step>('removeOld', 'compact', 'copy', 'decode') }
), { minLength: 1, maxLength: 120, size: 'max' })

function encoded (fences: Fences): Uint8Array {
  return fences.encode(new Writer()).finish()
}

/** All of them, in order: copies */
function listOf (fences: Fences): Fence[] {
  const list: Fence[] = []
  let [fence, next] = fences.at(0)

  while (fence != null) {
    list.push({ ...fence })
    ;[fence, next] = next == null ? [] : fences.at(next.seq)
  }

  return list
}

/** Fences, and a plain list of all records that they were told of */
class Pair {
  readonly records: Stored[] = []
  readonly #random: Random
  #fences = new Fences()
  #next = { seq: 0, arrival: 0 }
  #top: Moment = { time: 0, counter: 0 }

  constructor (random: Random) {
    this.#random = random
  }

  get fences (): Fences {
    return this.#fences
  }

  do (step: Step): void {
    const random = this.#random

    if (step === 'add') {
      // numbers of pages are in between, and entries of records that were given up
      this.#next.seq += random() < 0.3 ? randomInt(random, 300) : 0
      this.#next.arrival += random() < 0.2 ? randomInt(random, 3_000) : 0
      this.#add(1 + randomInt(random, 12))
    } else if (step === 'leap') {
      // a checkpoint, or a long gap
      this.#next.seq = (Math.floor(this.#next.seq / ENTRIES) + 1) * ENTRIES
      this.#next.arrival += randomInt(random, 10_000)
    } else if (step === 'remove') {
      this.#remove(() => random() < 0.3)
    } else if (step === 'removeOld') {
      const { seq } = this.records[randomInt(random, this.records.length)] ?? { seq: 0 }
      this.#remove((_, record) => record.seq <= seq)
    } else if (step === 'compact') {
      this.#fences.compact()
    } else if (step === 'copy') {
      this.#fences = this.#fences.copy()
    } else {
      const reader = new Reader(encoded(this.#fences))
      this.#fences = Fences.decode(reader)
      expect(reader.left).to.equal(0)
    }
  }

  /** Walks as a reader does from this number on, or down from below it. The records that it reads, in order */
  up (from: number): Stored[] {
    const read: Stored[] = []

    for (let seq = from, isEnd = false; !isEnd;) {
      const [fence, next] = this.#fences.at(seq)
      const [first, end] = [Math.max(seq, fence?.seq ?? Infinity), next?.seq ?? Infinity]
      read.push(...this.records.filter(record => fence?.live !== 0 && record.seq >= first && record.seq < end))
      seq = end
      isEnd = next == null
    }

    return read
  }

  down (from: number): Stored[] {
    const read: Stored[] = []

    for (let end = Math.min(from, this.#next.seq); ;) {
      const [fence] = this.#fences.at(end - 1)

      if (fence == null || fence.seq >= end) {
        return read
      }

      read.push(...this.records.filter(({ seq }) => fence.live > 0 && seq >= fence.seq && seq < end).reverse())
      end = fence.seq
    }
  }

  someMoment (): Moment {
    const items = this.records.flatMap(({ items }) => items)
    const { time, counter } = items[randomInt(this.#random, items.length)] ?? this.#top
    return [{ time, counter }, { time, counter: counter + 1 }, { time: time - 1, counter }, { time: time + 1, counter: 0 }][randomInt(this.#random, 4)]
  }

  /** Each of them says what is true of the records before it, from it on, and up to the next one */
  expectTrue (): void {
    const fences = listOf(this.#fences)

    fences.forEach(({ seq, arrival, time, counter, live }, i) => {
      const moment = { time, counter }
      const next = fences[i + 1]?.seq ?? Infinity
      const record = this.records.find(record => record.seq === seq)
      expect(record?.arrival, 'it begins with a record').to.equal(arrival)
      expect(livingOf(this.records.filter(record => record.seq >= seq && record.seq < next)).length).to.equal(live)
      expect(this.records.filter(record => record.seq < seq).flatMap(({ items }) => items).every(item => compareMoments(item, moment) <= 0)).to.equal(true)
      expect(this.records.filter(record => record.seq >= seq).flatMap(({ items }) => items).every(item => item.isLate || compareMoments(item, moment) >= 0)).to.equal(true)
      expect(this.#fences.at(seq)).to.deep.equal([fences[i], fences[i + 1]])
      expect(this.#fences.ofArrival(arrival)).to.equal(seq)
      expect(this.#fences.at(Math.min(next - 1, seq + 1_000_000))[0]?.seq).to.equal(seq)
    })

    const living = livingOf(this.records.filter(({ seq }) => seq < (fences[0]?.seq ?? Infinity)))
    expect(living, 'before the first one nothing lives').to.deep.equal([])
  }

  expectWalks (): void {
    const arrival = randomInt(this.#random, this.#next.arrival + 2)
    const start = this.#fences.ofArrival(arrival)
    const read = this.up(start)
    expectAll(read, this.records, item => item.arrival >= arrival)
    expectFew(read, record => record.arrival + record.items.length <= arrival)

    const moment = this.someMoment()
    const later = this.up(this.#fences.ofMoment(moment))
    expectAll(later, this.records, item => compareMoments(item, moment) >= 0)
    expectFew(later, ({ items }, i) => later.slice(0, i + 1).every(({ items }) => items.every(item => compareMoments(item, moment) < 0)) && items.length > 0)

    const earlier = this.down(this.#fences.behindMoment(moment))
    expectAll(earlier, this.records, item => !item.isLate && compareMoments(item, moment) <= 0)
    expect(this.down(Infinity)).to.deep.equal(this.up(0).reverse())
  }

  expectSmall (): void {
    const count = listOf(this.#fences).length
    const most = 1 + this.#next.arrival / ENTRIES + this.#next.seq / NUMBERS
    expect(count).to.be.at.most(most)
    expect(encoded(this.#fences).byteLength).to.be.at.most(2 + count * FENCE_BYTES)
  }

  expectCompact (): void {
    this.#fences.compact()
    const fences = listOf(this.#fences)
    const living = fences.filter(({ live }) => live > 0).length
    // one that is empty says where the one before it ends, or is the last one
    expect(fences.length).to.be.at.most(2 * living + 1)
    expect(fences.slice(0, -1).some(({ live }, i) => live === 0 && (fences[i - 1]?.live ?? 0) === 0)).to.equal(false)
  }

  #add (size: number): void {
    const random = this.#random
    const { seq, arrival } = this.#next
    const before = this.#top
    const items = Array.from({ length: size }, (_, i): Item => {
      const isLate = this.#top.time > 100 && random() < 0.2
      const time = isLate ? randomInt(random, this.#top.time) : this.#top.time + (random() < 0.6 ? 0 : randomInt(random, 50))
      const counter = time === this.#top.time ? this.#top.counter + randomInt(random, 2) : randomInt(random, 3)
      this.#top = isLate ? this.#top : { time, counter }
      // when it is told of again, some were removed
      return { time, counter, isLate, arrival: arrival + i, isHere: random() < 0.95 }
    })
    this.#fences.add(seq, arrival, items.filter(({ isHere }) => isHere).length, this.records.length === 0 ? undefined : before)
    this.records.push({ seq, arrival, items })
    this.#next = { seq: seq + 1, arrival: arrival + size }
  }

  #remove (isChosen: (item: Item, record: Stored) => boolean): void {
    for (const record of this.records) {
      for (const item of record.items.filter(item => item.isHere && isChosen(item, record))) {
        item.isHere = false
        this.#fences.remove(record.seq)
      }
    }
  }
}

function livingOf (records: Stored[]): Item[] {
  return records.flatMap(({ items }) => items).filter(({ isHere }) => isHere)
}

/** A walk missed none that is there */
function expectAll (read: Stored[], all: Stored[], isWanted: (item: Item) => boolean): void {
  const found = new Set(livingOf(read))
  expect(livingOf(all).filter(item => isWanted(item) && !found.has(item))).to.deep.equal([])
}

/** Of what it began with, so much was in vain at most */
function expectFew (read: Stored[], isInVain: (record: Stored, i: number) => boolean): void {
  const vain = read.filter(isInVain)
  const [first, last] = [vain[0], vain[vain.length - 1]]
  expect((last?.seq ?? 0) - (first?.seq ?? 0)).to.be.below(NUMBERS)
  expect((last?.arrival ?? 0) - (first?.arrival ?? 0)).to.be.below(ENTRIES)
}

describe('fences', () => {
  it('let a walk begin so that it misses nothing, and reads little in vain, whatever came and went', () => {
    let most = 0

    fc.assert(fc.property(anySteps, fc.nat(), (steps, seed) => {
      const pair = new Pair(seededRandom(seed))

      steps.forEach((step, i) => {
        pair.do(step)

        if (i % 16 === 0) {
          pair.expectTrue()
          pair.expectWalks()
        }
      })

      pair.expectSmall()
      most = Math.max(most, listOf(pair.fences).length)
      pair.expectCompact()
      pair.expectTrue()

      for (let i = 0; i < 6; i++) {
        pair.expectWalks()
      }
    }), { seed: 1, numRuns: 300 })
    expect(most, 'there are many of them').to.be.above(10)
  }).timeout(60_000)

  it('are one for so many entries, and one for so many numbers', () => {
    const [byEntries, byNumbers] = [new Fences(), new Fences()]
    const count = 3 * ENTRIES

    for (let i = 0; i < count; i += 16) {
      byEntries.add(i / 16, i, 16, { time: 1_700_000_000_000 + i, counter: 65_535 })
    }
    for (let i = 0; i < count; i++) {
      byNumbers.add(i, i / 64, 1, { time: 1_700_000_000_000 + i, counter: 65_535 })
    }

    expect(listOf(byNumbers).map(({ seq, live }) => `${seq} ${live}`)).to.deep.equal(Array.from({ length: count / NUMBERS }, (_, i) => `${i * NUMBERS} ${NUMBERS}`))
    // a record is in one piece: 256 of them are 4096 entries
    expect(listOf(byEntries).map(({ seq, arrival, live }) => `${seq} ${arrival} ${live}`)).to.deep.equal([0, 1, 2].map(i => `${i * 256} ${i * ENTRIES} ${ENTRIES}`))
    expect(encoded(byNumbers).byteLength).to.be.at.most(2 + FENCE_BYTES * count / NUMBERS)
  })

  it('are few again when most of what they stood for is gone', () => {
    const fences = new Fences()

    for (let i = 0; i < 200; i++) {
      fences.add(i * NUMBERS, i, 1)
    }
    for (let i = 0; i < 200; i++) {
      if (i !== 50) {
        fences.remove(i * NUMBERS + 7)
      }
    }

    fences.compact()
    expect(listOf(fences).map(({ seq, live }) => [seq / NUMBERS, live])).to.deep.equal([[50, 1], [51, 0], [199, 0]])
    fences.remove(50 * NUMBERS)
    fences.compact()
    expect(listOf(fences).map(({ seq, live }) => [seq / NUMBERS, live])).to.deep.equal([[199, 0]])
    // more removals than there was to remove leave it at that
    fences.remove(199 * NUMBERS)
    fences.add(199 * NUMBERS + 1, 200, 3)
    expect(listOf(fences).map(({ seq, live }) => [seq / NUMBERS, live])).to.deep.equal([[199, 3]])
  })

  it('change without their copies, and the copies without them', () => {
    const fences = new Fences()
    fences.add(5, 0, 10, { time: 3, counter: 1 })
    const copy = fences.copy()
    const before = encoded(fences)
    fences.remove(5)
    fences.add(1_000, 10, 1, { time: 9, counter: 0 })
    expect(encoded(copy)).to.deep.equal(before)
    expect(listOf(copy)).to.deep.equal([{ seq: 5, arrival: 0, time: 3, counter: 1, live: 10 }])

    const after = encoded(fences)
    copy.remove(5)
    copy.add(7, 10, 4)
    expect(encoded(fences)).to.deep.equal(after)
  })

  it('where there are none, say that a walk has nothing to read', () => {
    const fences = new Fences()
    fences.compact()
    fences.remove(7)

    expect(fences.at(3)).to.deep.equal([undefined, undefined])
    expect([fences.ofArrival(5), fences.ofMoment({ time: 1, counter: 0 }), fences.behindMoment({ time: 1, counter: 0 })]).to.deep.equal([0, 0, Infinity])
    expect(listOf(Fences.decode(new Reader(encoded(fences))))).to.deep.equal([])
  })
})
