import type { Key } from './types.ts'

/** Misses in a row after which nobody counts on a peer any more. A guess */
export const MAX_STRIKES = 3

/** Misses of one peer in a row. A peer without an entry has done what it said */
interface Strikes {
  /** Questions that the peer let time out */
  silent: number
  /** When it was struck for silence last: questions that were asked before say nothing new */
  struckAt: number
  /** Samples that the peer said it keeps, and did not prove to have */
  unproven: number
}

/**
 * Which of the peers that claim a share can be counted on. Silence is an answer, and so is a sample without its proof.
 *
 * | event | effect |
 * |---|---|
 * | an answer came in time | its silence is forgotten |
 * | a question timed out | a strike for silence: one for all that were asked before the last strike |
 * | a sample was proven | all is forgotten |
 * | a sample was not proven: refused, empty, wrong | a strike |
 * | the peer left | all is forgotten |
 *
 * A peer fails while it has MAX_STRIKES of one kind. It is sent what it says it keeps, but is passed over for reads and
 * for acks, and what it confirms does not count.
 */
export class Trust {
  readonly #strikes = new Map<Key, Strikes>()

  /** Peers that fail, and why */
  get failing (): Array<{ peer: Key, reason: 'silent' | 'unproven' }> {
    return [...this.#strikes]
      .filter(([peer]) => this.isFailing(peer))
      .map(([peer, { unproven }]) => ({ peer, reason: unproven >= MAX_STRIKES ? 'unproven' : 'silent' }))
  }

  isFailing (peer: Key): boolean {
    const { silent, unproven } = this.#strikes.get(peer) ?? { silent: 0, unproven: 0 }
    return silent >= MAX_STRIKES || unproven >= MAX_STRIKES
  }

  /** Whether the last thing that it was asked was not answered in time */
  isSilent (peer: Key): boolean {
    return (this.#strikes.get(peer)?.silent ?? 0) > 0
  }

  answered (peer: Key): void {
    const strikes = this.#strikes.get(peer)

    if (strikes != null) {
      strikes.silent = 0
    }
    if (strikes?.unproven === 0) {
      this.#strikes.delete(peer)
    }
  }

  timedOut (peer: Key, askedAt: number, now: number): void {
    const strikes = this.#of(peer)

    if (askedAt >= strikes.struckAt) {
      strikes.silent++
      strikes.struckAt = now
    }
  }

  proved (peer: Key): void {
    this.#strikes.delete(peer)
  }

  unproven (peer: Key): void {
    this.#of(peer).unproven++
  }

  gone (peer: Key): void {
    this.#strikes.delete(peer)
  }

  #of (peer: Key): Strikes {
    const strikes = this.#strikes.get(peer) ?? { silent: 0, struckAt: -Infinity, unproven: 0 }
    this.#strikes.set(peer, strikes)
    return strikes
  }
}
