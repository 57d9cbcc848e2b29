import { EntryId } from '../log/entry-id.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { covers } from './core/ring.ts'
import { placeOf } from './holdings.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Holdings } from './holdings.ts'
import type { Answer, Question } from './wire.ts'
import type { Log } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'

export interface AnswersInit {
  clock: Clock
  log: Log
  holdings: Holdings
  /** What we keep */
  kept (): Segment[]
  /** See prunes.ts */
  removals (): number
}

/** Characters of a reason that others are told */
const MAX_REASON = 256
/** Parts of a range that one question may ask for */
const MAX_PARTS = 1024

/**
 * Answers what others ask, one question of each after the other: so that nobody can keep our disk from the rest.
 */
export class Answers {
  readonly #init: AnswersInit
  readonly #turns: Mailboxes

  constructor (init: AnswersInit) {
    this.#init = init
    this.#turns = new Mailboxes({ name: 'questions', clock: init.clock, deadline: limits.ANSWER_TIMEOUT, capacity: limits.MAX_QUESTIONS })
  }

  /** Its turn ends when the answer is on its way: who does not take answers gets no more of them */
  async answer (from: Key, question: Question, send: (answer: Answer) => Promise<void>): Promise<void> {
    await this.#turns.turn(from, async () => { await send(await this.#try(question)) })
  }

  stop (): void {
    this.#turns.stop()
  }

  async #try (question: Question): Promise<Answer> {
    try {
      return await this.#answer(question)
    } catch (err: any) {
      return { kind: 'refused', reason: err.message.slice(0, MAX_REASON) }
    }
  }

  async #answer (question: Question): Promise<Answer> {
    const { holdings } = this.#init
    const { kind } = question

    switch (kind) {
      case 'summaries':
        if (question.parts < 1 || question.parts > MAX_PARTS || question.segments.length * question.parts > limits.MAX_ASKED * 2) {
          return { kind: 'refused', reason: `${question.segments.length} segments in ${question.parts} parts each are too many` }
        }
        return { kind, summaries: await holdings.summaries(question.segments, question.parts, question.key) }
      case 'symbols':
        if (question.count > limits.MAX_SYMBOLS || question.from > 3 * limits.MAX_SKETCHED) {
          return { kind: 'refused', reason: `${question.count} symbols from ${question.from} on are too many` }
        }
        return { kind, symbols: await holdings.symbols(question.segments, question.key, question.from, question.count) }
      case 'fetch':
        return { kind, ...await holdings.byShortIds(question.segments, question.key, question.shortIds) }
      case 'pull':
        return { kind, ...await holdings.arrivals(question.from, question.segments) }
      case 'window':
        return holdings.window(question.from, question.to, question.segments)
      case 'have':
        return { kind, entries: await holdings.byIds(question.ids) }
      case 'list':
        return { kind, ...await holdings.list(question.segment, question.after) }
      case 'keep':
        return { kind, kept: await this.#keepAll(question.ids) }
    }
  }

  /** None, if anything is being let go of meanwhile: who asks does so again */
  async #keepAll (ids: Uint8Array[]): Promise<boolean[]> {
    const { removals } = this.#init
    const before = removals()
    const kept = await Promise.all(ids.map(async id => this.#keeps(id)))
    return before % 2 === 0 && removals() === before ? kept : kept.map(() => false)
  }

  /** Whether it is here, and ours to keep. The place is looked at last, and nothing comes after it */
  async #keeps (id: Uint8Array): Promise<boolean> {
    const { log, kept } = this.#init
    const entry = await log.get(new EntryId(id))
    const position = entry == null ? undefined : placeOf(entry)
    return position != null && covers(kept(), position)
  }
}
