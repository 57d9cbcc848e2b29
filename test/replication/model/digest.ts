import { newestOf, textOf } from './documents.ts'
import { nameOf } from './world.ts'
import type { Life } from './life.ts'
import type { Turn, World } from './world.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { MembershipEffect } from '../../../src/replication/core/membership.ts'

/** Wakes until everything that has a time has had it */
const MAX_WAKES = 20

/**
 * Two worlds with the same digest go on in the same way. What cannot be seen of a core from outside it is made to say: copies of
 * it live through what may come.
 */
export function digest (world: World): string {
  const { status, owners, messages, turns, late, said, on, hasSaidOff, disk, writes, unread, came, verdicts, spent, notes, life } = world
  const ofTurn = (turn: Turn): string => `${nameOf(turn.document)}/${turn.life === life}`

  return JSON.stringify([
    status, unread.map(nameOf), said, on, hasSaidOff,
    Object.entries(verdicts).sort(), Object.entries(spent).sort(),
    messages.map(nameOf).sort(),
    [...turns].map(([key, waiting]) => [key, waiting.map(ofTurn)]).sort(),
    late.map(ofTurn).sort(),
    owners.map(owner => {
      const newest = newestOf(came[owner] ?? [])
      return [disk[owner].map(nameOf), writes[owner]?.map(write => write.map(nameOf)), newest && nameOf(newest), notes[owner]?.map(nameOf)]
    }),
    status === 'none' ? [] : look(world)
  ])
}

function look (world: World): unknown {
  const { life, owners, now } = world
  const { core } = life
  return [
    core.size,
    owners.map(owner => [core.why(owner), nameOfKnown(core.infoOf(owner))]),
    [...core.replicators()].map(({ peer, isMature, isPresent }) => [peer, isMature, isPresent]).sort(),
    rest(life.copy(), now, []),
    rest(life.copy(), now, owners)
  ]
}

/** What becomes of it when these come, and then nobody says anything any more */
function rest (life: Life, since: number, come: string[]): unknown {
  const { core } = life
  const effects = [...core.open(since), ...come.flatMap(owner => core.present(owner, since))].map(ofEffect)
  const later: unknown[] = []

  for (let i = 0; i < MAX_WAKES && core.nextWake() < Infinity; i++) {
    const now = core.nextWake()
    later.push(now - since, core.wake(now).map(ofEffect).sort(), core.size)
  }

  return [effects.sort(), later]
}

function ofEffect (effect: MembershipEffect): string {
  return effect.type === 'store' ? `store ${effect.peer} ${nameOfKnown(effect.document)}` : `${effect.type} ${effect.peer}`
}

function nameOfKnown (document?: Document): string {
  return document == null ? '' : textOf(document.bytes)
}
