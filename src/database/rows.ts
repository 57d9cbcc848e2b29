import { decodeHead, decodeRow, encodeHead, encodeRow, HEAD, keyOf, nameOf } from './core/records.ts'
import type { Row } from './core/table.ts'
import type { Shelf } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

interface Stored {
  /** All that arrived before this one is in the rows */
  next: number
  stored: Array<[key: string, row: Row]>
}

/**
 * The checkpoints of a table: its rows, and how far they go, written at once. They say nothing that is not in the log: what is no
 * good is read from there again.
 */
export class Rows {
  readonly #shelf: Shelf
  readonly #fields: string[]

  constructor (shelf: Shelf, fields: string[]) {
    this.#shelf = shelf
    this.#fields = fields
  }

  async read (options: AbortOptions): Promise<Stored> {
    const names: Uint8Array[] = []
    const stored: Stored['stored'] = []
    let next: number | undefined

    try {
      for await (const { name, value } of this.#shelf.read(options)) {
        names.push(name)

        if (name[0] === HEAD[0]) {
          const head = decodeHead(value)
          next = head?.fields.join() === this.#fields.join() ? head.next : undefined
        } else {
          stored.push([keyOf(name), decodeRow(value)])
        }
      }
    } catch (err: any) {
      options.signal?.throwIfAborted()
      next = undefined
    }

    if (next == null) {
      // of another form, or of other indexes
      await this.#shelf.write(names.map(name => ({ name })))
      return { next: 0, stored: [] }
    }

    return { next, stored }
  }

  async write (next: number, changes: Array<[key: string, row?: Row]>): Promise<void> {
    await this.#shelf.write([
      ...changes.map(([key, row]) => ({ name: nameOf(key), value: row == null ? undefined : encodeRow(row) })),
      { name: HEAD, value: encodeHead({ next, fields: this.#fields }) }
    ])
  }
}
