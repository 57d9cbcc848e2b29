/** Bytes by whom they are of, and of all together. Who has none has no row */
export class Tally {
  readonly #rows = new Map<string, number>()
  #total = 0

  get total (): number {
    return this.#total
  }

  of (key: string): number {
    return this.#rows.get(key) ?? 0
  }

  add (key: string, bytes: number): void {
    const left = this.of(key) + bytes
    this.#total += bytes
    left > 0 ? this.#rows.set(key, left) : this.#rows.delete(key)
  }
}
