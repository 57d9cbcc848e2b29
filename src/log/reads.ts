import { Writer } from '../runtime/codec.ts'
import { Pacer } from '../runtime/pacer.ts'
import { sha256 } from '../runtime/sha256.ts'
import { addLanes, LANES } from '../storage/core/fingerprint.ts'
import { successor } from '../storage/core/rows.ts'
import { all } from '../storage/core/run.ts'
import { walk } from '../storage/pages.ts'
import * as limits from './constants.ts'
import { MAX_COUNTER, MAX_TIME } from './core/entry.ts'
import { compareEntries, compareMoments, nextMoment } from './core/hybrid-clock.ts'
import { MAX_SLOTS } from './core/record.ts'
import { orderPrefix, placeIn, readHeadRow, readRingRow, ringPrefix, seqPrefix } from './core/rows.ts'
import { RingId } from './entry-id.ts'
import type { Moment, Ordered } from './core/hybrid-clock.ts'
import type { StoredEntry } from './core/record.ts'
import type { Place } from './core/rows.ts'
import type { RingRange } from './index.ts'
import type { Store } from './store.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ScanOptions } from '../storage/core/table.ts'
import type { AbortOptions } from '@libp2p/interface'

/** Bytes of a fingerprint */
const FINGERPRINT_BYTES = 16

/** Where a walk in the order of the log begins: at an entry, or at all that are of a moment */
export type From = Ordered | Moment

/**
 * Everything that is asked of a log, and changes nothing.
 */
export class Reads {
  readonly #store: Store
  readonly #pacer: Pacer
  /** By their first records, stretches in which a walk found fewer entries than the index has, and how many it found */
  readonly #suspected = new Map<number, number>()

  constructor (store: Store, clock: Clock) {
    this.#store = store
    this.#pacer = new Pacer(clock)
  }

