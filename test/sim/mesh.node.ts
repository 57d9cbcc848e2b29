import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { blackHole, burst, crashes, halves, shapes } from './mesh-worlds.ts'
import type { Report } from './mesh-worlds.ts'

const TIMEOUT = 120_000
const TIMES = IS_LONG ? 10 : 2
/** Relays that crash at once; whether nodes look at each other after each step is seen in the second one */
const CRASHES = IS_LONG ? [1, 3, 10] : [10]
const BLACK_HOLES = IS_LONG ? [1, 2, 3] : [1]

function expectRight ({ wrong, lines }: Report): void {
  expect(wrong, lines.join('\n')).to.deep.equal([])
}

describe('a mesh of relays', function () {
  this.timeout(TIMEOUT)

  for (const count of CRASHES) {
    it(`knows within 5 s that ${count} of 100 crashed, and finds other ways: no loop at any moment`, () => {
      expectRight(crashes(count, count, count === 3))
    })
  }

  it(`is right again whenever its halves part and meet, ${TIMES} times`, () => {
    expectRight(halves(TIMES, 1, false))
    expectRight(halves(1, 2, true))
  })

  it('knows itself in a ring of 20 and, within a second, in a line of 8', () => {
    expectRight(shapes(1))
  })

  it('finds ways around one that claims to be beside everybody and passes nothing on', () => {
    BLACK_HOLES.forEach(seed => { expectRight(blackHole(seed)) })
  })

  it('of 100 hears at most two updates for each neighbour and peer when all come and subscribe, and nothing when it is quiet', () => {
    expectRight(burst(100, 6, 1))
  })
})
