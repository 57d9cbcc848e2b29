import { inOrder, name } from '../../fixtures/logs.ts'
import { nameOf } from './copies.ts'
import type { WorldTime } from './time.ts'
import type { Entry } from '../../../src/log/index.ts'

/** Milliseconds that a clock may be ahead and still be followed: where it was put back by more, nothing is said of `previous` */
const MAX_PULL = 30_000

/**
 * Follows the chain that this node makes: an entry names its author's entry with the latest moment that the log knows of,
 * however that came here.
 */
export class Chain {
  readonly #author: string
  readonly #time: WorldTime
  #latest?: Entry
  #appended?: Entry
  /** The latest one was joined while appends may have been under way: those stand on the latest that was appended */
  #isOverlapping = false
  #wasFarBehind = false

  constructor (author: string, time: WorldTime) {
    this.#author = author
    this.#time = time
  }

  /** Nothing is under way */
  rest (): void {
    this.#isOverlapping = false
  }

  /** An entry came into the log, be it that it was found there. Says what is wrong with it */
  add (entry: Entry, isAppended: boolean): string[] {
    if (entry.author.toString() !== this.#author) {
      return []
    }

    const wrong = isAppended ? this.#check(entry) : []
    this.#latest = later(this.#latest, entry)

    if (isAppended) {
      this.#appended = later(this.#appended, entry)
    } else {
      this.#isOverlapping = true
    }

    return wrong
  }

  #check (entry: Entry): string[] {
    const latest = this.#latest
    this.#wasFarBehind ||= this.#time.behind > MAX_PULL

    if (this.#wasFarBehind || latest == null || later(latest, entry) === latest) {
      return []
    }

    const expected = [latest, ...this.#isOverlapping && this.#appended != null ? [this.#appended] : []].map(nameOf)
    const previous = entry.previous == null ? 'nothing' : name({ id: entry.previous })
    return expected.includes(previous) ? [] : [`${nameOf(entry)} names ${previous} as the entry before it, not ${expected.join(' or ')}`]
  }
}

function later (a: Entry | undefined, b: Entry): Entry {
  return a == null ? b : inOrder([a, b])[1]
}
