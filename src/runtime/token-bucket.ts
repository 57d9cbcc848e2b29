export interface TokenBucketInit {
  /** Tokens that come in a second */
  rate: number
  /** Tokens that the bucket holds at most, and at first */
  burst: number
}

/**
 * How much of something somebody may have: so much a second, and so much at once after a rest.
 */
export class TokenBucket {
  readonly #rate: number
  readonly #burst: number
  #level: number
  #at: number

  constructor ({ rate, burst }: TokenBucketInit, now: number) {
    this.#rate = rate
    this.#burst = burst
    this.#level = burst
    this.#at = now
  }

  /** Tokens that are there. Below 0 after a `spend` of more than there were */
  level (now: number): number {
    this.#level = Math.min(this.#burst, this.#level + Math.max(0, now - this.#at) * this.#rate / 1000)
    this.#at = Math.max(this.#at, now)
    return this.#level
  }

  /** Takes so many tokens, or none if there are fewer */
  take (count: number, now: number): boolean {
    if (this.level(now) < count) {
      return false
    }

    this.#level -= count
    return true
  }

  /** Takes so many tokens, also such as are not there yet. At most a whole burst is owed */
  spend (count: number, now: number): void {
    this.#level = Math.max(-this.#burst, this.level(now) - count)
  }

  /** Milliseconds until there are so many tokens; 0 if they are there */
  wait (count: number, now: number): number {
    return Math.max(0, count - this.level(now)) * 1000 / this.#rate
  }
}
