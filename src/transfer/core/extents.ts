/** Bytes from one offset up to, and without, another */
export interface Extent {
  from: number
  to: number
}

/** A set of bytes of a stream, as extents in order that neither overlap nor touch */
export class Extents {
  #list: Extent[] = []

  constructor (list: Iterable<Extent> = []) {
    for (const extent of list) {
      this.add(extent)
    }
  }

  get list (): readonly Extent[] {
    return this.#list
  }

  get isEmpty (): boolean {
    return this.#list.length === 0
  }

  /** How many bytes there are */
  get bytes (): number {
    return this.#list.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  get first (): Extent | undefined {
    return this.#list[0]
  }

  has ({ from, to }: Extent): boolean {
    const at = this.#search(from)
    return from >= to || (at < this.#list.length && this.#list[at].from <= from && this.#list[at].to >= to)
  }

  meets (extent: Extent): boolean {
    const at = this.#search(extent.from)
    return extent.from < extent.to && at < this.#list.length && this.#list[at].from < extent.to
  }

  add ({ from, to }: Extent): void {
    if (from < to) {
      // one that ends where this begins becomes a part of it
      const at = this.#search(from - 1)
      let end = at

      while (end < this.#list.length && this.#list[end].from <= to) {
        from = Math.min(from, this.#list[end].from)
        to = Math.max(to, this.#list[end].to)
        end++
      }

      this.#list.splice(at, end - at, { from, to })
    }
  }

  delete ({ from, to }: Extent): void {
    if (from < to) {
      const at = this.#search(from)
      let end = at
      const left: Extent[] = []

      for (; end < this.#list.length && this.#list[end].from < to; end++) {
        const extent = this.#list[end]
        extent.from < from && left.push({ from: extent.from, to: from })
        extent.to > to && left.push({ from: to, to: extent.to })
      }

      this.#list.splice(at, end - at, ...left)
    }
  }

  /** What of these is not in the other set */
  without (other: Extents): Extents {
    const rest = new Extents(this.#list)
    other.#list.forEach(extent => { rest.delete(extent) })
    return rest
  }

  /** The first extent that ends behind this byte */
  #search (byte: number): number {
    let low = 0
    let high = this.#list.length

    while (low < high) {
      const middle = (low + high) >>> 1
      this.#list[middle].to > byte ? high = middle : low = middle + 1
    }

    return low
  }
}
