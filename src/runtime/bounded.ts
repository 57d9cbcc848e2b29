/**
 * Collections with a bound that somebody chose.
 */

/**
 * A map that holds the `capacity` entries used last: setting one more drops the one that was not used for longest.
 */
export class LruMap<K, V> {
  readonly #map = new Map<K, V>()
  readonly #capacity: number
  #evicted = 0

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  get size (): number {
    return this.#map.size
  }

  /** How many entries were dropped to stay within the bound */
  get evicted (): number {
    return this.#evicted
  }

  get (key: K): V | undefined {
    const value = this.#map.get(key)

    if (value !== undefined) {
      this.#map.delete(key)
      this.#map.set(key, value)
    }

    return value
  }

  has (key: K): boolean {
    return this.#map.has(key)
  }

  set (key: K, value: V): void {
    this.#map.delete(key)
    this.#map.set(key, value)

    if (this.#map.size > this.#capacity) {
      this.#map.delete(this.#map.keys().next().value as K)
      this.#evicted++
    }
  }

  delete (key: K): boolean {
    return this.#map.delete(key)
  }

  clear (): void {
    this.#map.clear()
  }

  entries (): IterableIterator<[K, V]> {
    return this.#map.entries()
  }

  values (): IterableIterator<V> {
    return this.#map.values()
  }
}

/**
 * A map whose values are worth some bytes each. It grows past its bound until `evict` drops those that were not used
 * for longest: so whoever needs several values at once has them all.
 */
export class ByteLru<K, V> {
  readonly #map = new Map<K, { value: V, bytes: number }>()
  readonly #maxBytes: number
  #bytes = 0

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes (): number {
    return this.#bytes
  }

  get (key: K): V | undefined {
    const item = this.#map.get(key)

    if (item != null) {
      this.#map.delete(key)
      this.#map.set(key, item)
    }

    return item?.value
  }

  set (key: K, value: V, bytes: number): void {
    this.delete(key)
    this.#map.set(key, { value, bytes })
    this.#bytes += bytes
  }

  delete (key: K): void {
    this.#bytes -= this.#map.get(key)?.bytes ?? 0
    this.#map.delete(key)
  }

  clear (): void {
    this.#map.clear()
    this.#bytes = 0
  }

  evict (): void {
    for (const [key, { bytes }] of this.#map) {
      if (this.#bytes <= this.#maxBytes) {
        return
      }
      this.#map.delete(key)
      this.#bytes -= bytes
    }
  }
}

/** What all empty queues hold: most of a node's queues are empty most of the time */
const EMPTY: never[] = []

/**
 * First in, first out, without moving what stays: `shift` of a long array costs its length.
 */
export class Fifo<T> {
  #items: T[] = EMPTY
  #head = 0

  get length (): number {
    return this.#items.length - this.#head
  }

  push (item: T): void {
    if (this.#items === EMPTY) {
      this.#items = [item]
    } else {
      this.#items.push(item)
    }
  }

  peek (): T | undefined {
    return this.#items[this.#head]
  }

  * [Symbol.iterator] (): IterableIterator<T> {
    for (let i = this.#head; i < this.#items.length; i++) {
      yield this.#items[i]
    }
  }

  shift (): T | undefined {
    const item = this.#items[this.#head]

    if (item === undefined) {
      return
    }

    this.#items[this.#head++] = undefined as T

    if (this.#head === this.#items.length) {
      this.#items = EMPTY
      this.#head = 0
    // half of it is holes: what is moved now was paid for by as many shifts
    } else if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }

    return item
  }

  /** Takes out what `test` says, keeping the order of the rest */
  remove (test: (item: T) => boolean): T[] {
    const gone: T[] = []
    const kept: T[] = []

    for (let i = this.#head; i < this.#items.length; i++) {
      (test(this.#items[i]) ? gone : kept).push(this.#items[i])
    }

    this.#items = kept.length > 0 ? kept : EMPTY
    this.#head = 0
    return gone
  }

  clear (): T[] {
    return this.remove(() => true)
  }
}
