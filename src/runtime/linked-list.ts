/** An item that a `LinkedList` links to those before and after it. An item is in one list at most */
export interface Linked {
  before?: Linked
  after?: Linked
}

/**
 * A queue whose items leave from anywhere in O(1). A Map in insertion order does not do: the slots of what was deleted
 * stay at its front until it is hashed again, and finding the first of 65,536 entries costs 22 us.
 */
export class LinkedList<T extends Linked> {
  #first: T | undefined
  #last: T | undefined

  get first (): T | undefined {
    return this.#first
  }

  get last (): T | undefined {
    return this.#last
  }

  push (item: T): void {
    item.before = this.#last
    item.after = undefined

    if (this.#last == null) {
      this.#first = item
    } else {
      this.#last.after = item
    }

    this.#last = item
  }

  /** The item has to be in this list */
  remove (item: T): void {
    if (item.before == null) {
      this.#first = item.after as T | undefined
    } else {
      item.before.after = item.after
    }
    if (item.after == null) {
      this.#last = item.before as T | undefined
    } else {
      item.after.before = item.before
    }

    item.before = undefined
    item.after = undefined
  }

  /** From the first to the last. The item that was handed out may be removed meanwhile */
  * [Symbol.iterator] (): Generator<T> {
    for (let item = this.#first; item != null;) {
      const after = item.after as T | undefined
      yield item
      item = after
    }
  }
}
