import { toString } from 'uint8arrays/to-string'
import { encodeString } from '../../../src/runtime/codec.ts'
import { randomInt } from '../../../src/runtime/random.ts'
import { sha256 } from '../../../src/runtime/sha256.ts'
import { search } from '../../fixtures/search.ts'
import { tell } from './setup.ts'
import { World } from './world.ts'
import type { Action, Setup } from './setup.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { Explored } from '../../fixtures/search.ts'

/** Bytes of a hash that stands for a name: a million names of thousands of characters would not fit */
const NAME_BYTES = 16

export interface Limits {
  maxStates: number
  /** Of so many worlds one is watched until it comes to rest */
  drainEvery?: number
}

/** Everything that may happen, in every order */
export function explore (setup: Setup, { maxStates, drainEvery = 1 }: Limits): Explored {
  const first = new World(setup)
  first.start()
  let looked = 0

  return search<World, Action>({
    first,
    look: world => ({
      what: world.judge() ?? (looked++ % drainEvery === 0 ? world.copy().drain() : undefined),
      actions: world.actions()
    }),
    after: (world, action) => {
      const after = world.copy(false, action.peer)
      after.do(action)
      return after
    },
    nameOf: ({ name }) => toString(sha256(encodeString(name)).subarray(0, NAME_BYTES), 'base64'),
    describe: tell
  }, maxStates)
}

/** Walks at random until nothing may happen any more, and watches each end come to rest: what only shows late */
export function wander (setup: Setup, random: Random, walks: number): Explored {
  let steps = 0

  for (let i = 0; i < walks; i++) {
    const world = new World(setup)
    const trail: string[] = []
    world.start()

    for (let actions = world.actions(); actions.length > 0; actions = world.actions()) {
      const action = actions[randomInt(random, actions.length)]
      world.do(action)
      trail.push(tell(action))
      steps++
      const what = world.judge()

      if (what != null) {
        return { states: i + 1, steps, isCut: true, found: { what, trail } }
      }
    }

    const what = world.drain()

    if (what != null) {
      return { states: i + 1, steps, isCut: true, found: { what, trail } }
    }
  }

  return { states: walks, steps, isCut: true }
}
