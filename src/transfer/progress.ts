import { PROGRESS } from './constants.ts'
import type { TransferProgress } from './index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '@libp2p/interface'

/** Tells a program how far a transfer is: not more often than a person can see, and always at the end */
export class Reporter {
  readonly #clock: Clock
  readonly #progress: () => TransferProgress
  readonly #onProgress?: (progress: TransferProgress) => void
  readonly #log: Logger
  #nextAt = -Infinity

  constructor (
    clock: Clock, progress: () => TransferProgress, onProgress: ((progress: TransferProgress) => void) | undefined,
    log: Logger
  ) {
    this.#clock = clock
    this.#progress = progress
    this.#onProgress = onProgress
    this.#log = log
  }

  changed (): void {
    if (this.#onProgress != null && this.#clock.now() >= this.#nextAt) {
      this.#nextAt = this.#clock.now() + PROGRESS
      this.over()
    }
  }

  over (): void {
    try {
      this.#onProgress?.(this.#progress())
    } catch (err) {
      this.#log.error('onProgress threw - %e', err)
    }
  }
}
