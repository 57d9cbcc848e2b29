import { Fifo } from '../../runtime/bounded.ts'

/** What the two sides of a channel tell each other of where they stand */
export interface Standing {
  /** The life of the side that says this */
  life: number
  /** The life of the other side that it knows; 0 for none */
  of: number
  /** Bytes that it has received, in all, from that life */
  received: number
  /**
   * Where its own frames begin on this channel. Only the answer to a hello can say so: what the opener had received
   * when it
   * said hello may have become more since, and been granted on an earlier channel, so that it is here no more
   */
  from: number
}

/** Whole frames that were taken together: the parts they consist of, and how many bytes had been sent behind them */
interface Unit {
  parts: Uint8Array[]
  bytes: number
  end: number
}

/** Somebody waits until the other side has dealt with what was sent so far, or until nobody can tell any more */
interface Mark {
  end: number
  onTaken (): void
  onLost (): void
}

/** Bytes that were dealt with and are granted at once. A guess: a sender that keeps little on its way waits for them */
const GRANT_BYTES = 128 * 1024

export interface FlightInit {
  /** Bytes that the other side may send before this side has dealt with them */
  window: number
  /** A number that no other life of this side has. Not 0 */
  newLife (): number
}

/**
 * Two streams of frames, one each way, that outlive the channels that carry them. Each side has a life: a number that
 * is
 * made anew when it forgets the other. Two lives that know each other are a pairing, and both streams belong
 * to it. A pairing that was forgotten never comes back.
 *
 * Both sides count the bytes of all frames but HELLO and CREDIT, from the beginning of the pairing. The sender keeps
 * what
 * the receiver has not dealt with yet. Each channel begins with how much each side has received, and the other side
 * goes
 * on exactly there. So in a pairing each frame arrives once and in order, however many channels end meanwhile:
 *
 * ```
 *            kept for another channel
 *         ├───────────────────────────────┤
 *         │ unacked        │ again        │ not taken from the outbox yet
 *    ─────┴────────────────┴──────────────┴────────
 *      dealtWith     sent on this     sent, in all
 *                     channel
 * ```
 *
 * Invariants (`check`): dealtWith <= sent <= dealtWith + the window of the other side; unacked and again, one behind
 * the
 * other, are the bytes up to `sent` without a gap; granted <= received <= granted + window.
 *
 * Credit: nothing below us stops a sender whose receiver does not keep up, since a muxer grants its window when bytes
 * arrive. The receiver says how many bytes it has dealt with in all; a number that only grows, so that a late or
 * repeated one changes nothing. The sender may be a window ahead of it.
 */
export class Flight {
  readonly #window: number
  readonly #newLife: () => number
  #life: number
  #their = 0
  /** Whether both sides have said hello in this pairing */
  #isPaired = false
  /** Counts the pairings: what was kept in an earlier one is not released in a later one */
  #pairing = 0

  #remoteWindow = 0
  #sent = 0
  #dealtWith = 0
  #unacked = new Fifo<Unit>()
  #again = new Fifo<Unit>()
  /** Of what was sent, and of what is being taken to be sent */
  #marks = new Fifo<Mark>()
  #newMarks: Mark[] = []

  #received = 0
  #kept = 0
  #granted = 0

  constructor ({ window, newLife }: FlightInit) {
    this.#window = window
    this.#newLife = newLife
    this.#life = newLife()
  }

  get standing (): Standing {
    const first = this.#again.peek()
    return {
      life: this.#life,
      of: this.#their,
      received: this.#received,
      from: first == null ? this.#sent : first.end - first.bytes
    }
  }

  /** Bytes that may be sent now */
  get left (): number {
    return this.#dealtWith + this.#remoteWindow - this.#sent
  }

  /** Bytes that were sent in all */
  get sent (): number {
    return this.#sent
  }

  /** Sent, and not dealt with yet */
  get inFlight (): number {
    return this.#sent - this.#dealtWith
  }

  /** Bytes that were received and are still kept, for a neighbour that is slower than the one that sent them */
  get kept (): number {
    return this.#kept
  }

  get received (): number {
    return this.#received
  }

  /** Whether some of what was sent has to be sent again on this channel, before anything new */
  get hasAgain (): boolean {
    return this.#again.length > 0
  }

