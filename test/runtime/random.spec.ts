import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { jitter, randomInt, seededRandom } from '../../src/runtime/random.ts'

describe('seeded chance', () => {
  it('says the same for the same seed, and something else for another', () => {
    fc.assert(fc.property(fc.integer(), seed => {
      const draw = (seed: number): number[] => {
        const random = seededRandom(seed)
        return Array.from({ length: 20 }, () => random())
      }

      expect(draw(seed)).to.deep.equal(draw(seed))
      expect(draw(seed)).to.not.deep.equal(draw(seed + 1))
    }))
  })

  it('stays in [0, 1) and reaches all of it', () => {
    const random = seededRandom(1)
    const buckets = new Array(10).fill(0)

    for (let i = 0; i < 10_000; i++) {
      const value = random()
      buckets[Math.floor(value * 10)]++
    }

    expect(buckets).to.have.lengthOf(10)
    expect(Math.min(...buckets)).to.be.above(850)
    expect(Math.max(...buckets)).to.be.below(1150)
  })

  it('draws whole numbers below a bound', () => {
    fc.assert(fc.property(fc.integer(), fc.integer({ min: 1, max: 1_000_000 }), (seed, below) => {
      const value = randomInt(seededRandom(seed), below)
      expect(Number.isInteger(value)).to.equal(true)
      expect(value).to.be.within(0, below - 1)
    }))
  })

  it('jitters by the share that it is given', () => {
    expect(jitter(() => 0, 100, 0.3)).to.be.closeTo(70, 1e-9)
    expect(jitter(() => 0.5, 100, 0.3)).to.be.closeTo(100, 1e-9)
    expect(jitter(() => 1, 100, 0.3)).to.be.closeTo(130, 1e-9)
  })
})
