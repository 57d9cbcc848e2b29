/**
 * How much the other side may still send. Hops are reliable, but nothing below us stops a sender whose receiver does not
 * keep up: the muxer grants its window when bytes arrive, not when they are dealt with.
 *
 * The receiver says how many bytes it has dealt with in all; a number that grows, so that a late or repeated one changes
 * nothing. The sender may be `window` bytes ahead of it.
 */
export class SendCredit {
  readonly #window: number
  #dealtWith = 0
  #sent = 0

  constructor (window: number) {
    this.#window = window
  }

  get left (): number {
    return this.#dealtWith + this.#window - this.#sent
  }

  /** Sent, and not dealt with yet */
  get inFlight (): number {
    return this.#sent - this.#dealtWith
  }

  onSend (bytes: number): void {
    this.#sent += bytes
  }

  /** False: more than was ever sent is said to be dealt with */
  onGrant (dealtWith: number): boolean {
    if (dealtWith > this.#sent) {
      return false
    }
    this.#dealtWith = Math.max(this.#dealtWith, dealtWith)
    return true
  }
}

export class ReceiveCredit {
  readonly #window: number
  #received = 0
  #kept = 0
  #granted = 0

  constructor (window: number) {
    this.#window = window
  }

  /** Bytes that were received and are still kept, for a neighbour who is slower than the one that sent them */
  get kept (): number {
    return this.#kept
  }

  /** False: the sender went past what it was granted */
  onReceive (bytes: number): boolean {
    this.#received += bytes
    return this.#received <= this.#granted + this.#window
  }

  keep (bytes: number): void {
    this.#kept += bytes
  }

  release (bytes: number): void {
    this.#kept -= bytes
  }

  /** What to grant now; undefined while it is not worth a frame */
  grant (): number | undefined {
    const dealtWith = this.#received - this.#kept

    if (dealtWith - this.#granted < this.#window / 4) {
      return
    }

    this.#granted = dealtWith
    return dealtWith
  }
}
