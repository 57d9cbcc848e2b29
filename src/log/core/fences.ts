import { firstFrom } from '../../tables/core/rows.ts'
import { compareMoments } from './hybrid-clock.ts'
import type { Moment } from './hybrid-clock.ts'
import type { Reader, Writer } from '../../runtime/codec.ts'

/** Entries, and numbers of records, from one fence to the next: so many are read in vain at most when a walk begins. A guess */
const FENCE_ENTRIES = 4096
export const FENCE_NUMBERS = 512

/** A record from which on a walk may go: all entries before it are not above this moment */
export interface Fence extends Moment {
  seq: number
  /** The number of its first entry among all that came here */
  arrival: number
  /** Entries up to the next fence that are in the log */
  live: number
}

/**
 * Where walks through the records of a log may begin, in order. Moments, arrivals and numbers of records ascend together.
 */
export class Fences {
  #fences: Fence[] = []

  /** The record `seq` holds some entries. `top`: the last moment before it */
  add (seq: number, arrival: number, entries: number, { time, counter }: Moment = { time: 0, counter: 0 }): void {
    let last = this.#fences.at(-1)

    if (last == null || seq - last.seq >= FENCE_NUMBERS || arrival - last.arrival >= FENCE_ENTRIES) {
      last = { seq, arrival, time, counter, live: 0 }
      this.#fences.push(last)
    }

    last.live += entries
  }

  /** An entry of the record `seq` was removed */
  remove (seq: number): void {
    const fence = this.#fences[this.#before(fence => fence.seq > seq)]

    if (fence != null) {
      fence.live = Math.max(0, fence.live - 1)
    }
  }

  /** The last fence with a number up to this one, or else the first one; and the one behind it */
  at (seq: number): [fence?: Fence, next?: Fence] {
    const index = Math.max(this.#before(fence => fence.seq > seq), 0)
    return [this.#fences[index], this.#fences[index + 1]]
  }

  /** The number of the record from which on all entries from this arrival on lie */
  ofArrival (arrival: number): number {
    return this.#fences[this.#before(fence => fence.arrival > arrival)]?.seq ?? 0
  }

  /** The number of the record from which on all entries of this moment, and of later ones, lie, if they came in order */
  ofMoment (moment: Moment): number {
    return this.#fences[this.#before(fence => compareMoments(fence, moment) >= 0)]?.seq ?? 0
  }

  /** The number of the record before which all entries up to this moment lie, if they came in order */
  behindMoment (moment: Moment): number {
    return this.#fences[this.#before(fence => compareMoments(fence, moment) > 0) + 1]?.seq ?? Infinity
  }

  /** Forgets fences that nothing follows any more */
  compact (): void {
    const last = this.#fences.length - 1
    this.#fences = this.#fences.filter(({ live }, i) => live > 0 || i === last || (i > 0 && this.#fences[i - 1].live > 0))
  }

  copy (): Fences {
    const copy = new Fences()
    copy.#fences = this.#fences.map(fence => ({ ...fence }))
    return copy
  }

  encode (writer: Writer): Writer {
    let before: Fence = { seq: 0, arrival: 0, time: 0, counter: 0, live: 0 }

    return writer.list(this.#fences, fence => {
      const { seq, arrival, time, counter, live } = fence
      writer.uvarint(seq - before.seq).uvarint(arrival - before.arrival).uvarint(time - before.time).uvarint(counter).uvarint(live)
      before = fence
    })
  }

  static decode (reader: Reader): Fences {
    const fences = new Fences()
    let [seq, arrival, time] = [0, 0, 0]
    fences.#fences = reader.list(Infinity, () => {
      seq += reader.uvarint()
      arrival += reader.uvarint()
      time += reader.uvarint()
      return { seq, arrival, time, counter: reader.uvarint(), live: reader.uvarint() }
    })
    return fences
  }

  /** The last fence before all of which `isAbove` is true; -1: there is none */
  #before (isAbove: (fence: Fence) => boolean): number {
    return firstFrom(this.#fences.length, i => isAbove(this.#fences[i])) - 1
  }
}
