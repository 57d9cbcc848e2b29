import { ByteLru } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { decodePage } from './core/page.ts'
import { decodePart, PagesMissing } from './core/run.ts'
import { DamagedIndexError } from './errors.ts'
import type { Page } from './core/page.ts'
import type { TableName } from './core/rows.ts'
import type { Missing, PageSource, Part, PartIndex, Span } from './core/run.ts'
import type { Disk } from './disk.ts'

/**
 * The pages of runs that are in memory. They never change, so none has to be written before it is forgotten.
 */
export class Pages implements PageSource {
  readonly #disk: Disk
  readonly #cache: ByteLru<number, PartIndex | Page>
  /** Pages on their way into memory: whoever else wants one waits for the same */
  readonly #loading = new Map<number, Promise<void>>()

  constructor (disk: Disk, maxBytes: number) {
    this.#disk = disk
    this.#cache = new ByteLru(maxBytes)
  }

  get bytes (): number {
    return this.#cache.bytes
  }

  part (table: TableName, { seq }: Part): PartIndex {
    return this.#get({ table, kind: 'part', seq }) as PartIndex
  }

  page (table: TableName, { seq }: Span): Page {
    return this.#get({ table, kind: 'page', seq }) as Page
  }

  /** What `ask` says, when everything is in memory that it needs. Throws a DamagedIndexError */
  async read<T> (ask: () => T): Promise<T> {
    const failed = new Map<number, Error>()

    for (;;) {
      try {
        const answer = ask()

        // not before: what was read for the answer would be gone again
        if (this.#loading.size === 0) {
          this.#cache.evict()
        }

        return answer
      } catch (err) {
        if (!(err instanceof PagesMissing)) {
          throw err
        }

        await Promise.all(err.missing.map(async missing => this.#loadOrNote(missing, failed)))
      }
    }
  }

  /** Reads without keeping. Throws a DamagedIndexError */
  async readPart (table: TableName, seq: number): Promise<PartIndex> {
    return decodeOr(table, decodePart, seq, await this.#disk.get(seq, 'page'))
  }

  async readPage (table: TableName, seq: number): Promise<Page> {
    return decodeOr(table, decodePage, seq, await this.#disk.get(seq, 'page'))
  }

  forget (seqs: Iterable<number>): void {
    for (const seq of seqs) {
      this.#cache.delete(seq)
    }
  }

  #get (missing: Missing): PartIndex | Page {
    const found = this.#cache.get(missing.seq)

    if (found == null) {
      throw new PagesMissing([missing])
    }

    return found
  }

  /** A page that cannot be read may belong to a run that was merged meanwhile: then nobody asks for it again */
  async #loadOrNote (missing: Missing, failed: Map<number, Error>): Promise<void> {
    const err = failed.get(missing.seq)

    if (err != null) {
      throw err
    }

    try {
      await this.#loadOnce(missing)
    } catch (err: any) {
      failed.set(missing.seq, err)
    }
  }

  async #loadOnce (missing: Missing): Promise<void> {
    const { seq } = missing
    const loading = this.#loading.get(seq) ?? this.#load(missing).finally(() => { this.#loading.delete(seq) })
    this.#loading.set(seq, loading)
    await loading
  }

  async #load ({ table, kind, seq }: Missing): Promise<void> {
    if (kind === 'part') {
      const part = await this.readPart(table, seq)
      this.#cache.set(seq, part, (part.bloom?.byteLength ?? 0) + part.pages.length * 512)
    } else {
      const page = await this.readPage(table, seq)
      this.#cache.set(seq, page, page.bytes.byteLength + (page.sums?.byteLength ?? 0))
    }
  }
}

function decodeOr<T> (table: TableName, decode: (bytes: Uint8Array, seq: number, table: TableName) => T, seq: number, bytes?: Uint8Array): T {
  if (bytes == null) {
    throw new DamagedIndexError(`page ${seq} of the table '${table}' is missing`)
  }

  try {
    return decode(bytes, seq, table)
  } catch (err: any) {
    if (err instanceof MalformedError) {
      throw new DamagedIndexError(`page ${seq} of the table '${table}' cannot be read: ${err.message}`)
    }
    throw err
  }
}
