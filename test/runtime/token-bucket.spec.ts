import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { TokenBucket } from '../../src/runtime/token-bucket.ts'

describe('a token bucket', () => {
  it('gives a burst at once, then so much a second', () => {
    const bucket = new TokenBucket({ rate: 2, burst: 3 }, 1000)

    expect([1, 2, 3, 4].map(() => bucket.take(1, 1000))).to.deep.equal([true, true, true, false])
    expect(bucket.take(1, 1499)).to.equal(false)
    expect(bucket.take(1, 1500)).to.equal(true)
    expect(bucket.take(1, 1500)).to.equal(false)
  })

  it('saves no more than a burst', () => {
    const bucket = new TokenBucket({ rate: 2, burst: 3 }, 0)

    expect(bucket.level(1e9)).to.equal(3)
  })

  it('lets a burst be owed, and no more', () => {
    const bucket = new TokenBucket({ rate: 10, burst: 5 }, 0)
    bucket.spend(1e9, 0)

    expect(bucket.level(0)).to.equal(-5)
    expect(bucket.wait(0, 0)).to.equal(500)
    expect(bucket.wait(1, 500)).to.equal(100)
    expect(bucket.take(1, 600)).to.equal(true)
  })

  it('stands still when the time does, or goes back', () => {
    const bucket = new TokenBucket({ rate: 10, burst: 5 }, 100)
    bucket.spend(5, 100)

    expect(bucket.level(50)).to.equal(0)
    expect(bucket.level(100)).to.equal(0)
    expect(bucket.level(200)).to.equal(1)
  })

  it('never gives more in any time than a burst and its rate', () => {
    const steps = fc.array(fc.record({ wait: fc.integer({ min: 0, max: 2000 }), count: fc.integer({ min: 1, max: 4 }) }), { maxLength: 100 })

    fc.assert(fc.property(steps, steps => {
      const bucket = new TokenBucket({ rate: 3, burst: 7 }, 0)
      let now = 0
      let taken = 0

      for (const { wait, count } of steps) {
        now += wait
        taken += bucket.take(count, now) ? count : 0
        expect(taken).to.be.at.most(7 + now * 3 / 1000 + 1e-6)
      }
    }))
  })
})
