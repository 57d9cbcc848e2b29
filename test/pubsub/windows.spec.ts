import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Window, Windows } from '../../src/pubsub/core/windows.ts'

describe('the sequence numbers that were seen', () => {
  it('take every number once when they come in order, gaps or not', () => {
    fc.assert(fc.property(fc.nat(100_000), fc.array(fc.integer({ min: 1, max: 500 }), { maxLength: 300 }), (first, steps) => {
      const window = new Window(1024, first)
      let seq = first
      expect(window.accept(seq)).to.equal(true)

      for (const step of steps) {
        seq += step
        if (!window.accept(seq) || window.accept(seq)) {
          throw new Error(`${seq} was not taken once`)
        }
      }
    }))
  })

  it('take every number once in whichever order they come, while none is further back than the window', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 400 }), fc.array(fc.nat(), { minLength: 1, maxLength: 400 }), (count, order) => {
      const numbers = Array.from({ length: count }, (_, i) => i)
      const shuffled = numbers.map((seq, i): [number, number] => [order[i % order.length], seq]).sort((a, b) => a[0] - b[0]).map(([, seq]) => seq)
      const window = new Window(512, Math.min(shuffled[0], 63))
      const taken = [...shuffled, ...shuffled].filter(seq => window.accept(seq))

      expect(taken.sort((a, b) => a - b)).to.deep.equal(numbers)
    }))
  })

  it('never take one twice, and lose none that is within the bound, as a set would say', () => {
    const BITS = 256
    const jump = fc.oneof({ weight: 8, arbitrary: fc.integer({ min: -80, max: 40 }) }, { weight: 1, arbitrary: fc.integer({ min: -2000, max: 5000 }) })

    fc.assert(fc.property(fc.nat(2000), fc.array(jump, { maxLength: 400 }), (first, jumps) => {
      const window = new Window(BITS, first)
      const seen = new Set<number>()
      let high = first
      let at = first

      for (const jump of [0, ...jumps]) {
        at = Math.max(0, at + jump)
        const isNew = window.accept(at)

        if (isNew && seen.has(at)) {
          throw new Error(`${at} was taken twice`)
        }
        if (!isNew && !seen.has(at) && at > Math.max(high - BITS, first - 64)) {
          throw new Error(`${at} was lost while ${high} was the highest`)
        }

        seen.add(at)
        high = Math.max(high, at)
      }
    }), { numRuns: 500 })
  })

  it('take numbers up to the largest that there is, and jumps over all of them', () => {
    const window = new Window(65_536, 0)

    for (const seq of [0, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]) {
      expect(window.accept(seq)).to.equal(true)
      expect(window.accept(seq)).to.equal(false)
    }
    expect(window.accept(7)).to.equal(false)
  })

  it('take a few that were sent before the first one that came', () => {
    const window = new Window(1024, 1000)

    expect([1000, 999, 937, 936].map(seq => window.accept(seq))).to.deep.equal([true, true, true, false])
  })
})

describe('messages that came before', () => {
  function windows (maxOrigins = 10, maxTopics = 10): Windows {
    return new Windows({ maxOrigins, maxTopics, bits: 1024, ttl: 1000 })
  }

  it('are known by their origin, epoch, topic and number, all four', () => {
    const seen = windows()

    expect(seen.accept('a', 1, 't', 5, 0)).to.equal(true)
    expect(seen.accept('a', 1, 't', 5, 0)).to.equal(false)
    expect(seen.accept('b', 1, 't', 5, 0)).to.equal(true)
    expect(seen.accept('a', 1, 'u', 5, 0)).to.equal(true)
    expect(seen.accept('a', 1, 't', 6, 0)).to.equal(true)
    expect(seen.accept('a', 2, 't', 5, 0)).to.equal(true)
  })

  it('are those of an earlier life, too', () => {
    const seen = windows()
    seen.accept('a', 2, 't', 5, 0)

    expect(seen.accept('a', 1, 't', 6, 0)).to.equal(false)
    expect(seen.accept('a', 2, 't', 6, 0)).to.equal(true)
  })

  it('are forgotten with a life that the origin itself says is over, be its new epoch smaller', () => {
    const seen = windows()
    seen.accept('a', 5, 't', 1, 0)
    seen.restart('a', 5)
    expect(seen.accept('a', 5, 't', 1, 0)).to.equal(false)
    seen.restart('a', 3)
    expect(seen.accept('a', 3, 't', 1, 0)).to.equal(true)
  })

  it('are forgotten when nothing was heard of their origin for long', () => {
    const seen = windows()
    seen.accept('a', 1, 't', 1, 0)
    seen.accept('b', 1, 't', 1, 0)
    seen.accept('a', 1, 't', 2, 999)
    seen.expire(1000)

    expect(seen.size).to.equal(1)
    expect(seen.accept('a', 1, 't', 1, 1000)).to.equal(false)
    seen.expire(3000)
    expect(seen.size).to.equal(0)
  })

  it('are remembered of a bounded number of origins', () => {
    const seen = windows(3)
    for (let i = 0; i < 100; i++) {
      seen.accept(`origin ${i}`, 1, 't', 0, 0)
    }

    expect(seen.size).to.equal(3)
    expect(seen.accept('origin 99', 1, 't', 0, 0)).to.equal(false)
    seen.clear()
    expect(seen.size).to.equal(0)
  })

  it('are remembered of a bounded number of topics, and what is on one more is a message all the same', () => {
    const seen = windows(3, 4)

    for (let i = 0; i < 100; i++) {
      expect(seen.accept('a', 1, `topic ${i}`, 0, 0), `topic ${i}`).to.equal(true)
      expect(seen.accept('a', 1, `topic ${i}`, 0, 0)).to.equal(false)
      // the one that is used all the time is not the one that is forgotten
      expect(seen.accept('a', 1, 'topic 0', 0, 0)).to.equal(false)
    }
  })
})
