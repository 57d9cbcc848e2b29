import { FRAGMENT_MS, LEAF_BYTES, MAX_FLIGHT, MAX_REPEATS, MAX_WANTED, MIN_FRAGMENT } from '../constants.ts'
import { Extents } from './extents.ts'
import type { Extent } from './extents.ts'
import type { FlightTracker } from './flight.ts'
import type { Layout } from './leaves.ts'

/** A piece of a payload, or of the list of its hashes */
export interface Fragment extends Extent {
  /** As it is sent. It is kept while it is in flight: it may have to be sent again */
  readonly message: Uint8Array
}

/** Bytes that a fragment counts for. A byte that is asked for alone costs as much as the shortest piece */
export function weightOf ({ from, to }: Extent): number {
  return Math.max(MIN_FRAGMENT, to - from)
}

/** What the other side says of where it stands */
export interface Status {
  /** The larger one is newer */
  number: number
  /** The last question that came to it, whatever was sent before: 0, if none did */
  echo: number
  horizon: number
  wanted: Extent[]
}

export interface OutgoingInit {
  layout: Layout
  flight: FlightTracker<Fragment, number, string>
  /** Whose the fragments are that are in flight: a number that nobody had before */
  owner: number
  /** Bytes of the largest piece */
  maxFragment: number
  /** What it cost to send it to earlier lives of the other side */
  cost?: number
}

/**
 * One payload on its way out: what the other side asked for, what is in flight, and what has to be sent again.
 *
 * | event          | to send                                 | in flight                                  |
 * |----------------|-----------------------------------------|--------------------------------------------|
 * | status         | what is asked for and not in flight     | not what is not asked for any more         |
 * | status, echo   | again what was sent before the question | as it was: that is being sent again        |
 * | next, sent     | not that any more                       | and that                                   |
 * | lost, unsent   | again all of it                         | none of it                                 |
 *
 * A hop loses nothing, and keeps the order; so a timer never has anything sent again. What was sent before a question
 * and is not there when the question is, a relay that died has lost.
 */
export class Outgoing {
  readonly layout: Layout
  readonly owner: number
  readonly #init: OutgoingInit
  /** Asked for, and never taken */
  readonly #wanted = new Extents()
  /** To be sent again, in flight or not */
  readonly #again = new Set<Fragment>()
  #number = 0
  /** Questions that were asked, and what had been sent before each */
  #questions = 0
  #orders: Array<{ question: number, order: number }> = []
  #lastOrder = 0
  /** Up to which byte the other side wants nothing any more */
  #there = 0
  /** What it took to send what arrived */
  #spent = 0
  /** What it took to send all that was sent, arrived or not */
  #cost: number
  /** The end of what was sent */
  #reached = 0

  constructor (init: OutgoingInit) {
    this.#init = init
    this.layout = init.layout
    this.owner = init.owner
    this.#cost = init.cost ?? 0
  }

  /** Up to which byte the other side has all, whoever sent it */
  get there (): number {
    return this.#there
  }

  /** The first byte that is to be sent and is not in a fragment yet */
  get next (): number | undefined {
    return this.#wanted.first?.from
  }

  get hasAgain (): boolean {
    return this.#again.size > 0
  }

  /** What it has cost to send it, to this life of the other side and to those before */
  get cost (): number {
    return this.#cost
  }

  /**
   * The other side asks for the same again and again, says again and again that it knows nothing of it, or asks for
   * more crumbs than an honest one: it is not to have us send, and remember, without end
   */
  get isInsatiable (): boolean {
    const size = this.layout.end ?? this.#reached
    return this.#spent > 3 * size + MAX_FLIGHT || this.#cost > MAX_REPEATS * size + MAX_FLIGHT ||
      this.#wanted.list.length > MAX_WANTED
  }

  /** Whether the other side has asked for something that it does not have yet */
  get isOwing (): boolean {
    return this.#again.size > 0 || !this.#wanted.isEmpty || this.#init.flight.sizeOf(this.owner) > 0
  }