  async heads (): Promise<StoredEntry[]> {
    const places: Place[] = []
    const heads: StoredEntry[] = []

    for await (const heads of walk(async options => this.#store.scan('heads', options), limits.READ_AHEAD)) {
      const rows = await this.#store.read(index => all(heads, head => index.find(readHeadRow(head).id)))
      places.push(...rows.filter(row => row != null))
      await this.#pacer.pause()
    }

    // each record is read once
    places.sort((a, b) => a.seq - b.seq)

    for (let i = 0; i < places.length; i += limits.READ_AHEAD) {
      heads.push(...await this.#store.entriesAt(places.slice(i, i + limits.READ_AHEAD)))
      await this.#pacer.pause()
    }

    return heads.sort(compareEntries)
  }

  /**
   * In the total order, from this entry or moment on, or from it down. Entries that came in order lie so in the
   * records; of those that came late a table says where they belong in between.
   */
  async * inOrder (from: From | undefined, reverse: boolean, { signal }: AbortOptions): AsyncGenerator<StoredEntry[]> {
    const sign = reverse ? -1 : 1
    const inOrder = (a: Ordered, b: Ordered): number => compareEntries(a, b) * sign
    const walks = [this.#onTime(from, reverse), this.#late(from, reverse)]
    let waiting: StoredEntry[][] = [[], []]
    let last: StoredEntry | undefined

    try {
      for (;;) {
        signal?.throwIfAborted()
        waiting = await Promise.all(waiting.map(async (entries, i) => entries.length > 0 ? entries : nextOf(walks[i])))
        // one walk may go as far as the other one is known
        const [bound, isBoth] = waiting.flatMap(entries => entries.slice(-1)).sort(inOrder)

        if (bound == null) {
          return
        }

        const isDue = (entry: StoredEntry): boolean => isBoth == null || inOrder(entry, bound) <= 0
        const taken = waiting.map(entries => entries.filter(isDue))
        waiting = waiting.map((entries, i) => entries.slice(taken[i].length))
        // one that was removed, and came again, may be met in both
        const next = taken[1].length === 0 ? taken[0] : withoutRepeats(taken.flat().sort(inOrder), last)
        last = next.at(-1) ?? last
        yield from == null
          ? next
          : next.filter(entry => ('id' in from ? compareEntries(entry, from) : compareMoments(entry, from)) * sign >= 0)
        await this.#pacer.pause()
      }
    } finally {
      await Promise.all(walks.map(async walk => walk.return(undefined)))
    }
  }

  /** As they came, from this arrival on */
  async * arrivals (from: number, { signal }: AbortOptions): AsyncGenerator<StoredEntry[]> {
    for await (const entries of this.#recordsUp(this.#store.index.fences.ofArrival(from))) {
      signal?.throwIfAborted()
      yield entries.filter(({ arrival }) => arrival >= from)
      await this.#pacer.pause()
    }
  }

  async fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }> {
    const summing = this.#store.index.tables.ring.sumUp()

    while (summing.next().done !== true) {
      await this.#pacer.pause()
    }

    const parts = await Promise.all(partsOf(range)
      .map(async ([from, to]) => this.#store.read(({ tables }) => tables.ring.summary(from, to))))
    const sum = new Uint32Array(LANES)
    parts.forEach(part => { addLanes(sum, 0, part.sum) })
    const count = parts.reduce((sum, { count }) => sum + count, 0)
    const writer = new Writer(key.byteLength + LANES * 4 + 16).bytes(key).uvarint(count)
    sum.forEach(lane => writer.byte(lane & 0xff).byte((lane >>> 8) & 0xff).byte((lane >>> 16) & 0xff).byte(lane >>> 24))
    return { count, fingerprint: sha256(writer.finish()).subarray(0, FINGERPRINT_BYTES) }
  }

  async idsInRange (range: RingRange, limit: number, after?: RingId): Promise<RingId[]> {
    const parts = partsOf(range)

    if (after != null) {
      const { position, bytes } = after

      // past the first part, if it lies in the second one of a range that wraps
      if (parts.length > 1 && position < (range.from ?? 0)) {
        parts.shift()
      }

      const from = successor(ringPrefix(position, bytes))

      if (from == null) {
        parts.shift()
      } else {
        parts[0][0] = from
      }
    }

    const ids: RingId[] = []

    for (const [first, to] of parts) {
      const scan = async ({ from = first, limit }: ScanOptions): Promise<Uint8Array[]> => this.#store.scan('ring', {
        from, to, limit
      })

      for await (const rows of walk(scan, Math.max(1, Math.min(limit, limits.READ_AHEAD * 4)))) {
        rows.map(readRingRow).forEach(({ id, position }) => { ids.push(new RingId(id, position)) })

        if (ids.length >= limit) {
          return ids.slice(0, limit)
        }

        await this.#pacer.pause()
      }
    }

    return ids
  }

  /** Entries that came in order, as they lie in the records */
  async * #onTime (from: From | undefined, reverse: boolean): AsyncGenerator<StoredEntry[]> {
    const start = from == null || reverse ? 0 : this.#store.index.fences.ofMoment(from)

    for await (const entries of reverse ? this.#recordsDown(from) : this.#recordsUp(start)) {
      yield entries.some(({ isLate }) => isLate) ? entries.filter(({ isLate }) => !isLate) : entries
    }
  }

  /** Entries that came late, from where a table says that they lie */
  async * #late (from: From | undefined, reverse: boolean): AsyncGenerator<StoredEntry[]> {
    let at = from == null ? undefined : orderPrefix(clamp(reverse ? nextMoment(from) : from))

    for (let isEnd = false; !isEnd;) {
      const rows = await this.#store.scan('order', { from: at, reverse, limit: limits.READ_AHEAD })
      const entries = await this.#store.entriesAt(rows.map(row => placeIn('order', row)))
      // the rows know only the start of an id
      yield entries.sort((a, b) => reverse ? compareEntries(b, a) : compareEntries(a, b))
      isEnd = rows.length < limits.READ_AHEAD
      const last = rows.at(-1)
      at = reverse || last == null ? last : successor(last)
    }
  }

