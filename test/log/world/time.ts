import { systemClock } from '../../../src/runtime/clock.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'
import type { Clock, Timer } from '../../../src/runtime/clock.ts'

/** Milliseconds of the world after which work that has not ended is taken to hang: five times the write deadline of a log */
const PATIENCE = 600_000
/** Milliseconds that pass with each turn of the event loop */
const TURN = 1

/** Work did not end */
export class HangError extends Error {
  static name = 'HangError'
  name = 'HangError'
}

export async function turn (): Promise<void> {
  await new Promise<void>(resolve => { systemClock.soon(resolve) })
}

/**
 * The time of the machine on which all lives of a world are led. It passes with the turns of the event loop. Timers run on it
 * as they do on a real machine: setting the wall clock does not move them.
 */
export class WorldTime {
  readonly #monotonic = new VirtualClock(0)
  #offset: number
  #latest: number
  /** How often the wall clock was set */
  jumps = 0

  constructor (start: number) {
    this.#offset = start
    this.#latest = start
  }

  /** What the wall clock shows */
  wall (): number {
    return this.#offset + this.#monotonic.now()
  }

  /** Milliseconds since the world began */
  get elapsed (): number {
    return this.#monotonic.now()
  }

  /** Milliseconds by which the wall clock is behind what it showed once */
  get behind (): number {
    this.#latest = Math.max(this.#latest, this.wall())
    return this.#latest - this.wall()
  }

  /** A timer of the world itself: it fires whoever is dead */
  after (ms: number, fn: () => void): void {
    this.#monotonic.after(ms, fn)
  }

  pass (ms: number): void {
    this.#monotonic.advance(ms)
  }

  /** Somebody sets the wall clock, NTP does, or the machine slept */
  jump (ms: number): void {
    this.#latest = Math.max(this.#latest, this.wall())
    this.#offset += ms
    this.jumps++
  }

  /** Lets the time pass until the work has ended */
  async during <T> (work: Promise<T>, step = TURN): Promise<T> {
    const until = this.elapsed + PATIENCE
    const pending = new Set([work])
    const done = (): void => { pending.clear() }
    work.then(done, done)

    while (pending.size > 0) {
      if (this.elapsed > until) {
        throw new HangError(`Nothing came of it in ${PATIENCE} ms`)
      }

      await turn()
      this.pass(step)
    }

    return work
  }

  /** The clock of a process, until the process ends */
  process (): ProcessClock {
    return new ProcessClock(this, this.#monotonic)
  }
}

/** The clock as one process sees it: when the process has died, none of its timers fires any more */
export class ProcessClock implements Clock {
  readonly #time: WorldTime
  readonly #timers: Clock
  #now = 0
  #isDead = false

  constructor (time: WorldTime, timers: Clock) {
    this.#time = time
    this.#timers = timers
  }

  /** Follows the wall clock forwards, and never goes back */
  now (): number {
    this.#now = Math.max(this.#now, this.wall())
    return this.#now
  }

  wall (): number {
    return this.#time.wall()
  }

  after (ms: number, fn: () => void): Timer {
    return this.#timers.after(ms, () => { this.#run(fn) })
  }

  soon (fn: () => void): void {
    systemClock.soon(() => { this.#run(fn) })
  }

  kill (): void {
    this.#isDead = true
  }

  #run (fn: () => void): void {
    if (!this.#isDead) {
      fn()
    }
  }
}
