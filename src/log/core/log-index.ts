import { keyOfBytes } from '../../runtime/keys.ts'
import { Authors } from './authors.ts'
import { compareEntries, HybridClock } from './hybrid-clock.ts'
import { fenceRows, groupPrefix, groupRow, idOnRing, orderRow, positionInGroup, positionOf, readRingRow, ringPrefix, ringRow, sizeInRow, SPECS, TABLES } from './rows.ts'
import { Table } from './table.ts'
import type { Moment, Ordered } from './hybrid-clock.ts'
import type { Rows } from './page.ts'
import type { RemovedRows } from './record.ts'
import type { RingRow, TableName } from './rows.ts'
import type { PageSource } from './run.ts'
import type { Content } from './types.ts'

/** Entries from one fence to the next: so many are read in vain at most when a walk begins between two. A guess */
const FENCE_ENTRIES = 256

/** An entry as the index is told of it */
export interface Addition extends Pick<Content, 'time' | 'counter' | 'author' | 'previous' | 'parents' | 'group'> {
  id: Uint8Array
  position: number
  /** Bytes of it and its proof */
  size: number
  /** Its parents that are not here, but for the previous entry of its author: a later entry of an author is never a head again */
  absent: Uint8Array[]
  /** It is behind an entry that came before it. Found out when it is placed */
  isLate: boolean
}

/** What one record did to the log */
export interface Change extends Prepared {
  seq: number
  /** The number of its first entry among all that came here */
  arrival: number
  /** By slot; undefined: the entry was removed, and its bytes are gone */
  added: Array<Addition | undefined>
}

/** What pages were needed to find out, before a change is applied */
export interface Prepared {
  isNamed: boolean[]
  /** Parents that are named for the first time */
  newlyNamed: Uint8Array[]
  /** Of the rows that were to go those that are there: what added the others may have been damaged */
  removed: RemovedRows
}

/** All of the index that does not lie in tables */
export interface Counters {
  arrivals: number
  bytes: number
  clock: Moment
  /** The last entry in the order of the log among those that did not come late */
  top?: Ordered
}

/**
 * What is in a log: the one place that says so. It knows where each entry lies, by id, by position on the ring, in the total
 * order and as they came, and which are the heads. A change is first prepared, which may need pages, and then applied, which
 * cannot fail.
 */
export class LogIndex {
  readonly tables: Record<TableName, Table>
  readonly authors: Authors
  readonly clock = new HybridClock()
  #arrivals: number
  #bytes: number
  #top?: Ordered
  #lastFence = -FENCE_ENTRIES
  /** The number of the record that follows the last one */
  #nextSeq = -1
  /** Authors that made two entries on top of one: the last of them for each. Bounded by those who look */
  readonly forks = new Map<string, Uint8Array>()

  constructor (source: PageSource, { arrivals, bytes, clock, top }: Counters = { arrivals: 0, bytes: 0, clock: { time: 0, counter: 0 } }) {
    this.tables = Object.fromEntries(TABLES.map(name => [name, new Table(name, source)])) as Record<TableName, Table>
    this.authors = new Authors(this.tables.authors, this.tables.heads)
    this.#arrivals = arrivals
    this.#bytes = bytes
    this.#top = top
    this.clock.hear(clock)
  }

  get length (): number {
    return this.tables.ring.count
  }

  /** Bytes of all entries and their proofs */
  get bytes (): number {
    return this.#bytes
  }

  /** How many have come so far: the number of the next one */
  get arrivals (): number {
    return this.#arrivals
  }

