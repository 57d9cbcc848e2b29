import { TokenBucket } from '../runtime/token-bucket.ts'
import * as limits from './constants.ts'
import type { Newcomers } from './core/newcomers.ts'
import type { Clock, Timer } from '../runtime/clock.ts'

export interface ReadingInit {
  clock: Clock
  /** The budget of all neighbours that came lately */
  newcomers: Newcomers
  /** Where this one comes from */
  place (): string
  /** Frames are to be handed on, or held */
  onPaused (isPaused: boolean): void
}

/**
 * How much time of this node the frames of one neighbour take. Others have their turn after a while; and when a budget
 * is used up, the neighbour is read again when some of it is back.
 */
export class Reading {
  readonly #init: ReadingInit
  /** Until when the neighbour is a newcomer */
  readonly #newUntil: number
  #budget?: TokenBucket
  #place?: string
  #frames = 0
  /** When the present turn of the loop was found to be reading */
  #since?: number
  #isPaused = false
  #pause?: Timer

  constructor (init: ReadingInit) {
    this.#init = init
    this.#newUntil = init.clock.now() + limits.NEWCOMER_FOR
  }

  get isPaused (): boolean {
    return this.#isPaused
  }

  /** A frame was dealt with. However little each costs, many of them take long */
  onFrame (): void {
    if (++this.#frames % limits.READING_FRAMES === 0) {
      this.#lookAtTheClock()
    }
  }

  /** A frame has cost so many milliseconds, or will */
  spend (ms: number): void {
    const { clock, newcomers } = this.#init
    const now = clock.now()
    const isNew = now < this.#newUntil
    const place = isNew ? this.#place ??= this.#init.place() : ''
    const budget = this.#budget ??= new TokenBucket(limits.READING, now)
    budget.spend(ms, now)
    isNew && newcomers.spend(place, ms, now)

    if (this.#isPaused) {
      return
    }

    const isSpent = isNew && newcomers.isSpent(place, now)

    if (isSpent || budget.level(now) < 0) {
      const ofNewcomers = isSpent ? newcomers.wait(place, limits.READING_PAUSE, now) : 0
      const wait = Math.max(budget.wait(limits.READING_PAUSE, now), ofNewcomers)
      this.#pauseUntil(goOn => { this.#pause = clock.after(wait, goOn) })
    } else {
      this.#lookAtTheClock()
    }
  }

  stop (): void {
    this.#pause?.cancel()
  }

  #lookAtTheClock (): void {
    const { clock } = this.#init

    if (this.#since == null) {
      this.#since = clock.now()
      clock.soon(() => { this.#since = undefined })
    } else if (!this.#isPaused && clock.now() - this.#since >= limits.READING_TURN) {
      this.#pauseUntil(goOn => { clock.soon(goOn) })
    }
  }

  #pauseUntil (wait: (goOn: () => void) => void): void {
    this.#isPaused = true
    this.#init.onPaused(true)
    wait(() => {
      this.#isPaused = false
      this.#init.onPaused(false)
    })
  }
}
