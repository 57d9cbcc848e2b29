import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Routes } from '../../src/pubsub/core/routes.ts'

function routes (...neighbours: string[]): Routes {
  const made = new Routes({ maxRoutes: 100, ttl: 1000 })
  neighbours.forEach(key => { made.up(key) })
  return made
}

describe('ways to peers', () => {
  it('lead straight to neighbours, and nowhere where nothing is known', () => {
    const ways = routes('a')

    expect(ways.next('a')).to.equal('a')
    expect(ways.next('x')).to.equal(undefined)
    ways.gone('a')
    expect(ways.next('a')).to.equal(undefined)
  })

  it('are learnt from what comes by a neighbour, and from nobody else', () => {
    const ways = routes('a')
    ways.learn('x', 'a', 1, 0)
    ways.learn('y', 'stranger', 0, 0)
    ways.learn('a', 'a', 0, 0)

    expect(ways.next('x')).to.equal('a')
    expect(ways.next('y')).to.equal(undefined)
    expect(ways.size).to.equal(1)
  })

  it('stay while they are as good as others, and give way to a shorter one', () => {
    const ways = routes('a', 'b', 'c')
    ways.learn('x', 'a', 2, 0)
    ways.learn('x', 'b', 2, 1)
    expect(ways.next('x')).to.equal('a')
    ways.learn('x', 'c', 1, 2)
    expect(ways.next('x')).to.equal('c')
    ways.learn('x', 'a', 1, 3)
    expect(ways.next('x')).to.equal('c')
    ways.learn('x', 'c', 5, 4)
    expect(ways.next('x')).to.equal('a')
  })

  it('lead another way round whom they are not to lead by', () => {
    const ways = routes('a', 'b')
    ways.learn('x', 'a', 1, 0)
    expect(ways.next('x', 'a')).to.equal(undefined)
    ways.learn('x', 'b', 3, 0)

    expect(ways.next('x', 'a')).to.equal('b')
  })

  it('are dropped when they fail, when their neighbour goes, and when nothing came by them for long', () => {
    const ways = routes('a', 'b', 'c')
    ways.learn('x', 'a', 1, 0)
    ways.learn('x', 'b', 2, 0)
    ways.learn('x', 'c', 3, 500)
    ways.fail('x', 'a')
    expect(ways.next('x')).to.equal('b')
    ways.gone('b')
    expect(ways.next('x')).to.equal('c')
    ways.expire(1499, () => false)
    expect(ways.next('x')).to.equal('c')
    ways.expire(1500, () => false)
    expect(ways.next('x')).to.equal(undefined)
    expect(ways.size).to.equal(0)
  })

  it('live longer when something comes by them again', () => {
    const ways = routes('a')
    ways.learn('x', 'a', 1, 0)
    ways.learn('x', 'a', 1, 900)
    ways.expire(1800, () => false)

    expect(ways.next('x')).to.equal('a')
  })

  it('move their version on with every change of what they answer', () => {
    const event = fc.record({
      do: fc.constantFrom('learn' as const, 'learn' as const, 'fail' as const, 'gone' as const, 'up' as const, 'time' as const),
      key: fc.constantFrom('x', 'y', 'a'),
      via: fc.constantFrom('a', 'b', 'c'),
      hops: fc.nat(3)
    })

    fc.assert(fc.property(fc.array(event, { maxLength: 60 }), events => {
      const ways = routes('a', 'b')
      const answers = (): string => JSON.stringify(['x', 'y', 'a', 'b', 'c'].map(key => ways.next(key)))
      const neighbours = new Set(['a', 'b'])
      let now = 0

      for (const { do: what, key, via, hops } of events) {
        const before = { version: ways.version, answers: answers() }

        switch (what) {
          case 'learn':
            ways.learn(key, via, hops, now)
            break
          case 'fail':
            ways.fail(key, via)
            break
          case 'gone':
            neighbours.delete(via)
            ways.gone(via)
            break
          case 'up':
            neighbours.add(via)
            ways.up(via)
            break
          case 'time':
            now += 300
            ways.expire(now, () => false)
            break
        }

        if (answers() !== before.answers) {
          expect(ways.version).to.be.above(before.version)
        }
        for (const key of ['x', 'y', 'a', 'b', 'c']) {
          const next = ways.next(key)
          expect(next == null || neighbours.has(next)).to.equal(true)
        }
      }
    }))
  })

  it('are remembered to a bounded number of peers', () => {
    const ways = routes('a')
    for (let i = 0; i < 1000; i++) {
      ways.learn(`peer ${i}`, 'a', 1, 0)
    }

    expect(ways.size).to.equal(100)
    expect(ways.next('peer 999')).to.equal('a')
    ways.clear()
    expect(ways.next('a')).to.equal(undefined)
  })
})
