import { Pace } from '../../link/core/pace.ts'
import { LEAF_BYTES, MAX_FLIGHT, PROBE_CAP, PROBE_FIRST, PROBE_MIN, STATUS_AFTER, STATUS_BYTES } from '../constants.ts'

/**
 * How many bytes may be in flight to one peer: as many as it deals with in the time that a round trip takes, and a
 * little more, see `Pace`. It may slow a transfer down, and never stops one: a leaf may always go
 */
export class RateWindow {
  /**
   * The other side says where it stands after STATUS_BYTES, or STATUS_AFTER: so much has to be on its way until then
   */
  readonly #pace = new Pace({ target: STATUS_AFTER + 5, floor: 2 * STATUS_BYTES })
  #sent = 0
  #released = 0

  get bytes (): number {
    return Math.max(LEAF_BYTES, Math.min(MAX_FLIGHT, this.#pace.window))
  }

  /** Bytes a millisecond that the other side takes, as far as is known; else Infinity */
  get rate (): number {
    return this.#pace.rate
  }

  sent (bytes: number, now: number): void {
    this.#sent += bytes
    this.#pace.sent(this.#sent, this.#released, now)
  }

  /** There was more to send than the window allowed */
  limited (): void {
    this.#pace.limited(this.#sent)
  }

  acked (bytes: number, now: number): void {
    this.#released += bytes
    this.#pace.granted(this.#released, now)
  }

  /** Bytes left flight that nobody acked: they say nothing of the rate */
  discarded (bytes: number): void {
    this.#released += bytes
    this.#pace.forget()
  }
}

/**
 * How long an answer takes (RFC 9002, 5.3), and when one is asked for (6.2): never to send something again by itself
 */
export class RoundTrip {
  #smoothed?: number
  #variation = 0
  #backoff = 1

  get smoothed (): number | undefined {
    return this.#smoothed
  }

  /** Milliseconds without a word after which to ask */
  get timeout (): number {
    const first = this.#smoothed == null
      ? PROBE_FIRST
      : this.#smoothed + Math.max(4 * this.#variation, 10) + STATUS_AFTER
    return Math.min(PROBE_CAP, Math.max(PROBE_MIN, first) * this.#backoff)
  }

  measured (ms: number): void {
    this.#variation = this.#smoothed == null ? ms / 2 : 0.75 * this.#variation + 0.25 * Math.abs(this.#smoothed - ms)
    this.#smoothed = this.#smoothed == null ? ms : 0.875 * this.#smoothed + 0.125 * ms
  }

  heard (): void {
    this.#backoff = 1
  }

  asked (): void {
    this.#backoff = Math.min(64, this.#backoff * 2)
  }
}
