import { aborted } from './aborted.ts'
import type { AbortOptions } from '@libp2p/interface'

/** Those who wait for something to change: whoever changes it rings, and they look whether it is what they want. */
export class Bell {
  readonly #waiting = new Set<() => void>()

  /** How many wait */
  get waiting (): number {
    return this.#waiting.size
  }

  ring (): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    waiting.forEach(wake => { wake() })
  }

  /** Resolves when it rings the next time, counted from this call */
  async rung ({ signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    await aborted(promise, signal, () => { this.#waiting.delete(resolve) })
  }
}
