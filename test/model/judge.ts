import { checkSubscribers, reachable } from '../sim/checks.ts'
import type { World } from './world.ts'
import type { Forgives } from '../sim/checks.ts'
import type { SimNode } from '../sim/node.ts'

/** Longer than anything is believed that is not said again */
const PERIODS = 4

/**
 * What is wrong with a world, now or after everything has come to an end: undefined if nothing is. It is of no use after.
 */
export function judge (world: World): string | undefined {
  const { violations } = world

  world.calm()
  world.nodes.forEach(({ observer }) => { world.collect(observer) })
  // who is cut off cannot be heard saying what it is on: it expires
  violations.push(...truth(world, 'at once', (node, ghost) => [...reachable(node).keys()].every(({ key }) => key !== ghost)))

  world.pass(PERIODS * world.refreshInterval)
  world.nodes.forEach(({ observer }) => { world.collect(observer) })
  violations.push(...truth(world, 'in the end'), ...world.nodes.flatMap(node => [...calls(node), ...rest(node)]))
  return violations[0]
}

function truth (world: World, when: string, forgives?: Forgives): string[] {
  return checkSubscribers({ running: world.nodes }, world.topics, forgives).map(what => `${when}: ${what}`)
}

/** Every call has its outcome, and one that fits to what came of the topic */
function calls ({ key, observer }: SimNode): string[] {
  const open = observer?.open ?? []
  return open.length > 0 ? [`${key}: calls ${open.join(', ')} never settle`] : []
}

/** Nothing is held that nobody asked for */
function rest ({ key, core, wanted, links, isRelay }: SimNode): string[] {
  const { sizes } = core
  const bounds = { topics: wanted.size, asked: 0, requests: 0, neighbours: links.size, gossip: 0, ...(isRelay ? {} : { interestTopics: wanted.size }) }
  return Object.entries(bounds).filter(([name, bound]) => sizes[name] > bound).map(([name, bound]) => `${key} is left with ${sizes[name]} ${name} instead of ${bound}`)
}
