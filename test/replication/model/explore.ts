import { actionsOf } from './actions.ts'
import { digest } from './digest.ts'
import { judge } from './judge.ts'
import { tell } from './setup.ts'
import { World } from './world.ts'
import type { Action, Setup } from './setup.ts'

export interface Explored {
  /** Worlds that differ */
  states: number
  /** Steps that were taken between them */
  steps: number
  /** There was more than the limit allowed */
  isCut: boolean
  found?: { what: string, trail: string[] }
}

interface Place {
  world: World
  trail?: Trail
}

interface Trail {
  action: Action
  from?: Trail
}

/** Goes through everything that may happen, in every order, breadth first, so that what it finds is as short as it gets */
export function explore (setup: Setup, maxStates = Infinity): Explored {
  const seen = new Set<string>()
  let places: Place[] = [{ world: begin(setup) }]
  let steps = 0
  let isCut = false

  while (places.length > 0) {
    const next: Place[] = []

    for (const { world, trail } of places) {
      const what = judge(world)

      if (what != null) {
        return { states: seen.size, steps, isCut, found: { what, trail: trailOf(trail) } }
      }

      for (const action of actionsOf(world)) {
        const after = world.copy()
        after.do(action)
        steps++
        const name = digest(after)

        if (!seen.has(name) && seen.size >= maxStates) {
          isCut = true
        } else if (!seen.has(name)) {
          seen.add(name)
          next.push({ world: after, trail: { action, from: trail } })
        }
      }
    }

    places = next
  }

  return { states: seen.size, steps, isCut }
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

function trailOf (trail?: Trail): string[] {
  return trail == null ? [] : [...trailOf(trail.from), tell(trail.action)]
}
