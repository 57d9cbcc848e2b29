import { addLanes, expandId, LANES, subtractLanes } from './lanes.ts'
import { compareKeys, countBelow, cutOf } from './tree-keys.ts'
import { ID_AT } from './types.ts'
import type { Page } from './tree-pages.ts'

/** Keys in a leaf, at most. A guess: a page of 4 to 5 KiB */
export const LEAF_KEYS = 128
/** Keys that a leaf has room for at first. Then it is for all: to grow often leaves more holes in the heap than that costs */
const SMALL_KEYS = 16

const scratch = new Uint32Array(LANES)

/** Keys in one piece of memory: an object for each would cost more than the key */
export class Leaf {
  readonly kind = 'leaf'
  readonly level = 0
  readonly width: number
  /** Where it is stored; 0: nowhere, since it changed */
  page = 0
  /** What is to be written of it there, as long as it was not encoded */
  flushed?: Page
  /** The operation that used it last */
  used = 0
  size: number
  keys: Uint8Array

  constructor (width: number, keys = new Uint8Array(0), size = 0) {
    this.width = width
    this.keys = keys
    this.size = size
  }

  get count (): number {
    return this.size
  }

  get first (): Uint8Array {
    return this.keyAt(0)
  }

  /** A view */
  keyAt (index: number): Uint8Array {
    return this.keys.subarray(index * this.width, (index + 1) * this.width)
  }

  countBelow (key: Uint8Array): number {
    return countBelow(this.keys, this.size, key)
  }

  isAt (index: number, key: Uint8Array): boolean {
    return index < this.size && compareKeys(this.keys, index * this.width, key, 0, this.width) === 0
  }

  /** Returns the right half, where it has to be cut for it */
  insert (at: number, key: Uint8Array): Leaf | undefined {
    if (this.size < LEAF_KEYS) {
      this.#put(at, key)
      return
    }

    const cut = cutOf(at, LEAF_KEYS)
    const right = this.#split(cut)

    if (at > cut || cut === LEAF_KEYS) {
      right.#put(at - cut, key)
    } else {
      this.#put(at, key)
    }

    return right
  }

  remove (at: number): void {
    this.keys.copyWithin(at * this.width, (at + 1) * this.width, this.size * this.width)
    this.size--
  }

  /** Takes the keys of its right neighbour */
  append (right: Leaf): void {
    this.#reserve(right.size)
    this.keys.set(right.keys.subarray(0, right.size * this.width), this.size * this.width)
    this.size += right.size
  }

  /** Adds the ids from `start` to `end` to a sum */
  addTo (sum: Uint32Array, start = 0, end = this.size): void {
    for (let i = start; i < end; i++) {
      expandId(this.keys, i * this.width + ID_AT, scratch)
      addLanes(sum, 0, scratch)
    }
  }

  subtractFrom (sum: Uint32Array, start: number, end: number): void {
    for (let i = start; i < end; i++) {
      expandId(this.keys, i * this.width + ID_AT, scratch)
      subtractLanes(sum, 0, scratch)
    }
  }

  #put (at: number, key: Uint8Array): void {
    this.#reserve(1)
    this.keys.copyWithin((at + 1) * this.width, at * this.width, this.size * this.width)
    this.keys.set(key, at * this.width)
    this.size++
  }

  #split (cut: number): Leaf {
    const right = new Leaf(this.width, new Uint8Array(LEAF_KEYS * this.width), this.size - cut)
    right.used = this.used
    right.keys.set(this.keys.subarray(cut * this.width, this.size * this.width))
    this.size = cut
    return right
  }

  #reserve (more: number): void {
    if ((this.size + more) * this.width > this.keys.byteLength) {
      const grown = new Uint8Array((this.size + more <= SMALL_KEYS ? SMALL_KEYS : LEAF_KEYS) * this.width)
      grown.set(this.keys.subarray(0, this.size * this.width))
      this.keys = grown
    }
  }
}
