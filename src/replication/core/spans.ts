import { MAX_TIME } from '../../log/core/entry.ts'
import { compareMoments } from '../../log/core/hybrid-clock.ts'
import type { Key } from './types.ts'
import type { Moment } from '../../log/core/hybrid-clock.ts'

export interface Window {
  from: Moment
  to: Moment
}

interface Span extends Window {
  /** Who tells it; nobody, if that one went away */
  by?: Key
  /** When it was asked */
  since: number
  /** Milliseconds of the log that its last answer told of; undefined: it has not answered yet */
  pace?: number
}

/** Milliseconds after which another one is asked for what somebody is at, once it has nothing else to do. A guess */
export const IMPATIENCE = 1_000
const START: Moment = { time: 0, counter: 0 }
const END: Moment = { time: MAX_TIME, counter: 0 }

/**
 * What is still to be told of a log, by several peers at once, each of which has all of it: its order, in spans, one
 * for each of them. Who is through with its own takes over the later half of what another one has furthest to go: so
 * the fast ones do most, and hardly anything is told twice. What somebody leaves behind, or does not answer, goes on
 * where it stood.
 *
 * | a peer is to tell | it has a span | somebody left one | others are at all | they have no more than they are at | nothing is left |
 * |---|---|---|---|---|---|
 * | its next window | what is left of it | that one | half of the longest | one that is not answered for long | nothing |
 */
export class Spans {
  /** In no order, none over another one */
  #spans: Span[] = [{ from: START, to: END, since: 0 }]

  /** All was told */
  get isDone (): boolean {
    return this.#spans.length === 0
  }

  /** Who is at it */
  get tellers (): Key[] {
    return this.#spans.flatMap(({ by }) => by ?? [])
  }

  /** What it is to tell next; undefined: it is not needed, for now */
  next (by: Key, now: number): Window | undefined {
    const span = this.#spans.find(span => span.by === by) ??
      this.#spans.find(span => span.by == null) ??
      this.#halve(now) ??
      this.#spans.find(({ since }) => now - since >= IMPATIENCE)

    if (span == null) {
      return undefined
    }

    span.by = by
    span.since = now
    return { from: span.from, to: span.to }
  }

  /**
   * All that is in a window and before `next` is here, from whomever. Whether that was the first of a span: now others
   * can share it
   */
  told ({ from, to }: Window, next: Moment): boolean {
    const until = compareMoments(next, to) < 0 ? next : to
    let isFirst = false

    // a part of the window may be somebody else's by now
    for (const span of this.#spans.filter(span =>
      compareMoments(span.from, from) >= 0 && compareMoments(span.from, until) < 0)) {
      isFirst ||= span.pace == null
      // the first one told how long there was nothing, too
      span.pace = span.pace == null ? 0 : until.time - span.from.time
      span.from = until
    }

    this.#spans = this.#spans.filter(span => compareMoments(span.from, span.to) < 0)
    return isFirst && !this.isDone
  }

  /** Whether it leaves something behind */
  leave (by: Key): boolean {
    const span = this.#spans.find(span => span.by === by)

    if (span != null) {
      span.by = span.pace = undefined
    }

    return span != null
  }

  /**
   * The later half of what another one has furthest to go, not counting what it is at. undefined: there is none, or
   * they have only begun
   */
  #halve (now: number): Span | undefined {
    const [furthest] = this.#spans
      .filter(({ pace }) => pace != null)
      .map(span => {
        const start = span.from.time + (span.pace ?? 0)
        return { span, start, left: Math.min(span.to.time, now) - start }
      })
      .filter(({ left }) => left > 1)
      .sort((a, b) => b.left - a.left)

    if (furthest == null) {
      return undefined
    }

    const { span, start, left } = furthest
    const half: Span = { from: { time: start + Math.ceil(left / 2), counter: 0 }, to: span.to, since: now }
    span.to = half.from
    this.#spans.push(half)
    return half
  }
}
