import { addLanes, LANES } from './lanes.ts'
import type { TreeChild, Weighed } from './tree-inner.ts'
import type { Leaf } from './tree-leaf.ts'

/** How many keys are in a range, and the sum of their ids where the tree has sums */
export interface Summary {
  count: number
  sum?: Uint32Array
}

/** Gathers what is in a range, and which pages it takes to know */
export class RangeSummary {
  count = 0
  readonly sum?: Uint32Array
  readonly missing: number[] = []
  readonly #now: number

  constructor (isSummed: boolean, now: number) {
    this.sum = isSummed ? new Uint32Array(LANES) : undefined
    this.#now = now
  }

  /** Adds what is below `child` and not below `from`, but below `to`; undefined: there is no such end */
  add (child: TreeChild, weighed: Weighed, from?: Uint8Array, to?: Uint8Array): void {
    if (from == null && to == null) {
      this.#addAll(weighed)
      return
    }
    if (typeof child === 'number') {
      this.missing.push(child)
      return
    }

    child.used = this.#now

    if (child.kind === 'leaf') {
      this.#addPart(child, weighed, from == null ? 0 : child.countBelow(from), to == null ? child.size : child.countBelow(to))
      return
    }

    const start = from == null ? 0 : child.slotOf(from)
    const end = to == null ? child.size - 1 : child.slotOf(to)

    for (let slot = start; slot <= end; slot++) {
      this.add(child.children[slot], child.weighed(slot), slot === start ? from : undefined, slot === end ? to : undefined)
    }
  }

  #addAll ({ count, sums, at }: Weighed): void {
    this.count += count
    if (this.sum != null && sums != null) {
      addLanes(this.sum, 0, sums, at)
    }
  }

  /** Of most of a leaf the sum is that of all without the rest: no more than half of the ids are expanded */
  #addPart (leaf: Leaf, { sums, at }: Weighed, start: number, end: number): void {
    this.count += end - start

    if (this.sum == null || sums == null) {
      return
    }
    if ((end - start) * 2 <= leaf.size) {
      leaf.addTo(this.sum, start, end)
      return
    }

    addLanes(this.sum, 0, sums, at)
    leaf.subtractFrom(this.sum, 0, start)
    leaf.subtractFrom(this.sum, end, leaf.size)
  }
}

/** Gathers the keys from one index to another, and which pages it takes to know them */
export class RangeKeys {
  readonly keys: Uint8Array[] = []
  readonly missing: number[] = []
  readonly #now: number

  constructor (now: number) {
    this.#now = now
  }

  /** Adds the keys below `child` from `start` to `end`, counted from its first one */
  add (child: TreeChild, start: number, end: number): void {
    if (typeof child === 'number') {
      this.missing.push(child)
      return
    }

    child.used = this.#now

    if (child.kind === 'leaf') {
      // a copy: keys in a leaf move
      for (let i = start; i < end; i++) {
        this.keys.push(child.keyAt(i).slice())
      }
      return
    }

    for (let slot = 0, first = 0; first < end; first += child.counts[slot++]) {
      if (first + child.counts[slot] > start) {
        this.add(child.children[slot], Math.max(start - first, 0), Math.min(end - first, child.counts[slot]))
      }
    }
  }
}
