import { jitter } from './random.ts'
import type { Random } from './random.ts'

export interface BackoffInit {
  /** Milliseconds of the first and of the longest wait */
  first: number
  cap: number
  random: Random
}

/** How long to wait before the next try: doubling, capped, with jitter */
export class Backoff {
  readonly #init: BackoffInit
  #attempts = 0

  constructor (init: BackoffInit) {
    this.#init = init
  }

  next (): number {
    const { first, cap, random } = this.#init
    return jitter(random, Math.min(cap, first * 2 ** this.#attempts++))
  }

  reset (): void {
    this.#attempts = 0
  }
}
