import { compare } from 'uint8arrays/compare'
import { MAX_PULL } from '../constants.ts'
import { InvalidContentError, MAX_COUNTER, MAX_TIME } from './entry.ts'

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
 * A hybrid logical clock (Kulkarni 2014): it is never behind what it has heard of, so what is made after something was
 * heard comes later than it in the order of the log, whatever the clocks of the machines say.
 *
 * But only half as far ahead of the machine's clock as others accept, so that peers whose clocks are behind take what
 * is made here. What is further ahead stays ahead alone: a clock was wrong, or a stranger would like ours to be.
 */
export class HybridClock {
  #last: Moment = { time: 0, counter: 0 }

  get last (): Moment {
    return this.#last
  }

  /** Later than all that is followed; `own`: this author's latest entry, for where something else is too far ahead */
  tick (now: number, own?: Moment): Moment {
    const whole = Math.floor(now)

    // nothing changes: the next append has a clock again that is right
    if (!(whole <= MAX_TIME)) {
      throw new InvalidContentError(`The clock of this machine says ${now}, which is no time: set it`)
    }

    const isFollowed = ({ time }: Moment): boolean => time >= whole && time <= whole + MAX_PULL
    const followed = [this.#last, ...own == null ? [] : [own]].find(isFollowed)
    this.#last = followed == null ? { time: whole, counter: 0 } : nextMoment(followed)
    return this.#last
  }

  /** Somebody has made an entry at this moment */
  hear (moment: Moment): void {
    if (compareMoments(moment, this.#last) > 0) {
      this.#last = { time: moment.time, counter: moment.counter }
    }
  }
}
