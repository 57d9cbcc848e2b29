import { AbortError } from '@libp2p/interface'
import { Packed } from '../runtime/packed.ts'
import * as limits from './constants.ts'
import { roomFor, writeContent } from './core/entry.ts'
import { compareMoments } from './core/hybrid-clock.ts'
import { PackedEntry } from './core/packed-entry.ts'
import { SharedProof } from './core/shared-proof.ts'
import { ID_BYTES } from './core/types.ts'
import { TooManyAppendsError } from './errors.ts'
import { hashOf } from './signatures.ts'
import type { Moment } from './core/hybrid-clock.ts'
import type { LogIndex } from './core/log-index.ts'
import type { EntrySource } from './core/packed-entry.ts'
import type { Content } from './core/types.ts'
import type { AppendOptions } from './index.ts'
import type { WriterInit } from './writer.ts'
import type { Pacer } from '../runtime/pacer.ts'

/** Appends of one call, in order: when one of them fails, so do those behind it */
export interface Series {
  failure?: Error
}

/** Items that are appended together: all of them, or none */
interface Append {
  items: Packed
  options: AppendOptions
  series: Series
  entries: PackedEntry[]
  resolve (entries: PackedEntry[]): void
  reject (err: Error): void
}

/** The base of the next entry of our own */
export interface Base {
  previous?: Uint8Array
  heads: Uint8Array[]
  /** The moment of our latest entry: a clock that went back dates the next ones before it */
  latest?: Moment
  /** The index that named them all. Undefined: there are more heads, which a later turn takes; or a clock went back */
  index?: LogIndex
}

/** Appends whose entries are signed and go into one record */
export interface Batch {
  appends: Append[]
  /** The base of the next batch */
  base: Base
}

const NOTHING = new Uint8Array(0)
const NO_PROOF = new SharedProof({ size: 1, first: 0, count: 1, beside: NOTHING, signature: NOTHING, ids: () => [] })

/**
 * Entries of our own that become one record, each with its id behind it: arrays of their own cost garbage collection
 */
class Drafts extends Packed implements EntrySource {
  override bytesAt (slot: number): Uint8Array {
    return super.bytesAt(2 * slot)
  }

  idAt (slot: number): Uint8Array {
    return super.bytesAt(2 * slot + 1)
  }
}

/** The queue of appends, and how they become signed entries: as many together as one record takes */
export class Appends {
  readonly #init: WriterInit
  readonly #pacer: Pacer
  readonly #waiting = new Set<Append>()
  /** A signal has one listener for all its appends: each listener more makes adding the next one slower */
  readonly #bySignal = new Map<AbortSignal, Set<Append>>()
  #items = 0
  #bytes = 0

  constructor (init: WriterInit, pacer: Pacer) {
    this.#init = init
    this.#pacer = pacer
  }

  /** Items that wait */
  get items (): number {
    return this.#items
  }

  get isEmpty (): boolean {
    return this.#waiting.size === 0
  }

  /** At most as many items as a record takes. Nobody may change the group after the call */
  add (items: Packed, options: AppendOptions, series: Series): Promise<PackedEntry[]> {
    const { signal } = options
    // bytes of one append are bounded only by its record
    const isTooLarge = !this.isEmpty && this.#bytes + items.byteLength > limits.MAX_PENDING_BYTES
    signal?.throwIfAborted()

    if (isTooLarge || this.#items + items.length > limits.MAX_PENDING) {
      const waiting = `${this.#items} entries of ${this.#bytes} bytes`
      throw new TooManyAppendsError(`${waiting} wait to be written already: wait for some of the promises`)
    }

    const { promise, resolve, reject } = Promise.withResolvers<PackedEntry[]>()
    const append: Append = { items, options, series, entries: [], resolve, reject }
    this.#waiting.add(append)
    this.#items += items.length
    this.#bytes += items.byteLength

    if (signal != null) {
      this.#listen(signal, append)
    }

    return promise
  }

  /** Makes entries on top of `base` of what has waited longest. Appends that fail are in no batch */
  async next (base: Base): Promise<Batch> {
    const taken = this.#take()
    const drafts = this.#draftsFor(taken)
    const batch: Batch = { appends: [], base }

    for (const append of taken) {
      try {
        batch.base = await this.#draft(append, batch.base, drafts)
        batch.appends.push(append)
      } catch (err: any) {
        fail([append], err)
      }
    }

    try {
      await this.#sign(batch.appends.flatMap(({ entries }) => entries))
      return batch
    } catch (err: any) {
      fail(batch.appends, err)
      return { appends: [], base }
    }
  }

