import type { FailureReason } from './core/pending-acks.ts'
import type { Key } from './core/types.ts'

/** Whether a bundle of ours has found room on all of its ways */
export class Handover {
  /** Destinations that did not get it, and why, when each has found room or will not */
  readonly done: Promise<Map<Key, FailureReason>>
  readonly #open: Set<Key>
  readonly #failures = new Map<Key, FailureReason>()
  /** How to take it back from destinations that have no room now */
  readonly #pending = new Map<Key, () => void>()
  readonly #resolve: (failures: Map<Key, FailureReason>) => void

  constructor (destinations: Key[]) {
    const { promise, resolve } = Promise.withResolvers<Map<Key, FailureReason>>()
    this.#open = new Set(destinations)
    this.done = promise
    this.#resolve = resolve
  }

  admitted (destination: Key): void {
    this.#pending.delete(destination)

    if (this.#open.delete(destination) && this.#open.size === 0) {
      this.#resolve(this.#failures)
    }
  }

  failed (destination: Key, reason: FailureReason): void {
    if (this.#open.has(destination)) {
      this.#failures.set(destination, reason)
      this.admitted(destination)
    }
  }

  waits (destination: Key, takeBack: () => void): void {
    this.#pending.set(destination, takeBack)
  }

  /** Destinations that have no room are not waited for any longer */
  giveUp (): void {
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    pending.forEach(takeBack => { takeBack() })
  }
}
