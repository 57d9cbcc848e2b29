import { Fifo } from '../../runtime/bounded.ts'
import { WHOLE } from './outbox.ts'

export interface PaceInit {
  /** Milliseconds that what is sent may queue on its way, below us or at the other side */
  target: number
  /** Bytes that may always be on their way */
  floor: number
}

/**
 * Of a link: one of the largest frames that go whole, and one behind it. Measured beside a transfer of 256 MB: with
 * 10 ms a small message takes 22 to 45 ms there and back, with 3 ms 15, and as much goes through
 */
const LINK: PaceInit = { target: 3, floor: 2 * WHOLE }
/** Bytes that may be on their way before anything is known. A guess */
const FIRST = 1024 * 1024
/** Milliseconds that a rate is believed in: it may fall for as long because the other side did something else */
const RATE_FOR = 1000
/** Milliseconds that the shortest time is believed in; then it is looked for anew, with little on its way */
const SHORTEST_FOR = 30_000

/** What was sent at a time: where it ends, how much had been dealt with then, and since when that was known */
interface Sample {
  end: number
  at: number
  dealtWith: number
  dealtAt: number
}

/**
 * How many bytes are on their way at a time: as many as the other side deals with in the shortest time that any took,
 * and a little more. What is beyond that would only wait there, where all goes in the order in which it was sent; here
 * it waits in lanes, by turns. As BBR does, with the grants of the other side.
 *
 * Invariant: at least the floor. A rate that was measured while there was less to send than might have been is believed
 * in only if it is higher than what was known.
 */
export class Pace {
  readonly #init: PaceInit
  readonly #samples = new Fifo<Sample>()
  #window = FIRST
  #shortest = Infinity
  #shortestAt = -Infinity
  /** The highest rates of the present period and of the one before, in bytes a millisecond */
  #rates = [0, 0]
  #periodAt = -Infinity
  /** Up to which byte there was more to send than might be */
  #limitedUpTo = -1
  /** When the last grant came, or the first byte left after all had been dealt with */
  #dealtAt = 0

  constructor (init = LINK) {
    this.#init = init
  }

  get window (): number {
    return this.#window
  }

  /** Bytes a millisecond; Infinity while none was measured */
  get rate (): number {
    return Math.max(...this.#rates) || Infinity
  }

  /** So many bytes were sent in all, and so many of them dealt with */
  sent (sent: number, dealtWith: number, now: number): void {
    if (this.#samples.length === 0) {
      this.#dealtAt = now
    }

    this.#samples.push({ end: sent, at: now, dealtWith, dealtAt: this.#dealtAt })
  }

  /** More would have been sent if it might */
  limited (sent: number): void {
    this.#limitedUpTo = sent
  }

  /** What is on its way is lost, or is nobody's any more: how long it takes says nothing */
  forget (): void {
    this.#samples.clear()
  }

  granted (dealtWith: number, now: number): void {
    let sample: Sample | undefined

    while ((this.#samples.peek()?.end ?? Infinity) <= dealtWith) {
      sample = this.#samples.shift()
    }
    if (sample != null) {
      this.#measure(sample, dealtWith, now)
    }

    this.#dealtAt = now
  }

  #measure (sample: Sample, dealtWith: number, now: number): void {
    // clocks of browsers are coarse
    const took = Math.max(0.1, now - sample.at)
    // not since it was sent: grants come together when the other side was busy, and the last byte before them is quick
    const rate = (dealtWith - sample.dealtWith) / Math.max(took, now - sample.dealtAt)
    const isLimited = this.#limitedUpTo >= sample.end

    if (took <= this.#shortest) {
      this.#shortest = took
      this.#shortestAt = now
    }
    if (now - this.#periodAt >= RATE_FOR && isLimited) {
      this.#rates = [0, this.#rates[0]]
      this.#periodAt = now
    }
    if (isLimited || rate > Math.max(...this.#rates)) {
      this.#rates[0] = Math.max(this.#rates[0], rate)
      const time = this.#shortest + Math.max(this.#init.target, this.#shortest / 4)
      // what does not fit by a part of a frame is no reason to become slower each time
      this.#window = Math.max(this.#init.floor, Math.max(...this.#rates) * time + WHOLE)
    }
    if (now - this.#shortestAt > SHORTEST_FOR && isLimited) {
      this.#shortest = Infinity
      this.#shortestAt = now
      this.#window = this.#init.floor
    }
  }
}