  get counters (): Counters {
    return { arrivals: this.#arrivals, bytes: this.#bytes, clock: this.clock.last, top: this.#top }
  }

  /** Where the entry of this id is; undefined: it is not in the log */
  find (id: Uint8Array): RingRow | undefined {
    const { ring, groups } = this.tables
    const row = ring.find(ringPrefix(positionOf(id), id))

    if (row != null) {
      return readRingRow(row)
    }

    for (const group of groups.isEmpty ? [] : groups.findAll(groupPrefix(id))) {
      const row = ring.find(ringPrefix(positionInGroup(group), id))

      if (row != null) {
        return readRingRow(row)
      }
    }
  }

  /** Marks those that an entry before them has already gone past, in the order of the log */
  place (added: Addition[]): void {
    let top = this.#top

    for (const addition of added) {
      addition.isLate = top != null && compareEntries(addition, top) < 0
      top = addition.isLate ? top : addition
    }
  }

  /** Brings into memory what `apply` needs to know */
  prepare (added: Array<Addition | undefined>, removed: RemovedRows): Prepared {
    const { named } = this.tables
    removed.ring?.forEach(row => { this.authors.loadHead(idOnRing(row)) })
    const present = filterRows(removed, (name, row) => this.tables[name].find(row) != null)
    const newlyNamed = new Map<string, Uint8Array>()
    const isNamed = added.map(addition => {
      if (addition == null) {
        return false
      }

      const { id, author, parents, absent } = addition
      this.authors.load(author)
      parents.forEach(parent => { this.authors.loadHead(parent) })
      absent.forEach(parent => {
        if (named.isEmpty || named.find(parent) == null) {
          newlyNamed.set(keyOfBytes(parent), parent)
        }
      })
      return !named.isEmpty && named.find(id) != null
    })

    // one of them may be what another one lacked
    const names = new Set(newlyNamed.size === 0 ? [] : added.map(addition => addition == null ? '' : keyOfBytes(addition.id)))
    return { isNamed, newlyNamed: [...newlyNamed].filter(([key]) => !names.has(key)).map(([, id]) => id), removed: present }
  }

  apply ({ seq, arrival, added, removed, isNamed, newlyNamed }: Change): void {
    if (added.length > 0) {
      this.#fence(seq, arrival)
    }

    this.#nextSeq = seq + 1
    this.#arrivals = Math.max(this.#arrivals, arrival + added.length)
    newlyNamed.forEach(id => { this.tables.named.add(id) })
    added.forEach((addition, slot) => {
      if (addition != null) {
        this.#add(addition, seq, slot, isNamed[slot])
      }
    })

    for (const name of Object.keys(removed) as TableName[]) {
      removed[name]?.forEach(row => { this.#remove(name, row) })
    }

    this.authors.evict()
  }

  /** What is said from here on is of the next checkpoint. Returns what is of this one */
  freeze (): Record<TableName, Rows[]> {
    this.authors.flush()
    return Object.fromEntries(TABLES.map(name => [name, this.tables[name].freeze()])) as Record<TableName, Rows[]>
  }

  #fence (seq: number, arrival: number): void {
    if (seq !== this.#nextSeq || arrival - this.#lastFence >= FENCE_ENTRIES) {
      const { time, counter } = this.#top ?? { time: 0, counter: 0 }
      fenceRows({ arrival, seq, time, counter }).forEach(row => { this.tables.fences.add(row) })
      this.#lastFence = arrival
    }
  }

  #add (addition: Addition, seq: number, slot: number, isNamed: boolean): void {
    const { id, position, size, group, isLate, author, time, counter } = addition
    const { ring, groups, order, named } = this.tables
    ring.add(ringRow({ position, id, seq, slot, size }))
    this.#bytes += size
    this.clock.hear(addition)

    if (group.byteLength > 0) {
      groups.add(groupRow(id, position, { seq, slot }))
    }
    if (isLate) {
      order.add(orderRow(addition, id, { seq, slot }))
    } else {
      this.#top = { time, counter, id }
    }
    if (isNamed) {
      named.remove(id)
    }
    if (this.authors.add({ ...addition, isNamed })) {
      this.forks.set(keyOfBytes(author), author)
    }
  }

  #remove (name: TableName, row: Uint8Array): void {
    this.tables[name].remove(row)

    if (name === 'ring') {
      const { placeAt = 0 } = SPECS.ring
      this.tables.dead.add(row.slice(placeAt, placeAt + SPECS.dead.width))
      this.#bytes -= sizeInRow(row)
      this.authors.remove(idOnRing(row))
    }
  }
}

function filterRows (rows: RemovedRows, isWanted: (name: TableName, row: Uint8Array) => boolean): RemovedRows {
  const wanted: RemovedRows = {}

  for (const name of Object.keys(rows) as TableName[]) {
    wanted[name] = rows[name]?.filter(row => isWanted(name, row))
  }

  return wanted
}

/** The rows that an entry has in the tables: what is removed with it */
export function rowsOfEntry (ring: RingRow, { time, counter, group, isLate }: Moment & Pick<Addition, 'group' | 'isLate'>): RemovedRows {
  const { id, position } = ring
  return {
    ring: [ringRow(ring)],
    ...group.byteLength === 0 ? {} : { groups: [groupRow(id, position, ring)] },
    ...!isLate ? {} : { order: [orderRow({ time, counter }, id, ring)] }
  }
}
