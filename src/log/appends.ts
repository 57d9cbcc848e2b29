import { AbortError } from '@libp2p/interface'
import { Fifo } from '../runtime/bounded.ts'
import * as limits from './constants.ts'
import { encodeContent } from './core/entry.ts'
import { Proofs } from './core/proofs.ts'
import { AppendRefusedError, TooManyAppendsError } from './errors.ts'
import { hash } from './signatures.ts'
import type { TrueEntry } from './core/types.ts'
import type { AppendOptions } from './index.ts'
import type { WritesInit } from './writes.ts'

/** What is appended together: all of it, or nothing */
interface Pending {
  items: Uint8Array[]
  options: AppendOptions
  resolve (entries: TrueEntry[]): void
  reject (err: Error): void
}

/** What is signed and written at once */
export interface Batch {
  drafts: TrueEntry[]
  done: Array<{ pending: Pending, entries: TrueEntry[] }>
  /** The last of our own entries, once it is written */
  tip?: Uint8Array
}

const NO_GROUP = new Uint8Array(0)
const NO_PROOF = new Proofs(new Uint8Array(0))

/**
 * What is appended, until it is written: it waits, is made an entry of, and is signed together with others.
 */
export class Appends {
  readonly #init: WritesInit
  readonly #pending = new Fifo<Pending>()
  /** Those that are being written */
  readonly #taken = new Set<Pending>()
  /** Entries in `pending` */
  #items = 0

  constructor (init: WritesInit) {
    this.#init = init
  }

  /** Entries that wait */
  get items (): number {
    return this.#items
  }

  get isEmpty (): boolean {
    return this.#pending.length === 0
  }

  add (items: Uint8Array[], options: AppendOptions): Promise<TrueEntry[]> {
    const { signal } = options

    if (signal?.aborted === true) {
      return Promise.reject(signal.reason ?? new AbortError())
    }
    if (this.#items + items.length > limits.MAX_PENDING) {
      return Promise.reject(new TooManyAppendsError(`${this.#items} entries wait to be written already: wait for some of the promises`))
    }

    const { promise, resolve, reject } = Promise.withResolvers<TrueEntry[]>()
    const pending: Pending = { items, options, resolve, reject }
    this.#pending.push(pending)
    this.#items += items.length

    return signal == null ? promise : this.#abortable(pending, promise, signal)
  }

  /** The next ones, signed, on top of these */
  async next (tip: Uint8Array | undefined, heads: Uint8Array[]): Promise<Batch> {
    const drafts: TrueEntry[] = []
    const done: Batch['done'] = []

    for (const pending of this.#take()) {
      try {
        const entries = await this.#draft(pending, tip, heads)
        drafts.push(...entries)
        done.push({ pending, entries })

        if (entries.length > 0) {
          tip = entries[entries.length - 1].id
          heads = [tip]
        }
      } catch (err: any) {
        pending.reject(err)
      }
    }

    await this.#sign(drafts)
    return { drafts, done, tip }
  }

  async #sign (drafts: TrueEntry[]): Promise<void> {
    for (let i = 0; i < drafts.length; i += limits.SIGNED_AT_ONCE) {
      const signed = drafts.slice(i, i + limits.SIGNED_AT_ONCE)
      const proofs = await this.#init.signer.prove(signed.map(({ id }) => id))
      signed.forEach((draft, k) => {
        draft.proofs = proofs
        draft.at = k
      })
    }
  }

  /** Those that were taken are written, or were told that they are not */
  settle (): void {
    this.#taken.clear()
  }

  /** All there are, also those that are being written */
  rejectAll (err: Error): void {
    [...this.#taken, ...this.#pending.clear()].forEach(({ reject }) => { reject(err) })
    this.#items = 0
  }

  /** As many as are written at once */
  #take (): Pending[] {
    const taken: Pending[] = []
    let left: number = limits.COMMIT_ENTRIES
    let bytes = 0

    for (let next = this.#pending.peek(); next != null && (taken.length === 0 || (next.items.length <= left && bytes < limits.COMMIT_BYTES)); next = this.#pending.peek()) {
      this.#pending.shift()
      taken.push(next)
      this.#taken.add(next)
      left -= next.items.length
      this.#items -= next.items.length
      bytes += next.items.reduce((sum, { byteLength }) => sum + byteLength, 0)
    }

    return taken
  }

  /** Each on top of the one before. Without proofs: those come for all at once */
  async #draft ({ items, options }: Pending, tip: Uint8Array | undefined, heads: Uint8Array[]): Promise<TrueEntry[]> {
    const { clock, signer, store, canAppend } = this.#init
    const { replicas = 0 } = options
    const group = options.group == null ? NO_GROUP : new Uint8Array(options.group)
    const entries: TrueEntry[] = []

    for (const data of items) {
      const { time, counter } = store.catalogue.clock.tick(clock.now())
      const bytes = encodeContent({ time, counter, author: signer.author, previous: tip, parents: heads, group, replicas, data })
      const hashed = hash(bytes)
      const id = hashed instanceof Promise ? await hashed : hashed
      // what is handed out is ours: whoever appended may use his bytes again. They stand at the end
      const own = bytes.subarray(bytes.byteLength - data.byteLength)
      const entry = { time, counter, author: signer.author, previous: tip, parents: heads, group, replicas, data: own, id, bytes, proofs: NO_PROOF, at: 0, isProved: true }

      if (canAppend != null && !await canAppend(entry)) {
        throw new AppendRefusedError('canAppend of this log refused the entry')
      }

      entries.push(entry)
      tip = id
      heads = [id]
    }

    return entries
  }

  async #abortable (pending: Pending, promise: Promise<TrueEntry[]>, signal: AbortSignal): Promise<TrueEntry[]> {
    const onAbort = (): void => {
      // one that is being written is not torn out
      if (this.#pending.remove(item => item === pending).length > 0) {
        this.#items -= pending.items.length
        pending.reject(signal.reason ?? new AbortError())
      }
    }

    signal.addEventListener('abort', onAbort)

    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
