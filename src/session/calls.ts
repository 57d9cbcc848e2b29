import { PayloadTooLargeError } from '../pubsub/errors.ts'
import * as limits from './constants.ts'
import * as errors from './errors.ts'
import type { RekeyOutcome, SendOutcome } from './core/events.ts'
import type { Call } from './core/state.ts'
import type { PeerId } from '@libp2p/interface'

interface Waiting {
  since: number
  /** Ends to listen for an abort */
  unlisten? (): void
  resolve (): void
  reject (err: unknown): void
}

/** The calls of a program that wait for an outcome of one session */
export class Calls {
  readonly #peerId: PeerId
  readonly #waiting = new Map<Call, Waiting>()
  #last = 0

  constructor (peerId: PeerId) {
    this.#peerId = peerId
  }

  get size (): number {
    return this.#waiting.size
  }

  /** `begin` is told the number of the call, and `abort` when nobody waits for it any more */
  wait (begin: (call: Call) => void, abort: (call: Call) => void, now: number, signal?: AbortSignal): Promise<void> {
    const call = ++this.#last

    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { since: now, unlisten: this.#listen(call, abort, signal), resolve, reject })
      begin(call)
    })
  }

  /** Milliseconds that it took, if it was delivered and somebody waited for that */
  sent (call: Call, outcome: SendOutcome, now: number): number | undefined {
    const waiting = this.#take(call)

    if (outcome === 'delivered') {
      waiting?.resolve()
      return waiting == null ? undefined : now - waiting.since
    }

    waiting?.reject(this.#sendError(outcome))
  }

  rekeyed (call: Call, outcome: RekeyOutcome): void {
    const waiting = this.#take(call)

    if (outcome === 'rekeyed') {
      waiting?.resolve()
    } else {
      waiting?.reject(this.#rekeyError(outcome))
    }
  }

  rejectAll (err: unknown): void {
    [...this.#waiting.keys()].forEach(call => { this.#take(call)?.reject(err) })
  }

  queueFull (): Error {
    return new errors.QueueFullError(`As much waits for ${this.#peerId} as queueMessages and queueBytes allow: ` +
      'wait for some of it to be delivered')
  }

  tooManyRekeys (): Error {
    return new errors.TooManyRekeysError(`${limits.MAX_WAITERS} calls wait for a new key with ${this.#peerId} ` +
      'already: wait for one of them')
  }

  #take (call: Call): Waiting | undefined {
    const waiting = this.#waiting.get(call)
    this.#waiting.delete(call)
    waiting?.unlisten?.()
    return waiting
  }

  #listen (call: Call, abort: (call: Call) => void, signal?: AbortSignal): (() => void) | undefined {
    const onAbort = (): void => {
      this.#take(call)?.reject(signal?.reason)
      abort(call)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    return signal == null ? undefined : () => { signal.removeEventListener('abort', onAbort) }
  }

  #sendError (outcome: Exclude<SendOutcome, 'delivered'>): Error {
    switch (outcome) {
      case 'queue-full':
        return this.queueFull()
      case 'too-large':
        return tooLarge()
      case 'aborted':
      case 'closed':
        return errors.closedError(this.#peerId)
    }
  }

  #rekeyError (outcome: Exclude<RekeyOutcome, 'rekeyed'>): Error {
    switch (outcome) {
      case 'timeout':
        return new errors.RekeyTimeoutError(`${this.#peerId} did not agree on a new key in time: it may be away`)
      case 'failed':
        return new errors.RekeyFailedError(`No new key with ${this.#peerId}: its answer did not fit, or a key could ` +
          'not be made. Try again')
      case 'too-many':
        return this.tooManyRekeys()
      case 'aborted':
      case 'closed':
        return errors.closedError(this.#peerId)
    }
  }
}

export function tooLarge (): PayloadTooLargeError {
  return new PayloadTooLargeError(`A message has ${limits.MAX_MESSAGE} bytes at most, with the name of its protocol: ` +
    'send it as a transfer, or in parts')
}
