import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Backoff } from '../../src/runtime/backoff.ts'
import { seededRandom } from '../../src/runtime/random.ts'

describe('backoff', () => {
  it('doubles up to its cap, give or take a fifth', () => {
    fc.assert(fc.property(fc.integer(), fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 100_000 }), (seed, first, cap) => {
      const backoff = new Backoff({ first, cap, random: seededRandom(seed) })

      for (let i = 0; i < 40; i++) {
        const middle = Math.min(cap, first * 2 ** i)
        expect(backoff.next()).to.be.within(middle * 0.8, middle * 1.2)
      }
    }))
  })

  it('stays finite after thousands of tries', () => {
    const backoff = new Backoff({ first: 100, cap: 30_000, random: () => 0.5 })

    for (let i = 0; i < 5000; i++) {
      backoff.next()
    }

    expect(backoff.next()).to.equal(30_000)
  })

  it('begins anew after a reset', () => {
    const backoff = new Backoff({ first: 100, cap: 30_000, random: () => 0.5 })
    backoff.next()
    backoff.next()
    backoff.reset()

    expect(backoff.next()).to.equal(100)
  })

  it('spreads those who wait for the same thing', () => {
    const waits = Array.from({ length: 50 }, (_, seed) => new Backoff({ first: 100, cap: 1000, random: seededRandom(seed) }).next())

    expect(new Set(waits).size).to.be.above(45)
    expect(Math.max(...waits) - Math.min(...waits)).to.be.above(20)
  })
})
