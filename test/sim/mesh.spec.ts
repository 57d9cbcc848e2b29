import { expect } from 'aegir/chai'
import { blackHole, burst, crashes, halves, shapes } from './mesh-worlds.ts'
import type { Report } from './mesh-worlds.ts'

const TIMEOUT = 120_000

function expectRight ({ wrong, lines }: Report): void {
  expect(wrong, lines.join('\n')).to.deep.equal([])
}

describe('a mesh of relays', function () {
  this.timeout(TIMEOUT)

  for (const count of [1, 3, 10]) {
    it(`knows within 5 s that ${count} of 100 crashed, and finds other ways: no loop at any moment`, () => {
      expectRight(crashes(count, count, count === 3))
    })
  }

  it('is right again whenever its halves part and meet, 20 times', () => {
    expectRight(halves(20, 1, false))
    expectRight(halves(1, 2, true))
  })

  it('knows itself in a ring of 20 and, within a second, in a line of 8', () => {
    expectRight(shapes(1))
  })

  it('finds ways around one that claims to be beside everybody and passes nothing on', () => {
    [1, 2, 3].forEach(seed => { expectRight(blackHole(seed)) })
  })

  it('of 100 hears at most two updates for each neighbour and peer when all come and subscribe, and nothing when it is quiet', () => {
    expectRight(burst(100, 6, 1))
  })
})
