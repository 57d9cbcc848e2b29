import { AbortError } from '@libp2p/interface'
import { Fifo } from './bounded.ts'
import { MailboxFullError, TurnTimeoutError } from './errors.ts'
import type { Clock } from './clock.ts'
import type { AbortOptions } from '@libp2p/interface'

/**
 * What a turn does. `signal` aborts when the time of the turn is over; whoever goes on after that works for nobody.
 * Node takes 6 us to make one, so it is made for a turn that reads it
 */
export type Turn<T> = (turn: { readonly signal: AbortSignal }) => T | Promise<T>

export interface MailboxesInit {
  /** What these mailboxes are for, as `mailboxes()` prints it */
  name: string
  clock: Clock
  /** The most milliseconds of one turn; Infinity where each thing that a turn waits for has a deadline itself */
  deadline: number
  /** How many turns of one owner may wait */
  capacity: number
}

export interface MailboxStatus {
  name: string
  owner: string
  /** Turns that wait behind the running one */
  depth: number
  /** How long the running turn runs already, in milliseconds */
  age: number
  /** The longest turn since this mailbox was last idle, in milliseconds */
  longest: number
}

interface Waiting {
  run: Turn<any>
  resolve (value: any): void
  reject (err: Error): void
}

/** Mailboxes that have work at this moment: an idle one is not kept */
const busy = new Set<Mailbox>()

/** Every mailbox that has work now: what waits for what, as a table */
export function mailboxes (): MailboxStatus[] {
  return [...busy].map(mailbox => mailbox.status)
}

/** The turn that runs. Most turns never read the signal */
class Running {
  readonly since: number
  #controller?: AbortController

  constructor (since: number) {
    this.since = since
  }

  get signal (): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  abort (reason: Error): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }
}

class Mailbox {
  readonly waiting = new Fifo<Waiting>()
  readonly #init: MailboxesInit
  readonly #owner: string
  readonly #onIdle: () => void
  #running?: Running
  #longest = 0

  constructor (init: MailboxesInit, owner: string, onIdle: () => void) {
    this.#init = init
    this.#owner = owner
    this.#onIdle = onIdle
    busy.add(this)
  }

  get status (): MailboxStatus {
    const { name, clock } = this.#init
    const age = this.#running == null ? 0 : clock.now() - this.#running.since
    return { name, owner: this.#owner, depth: this.waiting.length, age, longest: Math.max(age, this.#longest) }
  }

  next (): void {
    if (this.#running != null) {
      return
    }

    const turn = this.waiting.shift()

    if (turn == null) {
      busy.delete(this)
      this.#onIdle()
      return
    }

    const { name, clock, deadline } = this.#init
    const running = this.#running = new Running(clock.now())
    const end = (): void => {
      timer?.cancel()
      // a turn that ran out of time has been left behind already
      if (this.#running === running) {
        this.#longest = this.status.longest
        this.#running = undefined
        this.next()
      }
    }
    const timer = deadline === Infinity
      ? undefined
      : clock.after(deadline, () => {
        const err = new TurnTimeoutError(`A turn of ${name} for ${this.#owner} took longer than ${deadline} ms`)
        turn.reject(err)
        running.abort(err)
        end()
      })

    new Promise(resolve => { resolve(turn.run(running)) }).then(turn.resolve, turn.reject).finally(end)
  }

  stop (): void {
    const reason = new AbortError('The owner of this mailbox stopped')
    this.waiting.clear().forEach(turn => { turn.reject(reason) })
    this.#running?.abort(reason)
  }
}

/**
 * One queue of turns an owner: what concerns one owner happens in order, different owners do not wait for each other. A
 * turn that throws or hangs fails alone.
 */
export class Mailboxes {
  readonly #init: MailboxesInit
  readonly #byOwner = new Map<string, Mailbox>()

  constructor (init: MailboxesInit) {
    this.#init = init
  }

  /** How many owners have work now */
  get size (): number {
    return this.#byOwner.size
  }

  /** Whether a turn of this owner runs or waits */
  isBusy (owner: string): boolean {
    return this.#byOwner.has(owner)
  }

  /** Runs `run` when all earlier turns of `owner` have ended */
  async turn<T> (owner: string, run: Turn<T>, { signal }: AbortOptions = {}): Promise<T> {
    signal?.throwIfAborted()
    const mailbox = this.#byOwner.get(owner) ??
      new Mailbox(this.#init, owner, () => { this.#byOwner.delete(owner) })
    const { waiting } = mailbox
    this.#byOwner.set(owner, mailbox)

    if (waiting.length >= this.#init.capacity) {
      throw new MailboxFullError(`${waiting.length} turns wait for ${owner} already: wait for some of them to end`)
    }

    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const turn: Waiting = { run, resolve, reject }
    const onAbort = (): void => {
      // one that runs already is not torn out: it ends by itself or by its deadline
      if (waiting.remove(item => item === turn).length > 0) {
        reject(signal?.reason)
      }
    }
    signal?.addEventListener('abort', onAbort)
    waiting.push(turn)
    mailbox.next()

    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Refuses what waits and tells what runs to end */
  stop (): void {
    this.#byOwner.forEach(mailbox => { mailbox.stop() })
  }
}
