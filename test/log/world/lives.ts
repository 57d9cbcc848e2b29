import { randomInt } from '../../../src/runtime/random.ts'
import { closeLogs, text } from '../../fixtures/logs.ts'
import { anyAction } from './actions.ts'
import { damageDisk, lookAtDamaged, lookAtOpened, lookAtRest } from './inspections.ts'
import { Life } from './life.ts'
import { lookAtNeighbour, putNeighbour } from './neighbour.ts'
import { watchRejections } from './rejections.ts'
import { turn } from './time.ts'
import { World } from './world.ts'

const FEWEST_LIVES = 5
const MOST_LIVES = 8
/** Things that happen in a life */
const ACTIONS = 28
/** Times in a row that a process may die while it opens the log, or fail to */
const MOST_FAILED_OPENINGS = 3

export interface Outcome {
  wrong: string[]
  /** What the world was like */
  notes: string[]
  lives: number
  operations: number
}

/** Leads some lives on one disk, and says what went wrong in them */
export async function runWorld (seed: number, { isRot = false } = {}): Promise<Outcome> {
  const world = await World.create(seed, isRot)
  const rejections = watchRejections()
  const lives = new Lives(world)

  try {
    await lives.all()
  } catch (err: any) {
    world.fail(`${err?.stack ?? err}`)
  }

  // those beside the log of the lives, which end as processes do
  await closeLogs()
  // what nobody handles is told of a turn later
  await turn()
  await turn()
  world.fail(...rejections.stop())
  const notes = [...world.damages, JSON.stringify(world.options)]
  return { wrong: world.wrong, notes, lives: lives.count, operations: lives.operations }
}

/** The command that does the same again */
export function replay (seed: number, isRot: boolean): string {
  return `npx node test/log/world/run.ts --seed ${seed}${isRot ? ' --rot' : ''}`
}

/** One process after the other opens the log, works with it and ends */
class Lives {
  readonly #world: World
  count = 0
  /** Operations on the disk */
  operations = 0

  constructor (world: World) {
    this.#world = world
  }

  async all (): Promise<void> {
    const world = this.#world
    const most = FEWEST_LIVES + randomInt(world.random, MOST_LIVES - FEWEST_LIVES + 1)
    await putNeighbour(world)

    while (this.count < most && world.wrong.length === 0) {
      const life = await this.#begin()
      await this.#work(life)
      await this.#finish(life)
    }

    if (world.wrong.length === 0) {
      await this.#last()
    }
  }

