import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { Chain } from './chain.ts'
import { BEGINNING, foreignEntries, ownKey } from './foreign.ts'
import { Ledger } from './ledger.ts'
import { Mirror } from './mirror.ts'
import { WorldTime } from './time.ts'
import { Truth } from './truth.ts'
import type { Scribbles } from './copies.ts'
import type { Disk } from './disk.ts'
import type { Foreign } from './foreign.ts'
import type { Sizes } from '../../../src/log/constants.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { PrivateKey } from '@libp2p/interface'

/** Of so many entries `canAppend` refuses one where it refuses any */
const REFUSES_ONE_IN = 61

/** What is so in all lives of a world */
export interface WorldOptions {
  seed: number
  /** Values on the disk change or are lost between two lives */
  isRot: boolean
  isSlow: boolean
  isAtomic: boolean
  isSharing: boolean
  /** `canAppend` refuses some */
  isChoosy: boolean
  scribbles: Scribbles
  /** How the wall clock is set: never, by seconds, or by minutes to years */
  clock: 'even' | 'a little' | 'wildly'
  sizes: Partial<Sizes>
}

/** One disk, what lies on it, and what everybody knows of it: the lives that write it come and go */
export class World {
  readonly options: WorldOptions
  readonly random: Random
  readonly disk: Disk = new Map()
  readonly time = new WorldTime(BEGINNING)
  readonly ledger = new Ledger()
  readonly truth: Truth
  readonly mirror = new Mirror()
  readonly chain: Chain
  readonly foreign: Foreign
  readonly privateKey: PrivateKey
  readonly wrong: string[] = []
  /** What was done to the disk */
  readonly damages: string[] = []
  /** Whether the last life may have left its lock behind */
  mayBeLocked = false
  /** What happens just now, so that what is wrong can be placed */
  where = ''
  /** Keys on the disk that are of another log */
  neighbour = new Set<string>()
  #names = 0

  static async create (seed: number, isRot: boolean): Promise<World> {
    const random = seededRandom(seed)
    return new World(drawOptions(seed, isRot, random), random, await foreignEntries(), await ownKey())
  }

  private constructor (options: WorldOptions, random: Random, foreign: Foreign, privateKey: PrivateKey) {
    this.options = options
    this.random = random
    this.foreign = foreign
    // they are made by the code under test, but not in this world
    this.truth = new Truth(foreign.known)
    this.privateKey = privateKey
    this.chain = new Chain(privateKey.publicKey.toString(), this.time)
  }

  /** Something is not as it has to be */
  readonly fail = (...what: string[]): void => {
    this.wrong.push(...what.map(what => `${this.where}: ${what}`))
  }

  /** What no other append says */
  readonly newName = (): string => `own ${this.options.seed}.${++this.#names} `

  /** What `canAppend` says no to */
  readonly isRefused = (text: string): boolean => {
    return this.options.isChoosy && [...text].reduce((sum, char) => sum + char.charCodeAt(0), 0) % REFUSES_ONE_IN === 0
  }
}

function drawOptions (seed: number, isRot: boolean, random: Random): WorldOptions {
  const oneIn = (count: number): boolean => randomInt(random, count) === 0
  const pick = <T>(...items: T[]): T => items[randomInt(random, items.length)]

  return {
    seed,
    isRot,
    isSlow: !oneIn(3),
    isAtomic: oneIn(4),
    isSharing: oneIn(3),
    isChoosy: !isRot && oneIn(3),
    scribbles: pick('never', 'when settled', 'at once'),
    clock: isRot ? 'even' : pick('even', 'a little', 'wildly'),
    sizes: {
      checkpointEntries: 20 + randomInt(random, 60),
      checkpointRecords: 8 + randomInt(random, 30),
      checkpointBytes: 4_000 + randomInt(random, 40_000),
      pageBytes: 150 + randomInt(random, 600),
      partPages: 2 + randomInt(random, 3),
      mergeRuns: 2 + randomInt(random, 3),
      recordEntries: 4 + randomInt(random, 28),
      cacheBytes: oneIn(4) ? randomInt(random, 2_000) : 4_000 + randomInt(random, 60_000)
    }
  }
}
