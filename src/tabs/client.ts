import { encodeString, Writer } from '../runtime/codec.ts'
import { Requests } from './core/requests.ts'
import { FateUnknownError, LeaderChangedError, ProfileStoppedError, TooManyRequestsError } from './errors.ts'
import { errorFromWire, fromWire, sizeOf, toWire } from './wire.ts'
import type { Effect } from './core/requests.ts'
import type { Call, OpenLog, Page, TabEvent, ToLeader, ToTab } from './wire.ts'
import type { AbortOptions } from '@libp2p/interface'

/** A message to the leader, but for who sends it, and to whom */
type Unsigned<T> = T extends unknown ? Omit<T, 'from' | 'reign'> : never
export type ClientMessage = Unsigned<ToLeader>

export interface ClientInit {
  /** Sends to whoever leads now */
  post (message: ClientMessage): void
  /** What this tab has open */
  open (): { logs: OpenLog[], protocols: string[] }
  onEvent (event: TabEvent): void
}

export interface CallOptions extends AbortOptions {
  /** Of an append: no entry of it came before */
  since?: number
  /** Gets the number of the call, before it is sent: for what names it in its arguments */
  args? (number: number): unknown[]
  /** No second leader is asked */
  isOnce?: boolean
}

export interface WalkOptions extends AbortOptions {
  /** A new leader goes on: the arguments say where */
  resumes?: boolean
}

export interface Answer {
  number: number
  value: any
  /** How far the log was when it was answered */
  end?: number
}

interface Waiting {
  call: Call
  resolve (answer: Answer): void
  reject (err: Error): void
}

/** Asks the leader of this moment, and each after it until there is an answer. What waits is in core/requests.ts */
export class Client {
  readonly #init: ClientInit
  readonly #requests = new Requests()
  readonly #waiting = new Map<number, Waiting>()
  #stopped?: Error

  constructor (init: ClientInit) {
    this.#init = init
  }

  get waiting (): number {
    return this.#requests.size
  }

  async call (
    of: Call['of'], method: string, args: unknown[], { signal, since, args: argsOf, isOnce }: CallOptions = {}
  ): Promise<Answer> {
    signal?.throwIfAborted()

    if (this.#stopped != null) {
      throw this.#stopped
    }

    const number = this.#requests.last + 1
    const wired = toWire(argsOf?.(number) ?? args, `${method}()`)
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    // it has to be known before it is sent
    this.#waiting.set(number, { call: { number, of, method, args: wired, isRepeat: false, since }, resolve, reject })
    const effects = this.#requests.handle({ type: 'call', bytes: sizeOf(wired), isOnce })

    if (effects[0]?.type === 'refuse') {
      this.#waiting.delete(number)
      throw new TooManyRequestsError(`${this.#requests.size} calls of this tab, of ${this.#requests.bytes} bytes, ` +
        'wait to be answered already: wait for some of the promises')
    }

    this.#perform(effects)
    const onAbort = (): void => {
      this.#waiting.delete(number)
      reject(signal?.reason)
      this.#perform(this.#requests.handle({ type: 'aborted', number }))
    }
    signal?.addEventListener('abort', onAbort, { once: true })

    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Items that the leader hands over as they are asked for. With a new leader, it begins anew or goes on, or throws */
  async * walk<T> (
    of: Call['of'], method: string, argsOf: () => unknown[], { signal, resumes = false }: WalkOptions = {}
  ): AsyncGenerator<T> {
    let walk: number | undefined
    let isDone = false
    let hasTold = false

    try {
      while (!isDone) {
        const { value, number } = await (walk == null
          ? this.call(of, method, argsOf(), { signal })
          : this.call('walks', 'next', [walk], { signal }))
        const page: Page | undefined = value

        if (page == null) {
          // another leader, which does not know the walk
          if (hasTold && !resumes) {
            throw new LeaderChangedError(`Another tab leads while ${method}() was read: read it again`)
          }
          walk = undefined
          continue
        }

        walk ??= number
        isDone = page.isDone

        for (const item of page.items) {
          signal?.throwIfAborted()
          hasTold = true
          yield item
        }
      }
    } finally {
      if (walk != null && !isDone) {
        this.call('walks', 'return', [walk]).catch(() => {
          // the profile has stopped, and with it the walk
        })
      }
    }
  }

  /** A leader is ready, which knows nothing of this tab yet */
  hello (): void {
    const effects = this.#requests.handle({ type: 'leader' })
    const calls = effects.flatMap(effect => effect.type === 'send' ? this.#callOf(effect) : [])
    this.#init.post({ type: 'hello', ...this.#init.open(), calls })
  }

  /** The leader is gone, or not known */
  leaderless (): void {
    this.#perform(this.#requests.handle({ type: 'none' }))
  }

  /** From the leader of this moment */
  receive (message: Exclude<ToTab, { type: 'pong' }>): void {
    if (message.type === 'events') {
      message.events.forEach(event => { this.#init.onEvent(event) })
      this.#init.post({ type: 'ack', bytes: message.bytes })
      return
    }

    const { number, value, error, end } = message
    const waiting = this.#waiting.get(number)

    if (waiting != null && this.#requests.handle({ type: 'answered', number }).length > 0) {
      this.#waiting.delete(number)

      if (error == null) {
        waiting.resolve({ number, value: fromWire(value), end })
      } else {
        waiting.reject(errorFromWire(error))
      }
    }
  }

  stop (): void {
    const err = this.#stopped = new ProfileStoppedError('The profile was stopped in this tab: open it again')
    this.#waiting.forEach(({ reject }) => { reject(err) })
    this.#waiting.clear()
  }

  #perform (effects: Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') {
        this.#callOf(effect).forEach(call => { this.#init.post({ type: 'call', call }) })
      } else if (effect.type === 'cancel') {
        this.#init.post({ type: 'cancel', number: effect.number })
      } else if (effect.type === 'unknown') {
        const { call, reject } = this.#waiting.get(effect.number) ?? {}
        this.#waiting.delete(effect.number)
        reject?.(new FateUnknownError(`The tab that led is gone without an answer to ${call?.method}(), which may ` +
          'have happened or not: look, or call with repeats: true what can happen twice'))
      }
    }
  }

  #callOf ({ number, isRepeat }: Effect & { type: 'send' }): Call[] {
    const call = this.#waiting.get(number)?.call
    return call == null ? [] : [{ ...call, isRepeat }]
  }
}

/** What names a call of a tab for ever: in the record of an entry, and to the other side of a session */
export function requestOf (tab: string, number: number): Uint8Array {
  return new Writer(32).string(tab).uvarint(number).finish()
}

/** Who numbers the messages of a tab: its id, which has 8 characters */
export function originOf (tab: string): Uint8Array {
  return encodeString(tab)
}
