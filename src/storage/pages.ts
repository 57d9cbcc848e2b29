import { ByteLru } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { NewerVersionError } from './core/checksummed.ts'
import { decodePage } from './core/page.ts'
import { successor } from './core/rows.ts'
import { decodePart, PAGES_MISSING } from './core/run.ts'
import type { Page } from './core/page.ts'
import type { TableSpec } from './core/rows.ts'
import type { Missing, PageSource, Part, PartIndex } from './core/run.ts'
import type { ScanOptions } from './core/table.ts'

/** Where pages and parts are stored, by their numbers */
export interface PageStore {
  getPage (seq: number): Promise<Uint8Array | undefined>
  putPage (seq: number, bytes: Uint8Array): Promise<void>
  /** The next number that nothing is stored under */
  nextSeq: number
}

/** A page or a part is missing, or cannot be read */
export class DamagedPageError extends Error {
  static name = 'DamagedPageError'
  name = 'DamagedPageError'
}

/**
 * The pages of runs that are in memory. They never change, so none has to be written before it is forgotten.
 */
export class Pages implements PageSource {
  readonly #store: PageStore
  readonly #cache: ByteLru<number, PartIndex | Page>
  /** Pages on their way into memory: whoever else wants one waits for the same */
  readonly #loading = new Map<number, Promise<void>>()
  /** What the question that is asked now lacked */
  #missing: Missing[] = []

  constructor (store: PageStore, maxBytes: number) {
    this.#store = store
    this.#cache = new ByteLru(maxBytes)
  }

  get bytes (): number {
    return this.#cache.bytes
  }

  part (spec: TableSpec, { seq }: Part): PartIndex {
    return this.#get({ spec, kind: 'part', seq }) as PartIndex
  }

  page (spec: TableSpec, seq: number): Page {
    return this.#get({ spec, kind: 'page', seq }) as Page
  }

  /** What `ask` says, when everything is in memory that it needs. Throws a DamagedPageError */
  async read<T> (ask: () => T): Promise<T> {
    const failed = new Map<number, Error>()

    for (;;) {
      this.#missing = []

      try {
        const answer = ask()

        // not before: what was read for the answer would be gone again
        if (this.#loading.size === 0) {
          this.#cache.evict()
        }

        return answer
      } catch (err) {
        if (err !== PAGES_MISSING) {
          throw err
        }

        await Promise.all(this.#missing.map(async missing => this.#loadOrNote(missing, failed)))
      }
    }
  }

  /** Reads without keeping. Throws a DamagedPageError */
  async readPart (spec: TableSpec, seq: number): Promise<PartIndex> {
    return decodeOr(spec, decodePart, seq, await this.#store.getPage(seq))
  }

  async readPage (spec: TableSpec, seq: number): Promise<Page> {
    return decodeOr(spec, decodePage, seq, await this.#store.getPage(seq))
  }

  forget (seqs: Iterable<number>): void {
    for (const seq of seqs) {
      this.#cache.delete(seq)
    }
  }

  #get (missing: Missing): PartIndex | Page {
    const found = this.#cache.get(missing.seq)

    if (found == null) {
      this.#missing.push(missing)
      throw PAGES_MISSING
    }

    return found
  }

  /** A page that cannot be read may belong to a run that was merged meanwhile: then nobody asks for it again */
  async #loadOrNote (missing: Missing, failed: Map<number, Error>): Promise<void> {
    const { seq } = missing
    const err = failed.get(seq)

    if (err != null) {
      throw err
    }

    const loading = this.#loading.get(seq) ?? this.#load(missing).finally(() => { this.#loading.delete(seq) })
    this.#loading.set(seq, loading)
    await loading.catch(err => { failed.set(seq, err) })
  }

  async #load ({ spec, kind, seq }: Missing): Promise<void> {
    if (kind === 'part') {
      const part = await this.readPart(spec, seq)
      this.#cache.set(seq, part, bytesOfPart(part))
    } else {
      const page = await this.readPage(spec, seq)
      this.#cache.set(seq, page, page.bytes.byteLength + (page.sums?.byteLength ?? 0))
    }
  }
}

/** The numbers take eight bytes each */
function bytesOfPart ({ seqs, firsts, bloom, sumsBefore }: PartIndex): number {
  return firsts.bytes.byteLength + (bloom?.byteLength ?? 0) + (sumsBefore?.byteLength ?? 0) + seqs.length * 16
}

type Decode<T> = (bytes: Uint8Array, seq: number, spec: TableSpec) => T

function decodeOr<T> (spec: TableSpec, decode: Decode<T>, seq: number, bytes?: Uint8Array): T {
  if (bytes == null) {
    throw new DamagedPageError(`page ${seq} of the table '${spec.name}' is missing`)
  }

  try {
    return decode(bytes, seq, spec)
  } catch (err: any) {
    if (err instanceof MalformedError && !(err instanceof NewerVersionError)) {
      throw new DamagedPageError(`page ${seq} of the table '${spec.name}' cannot be read: ${err.message}`)
    }
    throw err
  }
}

export type Scan = (options: ScanOptions) => Promise<Uint8Array[]>

/** Asks for all keys of a table, so many at a time */
export async function * walk (scan: Scan, limit: number): AsyncGenerator<Uint8Array[]> {
  for (let from: Uint8Array | undefined, isEnd = false; !isEnd;) {
    const keys = await scan({ from, limit })
    yield keys
    from = keys.length < limit ? undefined : successor(keys[limit - 1])
    isEnd = from == null
  }
}
