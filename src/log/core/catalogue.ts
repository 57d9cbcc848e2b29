import { compare } from 'uint8arrays/compare'
import { equals } from 'uint8arrays/equals'
import { keyOfBytes } from '../../runtime/keys.ts'
import { compareMoments, HybridClock } from './hybrid-clock.ts'
import { ARRIVAL_KEY, arrivalKey, foundOnRing, ORDER_KEY, orderKey, PLACE_KEY, placeKey, placeOf, positionOf, RING_KEY, ringKey, startsWith } from './keys.ts'
import { Tree } from './tree.ts'
import { ID_AT, ID_BYTES } from './types.ts'
import type { Moment } from './hybrid-clock.ts'
import type { Found } from './keys.ts'
import type { TreeRoot } from './pages.ts'
import type { Flushed } from './tree.ts'

/** What the catalogue knows of an entry: enough to find it, and to take it out again */
export interface Listed extends Moment, Found {
  /** On the ring */
  position: number
  /** Bytes that it takes */
  size: number
  author: Uint8Array
  parents: Uint8Array[]
}

export interface Addition extends Listed {
  /** Those of its parents that are not here */
  absent: Uint8Array[]
}

/** What is to happen at once, or not at all */
export interface Change {
  added: Addition[]
  removed: Listed[]
  /** The last entry of our own, if there is a new one */
  tip?: Uint8Array
}

/** The last entry of an author, in the order of the log */
export interface Latest extends Moment {
  author: Uint8Array
  id: Uint8Array
  /** Some entry names it as its parent */
  isNamed: boolean
  /** It was not removed */
  isHere: boolean
}

export const TREES = ['ring', 'order', 'arrivals', 'places', 'named'] as const
export type TreeName = typeof TREES[number]

/** A catalogue as it is stored: the trees by their roots, the rest as it is */
export interface Snapshot {
  trees: Record<TreeName, { root: TreeRoot, nextPage: number }>
  latest: Latest[]
  tip?: Uint8Array
  arrivals: number
  bytes: number
  clock: Moment
}

/**
 * What is in a log: the one place that says so. Entries by their place on the ring, in their total order, and as they came;
 * and the heads: of the last entries of all authors, those that no entry names as its parent. So there are never more of them
 * than authors, also where only a part of the log is kept. What an entry was the head of does not become one when it is
 * removed: the log knows of it.
 *
 * All of it is synchronous. Pages of the trees that are not in memory have to be loaded before: `missing` says which.
 */
export class Catalogue {
  readonly trees: Record<TreeName, Tree>
  readonly clock = new HybridClock()
  readonly #latest = new Map<string, Latest>()
  /** The heads, each with its author */
  readonly #heads = new Map<string, Latest>()
  /** One that is in neither of them yet: mostly the next entry is of the same author, and stands on this one */
  #fresh?: Latest
  #tip?: Uint8Array
  #arrivals: number
  #bytes: number

