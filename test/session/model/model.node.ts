import { expect } from 'aegir/chai'
import { seededRandom } from '../../../src/runtime/random.ts'
import { IS_LONG } from '../../fixtures/effort.ts'
import { explore, wander } from './explore.ts'
import { mutants } from './mutants.ts'
import { setups, wild } from './setups.ts'
import type { Explored } from '../../fixtures/search.ts'

/**
 * Worlds of each setup. What is past it differs only late; `node test/session/model/run.ts --states 1000000` looks at
 * more. One in DRAIN_EVERY is watched until it comes to rest
 */
const MAX_STATES = IS_LONG ? 3000 : 600
const DRAIN_EVERY = 5
/** Worlds until a bug on purpose has to be found. They are found within a few hundred */
const MAX_STATES_MUTANT = 1500
/** Walks at random through what is too much for every order: 85 steps each */
const WALKS = IS_LONG ? 1500 : 300
/** And until a bug on purpose that only shows late has to be found */
const WALKS_MUTANT = 1500
const SEED = 7
/** Milliseconds: each takes one to two seconds on a machine that has nothing else to do */
const TIMEOUT = 180_000

function tell ({ found }: Explored): string {
  return found == null ? 'nothing is wrong' : `${found.what} (after: ${found.trail.join('; ')})`
}

describe('the model of two peers with a session', function () {
  this.timeout(TIMEOUT)

  describe('in whatever order things happen, keys agree, messages arrive once and in order, all comes to rest', () => {
    const counts: Explored[] = []

    for (const [name, setup] of Object.entries(setups)) {
      it(`with ${name}`, () => {
        const explored = explore(setup, { maxStates: MAX_STATES, drainEvery: DRAIN_EVERY })
        counts.push(explored)
        expect(tell(explored)).to.equal('nothing is wrong')
      })
    }

    for (const [name, setup] of Object.entries(wild)) {
      it(`with ${name}, at random`, () => {
        expect(tell(wander(setup, seededRandom(SEED), WALKS))).to.equal('nothing is wrong')
      })
    }

    after(() => {
      const sum = (
        of: (explored: Explored) => number
      ): number => counts.reduce((sum, explored) => sum + of(explored), 0)
      const whole = counts.filter(({ isCut }) => !isCut).length
      // eslint-disable-next-line no-console
      console.info(
        `      ${sum(({ states }) => states)} worlds, ${sum(({ steps }) => steps)} steps, ${whole} setups to their end`
      )
    })
  })

  describe('the checker finds a bug that was made on purpose', () => {
    for (const [name, mutant] of Object.entries(mutants)) {
      it(name, () => {
        const { isOnlyLate = false, shows } = mutant
        const found = isOnlyLate
          ? wander(
            mutant, seededRandom(SEED), WALKS_MUTANT
          )
          : explore(mutant, { maxStates: MAX_STATES_MUTANT })
        expect(tell(found)).to.include(shows)
      })
    }
  })
})
