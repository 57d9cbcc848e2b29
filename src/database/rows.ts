import { chunks } from '../runtime/chunks.ts'
import { MalformedError } from '../runtime/errors.ts'
import { ROWS_IN_RECORD } from './constants.ts'
import { decodeHead, decodeRows, encodeHead, encodeRows, HEAD, nameOf, recordOf } from './core/records.ts'
import type { Change, Head } from './core/records.ts'
import type { Row, Table } from './core/table.ts'
import type { Shelf } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface Stored extends Pick<Head, 'next' | 'entries'> {
  stored: Map<string, Row>
}

/**
 * The checkpoints of a table: one record with the rows that changed since the checkpoint before, and how far they go,
 * in one write. When most rows in the records are outdated, the whole table is written again. Checkpoints hold nothing
 * that is not in the log: an invalid one is dropped, and the log is read again.
 */
export class Rows {
  readonly #shelf: Shelf
  readonly #form: string[]
  /** The valid records. Records behind their end were never finished, and are overwritten */
  #first = 0
  #end = 0
  /** Rows in the valid records, outdated ones too */
  #count = 0

  constructor (shelf: Shelf, form: string[]) {
    this.#shelf = shelf
    this.#form = form
  }

  async read (options: AbortOptions): Promise<Stored> {
    const names: Uint8Array[] = []
    const records = new Map<number, Uint8Array>()
    let head: Head | undefined

    try {
      for await (const { name, value } of this.#shelf.read(options)) {
        names.push(name)

        if (name[0] === HEAD[0]) {
          head = decodeHead(value)
        } else {
          records.set(recordOf(name), value)
        }
      }

      if (head != null && JSON.stringify(head.form) === JSON.stringify(this.#form)) {
        return this.#restore(head, records)
      }
    } catch (err: any) {
      options.signal?.throwIfAborted()
    }

    // the checkpoint has another version, or another form
    await this.#shelf.write(names.map(name => ({ name })))
    return { next: 0, stored: new Map() }
  }

  async write (at: Pick<Head, 'next' | 'entries'>, changes: Change[], table: Table): Promise<void> {
    if (this.#count + changes.length > 2 * table.count + ROWS_IN_RECORD) {
      await this.#writeAll(at, table)
      return
    }

    const end = changes.length === 0 ? this.#end : this.#end + 1
    await this.#shelf.write([
      ...changes.length === 0 ? [] : [{ name: nameOf(this.#end), value: encodeRows(changes) }],
      { name: HEAD, value: encodeHead({ ...at, first: this.#first, end, form: this.#form }) }
    ])
    this.#end = end
    this.#count += changes.length
  }

  /** A row that changes meanwhile may be in the table or not: the next checkpoint has it again */
  async #writeAll (at: Pick<Head, 'next' | 'entries'>, table: Table): Promise<void> {
    const old = Array.from({ length: this.#end - this.#first }, (_, i) => ({ name: nameOf(this.#first + i) }))
    const first = this.#end
    let end = first
    let count = 0

    for (const rows of chunks(table.rows(), ROWS_IN_RECORD)) {
      await this.#shelf.write([{ name: nameOf(end++), value: encodeRows(rows) }])
      count += rows.length
    }

    await this.#shelf.write([...old, { name: HEAD, value: encodeHead({ ...at, first, end, form: this.#form }) }])
    this.#first = first
    this.#end = end
    this.#count = count
  }

  /** Throws a MalformedError */
  #restore ({ next, first, end, entries }: Head, records: Map<number, Uint8Array>): Stored {
    const stored: Stored['stored'] = new Map()
    let count = 0

    for (let record = first; record < end; record++) {
      const bytes = records.get(record)

      if (bytes == null) {
        throw new MalformedError(`record ${record} is missing`)
      }

      for (const [key, row] of decodeRows(bytes)) {
        count++

        if (row == null) {
          stored.delete(key)
        } else {
          stored.set(key, row)
        }
      }
    }

    this.#first = first
    this.#end = end
    this.#count = count
    return { next, entries, stored }
  }
}
