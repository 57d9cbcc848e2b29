/** How often each named thing happened. The names are literals of the code: as many as somebody wrote down */
export class Counters {
  readonly #counts = new Map<string, number>()
  readonly #all?: Counters

  /** `all`: where the same is counted together with what others count */
  constructor (all?: Counters) {
    this.#all = all
  }

  add (reason: string, count = 1): number {
    this.#all?.add(reason, count)
    const sum = (this.#counts.get(reason) ?? 0) + count
    this.#counts.set(reason, sum)
    return sum
  }

  toJSON (): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }
}
