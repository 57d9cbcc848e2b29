import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Fences } from '../../../src/log/core/fences.ts'
import { compareMoments } from '../../../src/log/core/hybrid-clock.ts'
import { Reader, Writer } from '../../../src/runtime/codec.ts'
import { IS_LONG } from '../../fixtures/effort.ts'
import type { Moment } from '../../../src/log/core/hybrid-clock.ts'

interface Stored {
  seq: number
  arrival: number
  size: number
  live: number
  /** Of its entries, which are in order: those of a record lie between two of these */
  moment: Moment
}

type Step = { gap: number, size: number, ms: number } | { removed: number } | 'compact' | 'copy' | 'store'

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: fc.record({ gap: fc.constantFrom(0, 0, 0, 1, 40, 600), size: fc.constantFrom(0, 1, 1, 100, 256), ms: fc.nat(2) }) },
  { weight: 20, arbitrary: fc.record({ removed: fc.nat() }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>('compact', 'copy', 'store') }
)

/** Fences, and a list of all records that they were told of */
class Pair {
  fences = new Fences()
  readonly records: Stored[] = []
  #seq = 0
  #arrival = 0
  #time = 1

  do (step: Step): void {
    if (step === 'compact') {
      this.fences.compact()
    } else if (step === 'copy') {
      const before = this.fences
      this.fences = before.copy()
      before.begin(1e6, 1e6)
      before.add()
    } else if (step === 'store') {
      this.fences = stored(this.fences)
    } else if ('removed' in step) {
      const record = this.records[step.removed % this.records.length]

      if (record != null && record.live > 0) {
        record.live--
        this.fences.remove(record.seq)
      }
    } else {
      this.#record(step)
    }
  }

  /** All records with something in them that a walk meets */
  up (from: number): Stored[] {
    const met: Stored[] = []

    for (let seq = from, fence = this.fences.from(seq); fence != null; fence = this.fences.from(seq)) {
      const [first, end] = [Math.max(seq, fence.seq), fence.end]
      met.push(...fence.live === 0 ? [] : this.records.filter(({ seq }) => seq >= first && seq < end))
      seq = end
    }

    return met.filter(({ live }) => live > 0)
  }

  down (from: number): Stored[] {
    const met: Stored[] = []

    for (let end = from, fence = this.fences.below(end); fence != null; fence = this.fences.below(end)) {
      const [first, last] = [fence.seq, Math.min(fence.end, end)]
      met.push(...fence.live === 0 ? [] : this.records.filter(({ seq }) => seq >= first && seq < last).reverse())
      end = first
    }

    return met.filter(({ live }) => live > 0)
  }

  expectSame (): void {
    const living = this.records.filter(({ live }) => live > 0)
    expect(this.up(0)).to.deep.equal(living)
    expect(this.down(Infinity)).to.deep.equal(living.slice().reverse())

    for (const { seq, arrival, moment } of living) {
      expect(this.up(this.fences.ofArrival(arrival))).to.include.deep.members(living.filter(record => record.seq >= seq))
      expect(this.up(this.fences.ofMoment(moment))).to.include.deep.members(living.filter(record => compareMoments(record.moment, moment) >= 0))
      expect(this.down(this.fences.behindMoment(moment))).to.include.deep.members(living.filter(record => compareMoments(record.moment, moment) <= 0))
    }
  }

  #record ({ gap, size, ms }: { gap: number, size: number, ms: number }): void {
    const top = { time: this.#time, counter: 0 }
    this.#time += ms
    this.#seq += gap
    const record = { seq: this.#seq++, arrival: this.#arrival, size, live: size, moment: { time: this.#time, counter: 0 } }
    this.#arrival += size
    this.records.push(record)
    this.fences.begin(record.seq, record.arrival, top)

    for (let i = 0; i < size; i++) {
      this.fences.add()
    }
  }
}

function bytesOf (fences: Fences): Uint8Array {
  return fences.encode(new Writer()).finish()
}

function stored (fences: Fences): Fences {
  return Fences.decode(new Reader(bytesOf(fences)))
}

describe('fences', () => {
  it('lead walks past nothing that is in the log, whatever came and went', () => {
    fc.assert(fc.property(fc.array(anyStep, { maxLength: 120, size: 'max' }), steps => {
      const pair = new Pair()
      steps.forEach(step => { pair.do(step) })
      pair.expectSame()
    }), { seed: 1, numRuns: IS_LONG ? 300 : 40 })
  })

  it('are as few as the stretches that they begin, and none for what is gone', () => {
    const pair = new Pair()

    for (let i = 0; i < 2_000; i++) {
      pair.do({ gap: i % 3 === 0 ? 1 : 0, size: 256, ms: 1 })
    }

    // 512,000 entries
    expect(bytesOf(pair.fences).byteLength).to.be.within(125, 126 * 14)

    for (const record of pair.records.slice(0, -1)) {
      for (; record.live > 0; record.live--) {
        pair.fences.remove(record.seq)
      }
    }

    pair.fences.compact()
    expect(bytesOf(pair.fences).byteLength).to.be.below(30)
    pair.expectSame()
  })

  it('begin a walk near to where it is wanted', () => {
    const pair = new Pair()

    for (let i = 0; i < 10_000; i++) {
      pair.do({ gap: 0, size: 1, ms: 1 })
    }
    for (let i = 0; i < 10_000; i += 997) {
      const { seq, arrival, moment } = pair.records[i]
      expect(seq - pair.fences.ofArrival(arrival)).to.be.within(0, 512)
      expect(seq - pair.fences.ofMoment(moment)).to.be.within(0, 512)
      expect(Math.min(pair.fences.behindMoment(moment), 10_000) - seq).to.be.within(1, 513)
    }
  })
})
