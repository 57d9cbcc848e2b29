import { defaultLogger } from '@libp2p/logger'
import { Log } from '../../../src/log/log.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import { closeLogs, LOG_ID, SetClock, text } from '../../fixtures/logs.ts'
import { checkFingerprint } from './checks.ts'
import { taken } from './copies.ts'
import { described, inflict, mend, spreadDamages } from './damage.ts'
import { HostileDatastore } from './disk.ts'
import { BEGINNING, foreignEntries, ownKey } from './foreign.ts'
import { Mirror } from './mirror.ts'
import { Truth } from './truth.ts'
import type { Damage } from './damage.ts'
import type { Disk } from './disk.ts'
import type { Sizes } from '../../../src/log/constants.ts'
import type { Entry } from '../../../src/log/index.ts'

/** So small that a few hundred entries go all the ways: records of many and of few, runs of two tiers, groups, removals */
const SIZES: Partial<Sizes> = {
  checkpointEntries: 40, checkpointRecords: 20, checkpointBytes: 20_000, pageBytes: 400, partPages: 3, mergeRuns: 3, recordEntries: 16, cacheBytes: 8_000
}
const ROUNDS = 12
const KINDS = ['closed', 'killed'] as const

export type End = typeof KINDS[number]

/** A store as one process left it behind, and what it was asked to keep in it */
export interface Store {
  disk: Disk
  /** In the order in which they came */
  wanted: Entry[]
  gone: Entry[]
}

export interface Outcome {
  damage: string
  wrong: string[]
  /** Entries that were lost, and are there again */
  lost: number
}

export async function makeStore (end: End): Promise<Store> {
  const disk: Disk = new Map()
  const { entries: foreign } = await foreignEntries()
  const log = await openOn(disk)
  const gone: Entry[] = []

  for (let round = 0; round < ROUNDS; round++) {
    const own = await log.appendMany(Array.from({ length: 8 }, (_, i) => text(`own ${round}.${i}`)), round % 3 === 0 ? { group: text('a group') } : {})
    await log.append(text(`alone ${round}`))
    await log.join(foreign.slice(round * 10, round * 10 + 10))
    const removed = [own[1], foreign[round * 10 + 3]]
    gone.push(...removed.map(entry => taken(entry, 'never')))
    await log.remove(removed.map(({ id }) => id))
  }

  await log.mark('a program', 7)
  const wanted: Entry[] = []

  for await (const { entry } of log.arrivals()) {
    wanted.push(taken(entry, 'never'))
  }
  if (end === 'closed') {
    await log.close()
  }

  const left = copyOf(disk)
  // it lives on in this process, and is nothing to the copy
  await log.close()
  return { disk: left, wanted, gone }
}

/** Damages a copy of a store, opens and mends it. Says what went wrong */
export async function damageAndMend ({ disk, wanted, gone }: Store, damage: Damage, truth: Truth, mirror: Mirror): Promise<Outcome> {
  const copy = copyOf(disk)
  const wrong: string[] = []
  const fail = (...what: string[]): void => { wrong.push(...what) }
  let lost = 0
  inflict(copy, damage)

  try {
    const log = await openOn(copy)
    const reading = { log, truth, random: seededRandom(1), fail, take: (entry: Entry) => taken(entry, 'never') }
    const content = await mend(reading, wanted, gone, ({ entries }) => { lost = Math.max(lost, wanted.length - entries.length) })
    await checkFingerprint(reading, content, mirror)
    await log.close()
    const again = await openOn(copy)

    if (again.length !== wanted.length) {
      fail(`${again.length} of ${wanted.length} are there when it is opened once more`)
    }
    await again.close()
  } catch (err: any) {
    fail(err.stack)
  }

  return { damage: described(damage), wrong, lost }
}

/** Damages both stores at so many places, and says what came of each */
export async function * rot (count: number, seed: number): AsyncGenerator<Outcome & { end: End }> {
  const mirror = new Mirror()
  const truth = new Truth((await foreignEntries()).known)

  for (const end of KINDS) {
    const store = await makeStore(end)

    for (const damage of spreadDamages(store.disk, count, seededRandom(seed))) {
      yield { end, ...await damageAndMend(store, damage, truth, mirror) }
    }
  }

  await closeLogs()
}

async function openOn (disk: Disk): Promise<Log> {
  return Log.open({
    id: LOG_ID,
    datastore: new HostileDatastore({ disk, random: seededRandom(1) }),
    privateKey: await ownKey(),
    logger: defaultLogger(),
    clock: new SetClock(BEGINNING)
  }, SIZES)
}

function copyOf (disk: Disk): Disk {
  return new Map([...disk].map(([key, value]) => [key, Uint8Array.from(value)]))
}
