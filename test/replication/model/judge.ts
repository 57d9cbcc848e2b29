import { isNewer } from '../../../src/replication/core/info.ts'
import { actionsOf, opening, progress, turnsOf } from './actions.ts'
import { documentOf, lettersOf, newestOf, textOf } from './documents.ts'
import { nameOf } from './world.ts'
import type { Action } from './setup.ts'
import type { World } from './world.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** Steps in which everything that is under way has to come to its end */
const MAX_STEPS = 300

/** What is wrong with a world, now or after everything has come to its end. Undefined if nothing is */
export function judge (world: World): string | undefined {
  return world.violations[0] ?? independence(world) ?? nothingIsLost(world.copy()) ?? atRest(world.copy())
}

/** While a turn of one hangs, those of the others come to their end */
function independence (world: World): string | undefined {
  for (const held of world.turns.size > 0 && world.owners.length > 1 ? world.owners : []) {
    const copy = world.copy()
    settle(copy, () => [...turnsOf(copy, ({ document }) => document.owner === held), ...opening(copy)])
    const delayed = [...copy.turns.values()].flat().find(({ document }) => document.owner !== held)

    if (delayed != null) {
      return `${nameOf(delayed.document)} waits for ${held}`
    }
  }
}

/** What came is known when its turn is over, also if nobody says it again */
function nothingIsLost (world: World): string | undefined {
  const { came, owners, on, setup } = world
  settle(world, () => [...turnsOf(world), ...opening(world)])

  for (const owner of setup.maxBytes == null && setup.maxPeers == null ? owners : []) {
    const newest = newestOf(came[owner] ?? [])
    const info = world.life.core.infoOf(owner)

    if (on[owner] && newest != null && (info == null || isNewer(newest, documentOf(info.bytes)))) {
      return `${owner} ${newest.epoch}.${newest.sequence} came and is lost`
    }
  }
}

function atRest (world: World): string | undefined {
  const { status, setup, wiring } = world
  settle(world, () => progress(world))
  // for whom there was no room when it came, there may be now: its presence has to be said again
  status === 'open' && (setup.maxPeers ?? setup.maxBytes) != null && wiring.snapshot(world)
  settle(world, () => progress(world))
  const found = world.violations[0] ?? room(world) ??
    world.owners.map(owner => knowledge(world, owner) ?? standing(world, owner)).find(what => what != null)
  return found ?? inTheEnd(world)
}

/** Where there is room for one, one of those that are here is known */
function room ({ owners, on, said, setup, spent, status, life: { core } }: World): string | undefined {
  const here = owners.filter(owner => on[owner] && said[owner] > 0)
  const isKnown = here.length === 0 || here.some(owner => core.infoOf(owner) != null)
  const isExpected = setup.maxBytes != null && spent.drop == null && status === 'open'
  return isExpected && !isKnown ? `nothing is known of ${here.join()}, and there is room for it` : undefined
}

/** Who is in is who says that it keeps something, is accepted, and is here */
function standing (world: World, owner: Key): string | undefined {
  const { on, view, life } = world
  const info = life.core.infoOf(owner)
  const keeps = info != null && info.segments.length > 0 && world.verdict(owner, info) !== false
  const isIn = view.has(owner)

  if ((on[owner] && isIn !== keeps) || (isIn && !keeps)) {
    return `${owner} is ${isIn ? 'in' : 'out'}, but ${keeps ? 'keeps' : 'does not keep'} something`
  }
  if (isIn && info != null && view.get(owner)?.letters !== lettersOf(info.segments)) {
    return `${owner} is in with what it does not say`
  }
}

/** Of one that is here all is known that it said, unless some of it never came, or there was no room for it */
function knowledge ({ setup, spent, said, on, life }: World, owner: Key): string | undefined {
  const info = life.core.infoOf(owner)
  const newest = setup.says[owner][said[owner] - 1]
  const isWhole = spent.drop == null && spent.fail == null && setup.maxBytes == null && setup.maxPeers == null

  if (on[owner] && isWhole && newest != null && (info == null || isNewer(newest, info))) {
    return `${owner} has said ${nameOf(newest)}, and what is known is ${info == null ? 'nothing' : textOf(info.bytes)}`
  }
}

/** When time has passed nothing is left of those that are gone, in memory or on the disk */
function inTheEnd (world: World): string | undefined {
  settle(world, () => [...progress(world), ...actionsOf(world).filter(({ type }) => type === 'wake')])
  const { owners, on, view, life: { core }, disk, spent, setup } = world
  const here = owners.filter(owner => on[owner])

  if (world.violations.length > 0) {
    return world.violations[0]
  }
  if ([...view].some(([owner, { isMature }]) => !on[owner] || !isMature)) {
    return `in the end these are in: ${JSON.stringify([...view])}`
  }
  if (core.size > here.length || (setup.maxPeers == null && core.size < view.size)) {
    return `${core.size} peers are remembered, and ${here.length} are here`
  }

  for (const owner of spent.unwritten == null ? owners : []) {
    const known = core.infoOf(owner)
    const name = view.has(owner) && known != null ? nameOf(known) : ''

    if (name !== disk[owner].map(nameOf).join()) {
      return `of ${owner} is stored [${disk[owner].map(nameOf).join()}], and known [${name}]`
    }
  }
}

function settle (world: World, next: () => Action[]): void {
  for (let i = 0; i < MAX_STEPS; i++) {
    const [action] = next()

    if (action == null) {
      return
    }

    world.do(action)
  }

  world.violations.push('it never comes to rest')
}