  /** A process opens the log, and looks whether all is there. Some die of that, or the disk fails them */
  async #begin (): Promise<Life> {
    for (let failed = 0; ; failed++) {
      const life = this.#newLife()
      const isHard = !this.#world.options.isRot && failed < MOST_FAILED_OPENINGS && this.#oneIn(4)

      if (isHard) {
        this.#plan(life, { within: 40, longest: 6 })
      }

      await this.#open(life)

      if (life.isOpen && !life.isDead) {
        life.datastore.repair()
        await this.#world.time.during(lookAtOpened(life))
        return life
      }

      this.#end(life)
    }
  }

  async #open (life: Life): Promise<void> {
    for (let tries = 0; tries < 2 && !life.isOpen && !life.isDead; tries++) {
      try {
        await life.open()
      } catch (err: any) {
        if (!life.isExpected(err)) {
          throw err
        }
        // the same process tries again when the disk works again, or another one does
        life.datastore.repair()
        this.#world.mayBeLocked = true
      }
    }
  }

  /** All that comes to pass while it is open, until it is quiet or the process dies */
  async #work (life: Life): Promise<void> {
    const { world: { random, time, options, chain }, datastore } = life
    this.#say('works')

    if (!options.isRot) {
      this.#plan(life, { within: 1500, longest: 50 })
    }

    const acting = (async () => {
      const pending: Array<Promise<void>> = []

      for (let i = 0; i < ACTIONS && !life.isDead; i++) {
        if (life.attempts === 0) {
          chain.rest()
        }

        const acted = anyAction(random)(life)
        pending.push(acted)

        if (this.#oneIn(3)) {
          await acted
        }
      }

      await Promise.all(pending)
    })()
    await time.during(Promise.race([acting, datastore.died]))
  }

  /** The process is dead, is killed, or closes the log: in peace, with work under way, or on a disk that it does not survive */
  async #finish (life: Life): Promise<void> {
    const { options, random, time } = this.#world

    if (life.isDead) {
      this.#end(life)
      return
    }

    const recovered = options.isRot ? life : await this.#recover(life)
    this.#say('is at rest')
    await time.during(lookAtRest(recovered))

    if (options.isRot && this.#oneIn(3)) {
      await damageDisk(this.#world, true)
      await time.during(lookAtDamaged(recovered))
    }

    if (this.#oneIn(4)) {
      this.#say('is killed')
    } else {
      await this.#close(recovered, options.isRot ? 0 : randomInt(random, 3))
    }

    this.#end(recovered)

    if (options.isRot) {
      await damageDisk(this.#world, false)
    }
  }

  async #close (life: Life, kind: number): Promise<void> {
    const { world, world: { random, time }, datastore } = life
    this.#say(['is closed', 'is closed with work under way', 'dies while it is closed'][kind])
    const work = kind === 1 ? [1, 2, 3].map(async () => anyAction(random)(life)) : []
    datastore.diesAt = kind === 2 ? datastore.operations + 1 + randomInt(random, 30) : Infinity
    let isClosed = false
    const closing = life.attempt(async () => life.log.close(), { done: () => { isClosed = true } })
    await time.during(Promise.race([Promise.all([closing, ...work]), datastore.died]))

    if (!life.isDead && isClosed) {
      world.mayBeLocked = false
      await life.attempt(async () => life.log.append(text('too late')), { done: () => { world.fail('a log that is closed takes an entry') } })
    }
  }

  /** A disk that failed and works again lets the log go on: at once, or when it is closed and opened again */
  async #recover (life: Life): Promise<Life> {
    const { time } = this.#world
    this.#say('has a disk again that works')
    life.datastore.repair()

    if (await time.during(this.#canAppend(life))) {
      return life
    }

    await time.during(life.attempt(async () => life.log.close()))
    this.#end(life)
    const next = this.#newLife()
    await next.open()
    await time.during(lookAtOpened(next))

    if (!await time.during(this.#canAppend(next))) {
      next.world.fail('nothing can be appended on a disk that works again, also when the log was opened again')
    }

    return next
  }

  async #canAppend (life: Life): Promise<boolean> {
    const { ledger, newName, isRefused } = life.world
    let what = newName()

    while (isRefused(what)) {
      what = newName()
    }

    ledger.ask([what])
    let isDone = false
    await life.attempt(async () => life.log.append(text(what)), { done: () => { isDone = true } })
    return isDone
  }

  /** What is left in the end is right; and when it is dropped it goes without a trace */
  async #last (): Promise<void> {
    const { time, disk, neighbour, fail } = this.#world
    const life = await this.#begin()

    if (this.#oneIn(2)) {
      this.#say('is dropped')
      await time.during(life.log.drop())
      fail(...[...disk.keys()].filter(key => !neighbour.has(key)).map(key => `${key} is there still`))
    }

    this.#end(life)
    await lookAtNeighbour(this.#world)
  }

  /** The process dies, the disk fails for a while or for ever, or reads fail: each of it in some lives */
  #plan ({ datastore, world: { random } }: Life, { within, longest }: { within: number, longest: number }): void {
    const from = (): number => datastore.operations + 1 + randomInt(random, within)
    const length = [1, 1 + randomInt(random, longest), Infinity][randomInt(random, 3)]
    const [dies, writes, reads] = [from(), from(), from()]
    datastore.diesAt = this.#oneIn(2) ? dies : Infinity
    datastore.failingWrites = this.#oneIn(2) ? { from: writes, to: writes + length } : datastore.failingWrites
    datastore.failingReads = this.#oneIn(4) ? { from: reads, to: reads + 1 + randomInt(random, longest) } : datastore.failingReads
  }

  #oneIn (count: number): boolean {
    return randomInt(this.#world.random, count) === 0
  }

  #newLife (): Life {
    this.count++
    this.#say('is opened')
    return new Life(this.#world)
  }

  #end (life: Life): void {
    this.operations += life.datastore.operations
    life.end()
  }

  #say (what: string): void {
    this.#world.where = `life ${this.count}, when it ${what}`
  }
}
