import { expect } from 'aegir/chai'
import { explore } from './explore.ts'
import { mutants } from './mutants.ts'
import { setups } from './setups.ts'
import type { Explored } from '../../fixtures/search.ts'

/** Worlds of each setup: all have fewer, but the one in which everything may happen. What is past it differs only late */
const MAX_STATES = 30_000
const MAX_STATES_ENDLESS = 10_000
/** Worlds until a bug on purpose has to be found. They are found within a few hundred */
const MAX_STATES_MUTANT = 2000
const ENDLESS = 'two that crash, stop, are refused, lost and said twice'
/** Milliseconds: the largest takes two seconds on a machine that has nothing else to do */
const TIMEOUT = 180_000

function tell ({ found }: Explored): string {
  return found == null ? 'nothing is wrong' : `${found.what} (after: ${found.trail.join('; ')})`
}

describe('the model of who is a replicator', function () {
  this.timeout(TIMEOUT)

  describe('in whatever order things happen, who is in is who says so, is accepted and is here, and all are told of it once', () => {
    const counts: number[] = []

    for (const [name, setup] of Object.entries(setups)) {
      it(`with ${name}`, () => {
        const explored = explore(setup, name === ENDLESS ? MAX_STATES_ENDLESS : MAX_STATES)
        counts.push(explored.states)
        expect(tell(explored)).to.equal('nothing is wrong')
        expect(explored.isCut).to.equal(name === ENDLESS)
      })
    }

    after(() => {
      // eslint-disable-next-line no-console
      console.info(`      ${counts.reduce((sum, count) => sum + count, 0)} worlds`)
    })
  })

  describe('the checker finds a bug that was made on purpose', () => {
    for (const [name, { setup, shows }] of Object.entries(mutants)) {
      it(name, () => {
        expect(tell(explore(setup, MAX_STATES_MUTANT))).to.include(shows)
      })
    }
  })
})
