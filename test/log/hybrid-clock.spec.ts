import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { MAX_COUNTER } from '../../src/log/core/entry.ts'
import { compareMoments, HybridClock } from '../../src/log/core/hybrid-clock.ts'
import type { Moment } from '../../src/log/core/hybrid-clock.ts'

const anyMoment: fc.Arbitrary<Moment> = fc.record({ time: fc.nat(50), counter: fc.oneof(fc.nat(3), fc.integer({ min: MAX_COUNTER - 2, max: MAX_COUNTER })) })

describe('a hybrid clock', () => {
  it('says what the machine says, in whole milliseconds', () => {
    expect(new HybridClock().tick(1234.9)).to.deep.equal({ time: 1234, counter: 0 })
  })

  it('is not changed by a machine that says no time', () => {
    const clock = new HybridClock()
    clock.tick(10)

    for (const now of [NaN, Infinity, 2 ** 48]) {
      expect(() => clock.tick(now)).to.throw(/set it/).with.property('name', 'InvalidContentError')
    }
    expect(clock.tick(10)).to.deep.equal({ time: 10, counter: 1 })
  })

  it('counts within a millisecond, and begins at 0 in the next', () => {
    const clock = new HybridClock()

    expect([5, 5.5, 5.9, 6].map(now => clock.tick(now))).to.deep.equal([{ time: 5, counter: 0 }, { time: 5, counter: 1 }, { time: 5, counter: 2 }, { time: 6, counter: 0 }])
  })

  it('goes on from where it was when the machine runs backwards', () => {
    const clock = new HybridClock()
    clock.tick(10)

    expect(clock.tick(3)).to.deep.equal({ time: 10, counter: 1 })
  })

  it('is later than what it heard of', () => {
    const clock = new HybridClock()
    clock.hear({ time: 70, counter: 5 })

    expect(clock.tick(10)).to.deep.equal({ time: 70, counter: 6 })
  })

  it('is not set back by what it heard of', () => {
    const clock = new HybridClock()
    clock.hear({ time: 70, counter: 5 })
    clock.hear({ time: 70, counter: 4 })
    clock.hear({ time: 69, counter: 900 })

    expect(clock.last).to.deep.equal({ time: 70, counter: 5 })
  })

  it('goes a millisecond ahead when it has counted as far as it can', () => {
    const clock = new HybridClock()
    clock.hear({ time: 5, counter: MAX_COUNTER })

    expect(clock.tick(5)).to.deep.equal({ time: 6, counter: 0 })
    expect(clock.tick(6)).to.deep.equal({ time: 6, counter: 1 })
  })

  it('does not change with the object that it was told', () => {
    const clock = new HybridClock()
    const heard = { time: 7, counter: 1 }
    clock.hear(heard)
    heard.time = 9

    expect(clock.last).to.deep.equal({ time: 7, counter: 1 })
  })

  it('follows what is up to 30 s ahead of the machine: others, whose clocks may be behind, take what is made then', () => {
    const clock = new HybridClock()
    clock.hear({ time: 30_010, counter: 5 })

    expect(clock.tick(10)).to.deep.equal({ time: 30_010, counter: 6 })
  })

  it('follows the latest entry of its own author where a stranger is further ahead', () => {
    const clock = new HybridClock()
    clock.hear({ time: 59_000, counter: 5 })

    expect(clock.tick(10, { time: 10_000, counter: 3 })).to.deep.equal({ time: 10_000, counter: 4 })
  })

  it('falls back to the machine when it is further ahead: the machine was wrong, and is right again', () => {
    const clock = new HybridClock()
    clock.hear({ time: 30_011, counter: 5 })

    expect(clock.tick(10)).to.deep.equal({ time: 10, counter: 0 })
    expect(clock.tick(10)).to.deep.equal({ time: 10, counter: 1 })
    expect(clock.tick(11)).to.deep.equal({ time: 11, counter: 0 })
    // and again, as often as it hears of the wrong one
    clock.hear({ time: 9_000_000, counter: 0 })
    expect(clock.tick(12)).to.deep.equal({ time: 12, counter: 0 })
  })

  it('ticks later than all that it said and heard, whatever the machine says, and never counts too far', () => {
    const anyEvent = fc.oneof(anyMoment.map(heard => ({ heard })), fc.nat(60).map(now => ({ now })))

    fc.assert(fc.property(fc.array(anyEvent, { maxLength: 60, size: 'max' }), events => {
      const clock = new HybridClock()
      let latest: Moment = { time: 0, counter: 0 }

      for (const event of events) {
        if ('heard' in event) {
          clock.hear(event.heard)
          latest = compareMoments(event.heard, latest) > 0 ? event.heard : latest
        } else {
          const ticked = clock.tick(event.now)
          expect(compareMoments(ticked, latest)).to.be.above(0)
          expect(ticked.time).to.be.at.least(event.now)
          expect(ticked.counter).to.be.within(0, MAX_COUNTER)
          latest = ticked
        }
        expect(clock.last).to.deep.equal(latest)
      }
    }), { seed: 1, numRuns: 300 })
  })
})
