/** How often each named thing happened. The names are literals of the code: as many as somebody wrote down */
export class Counters {
  readonly #counts = new Map<string, number>()

  add (reason: string, count = 1): number {
    const sum = (this.#counts.get(reason) ?? 0) + count
    this.#counts.set(reason, sum)
    return sum
  }

  toJSON (): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }
}
