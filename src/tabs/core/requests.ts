import { MAX_WAITING_BYTES, MAX_REQUESTS } from '../constants.ts'

interface Request {
  bytes: number
  /** No second leader is asked */
  isOnce: boolean
  /** A leader has heard of it, which may be gone */
  isSent: boolean
}

export type Event =
  | { type: 'call', bytes: number, isOnce?: boolean }
  /** A leader is there that knows nothing of this tab yet */
  | { type: 'leader' }
  /** It is gone */
  | { type: 'none' }
  | { type: 'answered', number: number }
  | { type: 'aborted', number: number }

export type Effect =
  /** `isRepeat`: an earlier leader may have done it */
  | { type: 'send', number: number, isRepeat: boolean }
  | { type: 'cancel', number: number }
  | { type: 'refuse' }
  /** Nobody will ever say whether it happened */
  | { type: 'unknown', number: number }
  | { type: 'settle', number: number }

/**
 * What a tab has asked for, and has no answer to. It keeps each request until there is one: a new leader is asked
 * again, in the order of the numbers, for all that an earlier one has not answered, but for what is asked once only.
 *
 * | event    | what happens                                                           |
 * |----------|------------------------------------------------------------------------|
 * | call     | a new number; sent if there is a leader; refused if too much waits     |
 * | leader   | all that wait are sent, in order                                       |
 * | none     | nothing is sent from here on; unknown, what was sent and is asked once |
 * | answered | settled, once                                                          |
 * | aborted  | forgotten; the leader is told, if it has heard of it                   |
 *
 * Invariants: a request is sent once to each leader (R1). It is a repeat if, and only if, an earlier leader was sent it
 * (R2). Numbers ascend in what a leader is sent (R3). What waits is bounded (R4).
 */
export class Requests {
  readonly #waiting = new Map<number, Request>()
  #last = 0
  #bytes = 0
  #hasLeader = false

  get size (): number {
    return this.#waiting.size
  }

  get bytes (): number {
    return this.#bytes
  }

  /** The number of the last call */
  get last (): number {
    return this.#last
  }

  handle (event: Event): Effect[] {
    switch (event.type) {
      case 'call':
        return this.#call(event)
      case 'leader':
        this.#hasLeader = true
        return [...this.#waiting].map(([number, request]) => this.#send(number, request))
      case 'none':
        this.#hasLeader = false
        return [...this.#waiting].flatMap(([number, { isOnce, isSent }]) => {
          const isUnknown = isOnce && isSent && this.#forget(number) != null
          return isUnknown ? { type: 'unknown', number } : []
        })
      case 'answered':
        return this.#forget(event.number) == null ? [] : [{ type: 'settle', number: event.number }]
      case 'aborted':
        return this.#forget(event.number)?.isSent === true && this.#hasLeader
          ? [{ type: 'cancel', number: event.number }]
          : []
    }
  }

  #call ({ bytes, isOnce = false }: Event & { type: 'call' }): Effect[] {
    const isFull = this.#waiting.size >= MAX_REQUESTS || (this.#bytes > 0 && this.#bytes + bytes > MAX_WAITING_BYTES)

    if (isFull) {
      return [{ type: 'refuse' }]
    }

    const number = ++this.#last
    const request: Request = { bytes, isOnce, isSent: false }
    this.#waiting.set(number, request)
    this.#bytes += bytes
    return this.#hasLeader ? [this.#send(number, request)] : []
  }

  #send (number: number, request: Request): Effect {
    const isRepeat = request.isSent
    request.isSent = true
    return { type: 'send', number, isRepeat }
  }

  #forget (number: number): Request | undefined {
    const request = this.#waiting.get(number)
    this.#waiting.delete(number)
    this.#bytes -= request?.bytes ?? 0
    return request
  }
}
