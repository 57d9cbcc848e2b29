import { describe } from './action.ts'
import { digest } from './digest.ts'
import { judge } from './judge.ts'
import { World } from './world.ts'
import type { Action, Setup } from './action.ts'

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
  action: Action
  from?: Place
}

/** The world at the end of a trail: a core cannot be copied, so it is made to live through it once more */
function relive (setup: Setup, place?: Place): World {
  const trail: Action[] = []

  for (let at = place; at != null; at = at.from) {
    trail.push(at.action)
  }

  const world = new World(setup)
  trail.reverse().forEach(action => { world.do(action) })
  return world
}

function trailOf (place?: Place): string[] {
  return place == null ? [] : [...trailOf(place.from), describe(place.action)]
}

/**
 * Goes through everything that may happen, in every order, breadth first, so that what it finds is as short as it gets.
 */
export function explore (setup: Setup, maxStates = Infinity): Explored {
  const seen = new Set([digest(relive(setup))])
  const places: Array<Place | undefined> = [undefined]
  let steps = 0
  let isCut = false

  for (const place of places) {
    const what = judge(relive(setup, place))

    if (what != null) {
      return { states: seen.size, steps, isCut, found: { what, trail: trailOf(place) } }
    }

    for (const action of relive(setup, place).actions()) {
      const next = { action, from: place }
      const name = digest(relive(setup, next))
      steps++

      if (!seen.has(name) && seen.size >= maxStates) {
        isCut = true
      } else if (!seen.has(name)) {
        seen.add(name)
        places.push(next)
      }
    }
  }

  return { states: seen.size, steps, isCut }
}
