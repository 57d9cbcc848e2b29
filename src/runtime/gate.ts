import { Fifo } from './bounded.ts'

/** Runs at most `capacity` pieces of work at once. The others wait in the order in which they came */
export class Gate {
  readonly #capacity: number
  readonly #waiting = new Fifo<() => void>()
  #running = 0

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  async run<T> (work: () => T | Promise<T>): Promise<T> {
    if (this.#running === this.#capacity) {
      await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    } else {
      this.#running++
    }

    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()

      if (next == null) {
        this.#running--
      } else {
        next()
      }
    }
  }
}
