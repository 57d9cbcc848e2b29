import type { Clock, Timer } from './clock.ts'

/**
 * One timer for somebody who knows when it wants to be woken next: set it as often as you like, it rings at the last
 * time that was set, or when the present tick is over if that is past.
 */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #at = Infinity
  #timer?: Timer
  /** Whether the end of this tick is waited for: that cannot be cancelled */
  #isSoon = false

  constructor (clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  set (at: number): void {
    if (at === this.#at) {
      return
    }

    this.#timer?.cancel()
    this.#timer = undefined
    this.#at = at
    const wait = at - this.#clock.now()

    if (wait > 0 && at !== Infinity) {
      // a timer may ring a little early: what is due is asked again then
      this.#timer = this.#clock.after(wait, () => { this.#fire() })
    } else if (wait <= 0 && !this.#isSoon) {
      this.#isSoon = true
      this.#clock.soon(() => {
        this.#isSoon = false
        // it may have been set to a later time meanwhile, which has a timer
        if (this.#timer == null) {
          this.#fire()
        }
      })
    }
  }

  /** Leaves it as it is if it is set */
  setIfUnset (at: number): void {
    if (this.#at === Infinity) {
      this.set(at)
    }
  }

  #fire (): void {
    if (this.#at !== Infinity) {
      this.#at = Infinity
      this.#timer = undefined
      this.#ring()
    }
  }
}
