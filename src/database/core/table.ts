import { compare } from 'uint8arrays/compare'

/** What decides which of two entries came later, the same for all who have both */
export interface Version {
  time: number
  counter: number
  id: Uint8Array
}

/** The entry that counts for a key */
export interface Row extends Version {
  /** When it came here */
  arrival: number
  isDeleted: boolean
  /** What its indexed fields say */
  fields: string[]
}

/** What counted for a key, and what does now */
export type OnRow = (key: string, before: Row | undefined, after: Row | undefined) => void

export function versionOf (
  { clock: { time, counter }, id: { bytes } }: { clock: { time: bigint, counter: number }, id: { bytes: Uint8Array } }
): Version {
  return { time: Number(time), counter, id: bytes }
}

/** As the log orders its entries: above 0, if `a` is later */
export function compareVersions (a: Version, b: Version): number {
  return a.time - b.time || a.counter - b.counter || compare(a.id, b.id)
}

/**
 * Which entry counts for each key: the last one in the order of the log. What is deleted has a row, too: what comes
 * later may be older. The same entries make the same table, in whatever order they come, and however often.
 */
export class Table {
  readonly #rows = new Map<string, Row>()
  /** Keys that changed since somebody asked, some of them more than once */
  #changed: string[] = []
  #deleted = 0
  readonly #onRow?: OnRow

  constructor (onRow?: OnRow) {
    this.#onRow = onRow
  }

  /** Keys that have a value */
  get size (): number {
    return this.#rows.size - this.#deleted
  }

  get (key: string): Row | undefined {
    return this.#rows.get(key)
  }

  keys (): IterableIterator<string> {
    return this.#rows.keys()
  }

  /** Rows, those of what is deleted, too */
  get count (): number {
    return this.#rows.size
  }

  rows (): IterableIterator<[key: string, row: Row]> {
    return this.#rows.entries()
  }

  /** Unless something later is known already, or this very one is: one that went and came back is where it came last */
  apply (key: string, row: Row): void {
    const before = this.#rows.get(key)
    const order = before == null ? 1 : compareVersions(row, before)

    if (order > 0 || (order === 0 && row.arrival > (before?.arrival ?? 0))) {
      this.#changed.push(key)
      this.#set(key, before, row)
    }
  }

  /** It is not in the log any more */
  forget (key: string, id: Uint8Array): void {
    const row = this.#rows.get(key)

    if (row != null && compare(row.id, id) === 0) {
      this.#changed.push(key)
      this.#set(key, row, undefined)
    }
  }

  /** As it was stored */
  restore (key: string, row: Row): void {
    this.#set(key, this.#rows.get(key), row)
  }

  /** What changed since it was asked last; without a row: it is gone */
  changes (): Array<[key: string, row?: Row]> {
    const changed = new Set(this.#changed)
    this.#changed = []
    return Array.from(changed, key => [key, this.#rows.get(key)])
  }

  /** Those changes were not stored */
  keepChanges (changes: Array<[key: string, row?: Row]>): void {
    changes.forEach(([key]) => { this.#changed.push(key) })
  }

  #set (key: string, before: Row | undefined, row: Row | undefined): void {
    this.#deleted += (row?.isDeleted === true ? 1 : 0) - (before?.isDeleted === true ? 1 : 0)

    if (row == null) {
      this.#rows.delete(key)
    } else {
      this.#rows.set(key, row)
    }

    this.#onRow?.(key, before, row)
  }
}
