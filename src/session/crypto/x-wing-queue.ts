import { TurnTimeoutError } from '../../runtime/errors.ts'
import { Mailboxes } from '../../runtime/mailbox.ts'
import { CRYPTO_CAPACITY, CRYPTO_DEADLINE, INLINE_BYTES } from '../constants.ts'
import { isQuick, startThread } from './thread.ts'
import { buffersOf } from './worker-protocol.ts'
import type { CryptoProvider, Encapsulated, KeyPair } from './provider.ts'
import type { Thread } from './thread.ts'
import type { Answer, Question } from './worker-protocol.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '@libp2p/interface'

export interface XWingQueueInit {
  provider: CryptoProvider
  /** 'auto': in a worker where an operation takes longer than 1 ms on this thread */
  where: 'auto' | 'inline' | 'worker'
  createWorker?(): Worker
  clock: Clock
  log: Logger
}

/** What an operation is for: asked before it begins, and not computed if the answer is no */
type IsWanted = () => boolean
type State =
  | { type: 'inline' }
  | { type: 'worker', thread: Thread, asked: Map<number, PromiseWithResolvers<Answer>> }
  | { type: 'stopped' }

const OWNER = 'x-wing'

/**
 * The heavy part of the crypto, one operation at a time: in a worker, or on this thread with a turn of the event loop
 * between two operations. A worker that cannot be started, or ends, is done without: the operations go on here.
 */
export class XWingQueue {
  readonly #init: XWingQueueInit
  /** `mailboxes()` shows it */
  readonly #mailboxes: Mailboxes
  #state: State = { type: 'inline' }
  #lastId = 0
  #waiting = 0

