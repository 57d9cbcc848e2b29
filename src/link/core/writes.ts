import { TokenBucket } from '../../runtime/token-bucket.ts'

/**
 * A write costs those below us as much as some thousand bytes, however short it is: a record to be decrypted, a frame
 * of the muxer, a window update that is written for it. So a side may write as often as it likes what has so many bytes
 * on average, but only a few times what has less, until the other side grants something
 */
export const FULL = 4096
/** Short writes that a side may make until the other side grants something. A guess */
const SHORT_WRITES = 64
/** Short ones after which the other side grants: before the writer has to wait */
const GRANT_AFTER_WRITES = SHORT_WRITES / 2
/** Short ones that may have been on their way for long, and come at once: those of half a minute. A guess */
const SHORT_READS = 512
/** Milliseconds that a short write waits which nobody granted, the first and the longest; each waits twice as long */
const WAIT_FIRST = 2
const WAIT_CAP = 200
/** Short ones that a grant may bring: those that wait for less than the longest, too */
const GRANTED = SHORT_WRITES + Math.ceil(Math.log2(WAIT_CAP / WAIT_FIRST))

/** What a write or read of so many bytes leaves for short ones: more if it is long */
function gainOf (bytes: number): number {
  return bytes / FULL - 1
}

/**
 * How often a side writes. Bundling makes it seldom, but who says a little in each turn would write in each turn: after
 * some of those, what is to be written waits until it is more, or the other side has granted something, or for a moment
 * that becomes longer each time.
 */
export class Writes {
  #left = SHORT_WRITES
  #wait = WAIT_FIRST

  /** Milliseconds until so many bytes may be written, if nothing is granted until then */
  waitFor (bytes: number): number {
    return bytes >= FULL || this.#left >= 1 ? 0 : this.#wait
  }

  /** So long it waited, and nothing was granted */
  waited (): void {
    this.#left = Math.max(this.#left, 1)
    this.#wait = Math.min(WAIT_CAP, this.#wait * 2)
  }

  wrote (bytes: number): void {
    this.#left = Math.max(0, Math.min(SHORT_WRITES, this.#left + gainOf(bytes)))
  }

  granted (): void {
    this.#left = SHORT_WRITES
    this.#wait = WAIT_FIRST
  }
}

/**
 * How often the other side has written, and whether it bundles what it writes, as `Writes` does. What comes on other
 * streams or connections counts together.
 *
 * Invariant: who keeps to `Writes` is never refused, but where the line stood still for more than half a minute.
 */
export class Reads {
  readonly #left: TokenBucket
  #ungranted = 0

  constructor (now: number) {
    this.#left = new TokenBucket({ rate: 1000 / WAIT_CAP, burst: SHORT_READS }, now)
  }

  /** Whether so many short ones came that the other side should be told that they did */
  get isWorthAGrant (): boolean {
    return this.#ungranted >= GRANT_AFTER_WRITES
  }

  /** False: nobody who bundles writes so often */
  came (bytes: number, now: number): boolean {
    this.#ungranted = Math.max(0, this.#ungranted - gainOf(bytes))
    this.#left.spend(-gainOf(bytes), now)
    return this.#left.level(now) >= 0
  }

  granted (now: number): void {
    this.#ungranted = 0
    this.#left.spend(-GRANTED, now)
  }
}
