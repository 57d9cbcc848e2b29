import { firstFrom } from '../../storage/core/rows.ts'
import { compareMoments } from './hybrid-clock.ts'
import type { Moment } from './hybrid-clock.ts'
import type { Reader, Writer } from '../../runtime/codec.ts'

/** Entries, and numbers, of a stretch: a walk that begins in its middle reads at most so many in vain. A guess */
const FENCE_ENTRIES = 4096
const FENCE_NUMBERS = 512

/** A stretch of records where a walk may begin: no entry before it is above this moment */
export interface Fence extends Moment {
  /** The numbers of its records: from the first one up to the one behind the last */
  seq: number
  end: number
  /** The number of its first entry among all that came here */
  arrival: number
  /** Its entries that are in the log */
  live: number
}

/**
 * Where walks through the records of a log may begin. Moments, arrivals and numbers of records ascend together.
 */
export class Fences {
  #fences: Fence[] = []

  /** A record is behind all others. `top`: the last moment before it */
  begin (seq: number, arrival: number, { time, counter }: Moment = { time: 0, counter: 0 }): void {
    let last = this.#fences.at(-1)

    if (last == null || seq - last.seq >= FENCE_NUMBERS || arrival - last.arrival >= FENCE_ENTRIES) {
      last = { seq, end: seq, arrival, time, counter, live: 0 }
      this.#fences.push(last)
    }

    last.end = seq + 1
  }

  /** The last record holds an entry */
  add (): void {
    const last = this.#fences.at(-1)

    if (last != null) {
      last.live++
    }
  }

  /** An entry of the record `seq` was removed */
  remove (seq: number): void {
    const fence = this.below(seq + 1)

    if (fence != null) {
      fence.live = Math.max(0, fence.live - 1)
    }
  }

  /** The first stretch with records from this number on */
  from (seq: number): Fence | undefined {
    return this.#fences[this.#before(fence => fence.end > seq) + 1]
  }

  /** The last stretch with records below this number */
  below (seq: number): Fence | undefined {
    return this.#fences[this.#before(fence => fence.seq >= seq)]
  }

  /** The number of the record from which on all entries from this arrival on lie */
  ofArrival (arrival: number): number {
    return this.#fences[this.#before(fence => fence.arrival > arrival)]?.seq ?? 0
  }

  /** The number of a record before which no entry of this moment, or of a later one, lies, if they came in order */
  ofMoment (moment: Moment): number {
    return this.#fences[this.#before(fence => compareMoments(fence, moment) >= 0)]?.seq ?? 0
  }

  /** The number of a record before which all entries up to this moment lie, if they came in order */
  behindMoment (moment: Moment): number {
    return this.#fences[this.#before(fence => compareMoments(fence, moment) > 0) + 1]?.seq ?? Infinity
  }

  /** Forgets stretches of which no entry is in the log any more */
  compact (): void {
    const last = this.#fences.length - 1
    this.#fences = this.#fences.filter(({ live }, i) => live > 0 || i === last)
  }

  copy (): Fences {
    const copy = new Fences()
    copy.#fences = this.#fences.map(fence => ({ ...fence }))
    return copy
  }

  encode (writer: Writer): Writer {
    let before = { end: 0, arrival: 0, time: 0 }

    return writer.list(this.#fences, fence => {
      const { seq, end, arrival, time, counter, live } = fence
      writer.uvarint(seq - before.end).uvarint(end - seq).uvarint(arrival - before.arrival)
      writer.uvarint(time - before.time).uvarint(counter).uvarint(live)
      before = fence
    })
  }

  static decode (reader: Reader): Fences {
    const fences = new Fences()
    let [end, arrival, time] = [0, 0, 0]
    fences.#fences = reader.list(Infinity, () => {
      const seq = end + reader.uvarint()
      end = seq + reader.uvarint()
      arrival += reader.uvarint()
      time += reader.uvarint()
      return { seq, end, arrival, time, counter: reader.uvarint(), live: reader.uvarint() }
    })
    return fences
  }

  /** The last fence before all of which `isAbove` is true; -1: there is none */
  #before (isAbove: (fence: Fence) => boolean): number {
    return firstFrom(this.#fences.length, i => isAbove(this.#fences[i])) - 1
  }
}
