import { seededRandom } from '../../../src/runtime/random.ts'
import { newLog, saidIn, text } from '../../fixtures/logs.ts'
import { HostileDatastore } from './disk.ts'
import type { World } from './world.ts'
import type { Log } from '../../../src/log/index.ts'

/** Another log that lies on the same disk: its id begins as that of the world's log does */
const NEIGHBOUR = 'a log that nobody touches'
const SAID = ['one', 'two', 'three']

/** Nothing that happens to one log happens to another. Notes which keys are of the other one */
export async function putNeighbour (world: World): Promise<void> {
  const log = await open(world)
  await log.appendMany(SAID.map(text))
  await world.time.during(log.close())
  world.neighbour = new Set(world.disk.keys())
}

export async function lookAtNeighbour (world: World): Promise<void> {
  const log = await open(world)
  const said = await saidIn(log)

  if (said.join() !== SAID.join()) {
    world.fail(`another log on the same disk says ${said.join()}, and not ${SAID.join()}`)
  }

  await world.time.during(log.close())
}

async function open ({ disk, privateKey, time }: World): Promise<Log> {
  const datastore = new HostileDatastore({ disk, random: seededRandom(0) })
  return time.during(newLog({ id: NEIGHBOUR, datastore, privateKey, clock: time.process() }))
}
