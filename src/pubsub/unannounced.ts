import * as limits from './constants.ts'
import type { Key } from './core/types.ts'
import type { Timer, Clock } from '../runtime/clock.ts'

/** A message that was published while somebody was coming who may listen to it */
export interface Missed {
  topic: string
  seq: number
  data: Uint8Array
  lane: number
  waiting: Set<Key>
}

/**
 * Peers that we have a connection to and that have not said yet what they listen to. What is published meanwhile is
 * kept for them, within bounds, so that a message right after a dial reaches whom it was dialled for: no publisher
 * waits.
 */
export class Unannounced {
  readonly #clock: Clock
  readonly #coming = new Map<Key, Timer>()
  #missed: Missed[] = []
  #bytes = 0

  constructor (clock: Clock) {
    this.#clock = clock
  }

  get size (): number {
    return this.#coming.size
  }

  get missed (): number {
    return this.#missed.length
  }

  arrive (key: Key): void {
    if (!this.#coming.has(key)) {
      this.#coming.set(key, this.#clock.after(limits.UNANNOUNCED_TIMEOUT, () => { this.leave(key) }))
    }
  }

  /** It says nothing, or is gone */
  leave (key: Key): void {
    this.introduce(key)
  }

  /** It has said what it listens to: what it may have missed, oldest first */
  introduce (key: Key): Missed[] {
    this.#coming.get(key)?.cancel()
    this.#coming.delete(key)
    const missed = this.#missed.filter(({ waiting }) => waiting.delete(key))

    if (missed.length > 0) {
      this.#missed = this.#missed.filter(({ waiting }) => waiting.size > 0)
      this.#bytes = this.#missed.reduce((sum, { data }) => sum + data.byteLength, 0)
    }

    return missed
  }

  remember (topic: string, seq: number, data: Uint8Array, lane: number, recipients: Key[]): void {
    const waiting = new Set(this.#coming.keys())
    recipients.forEach(key => waiting.delete(key))
    const bytes = this.#bytes + data.byteLength

    if (waiting.size > 0 && bytes <= limits.UNANNOUNCED_BYTES && this.#missed.length < limits.UNANNOUNCED_MESSAGES) {
      this.#missed.push({ topic, seq, data, lane, waiting })
      this.#bytes = bytes
    }
  }

  stop (): void {
    [...this.#coming.keys()].forEach(key => { this.leave(key) })
  }
}
