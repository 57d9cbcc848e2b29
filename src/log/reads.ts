import { Writer } from '../runtime/codec.ts'
import { Pacer } from '../runtime/pacer.ts'
import { sha256 } from '../runtime/sha256.ts'
import * as limits from './constants.ts'
import { MAX_COUNTER, MAX_TIME } from './core/entry.ts'
import { addLanes, LANES } from './core/fingerprint.ts'
import { compareEntries, compareMoments, nextMoment } from './core/hybrid-clock.ts'
import { aboveArrival, FENCES_BY_MOMENT, fenceOfMoment, idOnRing, isByArrival, orderPrefix, placeInOrder, positionInRow, readDead, readFence, ringPrefix, seqPrefix, successor } from './core/rows.ts'
import { RingId } from './entry-id.ts'
import type { Moment, Ordered } from './core/hybrid-clock.ts'
import type { StoredEntry, StoredRecord } from './core/record.ts'
import type { Fence } from './core/rows.ts'
import type { RingRange } from './index.ts'
import type { Store } from './store.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'

/** Bytes of a fingerprint */
const FINGERPRINT_BYTES = 16
/** Fences that are read at once */
const FENCES = 64

/** Where a walk in the order of the log begins: at an entry, or at all that are of a moment */
export type From = Ordered | Moment

/**
 * Everything that is asked of a log, and changes nothing.
 */
export class Reads {
  readonly #store: Store
  readonly #pacer: Pacer

  constructor (store: Store, clock: Clock) {
    this.#store = store
    this.#pacer = new Pacer(clock)
  }

