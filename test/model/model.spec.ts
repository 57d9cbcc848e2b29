import { expect } from 'aegir/chai'
import { explore } from './explore.ts'
import { mutants } from './mutants.ts'
import { setups } from './setups.ts'
import type { Explored } from './explore.ts'

/** Worlds of each setup: all of them where there are fewer. What is past it differs only late */
const MAX_STATES = 2000
/** Worlds until a bug on purpose has to be found. They are found within a few hundred */
const MAX_STATES_MUTANT = 2000
/** Milliseconds: each takes two seconds on a machine that has nothing else to do */
const TIMEOUT = 60_000

function tell ({ found }: Explored): string {
  return found == null ? 'nothing is wrong' : `${found.what} (after: ${found.trail.join('; ')})`
}

describe('the model of the pubsub core', function () {
  this.timeout(TIMEOUT)

  describe('in whatever order things happen, all know each other in the end, calls settle and nothing is left behind', () => {
    for (const [name, setup] of Object.entries(setups)) {
      it(`with ${name}`, () => {
        expect(tell(explore(setup, MAX_STATES))).to.equal('nothing is wrong')
      })
    }
  })

  describe('the checker finds a bug that was made on purpose', () => {
    for (const [name, { setup, mutate, shows }] of Object.entries(mutants)) {
      it(name, () => {
        expect(tell(explore({ ...setup, mutate }, MAX_STATES_MUTANT))).to.include(shows)
      })
    }
  })
})