  constructor (init: XWingQueueInit) {
    this.#init = init
    this.#mailboxes = new Mailboxes({
      name: 'session crypto', clock: init.clock, deadline: CRYPTO_DEADLINE, capacity: CRYPTO_CAPACITY
    })
  }

  /** How it is done at present */
  get by (): string {
    return `${this.#init.provider.name}, ${this.#state.type}`
  }

  /** Operations that have no result yet */
  get waiting (): number {
    return this.#waiting
  }

  /** Computes each operation once, as the first calls take many times as long as later ones. Waits for nothing */
  start (): void {
    const { where, log } = this.#init
    this.#state = where === 'worker' || (where === 'auto' && !isQuick()) ? this.#startWorker() : { type: 'inline' }

    void (async () => {
      const { publicKey, seed } = await this.generate(always)
      const { ciphertext, secret } = await this.encapsulate(publicKey, always)
      const same = await this.decapsulate(seed, ciphertext, always)
      ;[secret, same].forEach(bytes => bytes.fill(0))
    })().catch(err => { log('the crypto was not warmed up - %e', err) })
  }

  stop (): void {
    const state = this.#state
    this.#state = { type: 'stopped' }
    this.#mailboxes.stop()

    if (state.type === 'worker') {
      state.thread.stop()
      state.asked.forEach(({ reject }) => { reject(new Error('the sessions stop')) })
    }
  }

  /** These reject for keys and ciphertexts that are none, for what is not wanted any more, and after stop() */
  async generate (isWanted: IsWanted): Promise<KeyPair> {
    return this.#run(isWanted, 'generate', [], async provider => provider.generate())
  }

  async encapsulate (publicKey: Uint8Array, isWanted: IsWanted): Promise<Encapsulated> {
    return this.#run(isWanted, 'encapsulate', [publicKey], async provider => provider.encapsulate(publicKey))
  }

  /** Zeroes the seed */
  async decapsulate (seed: Uint8Array, ciphertext: Uint8Array, isWanted: IsWanted): Promise<Uint8Array> {
    try {
      const work = async (provider: CryptoProvider): Promise<Uint8Array> => provider.decapsulate(seed, ciphertext)
      return await this.#run(isWanted, 'decapsulate', [seed, ciphertext], work)
    } finally {
      seed.fill(0)
    }
  }

  /** Larger messages are sealed and opened by the worker, if there is one. Zeroes the key */
  seal (key: Uint8Array, head: Uint8Array, body: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const work = (provider: CryptoProvider): Uint8Array => provider.seal(key, head, body)
    return this.#here(body, key, work) ?? this.#aside('seal', [key, head, body], work)
  }

  open (
    key: Uint8Array, head: Uint8Array, sealed: Uint8Array
  ): { body: Uint8Array | undefined } | Promise<{ body: Uint8Array | undefined }> {
    const work = (provider: CryptoProvider): { body: Uint8Array | undefined } =>
      ({ body: provider.open(key, head, sealed) })
    return this.#here(sealed, key, work) ??
      this.#aside<Uint8Array | undefined>('open', [key, head, sealed], provider => work(provider).body)
        .then(body => ({ body }))
  }

  #here<T> ({ byteLength }: Uint8Array, key: Uint8Array, work: (provider: CryptoProvider) => T): T | undefined {
    if (this.#state.type !== 'worker' || byteLength <= INLINE_BYTES) {
      const result = work(this.#init.provider)
      key.fill(0)
      return result
    }
  }

  async #aside<T> (
    operation: Question['operation'], args: Uint8Array[], work: (provider: CryptoProvider) => T
  ): Promise<T> {
    try {
      return await this.#ask(operation, args, async provider => work(provider))
    } finally {
      args[0].fill(0)
    }
  }

  async #run<T> (
    isWanted: IsWanted, operation: Question['operation'], args: Uint8Array[],
    work: (provider: CryptoProvider) => Promise<T>
  ): Promise<T> {
    this.#waiting++

    try {
      return await this.#mailboxes.turn(OWNER, async () => {
        if (this.#state.type === 'stopped' || !isWanted()) {
          throw new Error('nobody wants the result any more')
        }

        return this.#ask(operation, args, work)
      })
    } catch (err: any) {
      // a worker that does not answer is as good as none
      if (err instanceof TurnTimeoutError && this.#state.type === 'worker') {
        this.#endWorker(this.#state.asked, err)
      }
      throw err
    } finally {
      this.#waiting--
    }
  }

  /** The worker, or this thread if it ends */
  async #ask<T> (
    operation: Question['operation'], args: Uint8Array[], work: (provider: CryptoProvider) => Promise<T>
  ): Promise<T> {
    const { clock, provider } = this.#init

    if (this.#state.type === 'worker') {
      const said = await this.#post(this.#state, operation, args)

      if (said?.error != null) {
        throw new Error(said.error)
      }
      if (said?.result != null) {
        return ('' in said.result ? said.result[''] : said.result) as T
      }
    }

    // another turn of the event loop: two of them never hold it together
    await new Promise<void>(resolve => { clock.soon(resolve) })
    return work(provider)
  }

  /** Undefined: the worker is gone */
  async #post (
    { thread, asked }: State & { type: 'worker' }, operation: Question['operation'], args: Uint8Array[]
  ): Promise<Answer | undefined> {
    const id = ++this.#lastId
    const answer = Promise.withResolvers<Answer>()
    const copies = args.map(bytes => Uint8Array.from(bytes))
    asked.set(id, answer)

    try {
      thread.post({ id, operation, args: copies }, buffersOf(copies))
      return await answer.promise
    } catch (err) {
      if (this.#state.type === 'stopped') {
        throw err
      }
    } finally {
      asked.delete(id)
    }
  }

  #startWorker (): State {
    const { createWorker, log } = this.#init
    const asked = new Map<number, PromiseWithResolvers<Answer>>()
    const onEnd = (err: Error): void => { this.#endWorker(asked, err) }

    try {
      const onAnswer = (said: Answer): void => { asked.get(said.id)?.resolve(said) }
      return { type: 'worker', asked, thread: startThread({ onAnswer, onEnd }, createWorker) }
    } catch (err) {
      log.error('session crypto has no worker here - %e', err)
      return { type: 'inline' }
    }
  }

  #endWorker (asked: Map<number, PromiseWithResolvers<Answer>>, err: Error): void {
    if (this.#state.type === 'worker' && this.#state.asked === asked) {
      this.#init.log.error('session crypto goes on without its worker - %e', err)
      this.#state.thread.stop()
      this.#state = { type: 'inline' }
    }

    asked.forEach(({ reject }) => { reject(err) })
  }
}

function always (): boolean {
  return true
}
