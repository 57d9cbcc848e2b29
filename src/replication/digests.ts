import { compareMoments, nextMoment } from '../log/core/hybrid-clock.ts'
import { positionIn } from '../log/core/rows.ts'
import { EntryId, RingId } from '../log/entry-id.ts'
import { LogEntry } from '../log/log-entry.ts'
import { Alarm } from '../runtime/alarm.ts'
import { LruMap } from '../runtime/bounded.ts'
import { chunks } from '../runtime/chunks.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import { partsOf } from './core/reconcile.ts'
import { toRange, within } from './core/ring.ts'
import { SHORT_ID_BYTES, ShortIds } from './core/short-ids.ts'
import { encodeSymbols, SketchEncoder } from './core/sketch.ts'
import { entrySize, FINGERPRINT_BYTES } from './wire.ts'
import type { ReplicationContext } from './context.ts'
import type { Given, Summary } from './core/reconcile.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Answer, Question } from './wire.ts'
import type { Moment } from '../log/core/hybrid-clock.ts'
import type { RawEntry } from '../log/core/types.ts'
import type { Entry, Log } from '../log/index.ts'

/**
 * Entries, and bytes of them, that are looked at for one answer: one more than that, so that there is always a next
 * step
 */
const MAX_SCANNED = 8192
const MAX_SCANNED_BYTES = 16 * 1024 * 1024

/** Parts of the ring that are read at once. Measured with 992 parts of a million entries, on a LevelDB just opened */
const READS_AT_ONCE = 64

const NO_KEY = new Uint8Array(0)

interface Sketch {
  /** The comparison that it is for */
  name: string
  until: number
  encoder: SketchEncoder
  ids: ShortIds
  /** The encoder does one thing after the other */
  extended: Promise<unknown>
}

type OfSketch<K extends Question['kind']> = Extract<Question, { kind: K }>

/**
 * What a log holds, as others ask for it: by parts of the ring, and by short ids.
 */
export class Digests {
  readonly #log: Log
  readonly #context: ReplicationContext
  /** Of the peers that asked last, one each: they are asked for in several steps, and without one it is made again */
  readonly #sketches = new LruMap<Key, Sketch>(limits.MAX_SKETCHES)
  readonly #expiry: Alarm

  constructor (log: Log, context: ReplicationContext) {
    this.#log = log
    this.#context = context
    this.#expiry = new Alarm(context.clock, () => { this.#expire() })
  }

  stop (): void {
    this.#sketches.clear()
    this.#expiry.set(Infinity)
  }

  async summaries (segments: Segment[], parts: number, key: Uint8Array): Promise<Summary[]> {
    return someAtOnce(segments.flatMap(segment => partsOf(segment, parts)), async segment => {
      const { count, fingerprint } = await this.#log.fingerprint(toRange(segment), key)
      return { count, fingerprint: fingerprint.subarray(0, FINGERPRINT_BYTES) }
    })
  }

