import { defaultLogger } from '@libp2p/logger'
import { Log } from '../../../src/log/log.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { LOG_ID, said } from '../../fixtures/logs.ts'
import { nameOf, scribble, taken } from './copies.ts'
import { HostileDatastore } from './disk.ts'
import type { Reading } from './checks.ts'
import type { ProcessClock } from './time.ts'
import type { World } from './world.ts'
import type { Entry, LogInit } from '../../../src/log/index.ts'

/** Milliseconds for which a log may stay locked when its owner has died, and between two tries to open it */
const MAX_LOCKED = 180_000
const RETRY = 5_000
/** Milliseconds that pass with a turn while nothing is waited for but the lock */
const OPENING_STEP = 20

/** Something that was asked of the log, and has not ended */
interface Attempt {
  /** Entries that it may add or remove: they are in doubt when nobody hears how it ends */
  touches (): Iterable<string>
}

/**
 * One process with an open log, from when it is opened until it is closed or the process dies.
 */
export class Life {
  readonly world: World
  readonly datastore: HostileDatastore
  readonly clock: ProcessClock
  /** All so far, and those that have not ended */
  readonly #begun: Attempt[] = []
  readonly #attempts = new Set<Attempt>()
  #log?: Log
  #isOver = false

  constructor (world: World) {
    const { options, disk, time, random } = world
    this.world = world
    this.clock = time.process()
    this.datastore = new HostileDatastore({
      disk,
      random: seededRandom(randomInt(random, 2 ** 32)),
      isSlow: options.isSlow && randomInt(random, 2) === 0,
      isAtomic: options.isAtomic,
      isSharing: options.isSharing
    })
  }

  get log (): Log {
    if (this.#log == null) {
      throw new Error('the log was not opened')
    }
    return this.#log
  }

  get isOpen (): boolean {
    return this.#log != null
  }

  /** For those who read all of the log */
  get reading (): Reading {
    const { truth, random, fail } = this.world
    return { log: this.log, truth, random, fail, take: entry => this.take(entry) }
  }

  get isDead (): boolean {
    return this.datastore.isDead
  }

  /** Attempts that have not ended */
  get attempts (): number {
    return this.#attempts.size
  }

  /** Attempts so far */
  get begun (): number {
    return this.#begun.length
  }

  /** Begins to note what is under way. Returns what tells which entries anything may have added or removed since */
  touchedFromNow (): () => Set<string> {
    const { begun } = this
    const pending = [...this.#attempts]
    return () => new Set([...pending, ...this.#begun.slice(begun)].flatMap(({ touches }) => [...touches()]))
  }

  /** Opens the log. If its last owner died, the lock may hold for a while */
  async open (): Promise<void> {
    const { world, world: { time } } = this
    const until = time.elapsed + MAX_LOCKED

    for (;;) {
      try {
        const opened = Promise.race([openAt(world, this.datastore, this.clock), this.datastore.died])
        this.#log = await time.during(opened, OPENING_STEP) ?? undefined
        break
      } catch (err: any) {
        if (err.name !== 'StoreInUseError' || !world.mayBeLocked || time.elapsed > until) {
          throw err
        }
        time.pass(RETRY)
      }
    }

    world.mayBeLocked = true

    if (this.#log != null) {
      this.#listen(this.#log)
    }
  }

  /** Asks the log for something, and says what is wrong with how that ends */
  async attempt <T> (work: () => Promise<T>, { touches = () => [], done }: Partial<Attempt> & { done? (result: T): void } = {}): Promise<void> {
    const attempt = { touches }
    this.#attempts.add(attempt)
    this.#begun.push(attempt)

    try {
      const result = await work()
      if (!this.#isOver) {
        done?.(result)
      }
    } catch (err: any) {
      if (!this.#isOver) {
        this.world.ledger.doubt(touches())
        if (!this.isExpected(err)) {
          this.world.fail(`an unexpected ${err?.stack ?? err}`)
        }
      }
    } finally {
      this.#attempts.delete(attempt)
    }
  }

  /** The process ends without a word, or its log is closed. Nobody hears how what is under way ends */
  end (): void {
    this.#isOver = true
    this.clock.kill()
    this.datastore.kill()

    for (const { touches } of this.#attempts) {
      this.world.ledger.doubt(touches())
    }
  }

  /** A copy of what the log handed out, with which callers do what they want */
  take (entry: Entry): Entry {
    return taken(entry, this.world.options.scribbles)
  }

  /** Whether something may fail so: the disk did, the log was closed, a signal said so, or `canAppend` did */
  isExpected ({ name }: Error): boolean {
    switch (name) {
      case 'DiskError':
      case 'ProcessDiedError':
      case 'StoreFailedError':
      case 'WriteFailedError':
        return this.datastore.hasFailed || this.isDead
      case 'StoreInUseError':
        // a second process may take the store of a dead one over before what was under way here has ended
        return this.isDead
      case 'LogClosedError':
        return this.log.status !== 'open'
      case 'AppendRefusedError':
        return this.world.options.isChoosy
      default:
        return name === 'AbortError'
    }
  }

  #listen (log: Log): void {
    const { ledger } = this.world

    log.addEventListener('entry:add', ({ detail: { entry, arrival } }) => {
      if (!this.#isOver) {
        const copy = this.take(entry)
        // what came and went may have been joined again; and a damaged disk forgets what the entry before was
        const isAppended = !this.world.options.isRot && ledger.isAsked(said(copy)) && ledger.state(nameOf(copy)) == null
        this.world.fail(...this.world.chain.add(copy, isAppended), ...ledger.added(copy, arrival))

        if (this.world.isRefused(said(copy))) {
          this.world.fail(`${nameOf(copy)} ('${said(copy)}') is in though canAppend refused it`)
        }
      }
    })
    log.addEventListener('entry:remove', ({ detail: { entry } }) => {
      if (!this.#isOver) {
        this.world.fail(...ledger.removed(this.take(entry)))
      }
    })
  }
}

/** Opens the log of a world as one process does: also as a second one that should not */
export async function openAt (world: World, datastore: HostileDatastore, clock: ProcessClock): Promise<Log> {
  const init: LogInit = { id: LOG_ID, datastore, clock, privateKey: world.privateKey, logger: defaultLogger() }

  if (world.options.isChoosy) {
    init.canAppend = async entry => {
      const isRefused = world.isRefused(said(entry))
      if (world.options.scribbles === 'at once') {
        scribble(entry.data, entry.bytes, entry.group, entry.id.bytes)
      }
      return !isRefused
    }
  }

  return Log.open(init, world.options.sizes)
}
