import { addLanes, LANES, subtractLanes } from './lanes.ts'
import { compareKeys, countBelow, cutOf } from './tree-keys.ts'
import { LEAF_KEYS } from './tree-leaf.ts'
import type { Leaf } from './tree-leaf.ts'
import type { Page } from './tree-pages.ts'

/** Children of an inner node, at most. A guess: with sums a page of some 19 KiB */
export const FANOUT = 64

export type TreeNode = Leaf | Inner

/** A node in memory, or the number of the page to load it from */
export type TreeChild = TreeNode | number

/** How many keys or children it holds at most */
export function capacityOf (node: TreeNode): number {
  return node.kind === 'leaf' ? LEAF_KEYS : FANOUT
}

/** What there is about a child: in a node above it, or in a tree about its root */
export interface Weighed {
  count: number
  /** Its sum begins at `at` */
  sums?: Uint32Array
  at: number
}

/**
 * Children, and of each: a key that none of its keys is below, and all to the left of it are; how many keys are below it; and
 * their sum.
 */
export class Inner {
  readonly kind = 'inner'
  /** Nodes between it and its keys */
  readonly level: number
  readonly width: number
  page = 0
  flushed?: Page
  used = 0
  readonly children: TreeChild[] = []
  readonly counts: number[] = []
  readonly firsts: Uint8Array
  readonly sums?: Uint32Array

  constructor (level: number, width: number, isSummed: boolean) {
    this.level = level
    this.width = width
    this.firsts = new Uint8Array(FANOUT * width)
    this.sums = isSummed ? new Uint32Array(FANOUT * LANES) : undefined
  }

  get size (): number {
    return this.children.length
  }

  get count (): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  get first (): Uint8Array {
    return this.firstOf(0)
  }

  /** A view */
  firstOf (slot: number): Uint8Array {
    return this.firsts.subarray(slot * this.width, (slot + 1) * this.width)
  }

  /** The child that has `key`, if one does */
  slotOf (key: Uint8Array): number {
    const slot = countBelow(this.firsts, this.size, key)
    const isFirst = slot < this.size && compareKeys(this.firsts, slot * this.width, key, 0, this.width) === 0
    return isFirst ? slot : Math.max(slot - 1, 0)
  }

  weighed (slot: number): Weighed {
    return { count: this.counts[slot], sums: this.sums, at: slot * LANES }
  }

  /** `key` comes to a child (1) or goes from it (-1): `sum` is what that adds */
  change (slot: number, key: Uint8Array, by: 1 | -1, sum: Uint32Array): void {
    this.counts[slot] += by
    if (this.sums != null) {
      addLanes(this.sums, slot * LANES, sum)
    }
    // what is lower than all comes to the first child
    if (slot === 0 && compareKeys(key, 0, this.firsts, 0, this.width) < 0) {
      this.firsts.set(key)
    }
  }

  /** Puts in a child with the sum that begins at `from`. There must be room */
  put (at: number, first: Uint8Array, child: TreeChild, { count, sums, at: from }: Weighed): void {
    this.firsts.copyWithin((at + 1) * this.width, at * this.width, this.size * this.width)
    this.firsts.set(first, at * this.width)

    if (this.sums != null && sums != null) {
      this.sums.copyWithin((at + 1) * LANES, at * LANES, this.size * LANES)
      this.sums.set(sums.subarray(from, from + LANES), at * LANES)
    }

    this.children.splice(at, 0, child)
    this.counts.splice(at, 0, count)
  }

  remove (at: number): void {
    this.firsts.copyWithin(at * this.width, (at + 1) * this.width, this.size * this.width)
    this.sums?.copyWithin(at * LANES, (at + 1) * LANES, this.size * LANES)
    this.children.splice(at, 1)
    this.counts.splice(at, 1)
  }

  /** The child in `slot` took all that the one behind it had */
  join (slot: number): void {
    this.counts[slot] += this.counts[slot + 1]
    if (this.sums != null) {
      addLanes(this.sums, slot * LANES, this.sums, (slot + 1) * LANES)
    }
    this.remove(slot + 1)
  }

  /** The child in `slot` was cut. Returns the right half of this node, where it has to be cut, too */
  adopt (slot: number, right: TreeNode): Inner | undefined {
    const weighed = this.#takeFrom(slot, right)
    const at = slot + 1

    if (this.size < FANOUT) {
      this.put(at, right.first, right, weighed)
      return
    }

    const cut = cutOf(at, FANOUT)
    const half = this.#split(cut)

    if (at > cut || cut === FANOUT) {
      half.put(at - cut, right.first, right, weighed)
    } else {
      this.put(at, right.first, right, weighed)
    }

    return half
  }

  /** Takes the children of its right neighbour */
  append (right: Inner): void {
    for (let slot = 0; slot < right.size; slot++) {
      this.put(this.size, right.firstOf(slot), right.children[slot], right.weighed(slot))
    }
  }

  addTo (sum: Uint32Array): void {
    for (let slot = 0; this.sums != null && slot < this.size; slot++) {
      addLanes(sum, 0, this.sums, slot * LANES)
    }
  }

  /** What of the child in `slot` has become `right` */
  #takeFrom (slot: number, right: TreeNode): Weighed {
    const count = right.count
    this.counts[slot] -= count

    if (this.sums == null) {
      return { count, at: 0 }
    }

    const sums = new Uint32Array(LANES)
    right.addTo(sums)
    subtractLanes(this.sums, slot * LANES, sums)
    return { count, sums, at: 0 }
  }

  #split (cut: number): Inner {
    const right = new Inner(this.level, this.width, this.sums != null)
    right.used = this.used

    for (let slot = cut; slot < this.size; slot++) {
      right.put(slot - cut, this.firstOf(slot), this.children[slot], this.weighed(slot))
    }

    this.children.length = cut
    this.counts.length = cut
    return right
  }
}
