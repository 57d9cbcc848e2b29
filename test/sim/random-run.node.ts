import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { DEFAULTS, replay } from './options.ts'
import { randomRun } from './random-run.ts'

const SEEDS = IS_LONG ? 60 : 6
/** Runs in one test: so that none takes long */
const SHARE = IS_LONG ? 10 : SEEDS
/** Milliseconds: each run takes a second on a machine that has nothing else to do */
const TIMEOUT = 180_000

describe('a network in which everything happens at random', function () {
  this.timeout(TIMEOUT)

  for (let first = 1; first <= SEEDS; first += SHARE) {
    it(`knows all subscribers and nobody else once it is quiet, and forgets them (seeds ${first} to ${first + SHARE - 1})`, () => {
      for (let seed = first; seed < first + SHARE; seed++) {
        const wrong = randomRun(seed)
        expect(wrong, `again: ${replay({ ...DEFAULTS, random: true, seed })}`).to.deep.equal([])
      }
    })
  }

  it('is the same for the same seed', () => {
    expect(randomRun(7)).to.deep.equal(randomRun(7))
  })
})