  /** Bytes of the entries in these segments: as many as that is of all entries here */
  async bytesIn (segments: Segment[]): Promise<number> {
    const { bytes } = this.#log.diagnostics()
    const counts = await someAtOnce(segments, async segment => this.#log.fingerprint(toRange(segment), NO_KEY))
    const count = counts.reduce((sum, { count }) => sum + count, 0)
    return count === 0 ? 0 : Math.ceil(count * bytes / this.#log.length)
  }

  async ids (segments: Segment[]): Promise<Uint8Array[]> {
    let left = limits.MAX_SKETCHED * 2

    const ids = await someAtOnce(segments, async segment => {
      const range = toRange(segment)
      const { count } = await this.#log.fingerprint(range, NO_KEY)
      left -= count

      if (left < 0) {
        throw new RangeError(`there are more than ${limits.MAX_SKETCHED * 2} entries: ask for smaller segments`)
      }
      return this.#log.idsInRange(range, { limit: count })
    })

    return ids.flat().map(({ bytes }) => bytes)
  }

  async symbols (peer: Key, { segments, key, from, count }: OfSketch<'symbols'>): Promise<Uint8Array> {
    const sketch = await this.#sketch(peer, segments, key)
    const { encoder } = sketch
    await (sketch.extended = sketch.extended.then(async () => this.#inSlices(encoder.extend(from + count))))
    return encodeSymbols(encoder.symbols(from, count))
  }

  /**
   * As many of those that are named as go into one message; `asked`: how many of the names that is for, as some may be
   * gone
   */
  async byShortIds (peer: Key, { segments, key, shortIds }: OfSketch<'fetch'>): Promise<Given['fetch']> {
    const { ids } = await this.#sketch(peer, segments, key)
    const batch = new Batch(this.#context.sizes.batchBytes)
    let asked = 0

    for (; asked < shortIds.byteLength / SHORT_ID_BYTES; asked++) {
      const [id] = ids.lookup(shortIds.subarray(asked * SHORT_ID_BYTES, (asked + 1) * SHORT_ID_BYTES))
      const entry = id == null ? undefined : await this.#log.get(new EntryId(id))

      if (entry != null && !batch.add(entry)) {
        break
      }
    }

    return { asked, entries: batch.entries }
  }

  /**
   * As many as go into one message, in the order of the ring, behind this one. If it is gone, it lay where the segment
   * begins
   */
  async list (segment: Segment, after?: Uint8Array): Promise<{ entries: RawEntry[], isEnd: boolean }> {
    const last = after == null ? undefined : await this.#log.get(new EntryId(after))
    const from = after == null ? undefined : new RingId(after, last == null ? segment.from : placeOf(last))
    const ids = await this.#log.idsInRange(toRange(segment), { limit: limits.BATCH_ENTRIES, after: from })
    const batch = new Batch(this.#context.sizes.batchBytes)

    for (const id of ids) {
      const entry = await this.#log.get(id)

      if (entry != null && !batch.add(entry)) {
        return { entries: batch.entries, isEnd: false }
      }
    }

    // where all of them were removed meanwhile there is nothing to go on from: it ends there
    return { entries: batch.entries, isEnd: ids.length < limits.BATCH_ENTRIES || batch.entries.length === 0 }
  }

  /** What arrived here from one number on, and lies in these segments */
  async arrivals (from: number, segments: Segment[]): Promise<Given['pull']> {
    const isAsked = within(segments)
    const batch = new Batch(this.#context.sizes.batchBytes)
    let scanned = 0
    let bytes = 0
    let next = from

    for await (const { arrival, entry } of this.#log.arrivals(from)) {
      bytes += entrySize(rawOf(entry))
      if (scanned++ >= MAX_SCANNED || bytes > MAX_SCANNED_BYTES || (isAsked(placeOf(entry)) && !batch.add(entry))) {
        return { entries: batch.entries, next, isEnd: false }
      }

      next = arrival + 1
    }

    return { entries: batch.entries, next, isEnd: true }
  }

  /**
   * In the order of the log, from one moment on and before another one, of these segments: as many as go into one
   * message
   */
  async window (from: Moment, to: Moment, segments: Segment[]): Promise<Extract<Answer, { kind: 'window' }>> {
    const isAsked = within(segments)
    const batch = new Batch(this.#context.sizes.batchBytes)
    let looked = 0
    let bytes = 0

    for await (const entry of this.#log.entries({ from: { time: BigInt(from.time), counter: from.counter } })) {
      const at = { time: Number(entry.clock.time), counter: entry.clock.counter }

      if (compareMoments(at, to) >= 0) {
        break
      }
      bytes += entrySize(rawOf(entry))
      if (looked++ >= MAX_SCANNED || bytes > MAX_SCANNED_BYTES || (isAsked(placeOf(entry)) && !batch.add(entry))) {
        // where more are of one moment than go into a message, what is left out is found by comparing
        return {
          kind: 'window', entries: batch.entries, looked, next: compareMoments(at, from) > 0 ? at : nextMoment(from)
        }
      }
    }

    return { kind: 'window', entries: batch.entries, looked, next: to }
  }

  async #sketch (peer: Key, segments: Segment[], key: Uint8Array): Promise<Sketch> {
    const { clock } = this.#context
    const name = `${keyOfBytes(key)}${segments.map(({ from, width }) => `${from}+${width}`).join()}`
    const known = this.#sketches.get(peer)
    const until = clock.now() + limits.SKETCH_TTL
    this.#expiry.setIfUnset(until)

    if (known?.name === name) {
      known.until = until
      return known
    }

    // the one for an earlier comparison goes first: a peer has room for one
    this.#sketches.delete(peer)
    const ids = await this.#inSlices(ShortIds.inSlices(await this.ids(segments), key))
    const sketch = { name, until, ids, encoder: new SketchEncoder(ids), extended: Promise.resolve() }
    this.#sketches.set(peer, sketch)
    return sketch
  }

  #expire (): void {
    const now = this.#context.clock.now()
    let next = Infinity

    for (const [peer, { until }] of [...this.#sketches.entries()]) {
      if (until <= now) {
        this.#sketches.delete(peer)
      } else {
        next = Math.min(next, until)
      }
    }

    this.#expiry.set(next)
  }

  async #inSlices<T> (work: Generator<unknown, T, any>): Promise<T> {
    let step = work.next()

    while (step.done !== true) {
      await this.#context.pacer.pause()
      step = work.next()
    }

    return step.value
  }
}

/** Entries for one message */
class Batch {
  readonly entries: RawEntry[] = []
  readonly #room: number
  #bytes = 0

  constructor (room: number) {
    this.#room = room
  }

  /** False: there is no room for it. For one there always is */
  add (entry: Entry): boolean {
    const raw = rawOf(entry)
    this.#bytes += entrySize(raw)

    if (this.entries.length > 0 && (this.#bytes > this.#room || this.entries.length >= limits.BATCH_ENTRIES)) {
      return false
    }

    this.entries.push(raw)
    return true
  }
}

/** Many reads wait for the disk together, but not so many that others wait for all of them */
async function someAtOnce<A, B> (items: A[], read: (item: A) => Promise<B>): Promise<B[]> {
  const all: B[] = []

  for (const some of chunks(items, READS_AT_ONCE)) {
    all.push(...await Promise.all(some.map(read)))
  }

  return all
}

/** Where on the ring it lies */
export function placeOf ({ id, group }: Entry): number {
  return positionIn({ id: id.bytes, group })
}

export function rawOf (entry: Entry): RawEntry {
  return LogEntry.raw(entry)
}
