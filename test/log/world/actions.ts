import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { HostileDatastore } from './disk.ts'
import { openAt } from './life.ts'
import { ask, iterate, iterateArrivals, lookUp, turnPages } from './reads.ts'
import { turn } from './time.ts'
import { append, appendAtOnce, appendMany, join, joinAgain, joinAhead, mark, remove, trim } from './writes.ts'
import type { Life } from './life.ts'
import type { Action } from './writes.ts'
import type { Random } from '../../../src/runtime/random.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const YEAR = 365 * 24 * HOUR
/** Milliseconds by which a wall clock is set */
const WILD_JUMPS = [YEAR, -YEAR, 8 * HOUR, -HOUR, 3 * MINUTE, -3 * MINUTE]

/** All that may happen in a life, and how often one of it does among the others */
const ACTIONS: Array<[share: number, action: Action]> = [
  [10, append], [10, appendMany], [4, appendAtOnce],
  [12, join], [2, joinAhead], [3, joinAgain],
  [6, remove], [3, trim], [2, mark],
  [5, iterate], [3, iterateArrivals], [4, turnPages], [4, lookUp], [3, ask],
  [2, setClock], [2, letTimePass], [1, openTwice]
]
const SHARES = ACTIONS.reduce((sum, [share]) => sum + share, 0)

export function anyAction (random: Random): Action {
  let at = randomInt(random, SHARES)
  return (ACTIONS.find(([share]) => (at -= share) < 0) ?? ACTIONS[0])[1]
}

async function setClock ({ world: { random, time, options } }: Life): Promise<void> {
  if (options.clock === 'a little') {
    time.jump((random() - 0.5) * MINUTE)
  } else if (options.clock === 'wildly') {
    time.jump(WILD_JUMPS[randomInt(random, WILD_JUMPS.length)])
  }
}

/** Not so fast that a write that takes some turns runs into its deadline */
async function letTimePass ({ world: { random, time } }: Life): Promise<void> {
  for (let left = randomInt(random, 40); left > 0; left--) {
    time.pass(randomInt(random, 300))
    await turn()
  }
}

/** Somebody else wants to open the log: another tab, or the same program by mistake */
async function openTwice (life: Life): Promise<void> {
  const { world, world: { disk, random, time } } = life

  // a life that cannot write cannot hold its lock
  if (!life.datastore.isSound || life.log.status !== 'open') {
    return
  }

  const isSameProcess = randomInt(random, 3) === 0
  const datastore = isSameProcess ? life.datastore : new HostileDatastore({ disk, random: seededRandom(randomInt(random, 2 ** 32)) })
  const clock = time.process()

  try {
    const second = await openAt(world, datastore, clock)

    if (!life.isDead && life.log.status === 'open') {
      world.fail(`a second one opened the log ${isSameProcess ? 'on the same datastore' : 'from another process'}`)
    }
    await second.close()
  } catch (err: any) {
    if (err.name !== 'StoreInUseError' && !(isSameProcess && life.isDead)) {
      world.fail(`a second one that opens the log hears of ${err?.stack ?? err}`)
    }
  } finally {
    clock.kill()
  }
}
