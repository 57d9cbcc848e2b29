import { LinkedList } from '../../runtime/linked-list.ts'
import type { Key } from './types.ts'
import type { Linked } from '../../runtime/linked-list.ts'

/** A neighbour, as the owner of rows that it brought */
class Owner<Row extends Linked> {
  readonly key: Key
  /** Those that may be evicted, the least recently used one first */
  readonly rows = new LinkedList<Row>()
  /** Of these rows */
  weight = 0
  isGone = false

  constructor (key: Key) {
    this.key = key
  }
}

/** What is known of one peer. A table extends it by what it keeps */
export class FairRow implements Linked {
  before?: Linked
  after?: Linked
  readonly key: Key
  /** None: it is in no table */
  owner?: Owner<this>
  weight = 1
  /** It is in use, and not evicted meanwhile */
  isHeld = false

  constructor (key: Key) {
    this.key = key
  }

  /** Whether it is among its owner's rows */
  get isListed (): boolean {
    return !this.isHeld && this.owner != null && this.owner.key !== this.key
  }
}

/**
 * Rows about peers, one a peer, each owned by the neighbour that brought it first. The sum of their weights is bounded,
 * and each owner has a fair share of it: past the bound, the heaviest owner loses its least recently used row. So rows
 * that come by one neighbour never displace the rows of another that owns less.
 *
 * Rows of neighbours that are gone stay. All of them have one owner, so that whoever connects under many names in turn
 * has one share. A live neighbour takes a row of theirs over with `adopt`.
 *
 * Invariants: rows that are held, and the row of a peer that owns it (a neighbour's word about itself) are neither
 * evicted nor counted; the rest together weighs no more than `capacity`.
 */
export class FairRows<Row extends FairRow> {
  readonly #capacity: number
  readonly #rows = new Map<Key, Row>()
  readonly #owners = new Map<Key, Owner<Row>>()
  /** No peer has an empty key */
  readonly #departed = new Owner<Row>('')
  #weight = 0

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  get size (): number {
    return this.#rows.size
  }

  /** An eighth is free: little of what is heard again would be evicted at once */
  get hasRoom (): boolean {
    return this.#weight <= this.#capacity * 7 / 8
  }

  get (key: Key): Row | undefined {
    return this.#rows.get(key)
  }

  values (): IterableIterator<Row> {
    return this.#rows.values()
  }

  add (row: Row, by: Key): void {
    this.#rows.set(row.key, row)
    this.#move(row, this.#ownerOf(by))
  }

  delete (row: Row): void {
    this.#rows.delete(row.key)
    this.#move(row, undefined)
  }

  /** It was used last. A neighbour that brings its own row owns it from then on */
  touch (row: Row, by: Key): void {
    this.#move(row, by === row.key ? this.#ownerOf(by) : row.owner)
  }

  /** Takes over a row of a neighbour that is gone */
  adopt (row: Row, by: Key): void {
    if (row.owner === this.#departed || row.owner?.isGone === true) {
      this.#move(row, this.#ownerOf(by))
    }
  }

  weigh (row: Row, change: number): void {
    row.weight += change
    this.#count(row, change)
  }

  hold (row: Row, isHeld: boolean): void {
    this.#move(row, row.owner, isHeld)
  }

  gone (neighbour: Key): void {
    const owner = this.#owners.get(neighbour)
    const own = this.#rows.get(neighbour)

    if (owner != null) {
      this.#owners.delete(neighbour)
      owner.isGone = true

      // those that are held follow when they are not any more
      for (const row of owner.rows) {
        this.#move(row, owner)
      }
      if (own?.owner === owner) {
        this.#move(own, owner)
      }
    }
  }

  /**
   * Evicts what is over the bound, and says so of each row. To be called when no row is in use. One look at all owners
   * (500: 1 us) makes room for more than one row, if the heaviest owner is by that much the heaviest.
   */
  makeRoom (onEvicted?: (row: Row) => void): void {
    while (this.#weight > this.#capacity) {
      let heaviest = this.#departed
      let second = 0

      for (const owner of this.#owners.values()) {
        if (owner.weight > heaviest.weight) {
          second = heaviest.weight
          heaviest = owner
        } else {
          second = Math.max(second, owner.weight)
        }
      }

      do {
        const row = heaviest.rows.first as Row
        this.delete(row)
        onEvicted?.(row)
      } while (this.#weight > this.#capacity * 63 / 64 && heaviest.weight > second)
    }
  }

  check (): void {
    const owners = [this.#departed, ...this.#owners.values()]
    const listed = new Set(owners.flatMap(({ rows }) => [...rows]))
    const sums = new Map(owners.map(owner => [owner, 0]))

    for (const row of this.#rows.values()) {
      const { key, owner, isListed, isHeld, weight } = row

      if (owner == null || (owner.isGone && !isHeld) || isListed !== listed.has(row)) {
        throw new Error(`The row of ${key} may go: ${isListed}, and is not where such rows are`)
      }
      if (isListed) {
        sums.set(owner, (sums.get(owner) ?? NaN) + weight)
      }
    }

    const total = [...sums.values()].reduce((sum, weight) => sum + weight, 0)

    if (total !== this.#weight || total > this.#capacity || [...sums].some(([owner, sum]) => owner.weight !== sum)) {
      throw new Error(`Rows weigh ${total}, counted as ${this.#weight}, of ${this.#capacity}`)
    }
  }

  #ownerOf (by: Key): Owner<Row> {
    const owner = this.#owners.get(by) ?? new Owner(by)
    this.#owners.set(by, owner)
    return owner
  }

  /** To the end of the owner's rows, if it may be evicted */
  #move (row: Row, owner?: Owner<Row>, isHeld = row.isHeld): void {
    if (row.isListed) {
      row.owner?.rows.remove(row)
      this.#count(row, -row.weight)
    }

    row.owner = owner?.isGone === true ? this.#departed : owner
    row.isHeld = isHeld

    if (row.isListed) {
      row.owner?.rows.push(row)
      this.#count(row, row.weight)
    }
  }

  #count (row: Row, change: number): void {
    if (row.isListed && row.owner != null) {
      this.#weight += change
      row.owner.weight += change
    }
  }
}