  failAll (err: Error): void {
    fail([...this.#waiting].map(append => this.#leave(append)), err)
  }

  /** As many as go into one record */
  #take (): Append[] {
    const taken: Append[] = []
    let [count, bytes] = [0, 0]

    for (const append of this.#waiting) {
      count += append.items.length
      bytes += append.items.byteLength

      if (taken.length > 0 && (count > this.#init.sizes.recordEntries || bytes > limits.COMMIT_BYTES)) {
        break
      }

      taken.push(this.#leave(append))
    }

    return taken
  }

  #leave (append: Append): Append {
    const { items, options: { signal } } = append
    this.#waiting.delete(append)
    this.#items -= items.length
    this.#bytes -= items.byteLength

    if (signal != null) {
      const others = this.#bySignal.get(signal)
      others?.delete(append)

      if (others?.size === 0) {
        this.#bySignal.delete(signal)
        signal.removeEventListener('abort', this.#onAbort)
      }
    }

    return append
  }

  #listen (signal: AbortSignal, append: Append): void {
    const others = this.#bySignal.get(signal)

    if (others == null) {
      this.#bySignal.set(signal, new Set([append]))
      signal.addEventListener('abort', this.#onAbort)
    } else {
      others.add(append)
    }
  }

  /** Appends that wait are not written. One that is being written is not torn out */
  readonly #onAbort = ({ target }: Event): void => {
    const signal = target as AbortSignal
    const appends = [...this.#bySignal.get(signal) ?? []]
    fail(appends.map(append => this.#leave(append)), signal.reason ?? new AbortError())
  }

  /** Room for the entries of all of these: more of it costs nothing, less of it a copy */
  #draftsFor (appends: Append[]): Drafts {
    const { author } = this.#init.signer
    let capacity = 0

    for (const { items, options: { group = NOTHING } } of appends) {
      const room = roomFor({ author, parents: [NOTHING], group, data: NOTHING }) + ID_BYTES
      capacity += items.byteLength + items.length * room
    }

    return new Drafts(capacity)
  }

  /** Makes entries, each on top of the one before. They get their proofs when they are signed */
  async #draft ({ items, options, series, entries }: Append, base: Base, drafts: Drafts): Promise<Base> {
    if (series.failure != null) {
      throw series.failure
    }

    const { clock, signer: { author }, store, admit } = this.#init
    const { group = NOTHING, replicas = 0, request } = options
    let { previous, heads, latest, index } = base

    for (let i = 0; i < items.length; i++) {
      const { time, counter } = store.index.clock.tick(clock.now(), latest)
      const data = items.bytesAt(i)
      const content: Content = { time, counter, author, previous, parents: heads, group, replicas, data }
      writeContent(drafts.writer, content)
      const slot = drafts.end() / 2
      const hashed = hashOf(drafts.bytesAt(slot), this.#pacer)
      const id = hashed instanceof Promise ? await hashed : hashed
      drafts.add(id)
      const entry = new PackedEntry(drafts, slot, NO_PROOF, 0, content)
      entry.request = request
      const asked = admit?.(entry)
      const refusal = asked instanceof Promise ? await asked : asked

      if (refusal != null) {
        throw refusal
      }

      entries.push(entry)
      previous = id
      heads = [id]

      if (latest == null || compareMoments(content, latest) > 0) {
        latest = content
      } else {
        index = undefined
      }
    }

    return { previous, heads, latest, index }
  }

  async #sign (entries: PackedEntry[]): Promise<void> {
    for (let i = 0; i < entries.length; i += limits.SIGNED_AT_ONCE) {
      const signed = entries.slice(i, i + limits.SIGNED_AT_ONCE)
      const proved = this.#init.signer.prove(signed.length, () => signed.map(({ id }) => id))
      const proofs = proved instanceof Promise ? await proved : proved

      signed.forEach((entry, at) => Object.assign(entry, { proofs, at }))
    }
  }
}

export function fail (appends: Append[], err: Error): void {
  for (const { series, reject } of appends) {
    series.failure ??= err
    reject(err)
  }
}