  /** Entries of the records from this number on, a record at a time, and of those that are added meanwhile */
  async * #recordsUp (from: number): AsyncGenerator<StoredEntry[]> {
    for (let seq = from; ;) {
      const fence = this.#store.index.fences.from(seq)

      if (fence == null) {
        return
      }

      // as they are now: the last stretch grows
      const { end, live } = fence
      const first = Math.max(seq, fence.seq)
      let found = 0

      for (let at = live > 0 ? first : end; at < end; at += limits.RECORDS_AT_ONCE) {
        for await (const entries of this.#living(at, Math.min(at + limits.RECORDS_AT_ONCE, end), false)) {
          found += entries.length
          yield entries
        }
      }

      if (first === fence.seq && found < Math.min(live, fence.live)) {
        this.#suspect(first, end, found)
      }

      seq = end
    }
  }

  /** Entries of the records up to this entry or moment, the last one first */
  async * #recordsDown (from?: From): AsyncGenerator<StoredEntry[]> {
    for (let end = from == null ? Infinity : this.#store.index.fences.behindMoment(from); ;) {
      const fence = this.#store.index.fences.below(end)

      if (fence == null) {
        return
      }

      for (let at = Math.min(fence.end, end); at > fence.seq && fence.live > 0; at -= limits.RECORDS_AT_ONCE) {
        yield * this.#living(Math.max(at - limits.RECORDS_AT_ONCE, fence.seq), at, true)
      }

      end = fence.seq
    }
  }

  /**
   * The living entries of these records. A walk asks what is dead before it reads the records, as reclaim takes
   * an entry out of its record first and out of the table then; and again for each record, as entries may go meanwhile
   */
  async * #living (from: number, to: number, reverse: boolean): AsyncGenerator<StoredEntry[]> {
    const { removals } = this.#store.index
    const dead = await this.#deadIn(from, to)
    const records = await Promise.all(Array.from({ length: to - from }, async (_, i) =>
      this.#store.records.read(from + i)))

    for (const record of reverse ? records.reverse() : records) {
      if (record == null) {
        continue
      }

      const since = removals === this.#store.index.removals ? dead : await this.#deadIn(record.seq, record.seq + 1)
      const entries: StoredEntry[] = []

      for (let slot = 0; slot < record.size; slot++) {
        const key = placeKey({ seq: record.seq, slot })
        const entry = dead.has(key) || since.has(key) ? undefined : record.entryAt(slot)

        if (entry != null) {
          entries.push(entry)
        }
      }

      yield reverse ? entries.reverse() : entries
    }
  }

  async #deadIn (from: number, to: number): Promise<Set<number>> {
    const limit = (to - from) * MAX_SLOTS
    const rows = await this.#store.scan('dead', { from: seqPrefix(from), to: seqPrefix(to), limit })
    return new Set(rows.map(row => placeKey(placeIn('dead', row))))
  }

  /** Has the store look for what cannot be read, unless it has looked since entries were last lost */
  #suspect (from: number, to: number, found: number): void {
    if (found < (this.#suspected.get(from) ?? Infinity)) {
      this.#suspected.set(from, found)
      this.#store.suspect(from, to)
    }
  }
}

/** The next entries of a walk; none: it is at its end */
async function nextOf (walk: AsyncGenerator<StoredEntry[]>): Promise<StoredEntry[]> {
  for (;;) {
    const { value, done } = await walk.next()

    if (done === true || value.length > 0) {
      return value ?? []
    }
  }
}

function placeKey ({ seq, slot }: { seq: number, slot: number }): number {
  return seq * MAX_SLOTS + slot
}

function withoutRepeats (entries: StoredEntry[], before?: StoredEntry): StoredEntry[] {
  return entries.filter((entry, i) => {
    const last = i === 0 ? before : entries[i - 1]
    return last == null || compareEntries(entry, last) !== 0
  })
}

/** A moment that a row can name */
function clamp ({ time, counter }: Moment): Moment {
  if (time < 0) {
    return { time: 0, counter: 0 }
  }
  return time > MAX_TIME
    ? { time: MAX_TIME, counter: MAX_COUNTER }
    : { time, counter: Math.min(Math.max(counter, 0), MAX_COUNTER) }
}

/** A range that wraps has two parts */
function partsOf ({ from = 0, to = 0 }: RingRange): Array<[from?: Uint8Array, to?: Uint8Array]> {
  const start = from === 0 ? undefined : ringPrefix(from)
  const end = to === 0 ? undefined : ringPrefix(to)

  if (from === to) {
    return [[undefined, undefined]]
  }

  return from < to || end == null ? [[start, end]] : [[start, undefined], [undefined, end]]
}
