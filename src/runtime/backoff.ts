import { jitter } from './random.ts'
import type { Random } from './random.ts'

export interface BackoffInit {
  /** The first wait in milliseconds */
  first: number
  /** The longest wait in milliseconds */
  cap: number
  random: Random
}

/** How long to wait before the next try: doubling, capped, with jitter */
export class Backoff {
  #attempts = 0
  readonly #init: BackoffInit

  constructor (init: BackoffInit) {
    this.#init = init
  }

  get attempts (): number {
    return this.#attempts
  }

  next (): number {
    const { first, cap, random } = this.#init
    return jitter(random, Math.min(cap, first * 2 ** this.#attempts++))
  }

  reset (): void {
    this.#attempts = 0
  }
}
