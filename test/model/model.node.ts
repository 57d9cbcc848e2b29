import { expect } from 'aegir/chai'
import { seededRandom } from '../../src/runtime/random.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { explore, wander } from './explore.ts'
import { mutants } from './mutants.ts'
import { setups, wild } from './setups.ts'
import type { Explored } from '../fixtures/search.ts'

/**
 * Worlds of each setup: all of them where there are fewer. What is past it differs only late. And walks at random, which see
 * that. MODEL_STATES=... MODEL_WALKS=... MODEL_SEED=... looks at more
 */
const MAX_STATES = setting('MODEL_STATES', IS_LONG ? 300 : 40)
const WALKS = setting('MODEL_WALKS', IS_LONG ? 400 : 50)
const SEED = setting('MODEL_SEED', 1)
/** Worlds and walks until a bug on purpose has to be found */
const MAX_STATES_MUTANT = 400
const WALKS_MUTANT = 2000
/** Milliseconds: each takes a second on a machine that has nothing else to do, with the numbers above */
const TIMEOUT = 180_000 * Math.max(1, MAX_STATES / 300, WALKS / 400)

function setting (name: string, otherwise: number): number {
  const value = process.env[name]
  return value == null || value === '' ? otherwise : Number(value)
}

function tell ({ found }: Explored): string {
  return found == null ? 'nothing is wrong' : `${found.what} (after: ${found.trail.join('; ')})`
}

describe(`the model of the pubsub core (MODEL_STATES=${MAX_STATES} MODEL_WALKS=${WALKS} MODEL_SEED=${SEED})`, function () {
  this.timeout(TIMEOUT)

  describe('in whatever order things happen, no way leads in a circle, no message comes back, and in the end all is as it has to be', () => {
    for (const [name, setup] of Object.entries(setups)) {
      it(`with ${name}`, () => {
        expect(tell(explore(setup, MAX_STATES))).to.equal('nothing is wrong')
        expect(tell(wander(setup, seededRandom(SEED), WALKS))).to.equal('nothing is wrong')
      })
    }
    for (const [name, setup] of Object.entries(wild)) {
      it(`with ${name}`, () => {
        expect(tell(wander(setup, seededRandom(SEED), 2 * WALKS))).to.equal('nothing is wrong')
      })
    }
  })

  describe('the checker finds a bug that was made on purpose', () => {
    for (const [name, { setup, mutate, shows = '(after' }] of Object.entries(mutants)) {
      it(name, () => {
        const mutant = { ...setup, mutate }
        const explored = tell(explore(mutant, MAX_STATES_MUTANT))
        expect(explored.includes(shows) ? explored : tell(wander(mutant, seededRandom(SEED), WALKS_MUTANT))).to.include(shows)
      })
    }
  })
})
