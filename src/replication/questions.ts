import { AbortError } from '@libp2p/interface'
import * as limits from './constants.ts'
import { NoAnswerError } from './errors.ts'
import type { ReplicationContext } from './context.ts'
import type { Key } from './core/types.ts'
import type { Answer, Message, Question } from './wire.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface QuestionsInit {
  context: Pick<ReplicationContext, 'clock' | 'trust'>
  /** Whether something large is on its way to or from this peer */
  isBusy (peer: Key): boolean
  send (to: Key, message: Message, options?: AbortOptions): Promise<void>
}

interface Open {
  to: Key
  kind: Question['kind']
  resolve (answer: Answer): void
  reject (err: Error): void
}

type AnswerTo<K extends Question['kind']> = Extract<Answer, { kind: K }>

/**
 * What was asked of others, until they answer, or are gone, or take too long: silence is a strike, see core/trust.ts.
 */
export class Questions {
  readonly #init: QuestionsInit
  readonly #open = new Map<number, Open>()
  #number = 0

  constructor (init: QuestionsInit) {
    this.#init = init
  }

  get size (): number {
    return this.#open.size
  }

  /** Rejects with a NoAnswerError */
  async ask<K extends Question['kind']> (
    to: Key, question: Extract<Question, { kind: K }>, { signal }: AbortOptions = {}
  ): Promise<AnswerTo<K>> {
    signal?.throwIfAborted()
    const number = ++this.#number
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const { context: { clock, trust }, isBusy, send } = this.#init
    const askedAt = clock.now()
    const late = (): void => {
      // the answer may be large, or behind something that is
      if (isBusy(to) && clock.now() < askedAt + limits.LARGE_TIMEOUT) {
        timer = clock.after(limits.ANSWER_TIMEOUT, late)
        return
      }

      trust.timedOut(to, askedAt, clock.now())
      reject(new NoAnswerError(`no answer within ${clock.now() - askedAt} ms`))
    }
    let timer = clock.after(limits.ANSWER_TIMEOUT, late)
    const onAbort = (): void => { reject(signal?.reason ?? new AbortError()) }
    signal?.addEventListener('abort', onAbort)
    this.#open.set(number, { to, kind: question.kind, resolve, reject })

    try {
      send(to, { type: 'question', number, question }, { signal }).catch(err => {
        reject(new NoAnswerError(`it could not be asked: ${err.message}`))
      })
      const answer = await promise

      if (answer.kind !== question.kind) {
        throw new NoAnswerError(answer.kind === 'refused'
          ? `it refused: ${answer.reason}`
          : 'it answered something else')
      }
      return answer as AnswerTo<K>
    } finally {
      this.#open.delete(number)
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  answered (from: Key, number: number, answer: Answer): void {
    const open = this.#open.get(number)

    if (open?.to === from) {
      this.#init.context.trust.answered(from)
      open.resolve(answer)
    }
  }

  /** It cannot answer any more */
  gone (peer: Key): void {
    for (const { to, reject } of this.#open.values()) {
      if (to === peer) {
        reject(new NoAnswerError('the peer is gone'))
      }
    }
  }

  stop (): void {
    for (const { reject } of this.#open.values()) {
      reject(new NoAnswerError('the log is closed'))
    }
  }
}
