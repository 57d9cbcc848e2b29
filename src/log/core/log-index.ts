import { LruMap } from '../../runtime/bounded.ts'
import { keyOfBytes } from '../../runtime/keys.ts'
import { all } from '../../storage/core/run.ts'
import { Table } from '../../storage/core/table.ts'
import { MAX_PROBLEMS } from '../constants.ts'
import { Authors } from './authors.ts'
import { Fences } from './fences.ts'
import { compareEntries, HybridClock } from './hybrid-clock.ts'
import {
  deadRow, forTables, groupPrefix, groupRow, orderRow, placeIn, positionInGroup, positionOf, readRingRow, ringPrefix,
  ringRow, SPECS
} from './rows.ts'
import type { AuthorsChange } from './authors.ts'
import type { Moment, Ordered } from './hybrid-clock.ts'
import type { RemovedRows } from './record.ts'
import type { Place, RingRow, TableName } from './rows.ts'
import type { Content } from './types.ts'
import type { Rows } from '../../storage/core/rows.ts'
import type { PageSource } from '../../storage/core/run.ts'

/** An entry as the index is told of it */
export interface Addition extends Place, Omit<Content, 'replicas' | 'data'> {
  id: Uint8Array
  position: number
  /** Bytes of it and its proof */
  size: number
  /**
   * Its parents that are not here, but for the previous entry of its author: a later entry of an author is never a head
   * again
   */
  absent: Uint8Array[]
  /** It is behind an entry that came before it. Found out when it is placed */
  isLate: boolean
}

/** What a record does to the log, or several of them that remove nothing */
export interface Change {
  added: Addition[]
  removed: RemovedRows
}

/** Where what is changed is stored */
export interface Stored {
  seq: number
  /** The number of its first entry among all that came here */
  arrival: number
  /** Entries that it was written with */
  size: number
}

/** A change, and what pages were needed to find out about it */
export interface Prepared extends Change {
  authors: AuthorsChange
  /** Rows of the table `named` that go: their entries are here now */
  found: Uint8Array[]
  /** Parents that are named for the first time */
  newlyNamed: Uint8Array[]
  /** Authors that made two entries on top of one */
  forks: Uint8Array[]
}

/** All of the index that does not lie in tables */
export interface Counters {
  arrivals: number
  bytes: number
  clock: Moment
  /** The last entry in the order of the log among those that did not come late */
  top?: Ordered
  fences: Fences
}

/**
 * What is in a log: the one place that says so. It knows where each entry lies, by id, by position on the ring, in the
 * total order and as they came, and which are the heads. A change is first prepared, which may need pages, and then
 * applied, which cannot fail.
 */
export class LogIndex {
  readonly tables: Record<TableName, Table>
  readonly authors: Authors
  readonly clock = new HybridClock()
  readonly fences: Fences
  #arrivals: number
  #bytes: number
  #top?: Ordered
  /** Entries that were removed since the index was opened: whoever reads finds out that some were */
  removals = 0
  /** By their keys, authors that made two entries on top of one */
  readonly forks = new LruMap<string, Uint8Array>(MAX_PROBLEMS)

  constructor (source: PageSource, counters?: Counters) {
    this.tables = forTables(name => new Table(SPECS[name], source))
    this.authors = new Authors(this.tables.authors, this.tables.heads)
    this.#arrivals = counters?.arrivals ?? 0
    this.#bytes = counters?.bytes ?? 0
    this.#top = counters?.top
    this.fences = counters?.fences.copy() ?? new Fences()

    if (counters != null) {
      this.clock.hear(counters.clock)
    }
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

  /** As they are now: a copy */
  get counters (): Counters {
    return {
      arrivals: this.#arrivals, bytes: this.#bytes, clock: this.clock.last, top: this.#top, fences: this.fences.copy()
    }
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

  /** Finds out what `apply` has to do, and changes nothing. Rows that are to go and are not there are left out */
  prepare ({ added, removed }: Change): Prepared {
    const { named } = this.tables
    const authors = this.authors.change()
    const [found, forks]: [Uint8Array[], Uint8Array[]] = [[], []]
    const newlyNamed = new Map<string, Uint8Array>()

    // asked together, so that the pages that are missing are read together
    all(added, addition => {
      const { id, author, absent } = addition
      const isStored = named.find(id) != null
      // one before it may be the first that names it: a clock that ran backwards dates a parent after its child
      const isNamed = isStored || (newlyNamed.size > 0 && newlyNamed.delete(keyOfBytes(id)))
      const isFork = authors.add(addition, isNamed)

      if (isStored) {
        found.push(id)
      }
      if (isFork) {
        forks.push(author)
      }

      absent.forEach(parent => {
        if (named.find(parent) == null) {
          newlyNamed.set(keyOfBytes(parent), parent)
        }
      })
    })

    const present: RemovedRows = {}

    for (const name of Object.keys(removed) as TableName[]) {
      const rows = removed[name] ?? []
      const isThere = all(rows, row => this.tables[name].find(row) != null)
      present[name] = rows.filter((_, i) => isThere[i])
    }

    all(present.ring ?? [], row => { authors.remove(readRingRow(row).id) })
    return { added, removed: present, authors, found, forks, newlyNamed: [...newlyNamed.values()] }
  }

  apply ({ added, removed, authors, found, newlyNamed, forks }: Prepared, records: Stored[]): void {
    const { named, dead } = this.tables
    let next = 0

    for (const { seq, arrival, size } of records) {
      if (size === 0) {
        // the record is of no use once this is in a run
        dead.add(deadRow({ seq, slot: 0 }))
      } else {
        this.fences.begin(seq, arrival, this.#top)
      }

      this.#arrivals = Math.max(this.#arrivals, arrival + size)

      for (; added[next]?.seq === seq; next++) {
        this.#add(added[next])
      }
    }

    found.forEach(id => { named.remove(id) })
    newlyNamed.forEach(id => { named.add(id) })
    forks.forEach(author => { this.forks.set(keyOfBytes(author), author) })
    authors.apply()

    for (const name of Object.keys(removed) as TableName[]) {
      removed[name]?.forEach(row => { this.tables[name].remove(row) })
    }

    removed.ring?.forEach(row => {
      const place = placeIn('ring', row)
      dead.add(deadRow(place))
      this.removals++
      this.fences.remove(place.seq)
      this.#bytes -= readRingRow(row).size
    })
  }

  /** What is said from here on is of the next checkpoint. Returns what is of this one */
  freeze (): Record<TableName, Rows[]> {
    this.fences.compact()
    return forTables(name => this.tables[name].freeze())
  }

  #add (addition: Addition): void {
    const { id, position, size, group, isLate } = addition
    const { ring, groups, order } = this.tables
    ring.add(ringRow(addition))
    this.#bytes += size
    this.clock.hear(addition)
    this.fences.add()

    if (group.byteLength > 0) {
      groups.add(groupRow(id, position, addition))
    }
    if (isLate) {
      order.add(orderRow(addition, id, addition))
    } else if (this.#top == null || compareEntries(addition, this.#top) > 0) {
      this.#top = addition
    }
  }
}

/** The rows that an entry has in the tables: what is removed with it */
export function rowsOfEntry (
  ring: RingRow, { time, counter, group, isLate }: Moment & Pick<Addition, 'group' | 'isLate'>
): RemovedRows {
  const { id, position } = ring
  return {
    ring: [ringRow(ring)],
    ...group.byteLength === 0 ? {} : { groups: [groupRow(id, position, ring)] },
    ...!isLate ? {} : { order: [orderRow({ time, counter }, id, ring)] }
  }
}