  constructor (snapshot?: Snapshot) {
    const tree = (name: TreeName, keySize: number): Tree => new Tree({ keySize, isSummed: name === 'ring', ...snapshot?.trees[name] })
    this.trees = {
      ring: tree('ring', RING_KEY),
      order: tree('order', ORDER_KEY),
      arrivals: tree('arrivals', ARRIVAL_KEY),
      places: tree('places', PLACE_KEY),
      // entries that are named as parents, and not here: should they come, they are no heads
      named: tree('named', ID_BYTES)
    }
    snapshot?.latest.forEach(latest => { this.#setLatest(latest) })
    this.#settle()
    this.#tip = snapshot?.tip
    this.#arrivals = snapshot?.arrivals ?? 0
    this.#bytes = snapshot?.bytes ?? 0
    this.clock.hear(snapshot?.clock ?? { time: 0, counter: 0 })
  }

  get length (): number {
    return this.trees.order.count
  }

  /** Bytes of all entries */
  get bytes (): number {
    return this.#bytes
  }

  /** How many have come so far: the number of the next one */
  get arrivals (): number {
    return this.#arrivals
  }

  get heads (): Uint8Array[] {
    return [...this.#heads.values()].map(({ id }) => id)
  }

  get tip (): Uint8Array | undefined {
    return this.#tip
  }

  isHead (id: Uint8Array): boolean {
    return this.#heads.has(keyOfBytes(id))
  }

  /** Where the entry of this position lies; undefined: it is not in the log. Asks the tree 'ring' */
  findAt (position: number, id: Uint8Array): Found | undefined {
    const from = ringKey(position, id)
    const [key] = this.trees.ring.keys({ from, limit: 1 })
    return key != null && startsWith(key, from, ID_AT + ID_BYTES) ? foundOnRing(key) : undefined
  }

  /** The position of an entry that has a group. Asks the tree 'places' */
  placeOf (id: Uint8Array): number | undefined {
    const [key] = this.trees.places.keys({ from: placeKey(id), limit: 1 })
    return key != null && startsWith(key, id, ID_BYTES) ? placeOf(key) : undefined
  }

  /** Pages that have to be loaded before `change` can be applied, and perhaps others after them */
  missing ({ added, removed }: Pick<Change, 'added' | 'removed'>): Array<{ tree: TreeName, pages: number[] }> {
    const all = [...added, ...removed]
    const keys: Record<TreeName, () => Uint8Array[]> = {
      ring: () => all.map(listed => ringKey(listed.position, listed.id, listed)),
      order: () => all.map(listed => orderKey(listed, listed.id, listed)),
      arrivals: () => all.map(({ arrival, id, slot }) => arrivalKey(arrival, id, slot)),
      places: () => all.filter(isPlaced).map(({ id, position }) => placeKey(id, position)),
      named: () => [...all.map(({ id }) => id), ...added.flatMap(({ absent }) => absent)]
    }
    return TREES
      .filter(tree => !this.trees[tree].isWhole)
      .map(tree => ({ tree, pages: this.trees[tree].missing(keys[tree]()) }))
      .filter(({ pages }) => pages.length > 0)
  }

  apply ({ added, removed, tip }: Change): void {
    added.forEach(addition => { this.#add(addition) })
    this.#settle()
    removed.forEach(listed => { this.#remove(listed) })
    this.#tip = tip ?? this.#tip
  }

  /** Everything that changed since the last one, to be stored */
  flush (): { snapshot: Snapshot, flushed: Record<TreeName, Flushed> } {
    const flushed = Object.fromEntries(TREES.map(name => [name, this.trees[name].flush()])) as Record<TreeName, Flushed>
    return {
      flushed,
      snapshot: { trees: flushed, latest: [...this.#latest.values()], tip: this.#tip, arrivals: this.#arrivals, bytes: this.#bytes, clock: this.clock.last }
    }
  }

  #add (addition: Addition): void {
    const { id, time, counter, author, arrival, slot, position, size, parents, absent } = addition
    const { ring, order, arrivals, places, named } = this.trees
    this.clock.hear(addition)
    this.#arrivals = Math.max(this.#arrivals, arrival + 1)

    order.insert(orderKey(addition, id, addition))
    ring.insert(ringKey(position, id, addition))
    arrivals.insert(arrivalKey(arrival, id, slot))
    this.#bytes += size
    parents.forEach(parent => { this.#name(parent) })
    absent.forEach(parent => { named.insert(parent) })

    if (isPlaced(addition)) {
      places.insert(placeKey(id, position))
    }

    const isNamed = named.count > 0 && named.delete(id)
    const latest = this.#latestOf(author)
    const isLater = latest == null ? 1 : compareMoments(addition, latest) || compare(id, latest.id)

    if (isLater > 0) {
      this.#setLatest({ author, id, time, counter, isNamed, isHere: true })
    } else if (isLater === 0 && latest != null) {
      // it was removed, and is here again
      this.#setLatest({ ...latest, isNamed: isNamed || latest.isNamed, isHere: true })
    }
  }

  #latestOf (author: Uint8Array): Latest | undefined {
    return this.#fresh != null && equals(this.#fresh.author, author) ? this.#fresh : this.#latest.get(keyOfBytes(author))
  }

  #setLatest (latest: Latest): void {
    if (this.#fresh != null && !equals(this.#fresh.author, latest.author)) {
      this.#settle()
    }
    this.#fresh = latest
  }

  #settle (): void {
    if (this.#fresh == null) {
      return
    }

    const latest = this.#fresh
    const author = keyOfBytes(latest.author)
    const before = this.#latest.get(author)
    this.#latest.set(author, latest)
    this.#fresh = undefined

    if (before != null) {
      this.#heads.delete(keyOfBytes(before.id))
    }
    if (latest.isHere && !latest.isNamed) {
      this.#heads.set(keyOfBytes(latest.id), latest)
    }
  }

  /** It has a child: it is a head no more */
  #name (id: Uint8Array): void {
    if (this.#fresh != null && equals(this.#fresh.id, id)) {
      this.#fresh.isNamed = true
      return
    }

    const key = keyOfBytes(id)
    const head = this.#heads.get(key)

    if (head != null) {
      head.isNamed = true
      this.#heads.delete(key)
    }
  }

  #remove (listed: Listed): void {
    const { id, arrival, slot, position, size } = listed
    const { ring, order, arrivals, places } = this.trees

    if (!order.delete(orderKey(listed, id, listed))) {
      return
    }

    ring.delete(ringKey(position, id, listed))
    arrivals.delete(arrivalKey(arrival, id, slot))
    this.#bytes -= size
    const head = this.#heads.get(keyOfBytes(id))

    if (head != null) {
      this.#setLatest({ ...head, isHere: false })
      this.#settle()
    }
    if (isPlaced(listed)) {
      places.delete(placeKey(id, position))
    }
  }
}

/** Whether its place is that of a group */
function isPlaced ({ id, position }: Listed): boolean {
  return position !== positionOf(id)
}
