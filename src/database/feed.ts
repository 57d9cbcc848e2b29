import { LogClosedError } from '../log/errors.ts'
import { Bell } from '../runtime/bell.ts'
import { DatabaseClosedError } from './errors.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog, SharedLogEvents } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface FeedInit {
  log: SharedLog
  /** The arrival to begin with */
  next: number
  apply (entry: Entry, arrival: number): void
}

/**
 * Hands over all entries of a log in the order in which they arrived, each once. It reads what the log has, from its
 * position on: an event only says that there is more. So entries that came before it listened, or while it was busy,
 * make no difference.
 */
export class Feed {
  readonly #init: FeedInit
  readonly #taken = new Bell()
  readonly #controller = new AbortController()
  #next: number
  /** The last arrival that an event has reported */
  #heard = -1
  #reading?: Promise<void>
  /** The feed has reached the end of the log once */
  #isOpen = false
  #failure?: Error

  constructor (init: FeedInit) {
    this.#init = init
    this.#next = init.next
    init.log.addEventListener('entry:add', this.#onAdd)
    init.log.addEventListener('close', this.#onClose)
    this.#read()
  }

  /** All entries that arrived before this number are handed over */
  get next (): number {
    return this.#next
  }

  /** The number at which entries that have not arrived yet will begin */
  get end (): number {
    return Math.max(this.#next, this.#heard + 1)
  }

  get isEnded (): boolean {
    return this.#controller.signal.aborted
  }

  /** All entries of the log are handed over */
  get isCaughtUp (): boolean {
    return this.#isOpen && this.#next >= this.end && !this.isEnded
  }

  /**
   * Resolves when all entries that the log has at the time of the call are handed over. Throws if the database is
   * closed before that
   */
  async caughtUp ({ signal }: AbortOptions = {}): Promise<void> {
    const { end } = this

    while (!this.isEnded && !(this.#isOpen && this.#next >= end)) {
      await this.#taken.rung({ signal })
    }
    if (this.isEnded) {
      throw this.#failure ?? new DatabaseClosedError('The database is not open any more: open it again')
    }
  }

  /** Resolves when the entry with this number is handed over, if there is one, or when no more entries come */
  async reached (arrival: number, { signal }: AbortOptions = {}): Promise<void> {
    while (!this.isEnded && this.#next <= arrival) {
      await this.#taken.rung({ signal })
    }
  }

  /** Stops the feed: it hands over nothing after that */
  async stop (): Promise<void> {
    const { log } = this.#init
    log.removeEventListener('entry:add', this.#onAdd)
    log.removeEventListener('close', this.#onClose)
    this.#controller.abort()
    this.#taken.ring()
    await this.#reading
  }

  readonly #onAdd = ({ detail: { entry, arrival } }: SharedLogEvents['entry:add']): void => {
    this.#heard = Math.max(this.#heard, arrival)

    if (this.#reading == null && arrival === this.#next) {
      // the next entry comes with the event: mostly there is nothing to read
      this.#take(entry, arrival)
    } else if (arrival >= this.#next) {
      this.#read()
    }
  }

  readonly #onClose = (): void => {
    this.#controller.abort()
    this.#taken.ring()
  }

  #read (): void {
    this.#reading ??= this.#readOn().catch(err => {
      this.#failure = err instanceof LogClosedError ? undefined : err
      this.#onClose()
    })
  }

  async #readOn (): Promise<void> {
    const { log } = this.#init
    const { signal } = this.#controller
    let heard: number

    do {
      heard = this.#heard

      for await (const { arrival, entry } of log.arrivals(this.#next)) {
        if (signal.aborted) {
          return
        }
        this.#take(entry, arrival)
      }

      // entries that were removed meanwhile leave a gap
      this.#next = Math.max(this.#next, heard + 1)
    } while (heard !== this.#heard)

    this.#reading = undefined
    this.#isOpen = true
    this.#taken.ring()
  }

  #take (entry: Entry, arrival: number): void {
    this.#next = arrival + 1
    this.#init.apply(entry, arrival)
    this.#taken.ring()
  }
}
