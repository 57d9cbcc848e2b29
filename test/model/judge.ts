import { LOST_MEMORY, SWEEP_INTERVAL } from '../../src/pubsub/constants.ts'
import { checkSubscribers, reachable } from '../sim/checks.ts'
import type { World } from './world.ts'
import type { SimNode } from '../sim/node.ts'

/** Longer than anything is remembered of those who were lost */
const LONG = LOST_MEMORY + 2 * SWEEP_INTERVAL

/**
 * What is wrong with a world, now or after everything has come to an end: undefined if nothing is. It is of no use after.
 */
export function judge (world: World): string | undefined {
  const { violations } = world

  world.calm()
  // others are told that a way is lost which brings no acks, until it is tried again
  violations.push(...world.spent('fail') < 2 ? truth(world, 'at once') : [])
  world.pass(LONG)
  violations.push(...truth(world, 'in the end'), ...world.running.flatMap(node => [...calls(node), ...rest(world, node)]))
  return violations[0]
}

function truth (world: World, when: string): string[] {
  world.running.forEach(({ observer }) => { world.collect(observer) })
  return [...checkSubscribers(world, world.topics), ...ways(world)].map(what => `${when}: ${what}`)
}

/** A way that arrives leads from every relay to everybody whom it can reach, and from nobody to anybody else */
function ways (world: World): string[] {
  return world.running.flatMap(node => {
    const others = reachable(node)

    return world.nodes.filter(other => other !== node).flatMap(other => {
      const isReachable = node.core.routing.isReachable(other.key)

      if (!others.has(other)) {
        return isReachable ? [`${node.key} has a way to ${other.key}, which is a ghost`] : []
      }
      if (!isReachable) {
        return node.isRelay ? [`${node.key} has no way to ${other.key}`] : []
      }
      if (node.core.subscribers.versionOf(other.key)?.epoch !== other.core.epoch) {
        return [`${node.key} knows an earlier life of ${other.key}`]
      }

      return arrives(world, node, other) ? [] : [`the way from ${node.key} to ${other.key} ends`]
    })
  })
}

function arrives (world: World, from: SimNode, to: SimNode): boolean {
  const trace: string[] = []
  let before: string | undefined
  let at = from

  while (at !== to) {
    const next = world.next(at, { origin: from.key, destination: to.key, trace }, before)

    if (next == null || trace.includes(next)) {
      return false
    }
    if (at !== from) {
      trace.push(at.key)
    }

    before = at.key
    at = world.node(next)
  }

  return true
}

/** Every call has its outcome, and one that fits to what came of the topic */
function calls ({ key, observer }: SimNode): string[] {
  const open = observer?.open ?? []
  return open.length > 0 ? [`${key}: calls ${open.join(', ')} never settle`] : []
}

/** Nothing is held that nobody asked for */
function rest (world: World, { key, core, wanted, links, isRelay }: SimNode): string[] {
  const { sizes } = core
  const others = world.running.length - 1
  const bounds = {
    topics: wanted.size, asked: 0, requests: 0, neighbours: links.size, updates: 0, origins: others, routes: others, ...(isRelay ? {} : { interestTopics: wanted.size })
  }
  return Object.entries(bounds).filter(([name, bound]) => sizes[name] > bound).map(([name, bound]) => `${key} is left with ${sizes[name]} ${name} instead of ${bound}`)
}
