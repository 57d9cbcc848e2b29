/** What became of a message that arrived: it was handed to the user, or its validator said no */
export type Verdict = 'accepted' | 'rejected' | 'ignored'

/** Numbers with the same verdict, both ends included */
interface Range {
  first: number
  last: number
  verdict: Verdict
}

/**
 * The verdict on each sequence number of one (origin, epoch, topic). Numbers in order extend one range; a gap begins
 * another one. Gaps are normal and may be for ever, since messages to others take numbers of the same counter.
 *
 * A fresh window has seen nothing: numbers begin at 0, and whatever is not in a range may still come. Memory is bounded
 * by a floor. A number at or below the floor is 'too-late', and its verdict is forgotten. The floor rises when somebody
 * calls `dropLowest`, or when nothing changed below a mark for `gapTtl`: then the floor rises to the mark, and the
 * highest number is the next mark. So a gap stays open for one to two times `gapTtl`, or longer while numbers come that
 * fill it.
 *
 * Invariants: ranges are sorted and disjoint; two that touch differ in their verdict; all are above the floor; a
 * verdict never changes.
 */
export class Verdicts {
  readonly #gapTtl: number
  readonly #ranges: Range[] = []
  #floor = -1
  #mark = -1
  /** When something changed at or below the mark */
  #changedAt: number

  constructor (gapTtl: number, now: number) {
    this.#gapTtl = gapTtl
    this.#changedAt = now
  }

  /** How many ranges there are */
  get size (): number {
    return this.#ranges.length
  }

  get (seq: number): Verdict | 'too-late' | undefined {
    if (seq <= this.#floor) {
      return 'too-late'
    }

    const range = this.#ranges[this.#indexOf(seq)]
    return range != null && range.first <= seq ? range.verdict : undefined
  }

  /** Of a number that has no verdict yet. The verdict on what is too late is forgotten at once */
  set (seq: number, verdict: Verdict, now: number): void {
    if (seq <= this.#floor) {
      return
    }

    const index = this.#indexOf(seq)
    const lower = this.#ranges[index - 1]
    const upper = this.#ranges[index]
    const extendsLower = lower?.last === seq - 1 && lower.verdict === verdict
    const extendsUpper = upper?.first === seq + 1 && upper.verdict === verdict

    if (seq <= this.#mark) {
      this.#changedAt = now
    }
    if (extendsLower && extendsUpper) {
      lower.last = upper.last
      this.#ranges.splice(index, 1)
    } else if (extendsLower) {
      lower.last = seq
    } else if (extendsUpper) {
      upper.first = seq
    } else {
      this.#ranges.splice(index, 0, { first: seq, last: seq, verdict })
      this.#raiseToMark(now)
    }
  }

  /** Closes the lowest gaps, and forgets the ranges below them: a sixteenth at once, since a splice costs what stays */
  dropLowest (): void {
    const lowest = this.#ranges[Math.ceil(this.#ranges.length / 16)]

    if (lowest != null) {
      this.#raise(lowest.first - 1)
    }
  }

  check (): void {
    let end = this.#floor
    let verdict: Verdict | undefined

    for (const range of this.#ranges) {
      if (range.first > range.last || range.first <= end || (range.first === end + 1 && range.verdict === verdict)) {
        throw new Error(`Range ${range.first} to ${range.last} (${range.verdict}) follows ${end} (${verdict})`)
      }
      ({ last: end, verdict } = range)
    }
  }

  /** The first range that does not end below the number */
  #indexOf (seq: number): number {
    let low = 0
    let high = this.#ranges.length

    // most numbers are above all that came
    if (high === 0 || this.#ranges[high - 1].last < seq) {
      return high
    }

    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle].last < seq) {
        low = middle + 1
      } else {
        high = middle
      }
    }

    return low
  }

  #raiseToMark (now: number): void {
    if (this.#changedAt + this.#gapTtl <= now) {
      this.#raise(this.#mark)
      this.#mark = this.#ranges[this.#ranges.length - 1]?.last ?? this.#mark
      this.#changedAt = now
    }
  }

  #raise (floor: number): void {
    if (floor > this.#floor) {
      this.#ranges.splice(0, this.#indexOf(floor + 1))
      this.#floor = floor

      if (this.#ranges.length > 0) {
        this.#ranges[0].first = Math.max(this.#ranges[0].first, floor + 1)
      }
    }
  }
}
