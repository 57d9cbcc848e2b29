import { search } from '../fixtures/search.ts'
import { describe } from './action.ts'
import { digest } from './digest.ts'
import { judge } from './judge.ts'
import { World } from './world.ts'
import type { Action, Setup } from './action.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Explored } from '../fixtures/search.ts'

/** Steps of one walk: one that is longer has met something that does not end */
const MAX_TRAIL = 1000
/** Steps after which a walk may be over, whatever could happen then */
const SOME = 60
/** Of the messages whose turn it is, this share takes a step */
const CARRIED = 0.1

/** The world at the end of a trail: a core cannot be copied, so it is made to live through it once more */
function relive (setup: Setup, trail: Action[]): World {
  const world = new World(setup)
  trail.forEach(action => { world.do(action) })
  return world
}

/** Everything that may happen, in every order */
export function explore (setup: Setup, maxStates = Infinity): Explored {
  return search<Action[], Action>({
    first: [],
    look: trail => {
      const world = relive(setup, trail)
      // judging ends the world
      const actions = world.actions()
      return { what: judge(world), actions }
    },
    after: (trail, action) => [...trail, action],
    nameOf: trail => digest(relive(setup, trail)),
    describe
  }, maxStates)
}

/**
 * Goes at random, every other time to the end: deep where `explore` is wide. What it finds is made as short as it gets.
 */
export function wander (setup: Setup, random: Random, walks: number): Explored {
  let steps = 0

  for (let walk = 0; walk < walks; walk++) {
    const world = new World(setup)
    const trail: Action[] = []
    const longest = random() < 0.5 ? MAX_TRAIL : random() * SOME

    for (let actions = world.actions(); actions.length > 0 && trail.length < longest && world.violations.length === 0; actions = world.actions()) {
      const action = actions[Math.floor(random() * actions.length)]

      // a message is slow beside gossip, so that ways turn while it travels
      if (action.type !== 'carry' || actions.length === 1 || random() < CARRIED) {
        world.do(action)
        trail.push(action)
        steps++
      }
    }

    if (judge(world) != null) {
      const { what, short } = shorten(setup, trail)
      return { states: walk, steps, isCut: true, found: { what, trail: short.map(describe) } }
    }
  }

  return { states: walks, steps, isCut: true }
}

/** Leaves out what is not needed for something to be wrong in the end */
function shorten (setup: Setup, trail: Action[]): { what: string, short: Action[] } {
  let short = trail
  let what = after(setup, trail) as string

  for (let size = trail.length >> 1; size > 0; size >>= 1) {
    for (let from = 0; from < short.length;) {
      const fewer = short.filter((_, i) => i < from || i >= from + size)
      const still = after(setup, fewer)

      if (still == null) {
        from += size
      } else {
        short = fewer
        what = still
      }
    }
  }

  return { what, short }
}

/** What is wrong after those of these steps that can be taken */
export function after (setup: Setup, trail: Action[]): string | undefined {
  const world = new World(setup)

  for (const action of trail) {
    if (world.actions().some(possible => describe(possible) === describe(action))) {
      world.do(action)
    }
  }

  return judge(world)
}
