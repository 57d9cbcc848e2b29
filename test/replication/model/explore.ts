import { search } from '../../fixtures/search.ts'
import { actionsOf } from './actions.ts'
import { digest } from './digest.ts'
import { judge } from './judge.ts'
import { tell } from './setup.ts'
import { World } from './world.ts'
import type { Action, Setup } from './setup.ts'
import type { Explored } from '../../fixtures/search.ts'

/** Everything that may happen, in every order */
export function explore (setup: Setup, maxStates = Infinity): Explored {
  return search<World, Action>({
    first: begin(setup),
    look: world => ({ what: judge(world), actions: actionsOf(world) }),
    after: (world, action) => {
      const after = world.copy()
      after.do(action)
      return after
    },
    nameOf: digest,
    describe: tell
  }, maxStates)
}

function begin (setup: Setup): World {
  const world = new World(setup)
  world.start()

  if (setup.isOpen) {
    world.unread.slice().forEach(({ owner }) => { world.do({ type: 'read', owner }) })
    world.do({ type: 'opened' })
  }

  return world
}
