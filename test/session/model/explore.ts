import { randomInt } from '../../../src/runtime/random.ts'
import { tell } from './setup.ts'
import { World } from './world.ts'
import type { Action, Setup } from './setup.ts'
import type { Random } from '../../../src/runtime/random.ts'

export interface Explored {
  /** Worlds that differ */
  states: number
  /** Steps that were taken between them */
  steps: number
  /** There was more than the limit allowed */
  isCut: boolean
  found?: { what: string, trail: string[] }
}

export interface Limits {
  maxStates: number
  /** Of so many worlds one is watched until it comes to rest */
  drainEvery?: number
}

interface Trail {
  action: Action
  from?: Trail
}

/**
 * Goes through everything that may happen, in every order, breadth first, so that what it finds is as short as it gets
 */
export function explore (setup: Setup, { maxStates, drainEvery = 1 }: Limits): Explored {
  const first = new World(setup)
  first.start()
  const seen = new Set<string>([hash(first.name)])
  let places: Array<{ world: World, trail?: Trail }> = [{ world: first }]
  let steps = 0
  let looked = 0
  let isCut = false

  while (places.length > 0) {
    const next: typeof places = []

    for (const { world, trail } of places) {
      const what = world.judge() ?? (looked++ % drainEvery === 0 ? world.copy().drain() : undefined)

      if (what != null) {
        return { states: seen.size, steps, isCut, found: { what, trail: trailOf(trail) } }
      }

      for (const action of world.actions()) {
        const after = world.copy(false, action.peer)
        after.do(action)
        steps++
        const name = hash(after.name)

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

function trailOf (trail?: Trail): string[] {
  return trail == null ? [] : [...trailOf(trail.from), tell(trail.action)]
}

/**
 * 106 bits of a name: a million names of thousands of characters would not fit (cyrb53 by bryc, public domain, twice)
 */
function hash (name: string): string {
  return `${cyrb53(name, 1)}/${cyrb53(name, 2)}`
}

function cyrb53 (text: string, seed: number): number {
  let [a, b] = [0xdeadbeef ^ seed, 0x41c6ce57 ^ seed]

  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 2_654_435_761)
    b = Math.imul(b ^ code, 1_597_334_677)
  }

  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909)
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909)
  return 4_294_967_296 * (2_097_151 & b) + (a >>> 0)
}
