import { MAX_COUNTER } from './entry.ts'

/** A moment of a log: milliseconds, and what tells entries of one millisecond apart */
export interface Moment {
  time: number
  counter: number
}

export function compareMoments (a: Moment, b: Moment): number {
  return a.time - b.time || a.counter - b.counter
}

/** The least one above it */
export function nextMoment ({ time, counter }: Moment): Moment {
  return counter < MAX_COUNTER ? { time, counter: counter + 1 } : { time: time + 1, counter: 0 }
}

/**
 * A clock that is never behind what it has heard of: what is made after something was heard comes later than it, in the
 * order of the log, whatever the clocks of the machines say.
 */
export class HybridClock {
  #last: Moment = { time: 0, counter: 0 }

  get last (): Moment {
    return this.#last
  }

  /** Later than all that went before; `now` is the machine's clock, in milliseconds */
  tick (now: number): Moment {
    const whole = Math.floor(now)
    this.#last = whole > this.#last.time ? { time: whole, counter: 0 } : nextMoment(this.#last)
    return this.#last
  }

  /** Somebody has made an entry at this moment */
  hear (moment: Moment): void {
    if (compareMoments(moment, this.#last) > 0) {
      this.#last = { time: moment.time, counter: moment.counter }
    }
  }
}
