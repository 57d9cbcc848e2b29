import { AbortError } from '@libp2p/interface'
import * as limits from './constants.ts'
import { encodeContent } from './core/entry.ts'
import { SharedProof } from './core/shared-proof.ts'
import { TooManyAppendsError } from './errors.ts'
import { hashOf } from './signatures.ts'
import type { TrueEntry } from './core/types.ts'
import type { AppendOptions } from './index.ts'
import type { WriterInit } from './writer.ts'
import type { Pacer } from '../runtime/pacer.ts'

/** Pieces of one call: none is written behind one that was not */
export interface Series {
  failure?: Error
}

/** What is appended together: all of it, or nothing */
interface Pending {
  items: Uint8Array[]
  options: AppendOptions
  series: Series
  bytes: number
  resolve (entries: TrueEntry[]): void
  reject (err: Error): void
}

/** What is signed and written at once */
export interface Batch {
  drafts: TrueEntry[]
  done: Array<{ pending: Pending, entries: TrueEntry[] }>
  /** What the next entry stands on, once this is written */
  base: Base
}

/** What an entry of our own stands on */
export interface Base {
  previous?: Uint8Array
  heads: Uint8Array[]
}

const NOTHING = new Uint8Array(0)
const NO_PROOF = new SharedProof({ size: 1, first: 0, count: 1, beside: NOTHING, signature: NOTHING, ids: () => [NOTHING] })

/**
 * What is appended, until it is written: it waits, is made an entry of, and is signed together with others.
 */
export class Appends {
  readonly #init: WriterInit
  readonly #pacer: Pacer
  readonly #pending = new Set<Pending>()
  /** Those of each signal: one listener for all of them, as each more costs all that are there */
  readonly #bySignal = new Map<AbortSignal, Set<Pending>>()
  /** Entries in `pending`, and bytes of them */
  #items = 0
  #bytes = 0

  constructor (init: WriterInit, pacer: Pacer) {
    this.#init = init
    this.#pacer = pacer
  }

  /** Entries that wait */
  get items (): number {
    return this.#items
  }

  get isEmpty (): boolean {
    return this.#pending.size === 0
  }

  /** At most as many items as a record takes. Nobody else may change them, nor the group */
  add (items: Uint8Array[], options: AppendOptions, series: Series = {}): Promise<TrueEntry[]> {
    const { signal } = options
    const bytes = items.reduce((sum, { byteLength }) => sum + byteLength, 0)

    if (signal?.aborted === true) {
      return Promise.reject(signal.reason ?? new AbortError())
    }
    if (this.#items + items.length > limits.MAX_PENDING || (this.#bytes + bytes > limits.MAX_PENDING_BYTES && !this.isEmpty)) {
      return Promise.reject(new TooManyAppendsError(`${this.#items} entries of ${this.#bytes} bytes wait to be written already: wait for some of the promises`))
    }

    const { promise, resolve, reject } = Promise.withResolvers<TrueEntry[]>()
    const pending: Pending = {
      items,
      options,
      series,
      bytes,
      resolve,
      reject: err => {
        series.failure ??= err
        reject(err)
      }
    }
    this.#pending.add(pending)
    this.#items += items.length
    this.#bytes += bytes

    if (signal != null) {
      this.#listen(pending, signal)
    }

    return promise
  }

  /** The next ones, signed, on top of these */
  async next (base: Base): Promise<Batch> {
    const drafts: TrueEntry[] = []
    const done: Batch['done'] = []
    const before = base

    for (const pending of this.#take()) {
      try {
        const entries = await this.#draft(pending, base)
        drafts.push(...entries)
        done.push({ pending, entries })

        if (entries.length > 0) {
          const { id } = entries[entries.length - 1]
          base = { previous: id, heads: [id] }
        }
      } catch (err: any) {
        pending.reject(err)
      }
    }

    try {
      await this.#sign(drafts)
      return { drafts, done, base }
    } catch (err: any) {
      done.forEach(({ pending }) => { pending.reject(err) })
      return { drafts: [], done: [], base: before }
    }
  }

  async #sign (drafts: TrueEntry[]): Promise<void> {
    for (let i = 0; i < drafts.length; i += limits.SIGNED_AT_ONCE) {
      const signed = drafts.slice(i, i + limits.SIGNED_AT_ONCE)
      const proved = this.#init.signer.prove(signed.map(({ id }) => id))
      const proofs = proved instanceof Promise ? await proved : proved
      signed.forEach((draft, at) => {
        draft.proofs = proofs
        draft.at = at
      })
    }
  }

  rejectAll (err: Error): void {
    for (const pending of this.#pending) {
      this.#leave(pending)
      pending.reject(err)
    }
  }

  /** As many as go into one record */
  #take (): Pending[] {
    const taken: Pending[] = []
    let left = this.#init.sizes.recordEntries
    let bytes = 0

    for (const pending of this.#pending) {
      if (taken.length > 0 && (pending.items.length > left || bytes + pending.bytes > limits.COMMIT_BYTES)) {
        break
      }

      this.#leave(pending)
      taken.push(pending)
      left -= pending.items.length
      bytes += pending.bytes
    }

    return taken
  }

  #leave (pending: Pending): void {
    const { items, bytes, options: { signal } } = pending
    this.#pending.delete(pending)
    this.#items -= items.length
    this.#bytes -= bytes

    if (signal != null) {
      const others = this.#bySignal.get(signal)
      others?.delete(pending)

      if (others?.size === 0) {
        this.#bySignal.delete(signal)
        signal.removeEventListener('abort', this.#onAbort)
      }
    }
  }

  #listen (pending: Pending, signal: AbortSignal): void {
    const others = this.#bySignal.get(signal)

    if (others == null) {
      this.#bySignal.set(signal, new Set([pending]))
      signal.addEventListener('abort', this.#onAbort)
    } else {
      others.add(pending)
    }
  }

  /** Those that wait are not written. One that is being written is not torn out */
  readonly #onAbort = (): void => {
    for (const [signal, pending] of [...this.#bySignal]) {
      if (signal.aborted) {
        for (const one of [...pending]) {
          this.#leave(one)
          one.reject(signal.reason ?? new AbortError())
        }
      }
    }
  }

  /** Each on top of the one before. Without proofs: those come for all at once */
  async #draft ({ items, options, series }: Pending, { previous, heads }: Base): Promise<TrueEntry[]> {
    if (series.failure != null) {
      throw series.failure
    }

    const { clock, signer: { author }, store, admit } = this.#init
    const { replicas = 0 } = options
    const { group = NOTHING } = options
    const entries: TrueEntry[] = []

    for (const item of items) {
      const { time, counter } = store.index.clock.tick(clock.now())
      const bytes = encodeContent({ time, counter, author, previous, parents: heads, group, replicas, data: item })
      const hashed = hashOf(bytes, this.#pacer)
      const id = hashed instanceof Promise ? await hashed : hashed
      // they stand at the end
      const data = bytes.subarray(bytes.byteLength - item.byteLength)
      const entry = { time, counter, author, previous, parents: heads, group, replicas, data, id, bytes, proofs: NO_PROOF, at: 0 }
      const asked = admit?.(entry)
      const refusal = asked instanceof Promise ? await asked : asked

      if (refusal != null) {
        throw refusal
      }

      entries.push(entry)
      previous = id
      heads = [id]
    }

    return entries
  }
}
