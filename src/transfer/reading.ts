import { InvalidParametersError } from '@libp2p/interface'
import { concat } from 'uint8arrays/concat'
import { OfferOverError, TransferRejectedError } from './errors.ts'
import { EndReason } from './wire.ts'
import type { IncomingTransfer, TransferProgress } from './index.ts'

/** A payload that comes in, as its reader sees it */
export interface Readable {
  readonly progress: TransferProgress
  /** The next chunk, when there is one; undefined at the end */
  take (): Promise<Uint8Array | undefined>
  from (): Promise<number>
  abort (reason?: Error): void
  settle (reason: EndReason, err: Error): void
}

/** What a program has of an offer that it accepted */
export class Reading implements IncomingTransfer {
  readonly #payload: Readable
  readonly #iterator: AsyncIterator<Uint8Array>

  constructor (payload: Readable) {
    this.#payload = payload
    this.#iterator = {
      next: async () => {
        const value = await payload.take()
        return value == null ? { done: true, value: undefined } : { done: false, value }
      },
      return: async () => {
        payload.settle(EndReason.STOPPED, new OfferOverError('The program took no more of it'))
        return { done: true, value: undefined }
      }
    }
  }

  get progress (): TransferProgress {
    return this.#payload.progress
  }

  [Symbol.asyncIterator] (): AsyncIterator<Uint8Array> {
    return this.#iterator
  }

  async from (): Promise<number> {
    return this.#payload.from()
  }

  abort (reason?: Error): void {
    this.#payload.abort(reason)
  }

  /** No memory is taken for what is only declared: when half of it is here, the whole is put together as it comes */
  async bytes (max: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let whole: Uint8Array | undefined
    let from: number | undefined
    let length = 0

    if (typeof max !== 'number' || !(max >= 0)) {
      const err = new InvalidParametersError('bytes() takes the most that you have room for, a number, ' +
        `not ${String(max)}`)
      this.abort(err)
      throw err
    }

    for await (const chunk of this) {
      from ??= await this.from()
      // what the program has is not among it
      const size = Math.max(0, (this.progress.size ?? 0) - from)

      if (Math.max(size, length + chunk.byteLength) > max) {
        const err = new TransferRejectedError(`More than ${max} bytes are offered`, 'too-large')
        this.#payload.settle(EndReason.TOO_LARGE, err)
        throw err
      }
      if (whole == null && size > 0 && (length + chunk.byteLength) * 2 >= size) {
        whole = new Uint8Array(size)
        whole.set(concat(chunks.splice(0), length))
      }

      whole == null ? chunks.push(chunk) : whole.set(chunk, length)
      length += chunk.byteLength
    }

    return whole ?? concat(chunks, length)
  }
}