  /**
   * A channel begins. 'resumed': in the pairing that there was. 'paired': for the first time in this pairing.
   * 'other-life': the other side has begun anew, so nothing that was sent to its earlier life arrives any more.
   * 'lie': no honest peer can stand there.
   */
  meet (hello: Standing, window: number, isAnswer: boolean): 'resumed' | 'paired' | 'other-life' | 'lie' {
    const isSame = hello.life === this.#their
    // who does not know this life yet has received nothing from it
    const received = hello.of === this.#life ? hello.received : 0
    const isFirst = !this.#isPaired

    if (isSame && (hello.of === this.#life || (this.#received === 0 && this.#dealtWith === 0))) {
      if (received > this.#sent || hello.from > this.#received) {
        return 'lie'
      }
      this.#rewind(received)
      this.#pair(window)
      return isFirst ? 'paired' : 'resumed'
    }

    if (hello.from > 0) {
      return 'lie'
    }

    const isOther = this.#their !== 0

    this.#reset()

    // a hello may come late, from a life that is over. When the other side then comes back to the pairing that is
    // forgotten
    // here, it must not take this side's next pairing for that one. An answer does not come late, and is to a life that
    // was said
    if (isOther && !isAnswer) {
      this.#life = this.#newLife()
    }

    this.#their = hello.life
    this.#pair(window)
    return isOther ? 'other-life' : 'paired'
  }

  /** Begins a new life of this side, which knows no other side */
  renew (): void {
    this.#life = this.#newLife()
    this.#reset()
  }

  // sending

  /** Whole frames were taken to be sent */
  push (parts: Uint8Array[], bytes: number): void {
    this.#sent += bytes
    this.#unacked.push({ parts, bytes, end: this.#sent })

    for (const mark of this.#newMarks.splice(0)) {
      mark.end = this.#sent
      this.#marks.push(mark)
    }
  }

  /** Waits for the units that are taken now and pushed next. Of the two callbacks one is called, once */
  mark (onTaken: () => void, onLost: () => void): void {
    this.#newMarks.push({ end: Infinity, onTaken, onLost })
  }

  /** Whole frames that were sent on an earlier channel and did not arrive there */
  takeAgain (): Uint8Array[] | undefined {
    const unit = this.#again.shift()

    if (unit != null && unit.end > this.#dealtWith) {
      this.#unacked.push(unit)
    }

    return unit?.parts
  }

  /** 'lie': more than was ever sent is said to be dealt with */
  onGrant (dealtWith: number): 'more' | 'same' | 'lie' {
    if (dealtWith > this.#sent) {
      return 'lie'
    }
    if (dealtWith <= this.#dealtWith) {
      return 'same'
    }

    this.#dealtWith = dealtWith

    // what is to be sent again is sent: the channel counts from its beginning, without a gap
    while ((this.#unacked.peek()?.end ?? Infinity) <= dealtWith) {
      this.#unacked.shift()
    }
    while ((this.#marks.peek()?.end ?? Infinity) <= dealtWith) {
      this.#marks.shift()?.onTaken()
    }

    return 'more'
  }

  // receiving

  /** False: the sender went past what it was granted */
  onReceive (bytes: number): boolean {
    this.#received += bytes
    return this.#received <= this.#granted + this.#window
  }

  /** Keeps so many bytes of what was received from being granted, until the function it returns is called */
  keep (bytes: number): () => void {
    const pairing = this.#pairing
    let left = bytes
    this.#kept += bytes

    return () => {
      if (pairing === this.#pairing) {
        this.#kept -= left
        left = 0
      }
    }
  }

  /** Bytes that were dealt with, and the other side was not told */
  get ungranted (): number {
    return this.#received - this.#kept - this.#granted
  }

  /** Whether they are so many that the other side may be waiting to hear of them */
  get isWorthAGrant (): boolean {
    return this.ungranted >= Math.min(GRANT_BYTES, this.#window / 4)
  }

  /** What to tell the other side now: how many bytes were dealt with in all */
  grant (): number {
    this.#granted = Math.max(this.#granted, this.#received - this.#kept)
    return this.#granted
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    const units = [...this.#unacked, ...this.#again]
    let end = units.length > 0 ? units[0].end - units[0].bytes : this.#sent

    if (this.#dealtWith > this.#sent || this.left < 0) {
      throw new Error(`dealt with ${this.#dealtWith}, sent ${this.#sent}, left ${this.left}`)
    }
    for (const unit of units) {
      if (unit.end - unit.bytes !== end || unit.parts.reduce((sum, part) => sum + part.byteLength, 0) !== unit.bytes) {
        throw new Error(`a gap behind ${end}: ${unit.end} - ${unit.bytes}`)
      }
      end = unit.end
    }
    if (end !== this.#sent || this.#granted > this.#received || this.#received > this.#granted + this.#window) {
      throw new Error(`kept up to ${end}, sent ${this.#sent}; received ${this.#received}, granted ${this.#granted}`)
    }
  }

  /** What is kept for another channel is bounded here, whatever the other side says that it takes */
  #pair (window: number): void {
    this.#isPaired = true
    this.#remoteWindow = Math.min(window, this.#window)
  }

  #reset (): void {
    this.#their = 0
    this.#isPaired = false
    this.#pairing++
    this.#sent = 0
    this.#dealtWith = 0
    this.#remoteWindow = 0
    this.#received = 0
    this.#kept = 0
    this.#granted = 0
    this.#unacked.clear()
    this.#again.clear()
    const lost = [...this.#marks.clear(), ...this.#newMarks.splice(0)]
    lost.forEach(({ onLost }) => { onLost() })
  }

  /** The other side has received so many bytes, or more: the rest of what is here is sent again */
  #rewind (received: number): void {
    const units = [...this.#unacked, ...this.#again]
    this.#unacked.clear()
    this.#again.clear()

    for (const unit of units) {
      if (unit.end > received) {
        this.#again.push(unit.end - unit.bytes >= received ? unit : tailOf(unit, unit.end - received))
      }
    }
  }
}

/** The last `bytes` of a unit */
function tailOf (unit: Unit, bytes: number): Unit {
  const parts: Uint8Array[] = []
  let left = bytes

  for (const part of unit.parts.toReversed()) {
    if (left > 0) {
      parts.unshift(part.subarray(Math.max(0, part.byteLength - left)))
      left -= parts[0].byteLength
    }
  }

  return { parts, bytes, end: unit.end }
}
