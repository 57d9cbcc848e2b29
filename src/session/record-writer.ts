import { Backoff } from '../runtime/backoff.ts'
import { StoreInUseError } from '../runtime/errors.ts'
import { STORE_RETRY_CAP, STORE_RETRY_FIRST, STORE_SLOW } from './constants.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'

export interface RecordWriterInit {
  clock: Clock
  random: Random
  store (revision: number, record: Uint8Array): Promise<void>
  /** All up to this revision is stored */
  onStored (revision: number): void
  /** The disk fails, and is tried again, or does not answer */
  onProblem (err: Error): void
  /** The store is somebody else's: nothing is written any more */
  onLost (err: StoreInUseError): void
}

interface Pending {
  revision: number
  record: Uint8Array
}

/**
 * Writes the records of one session, one write at a time. Only the newest record waits: it is in place of all earlier
 * ones. A disk that fails is tried again, and what depends on the record waits so long.
 */
export class RecordWriter {
  readonly #init: RecordWriterInit
  readonly #backoff: Backoff
  readonly #idle: Array<() => void> = []
  #pending?: Pending
  #isWriting = false
  #timer?: Timer
  #problem?: string
  #isStopped = false

  constructor (init: RecordWriterInit) {
    const { random } = init
    this.#init = init
    this.#backoff = new Backoff({ first: STORE_RETRY_FIRST, cap: STORE_RETRY_CAP, random })
  }

  /** Why the last write failed, or that the present one does not end; undefined: neither */
  get problem (): string | undefined {
    return this.#problem
  }

  get isIdle (): boolean {
    return this.#pending == null && !this.#isWriting
  }

  /** Takes the record over, and zeroes it when it is stored or a newer one is there */
  write (revision: number, record: Uint8Array): void {
    if (this.#isStopped) {
      record.fill(0)
      return
    }

    this.#pending?.record.fill(0)
    this.#pending = { revision, record }
    this.#next()
  }

  /** Resolves when nothing waits to be written, or nothing is written any more */
  async whenIdle (): Promise<void> {
    if (!this.isIdle && !this.#isStopped) {
      await new Promise<void>(resolve => { this.#idle.push(resolve) })
    }
  }

  /** What waits is dropped. A write that is under way ends by itself */
  stop (): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#pending?.record.fill(0)
    this.#pending = undefined
    this.#rest()
  }

  #next (): void {
    const next = this.#pending

    if (this.#isStopped || this.#isWriting || this.#timer != null) {
      return
    }
    if (next == null) {
      this.#rest()
      return
    }

    this.#pending = undefined
    this.#isWriting = true
    void this.#write(next)
  }

  async #write ({ revision, record }: Pending): Promise<void> {
    const { clock, onProblem } = this.#init
    const slow = clock.after(STORE_SLOW, () => {
      const err = new Error(`the disk has not answered for ${STORE_SLOW / 1000} seconds`)
      this.#problem = err.message
      onProblem(err)
    })
    slow.unref?.()

    try {
      await this.#init.store(revision, record).finally(() => { slow.cancel() })
      record.fill(0)
      this.#problem = undefined
      this.#backoff.reset()
      this.#isWriting = false
      this.#init.onStored(revision)
      this.#next()
    } catch (err: any) {
      this.#isWriting = false
      this.#failed(err, { revision, record })
    }
  }

  #failed (err: Error, pending: Pending): void {
    if (this.#isStopped || this.#pending != null) {
      pending.record.fill(0)
    } else {
      this.#pending = pending
    }
    if (err instanceof StoreInUseError) {
      this.stop()
      this.#init.onLost(err)
      return
    }
    if (this.#isStopped) {
      return
    }

    this.#problem = `${err.message}`
    this.#init.onProblem(err)
    this.#timer = this.#init.clock.after(this.#backoff.next(), () => {
      this.#timer = undefined
      this.#next()
    })
  }

  #rest (): void {
    this.#idle.splice(0).forEach(resolve => { resolve() })
  }
}