  /** The fragments that arrived. Undefined: a later status came before this one, or it asks for what cannot be */
  onStatus ({ number, echo, horizon, wanted }: Status): Fragment[] | undefined {
    const { flight, layout } = this.#init
    const asked = new Extents(wanted)
    const end = layout.end ?? Infinity

    if (number <= this.#number || (asked.list.at(-1)?.to ?? 0) > end) {
      return
    }

    this.#number = number
    this.#there = Math.max(this.#there, asked.first?.from ?? Math.min(horizon, end))
    const mark = this.#markOf(echo)
    const arrived: Fragment[] = []

    for (const { id: fragment, order } of [...flight.of(this.owner)]) {
      const isAsked = asked.meets(fragment)

      if (!isAsked && fragment.from < horizon) {
        arrived.push(fragment)
        this.#again.delete(fragment)
        this.#spent += weightOf(fragment)
      } else if (isAsked && order <= mark) {
        this.#again.add(fragment)
      }
    }
    for (const fragment of this.#again) {
      if (!asked.meets(fragment) && fragment.from < horizon) {
        this.#again.delete(fragment)
      }
    }

    // what was asked for and is not any more, others send
    for (const extent of this.#wanted.without(asked).list) {
      this.#wanted.delete({ from: extent.from, to: Math.min(extent.to, horizon) })
    }
    // what was there before, and is asked for again, was wrong, or another one was to send it
    for (const extent of this.#notUnderWay(asked)) {
      this.#wanted.add(extent)
    }

    return arrived
  }

  /** The size is known now: nothing is behind the end */
  ended (): void {
    const beyond = { from: this.layout.end as number, to: Infinity }
    this.#wanted.delete(beyond)
  }

  /** A question is about to be sent, behind all that was sent so far. Returns its number */
  question (): number {
    this.#orders.push({ question: ++this.#questions, order: this.#lastOrder })
    this.#orders = this.#orders.slice(-MAX_QUESTIONS)
    return this.#questions
  }

  /** What is sent next from `at` on: as many bytes as take FRAGMENT_MS at this rate, and no leaf's end within */
  nextExtent (rate: number): Extent | undefined {
    const { first } = this.#wanted

    if (first == null) {
      return
    }

    const bytes = Math.max(MIN_FRAGMENT, Math.min(LEAF_BYTES, this.#init.maxFragment, rate * FRAGMENT_MS))
    return {
      from: first.from, to: Math.min(first.to, this.layout.boundary(first.from), first.from + Math.floor(bytes))
    }
  }

  nextAgain (): Fragment | undefined {
    const [fragment] = this.#again
    return fragment
  }

  /** It is in flight, with this order */
  sent (fragment: Fragment, order: number): void {
    this.#wanted.delete(fragment)
    this.#again.delete(fragment)
    this.#lastOrder = order
    this.#cost += weightOf(fragment)
    this.#reached = Math.max(this.#reached, fragment.to)
  }

  /** It did not leave, or was lost with what carried it */
  unsent (fragment: Fragment): void {
    this.#again.add(fragment)
  }

  /** The other side has all of it */
  done (): void {
    this.#there = this.layout.end ?? this.#there
  }

  /** The transfer is over. Who remembers it holds none of its bytes */
  close (): void {
    this.#again.clear()
    this.#wanted.delete({ from: 0, to: Infinity })
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    const ofFlight = [...this.#init.flight.of(this.owner)].map(({ id }) => id)

    if (ofFlight.some(fragment => this.#wanted.meets(fragment))) {
      throw new Error('something is in flight and to be sent for the first time')
    }
  }

  #markOf (echo: number): number {
    const mark = this.#orders.findLast(({ question }) => question <= echo)?.order ?? 0
    this.#orders = this.#orders.filter(({ question }) => question > echo)
    return mark
  }

  /** What is neither in flight nor to be sent */
  #notUnderWay (asked: Extents): readonly Extent[] {
    const known = new Extents(this.#wanted.list)

    for (const { id } of this.#init.flight.of(this.owner)) {
      known.add(id)
    }
    for (const fragment of this.#again) {
      known.add(fragment)
    }

    return asked.without(known).list
  }
}

/** Questions whose answers are told apart. A guess */
const MAX_QUESTIONS = 16
