import { compare } from 'uint8arrays/compare'
import { MAX_AHEAD } from '../constants.ts'
import { MAX_COUNTER } from './entry.ts'

/** A moment of a log: milliseconds, and what tells entries of one millisecond apart */
export interface Moment {
  time: number
  counter: number
}

/** What orders an entry */
export interface Ordered extends Moment {
  id: Uint8Array
}

export function compareMoments (a: Moment, b: Moment): number {
  return a.time - b.time || a.counter - b.counter
}

/** The total order of a log: by time, then by id. Two entries of one author never have one time, unless it cheats */
export function compareEntries (a: Ordered, b: Ordered): number {
  return compareMoments(a, b) || compare(a.id, b.id)
}

/** The least one above it */
export function nextMoment ({ time, counter }: Moment): Moment {
  return counter < MAX_COUNTER ? { time, counter: counter + 1 } : { time: time + 1, counter: 0 }
}

/**
 * A hybrid logical clock (Kulkarni 2014): it is never behind what it has heard of, so what is made after something was heard
 * comes later than it in the order of the log, whatever the clocks of the machines say.
 *
 * But no further ahead of the machine's clock than others accept: where it would be, the machine's clock was wrong and is
 * right again, and what was made meanwhile stays ahead alone.
 */
export class HybridClock {
  #last: Moment = { time: 0, counter: 0 }

  get last (): Moment {
    return this.#last
  }

  /** Later than all that went before; `now` is the machine's clock, in milliseconds */
  tick (now: number): Moment {
    const whole = Math.floor(now)
    const isFollowed = this.#last.time >= whole && this.#last.time <= whole + MAX_AHEAD
    this.#last = isFollowed ? nextMoment(this.#last) : { time: whole, counter: 0 }
    return this.#last
  }

  /** Somebody has made an entry at this moment */
  hear (moment: Moment): void {
    if (compareMoments(moment, this.#last) > 0) {
      this.#last = { time: moment.time, counter: moment.counter }
    }
  }
}
