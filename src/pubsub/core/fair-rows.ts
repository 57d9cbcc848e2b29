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
  owner?: Owner<this>
  weight = 1
  /** It is in use, and not evicted meanwhile */
  isHeld = false
  /** Whether it is among its owner's rows */
  isListed = false

  constructor (key: Key) {
    this.key = key
  }
}

/**
 * Rows about peers, one a peer, each owned by the neighbour that brought it first. The sum of their weights is bounded,
 * and each owner has a fair share of it: past the bound, the heaviest owner loses its least recently used row. So rows
 * that come by one neighbour never displace the rows of another that owns less.
 *
 * Rows of neighbours that are gone stay. All of them have one owner, so that whoever connects under many names in turn
 * has
 * one share. A live neighbour takes a row of theirs over with `adopt`.
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

  get (key: Key): Row | undefined {
    return this.#rows.get(key)
  }

  values (): IterableIterator<Row> {
    return this.#rows.values()
  }

  delete (row: Row): void {
    this.#unlist(row)
    this.#rows.delete(row.key)
  }

  add (row: Row, by: Key): void {
    this.#rows.set(row.key, row)
    row.owner = this.#ownerOf(by)
    this.#list(row)
  }

  /** It was used last. A neighbour that brings its own row owns it from then on */
  touch (row: Row, by: Key): void {
    if (by === row.key && row.owner?.key !== by) {
      this.#move(row, this.#ownerOf(by))
    } else if (row.isListed && row.owner?.rows.last !== row) {
      row.owner?.rows.remove(row)
      row.owner?.rows.push(row)
    }
  }

  /** Takes over a row of a neighbour that is gone */
  adopt (row: Row, by: Key): void {
    if (row.owner === this.#departed || row.owner?.isGone === true) {
      this.#move(row, this.#ownerOf(by))
    }
  }

  weigh (row: Row, change: number): void {
    row.weight += change

    if (row.isListed) {
      this.#count(row, change)
    }
  }

  hold (row: Row, isHeld: boolean): void {
    if (row.isHeld !== isHeld) {
      this.#unlist(row)
      row.isHeld = isHeld
      this.#list(row)
    }
  }

  gone (neighbour: Key): void {
    const owner = this.#owners.get(neighbour)

    if (owner == null) {
      return
    }

    const own = this.#rows.get(neighbour)
    this.#owners.delete(neighbour)
    owner.isGone = true

    for (const row of owner.rows) {
      this.#move(row, this.#departed)
    }
    if (own?.owner === owner) {
      this.#move(own, this.#departed)
    }
  }

  /**
   * Evicts what is over the bound, and says so of each row. To be called when no row is in use. One look at all owners
   * (500: 1 us) makes room for
   * more than one row, if the heaviest owner is by that much the heaviest.
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
        this.#unlist(row)
        this.#rows.delete(row.key)
        onEvicted?.(row)
      } while (this.#weight > this.#capacity * 63 / 64 && heaviest.weight > second)
    }
  }

  check (): void {
    const sums = new Map([this.#departed, ...this.#owners.values()].map(owner => [owner, 0]))

    for (const row of this.#rows.values()) {
      const mayGo = !row.isHeld && row.owner?.key !== row.key

      if (row.owner == null || row.isListed !== mayGo || (row.owner.isGone && !row.isHeld)) {
        throw new Error(`The row of ${row.key} may go: ${mayGo}, is listed: ${row.isListed}`)
      }
      if (mayGo) {
        sums.set(row.owner, (sums.get(row.owner) ?? NaN) + row.weight)
      }
    }

    const total = [...sums.values()].reduce((sum, weight) => sum + weight, 0)

    if (total !== this.#weight || total > this.#capacity || [...sums].some(([owner, sum]) => owner.weight !== sum)) {
      throw new Error(`Rows weigh ${total}, counted as ${this.#weight}, of ${this.#capacity}`)
    }
  }

  #ownerOf (by: Key): Owner<Row> {
    let owner = this.#owners.get(by)

    if (owner == null) {
      this.#owners.set(by, owner = new Owner(by))
    }

    return owner
  }

  #move (row: Row, owner: Owner<Row>): void {
    this.#unlist(row)
    row.owner = owner
    this.#list(row)
  }

  #list (row: Row): void {
    if (row.owner?.isGone === true) {
      row.owner = this.#departed
    }
    if (!row.isHeld && row.owner?.key !== row.key) {
      row.isListed = true
      row.owner?.rows.push(row)
      this.#count(row, row.weight)
    }
  }

  #unlist (row: Row): void {
    if (row.isListed) {
      row.isListed = false
      row.owner?.rows.remove(row)
      this.#count(row, -row.weight)
    }
  }

  #count (row: Row, change: number): void {
    this.#weight += change

    if (row.owner != null) {
      row.owner.weight += change
    }
  }
}
