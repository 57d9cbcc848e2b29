import { expectSize } from './tree-keys.ts'
import type { Inner, TreeChild } from './tree-inner.ts'
import type { Leaf } from './tree-leaf.ts'

export interface Step {
  parent: Inner
  slot: number
}

/**
 * The way from the root down to where a key belongs, as far as pages are in memory. One is used again for every key, as an
 * object for each way would cost more than to find it.
 */
export class TreePath {
  readonly #keySize: number
  readonly #parents: Inner[] = []
  readonly #slots: number[] = []
  #length = 0

  constructor (keySize: number) {
    this.#keySize = keySize
  }

  /** Inner nodes on it */
  get length (): number {
    return this.#length
  }

  get last (): Step {
    return this.step(this.#length - 1)
  }

  step (above: number): Step {
    return { parent: this.#parents[above], slot: this.#slots[above] }
  }

  /** The leaf that `key` belongs into, or the page that is missing on the way */
  find (root: TreeChild, key: Uint8Array, now: number): Leaf | number {
    let node = root
    this.#length = 0
    expectSize(key, this.#keySize)

    while (typeof node !== 'number') {
      node.used = now

      if (node.kind === 'leaf') {
        return node
      }

      const slot = node.slotOf(key)
      this.#parents[this.#length] = node
      this.#slots[this.#length++] = slot
      node = node.children[slot]
    }

    return node
  }

  fromRoot (visit: (parent: Inner, slot: number) => void): void {
    for (let above = 0; above < this.#length; above++) {
      visit(this.#parents[above], this.#slots[above])
    }
  }

  /** How many keys lie to the left of it */
  countBefore (): number {
    let count = 0

    this.fromRoot(({ counts }, slot) => {
      for (let i = 0; i < slot; i++) {
        count += counts[i]
      }
    })

    return count
  }
}
