import { compare } from 'uint8arrays/compare'
import { Writer } from '../runtime/codec.ts'
import * as limits from './constants.ts'
import { nextMoment } from './core/hybrid-clock.ts'
import { arrivalKey, foundByArrival, foundInOrder, idOnRing, orderKey, positionOf, ringKey } from './core/keys.ts'
import { addLanes, LANES } from './core/lanes.ts'
import { hash } from './signatures.ts'
import type { StoredEntry } from './blocks.ts'
import type { Moment } from './core/hybrid-clock.ts'
import type { RingRange } from './index.ts'
import type { Store } from './store.ts'
import type { AbortOptions } from '@libp2p/interface'

/** Bytes of a fingerprint */
const FINGERPRINT_BYTES = 16

/**
 * Everything that is asked of a log, and changes nothing.
 */
export class Reads {
  readonly #store: Store

  constructor (store: Store) {
    this.#store = store
  }

  async heads (): Promise<StoredEntry[]> {
    const heads = await Promise.all(this.#store.catalogue.heads.map(async id => this.#store.find(id)))
    return heads.filter(entry => entry != null).sort((a, b) => a.time - b.time || a.counter - b.counter)
  }

  /** In the total order, from this entry or moment on, or from it down */
  async * inOrder (from: StoredEntry | Moment | undefined, reverse: boolean, { signal }: AbortOptions): AsyncGenerator<StoredEntry> {
    // downwards keys are read below what is given, and this one is to be among them
    let at = from == null ? undefined : boundOf(from, reverse)

    for (let keys = await this.orderKeys(at, reverse); keys.length > 0; keys = await this.orderKeys(at, reverse)) {
      signal?.throwIfAborted()
      const last = keys[keys.length - 1]
      at = reverse ? last : successor(last)
      yield * await this.#store.entriesAt(keys.map(foundInOrder))
    }
  }

  async orderKeys (from: Uint8Array | undefined, reverse: boolean, limit: number = limits.READ_AHEAD): Promise<Uint8Array[]> {
    return this.#store.read('order', order => order.keys({ from, limit, reverse }))
  }

  /** As they came, from this arrival on */
  async * arrivals (from: number, { signal }: AbortOptions): AsyncGenerator<StoredEntry> {
    const next = async (at: number): Promise<Uint8Array[]> => this.#store.read('arrivals', arrivals => arrivals.keys({ from: arrivalKey(at), limit: limits.READ_AHEAD }))

    for (let keys = await next(from); keys.length > 0;) {
      signal?.throwIfAborted()
      const found = keys.map(foundByArrival)
      yield * await this.#store.entriesAt(found)
      keys = await next(found[found.length - 1].arrival + 1)
    }
  }

  async fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }> {
    const parts = await Promise.all(partsOf(range).map(async ([from, to]) => this.#store.read('ring', ring => ring.summary(from, to))))
    const count = parts.reduce((sum, { count }) => sum + count, 0)
    const sum = new Uint32Array(LANES)
    parts.forEach(part => { addLanes(sum, 0, part.sum as Uint32Array) })
    const writer = new Writer(key.byteLength + LANES * 4 + 16).bytes(key).uvarint(count)
    sum.forEach(lane => writer.byte(lane & 0xff).byte((lane >>> 8) & 0xff).byte((lane >>> 16) & 0xff).byte(lane >>> 24))
    return { count, fingerprint: (await hash(writer.finish())).subarray(0, FINGERPRINT_BYTES) }
  }

  async idsInRange (range: RingRange, limit: number, after?: Uint8Array): Promise<Uint8Array[]> {
    const parts = partsOf(range)

    if (after != null) {
      const last = await this.#store.find(after)
      // of one that was removed only its id is known: it lies where its group did, if it had none
      const position = positionOf(last == null || last.group.byteLength === 0 ? after : await hash(last.group))

      // past the first part, if it lies in the second one of a range that wraps
      if (parts.length > 1 && position < (range.from ?? 0)) {
        parts.shift()
      }
      parts[0][0] = successor(ringKey(position, after, last))
    }

    const ids: Uint8Array[] = []

    for (const [from, to] of parts) {
      const keys = await this.#store.read('ring', ring => ring.keys({ from, limit: limit - ids.length }))

      for (const key of keys) {
        if (to == null || compare(key, to) < 0) {
          ids.push(idOnRing(key))
        }
      }
    }

    return ids
  }
}

/** The least key of this entry or moment, or the least one that is above all of it */
function boundOf (from: StoredEntry | Moment, isAbove: boolean): Uint8Array {
  if ('id' in from) {
    const key = orderKey(from, from.id, from)
    return isAbove ? successor(key) : key
  }

  return orderKey(isAbove ? nextMoment(from) : from)
}

/** The least key above this one */
export function successor (key: Uint8Array): Uint8Array {
  const next = Uint8Array.from(key)

  for (let i = next.byteLength - 1; i >= 0; i--) {
    next[i] = (next[i] + 1) & 0xff

    if (next[i] !== 0) {
      break
    }
  }

  return next
}

/** A range that wraps has two parts */
function partsOf ({ from = 0, to = 0 }: RingRange): Array<[from?: Uint8Array, to?: Uint8Array]> {
  const start = from === 0 ? undefined : ringKey(from)
  const end = to === 0 ? undefined : ringKey(to)

  if (from === to) {
    return [[undefined, undefined]]
  }

  return from < to || end == null ? [[start, end]] : [[start, undefined], [undefined, end]]
}