  async heads (): Promise<StoredEntry[]> {
    const heads: StoredEntry[] = []

    for (let from: Uint8Array | undefined, isEnd = false; !isEnd;) {
      const { ids, next } = await this.#store.read(({ authors }) => authors.heads(limits.READ_AHEAD, from))
      const found = await Promise.all(ids.map(async id => this.#store.find(id)))
      heads.push(...found.filter(entry => entry != null))
      from = next
      isEnd = next == null
      await this.#pacer.pause()
    }

    return heads.sort(compareEntries)
  }

  /**
   * In the total order, from this entry or moment on, or from it down. Entries that came in order lie so in the records; of those
   * that came late a table says where they belong in between.
   */
  async * inOrder (from: From | undefined, reverse: boolean, { signal }: AbortOptions): AsyncGenerator<StoredEntry[]> {
    const sign = reverse ? -1 : 1
    const isWanted = (entry: StoredEntry): boolean => {
      return from == null || ('id' in from ? compareEntries(entry, from) : compareMoments(entry, from)) * sign >= 0
    }
    const walks = [this.#onTime(from, reverse), this.#late(from, reverse)]
    const [onTime, late] = walks.map(walk => new Batches(walk))
    let last: StoredEntry | undefined

    try {
      for (;;) {
        signal?.throwIfAborted()
        await Promise.all([onTime.fill(), late.fill()])

        if (onTime.isEmpty && late.isEmpty) {
          return
        }

        const merged = merge(onTime, late, sign)
        // one that was removed, and came again, may be met in both
        const once = late.isUnused ? merged : withoutRepeats(merged, last)
        last = merged.at(-1) ?? last
        yield from == null ? once : once.filter(isWanted)
        await this.#pacer.pause()
      }
    } finally {
      await Promise.all(walks.map(async walk => walk.return(undefined)))
    }
  }

  /** As they came, from this arrival on */
  async * arrivals (from: number, { signal }: AbortOptions): AsyncGenerator<StoredEntry[]> {
    const [row] = await this.#store.scan('fences', { from: aboveArrival(from), reverse: true, limit: 1 })

    for await (const record of this.#records(row == null ? undefined : readFence(row))) {
      signal?.throwIfAborted()

      if (record.arrival + record.size > from) {
        yield (await this.#living(record)).filter(({ arrival }) => arrival >= from)
        await this.#pacer.pause()
      }
    }
  }

  async fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }> {
    for (const sum of [...this.#store.index.tables.ring.unsummed()]) {
      sum()
      await this.#pacer.pause()
    }

    const parts = await Promise.all(partsOf(range).map(async ([from, to]) => this.#store.read(({ tables }) => tables.ring.summary(from, to))))
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
      for (let from = first, isEnd = false; !isEnd && ids.length < limit;) {
        const wanted = Math.min(limit - ids.length, limits.READ_AHEAD * 4)
        const rows = await this.#store.scan('ring', { from, to, limit: wanted })
        rows.forEach(row => { ids.push(new RingId(idOnRing(row), positionInRow(row))) })
        isEnd = rows.length < wanted
        from = isEnd ? undefined : successor(rows[rows.length - 1])
        await this.#pacer.pause()
      }
    }

    return ids
  }

  /** Those that came in order: as they lie in the records */
  async * #onTime (from: From | undefined, reverse: boolean): AsyncGenerator<StoredEntry[]> {
    const fence = await this.#fenceOf(from, reverse)

    for await (const record of reverse ? this.#recordsDown(fence) : this.#records(fence)) {
      const entries = (await this.#living(record)).filter(({ isLate }) => !isLate)
      yield reverse ? entries.reverse() : entries
    }
  }

  /** Those that came late: where a table says that they lie */
  async * #late (from: From | undefined, reverse: boolean): AsyncGenerator<StoredEntry[]> {
    let at = from == null ? undefined : orderPrefix(clamp(reverse ? nextMoment(from) : from))

    for (;;) {
      const rows = await this.#store.scan('order', { from: at, reverse, limit: limits.READ_AHEAD })
      const entries = await this.#store.entriesAt(rows.map(placeInOrder))
      // the rows know only the start of an id
      yield entries.sort((a, b) => reverse ? compareEntries(b, a) : compareEntries(a, b))

      if (rows.length < limits.READ_AHEAD) {
        return
      }

      at = reverse ? rows[rows.length - 1] : successor(rows[rows.length - 1])
    }
  }

  /** Before this one there is nothing that is wanted: upwards. After it there is nothing: downwards */
  async #fenceOf (from: From | undefined, reverse: boolean): Promise<Fence | undefined> {
    if (from == null) {
      return
    }

    const at = fenceOfMoment(clamp(reverse ? nextMoment(from) : from))
    const [row] = await this.#store.scan('fences', { from: at, reverse: true, limit: 1 })
    return row == null || isByArrival(row) ? undefined : readFence(row)
  }

  /** From this fence on, or from the first one */
  async * #records (from?: Fence): AsyncGenerator<StoredRecord> {
    let at = from == null ? undefined : aboveArrival(from.arrival - 1)
    let before: Fence | undefined

    for (;;) {
      const rows = await this.#store.scan('fences', { from: at, to: FENCES_BY_MOMENT, limit: FENCES })
      const fences = rows.map(readFence)

      for (const fence of fences) {
        if (before != null) {
          yield * this.#segment(before, fence)
        }
        before = fence
      }

      if (fences.length < FENCES) {
        break
      }

      at = successor(rows[rows.length - 1])
    }

    if (before != null) {
      yield * this.#segment(before, { arrival: this.#store.index.arrivals, seq: this.#store.end })
    }
  }

  /** From the segment behind this fence down, or from the last one */
  async * #recordsDown (from?: Fence): AsyncGenerator<StoredRecord> {
    let at = from == null ? FENCES_BY_MOMENT : aboveArrival(from.arrival)
    const above = from == null ? [] : (await this.#store.scan('fences', { from: at, to: FENCES_BY_MOMENT, limit: 1 })).map(readFence)
    let end: Pick<Fence, 'arrival' | 'seq'> = above[0] ?? { arrival: this.#store.index.arrivals, seq: this.#store.end }

    for (;;) {
      const rows = await this.#store.scan('fences', { from: at, reverse: true, limit: FENCES })

      for (const fence of rows.map(readFence)) {
        const records: StoredRecord[] = []

        for await (const record of this.#segment(fence, end)) {
          records.push(record)
        }

        yield * records.reverse()
        end = fence
      }

      if (rows.length < FENCES) {
        return
      }

      at = rows[rows.length - 1]
    }
  }

  /** The records between two fences: their numbers follow each other, as far as there are any */
  async * #segment (fence: Pick<Fence, 'arrival' | 'seq'>, end: Pick<Fence, 'arrival' | 'seq'>): AsyncGenerator<StoredRecord> {
    const missing: number[] = []
    let { arrival } = fence

    for (let seq = fence.seq; seq < end.seq && arrival < end.arrival; seq += limits.RECORDS_AT_ONCE) {
      const seqs = Array.from({ length: Math.min(limits.RECORDS_AT_ONCE, end.seq - seq) }, (_, i) => seq + i)
      const records = await Promise.all(seqs.map(async seq => this.#store.records.read(seq)))

      for (const [i, record] of records.entries()) {
        if (arrival >= end.arrival) {
          break
        }
        if (record == null) {
          missing.push(seqs[i])
        } else if (record.size > 0 && record.arrival < end.arrival) {
          // what is behind it is being written, or could not be
          arrival = record.arrival + record.size
          yield record
        }
      }
    }

    this.#store.suspect(missing)
  }

  /** The entries of a record that are not removed: what is dead is no longer named once it is out of the record, so both are read together */
  async #living (record: StoredRecord): Promise<StoredEntry[]> {
    const { seq, size } = record
    const { records } = this.#store
    const rows = this.#store.index.tables.dead.isEmpty ? [] : await this.#store.scan('dead', { from: seqPrefix(seq), to: seqPrefix(seq + 1), limit: size })

    if (records.isStale(record)) {
      const current = await records.read(seq)
      return current == null ? [] : this.#living(current)
    }

    const slots = new Set(rows.map(row => readDead(row).slot))
    const entries: StoredEntry[] = []

    for (let slot = 0; slot < size; slot++) {
      const entry = slots.has(slot) ? undefined : record.entryAt(slot)

      if (entry != null) {
        entries.push(entry)
      }
    }

    return entries
  }
}

/** Entries of a walk that were not taken yet */
class Batches {
  entries: StoredEntry[] = []
  index = 0
  /** Nothing ever came of it */
  isUnused = true
  readonly #walk: AsyncGenerator<StoredEntry[]>
  #isAtEnd = false

  constructor (walk: AsyncGenerator<StoredEntry[]>) {
    this.#walk = walk
  }

  get isEmpty (): boolean {
    return this.index >= this.entries.length
  }

  get first (): StoredEntry {
    return this.entries[this.index]
  }

  /** Nothing is taken before it has something, or is at its end */
  async fill (): Promise<void> {
    while (this.isEmpty && !this.#isAtEnd) {
      const { value, done } = await this.#walk.next()
      this.#isAtEnd = done === true
      this.entries = value ?? []
      this.index = 0
      this.isUnused &&= this.entries.length === 0
    }
  }

  rest (): StoredEntry[] {
    const rest = this.index === 0 ? this.entries : this.entries.slice(this.index)
    this.index = this.entries.length
    return rest
  }
}

/** Of two walks in one direction what comes before either has to go on */
function merge (a: Batches, b: Batches, sign: number): StoredEntry[] {
  if (a.isEmpty || b.isEmpty) {
    return (a.isEmpty ? b : a).rest()
  }

  const merged: StoredEntry[] = []

  while (!a.isEmpty && !b.isEmpty) {
    const first = compareEntries(a.first, b.first) * sign < 0 ? a : b
    merged.push(first.first)
    first.index++
  }

  return merged
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
  return time > MAX_TIME ? { time: MAX_TIME, counter: MAX_COUNTER } : { time, counter: Math.min(Math.max(counter, 0), MAX_COUNTER) }
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
