import type { Clock } from './clock.ts'

/** The last yield of each clock, which the next one waits for: no timer fires between callbacks that queue together */
const lastYields = new WeakMap<Clock, Promise<void>>()

/**
 * Keeps a long piece of work from holding the event loop. What follows an await of a resolved promise is a microtask:
 * no timer fires and no I/O comes in before the last microtask has run.
 *
 * ```ts
 * for (const entry of entries) {
 *   await store(entry)
 *   await pacer.pause()
 * }
 * ```
 *
 * The time measured is real time, under a virtual clock too: a run that must be replayed takes an infinite budget.
 */
export class Pacer {
  readonly #clock: Clock
  readonly #budgetMs: number
  /** When this pacer last knew that the loop was free */
  #freeAt = performance.now()
  #isInTick = false

  /**
   * @param clock - yields by its `soon`
   * @param budgetMs - for how long the loop may be held. A guess: a quarter of a frame at 60 Hz
   */
  constructor (clock: Clock, budgetMs = 4) {
    this.#clock = clock
    this.#budgetMs = budgetMs
  }

  /** Whether the loop has been held for the budget since it was last free */
  get isDue (): boolean {
    return performance.now() - this.#freeAt >= this.#budgetMs
  }

  /** Tells that the loop was free just now, as after an await of real I/O: no pause is due for a whole budget */
  wasFree (): void {
    this.#freeAt = performance.now()
  }

  /** Begins work that did not wait for anything. The loop was free before the first such work of a tick */
  begin (): void {
    if (!this.#isInTick) {
      this.#isInTick = true
      this.wasFree()
      this.#clock.soon(() => { this.#isInTick = false })
    }
  }

  /** Lets timers and I/O run, if a pause is due */
  async pause (): Promise<void> {
    if (this.isDue) {
      await this.yield()
    }
  }

  /** Lets timers and I/O run. Of those that wait to go on, each turn of the loop wakes only one */
  async yield (): Promise<void> {
    const previous = lastYields.get(this.#clock) ?? Promise.resolve()
    const own = previous.then(async () => new Promise<void>(resolve => { this.#clock.soon(resolve) }))
    lastYields.set(this.#clock, own)
    await own
    this.wasFree()
  }
}

/**
 * The outcomes of `work`, in the order of the items. All that fits in the budget of the pacer is done in this tick:
 * then the outcomes are there at once. The rest is done in slices, and an item after what the one before it promises.
 */
export function inSlices<T, R> (pacer: Pacer, items: T[], work: (item: T) => R | Promise<R>): R[] | Promise<R[]> {
  const done: R[] = []
  const rest = async (first?: Promise<R>): Promise<R[]> => {
    if (first != null) {
      done.push(await first)
    }
    while (done.length < items.length) {
      await pacer.pause()
      done.push(await work(items[done.length]))
    }
    return done
  }
  pacer.begin()

  while (done.length < items.length && !pacer.isDue) {
    const outcome = work(items[done.length])

    if (outcome instanceof Promise) {
      return rest(outcome)
    }
    done.push(outcome)
  }

  return done.length === items.length ? done : rest()
}
