import { EntryId } from '../log/entry-id.ts'
import { Gate } from '../runtime/gate.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { covers } from './core/ring.ts'
import { placeOf, rawOf } from './digests.ts'
import { proofOf } from './proof.ts'
import type { ReplicationContext } from './context.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Digests } from './digests.ts'
import type { Answer, Question } from './wire.ts'
import type { Log } from '../log/index.ts'

export interface AnswersInit {
  context: ReplicationContext
  log: Log
  digests: Digests
  /** What we keep */
  kept (): Segment[]
  /** See pruning.ts */
  removals (): number
  /** All that others have of what this node keeps is here */
  isSynced (): boolean
}

/** Characters of a reason that others are told */
const MAX_REASON = 256
/** Parts of a range that one question may ask for */
const MAX_PARTS = 1024
/** Answers that are worked out at once. A guess: each may hold a message's worth of entries */
const ANSWERS_AT_ONCE = 4
const NO_PROOF = new Uint8Array(0)

/**
 * Answers what others ask: one question of each after the other, and few at once, so that nobody keeps our disk or our
 * memory from the rest.
 */
export class Answers {
  readonly #init: AnswersInit
  readonly #turns: Mailboxes
  readonly #gate = new Gate(ANSWERS_AT_ONCE)

  constructor (init: AnswersInit) {
    this.#init = init
    this.#turns = new Mailboxes({
      name: 'questions', clock: init.context.clock, deadline: limits.ANSWER_TIMEOUT, capacity: limits.MAX_QUESTIONS
    })
  }

  /** Its turn ends when the answer is on its way: a peer that does not take answers gets no more of them */
  async answer (from: Key, question: Question, send: (answer: Answer) => Promise<void>): Promise<void> {
    // a peer that does not read holds no place of the gate
    await this.#turns.turn(from, async turn => {
      await send(await this.#gate.run(async () => {
        // nobody waits any more for an answer whose turn came too late
        turn.signal.throwIfAborted()
        return this.#try(from, question)
      }))
    })
  }

  stop (): void {
    this.#turns.stop()
  }

  async #try (from: Key, question: Question): Promise<Answer> {
    try {
      return await this.#answer(from, question)
    } catch (err: any) {
      return { kind: 'refused', reason: err.message.slice(0, MAX_REASON) }
    }
  }

  async #answer (from: Key, question: Question): Promise<Answer> {
    const { digests } = this.#init
    const { kind } = question

    switch (kind) {
      case 'summaries':
        if (question.parts < 1 || question.parts > MAX_PARTS ||
          question.segments.length * question.parts > limits.MAX_ASKED * 2) {
          return {
            kind: 'refused', reason: `${question.segments.length} segments in ${question.parts} parts each are too many`
          }
        }
        return { kind, summaries: await digests.summaries(question.segments, question.parts, question.key) }
      case 'symbols':
        if (question.count > this.#init.context.sizes.symbols || question.from > 3 * limits.MAX_SKETCHED) {
          return { kind: 'refused', reason: `${question.count} symbols from ${question.from} on are too many` }
        }
        return { kind, symbols: await digests.symbols(from, question) }
      case 'fetch':
        return { kind, ...await digests.byShortIds(from, question) }
      case 'pull':
        return { kind, ...await digests.arrivals(question.from, question.segments) }
      case 'window':
        return digests.window(question.from, question.to, question.segments)
      case 'list':
        return { kind, ...await digests.list(question.segment, question.after) }
      case 'keep':
        if (new Set(question.ids.map(keyOfBytes)).size < question.ids.length ||
          question.ids.length > limits.MAX_PROVEN) {
          return {
            kind: 'refused', reason: `${question.ids.length} ids are too many, or one of them stands there twice`
          }
        }
        return { kind, proofs: await this.#prove(question) }
      case 'weight':
        if (!this.#init.isSynced()) {
          return { kind: 'refused', reason: 'it does not have all of its share yet' }
        }
        return { kind, bytes: await digests.bytesIn(this.#init.kept()) }
    }
  }

  /**
   * Proofs for as many of the ids as MAX_PROVEN_BYTES of entries go for. The places are looked at when all was read,
   * and nothing comes after that. None is proven if anything was being let go of meanwhile: who asks does so again
   */
  async #prove ({ nonce, ids }: Extract<Question, { kind: 'keep' }>): Promise<Uint8Array[]> {
    const { log, context: { self, pacer }, removals } = this.#init
    const before = removals()
    const proven: Array<{ proof: Uint8Array, position?: number }> = []
    let bytes = 0

    for (const id of ids) {
      if (bytes > limits.MAX_PROVEN_BYTES) {
        break
      }

      const entry = await log.get(new EntryId(id))
      const raw = entry == null ? NO_PROOF : rawOf(entry).bytes
      bytes += raw.byteLength
      proven.push(entry == null
        ? { proof: NO_PROOF }
        : { proof: await proofOf(nonce, self, raw, pacer), position: placeOf(entry) })
    }

    const isStill = before % 2 === 0 && removals() === before
    return proven.map(({ proof, position }) => isStill && position != null && this.keeps(position) ? proof : NO_PROOF)
  }

  /** Whether what lies there is for this node to keep, at this moment */
  keeps (position: number): boolean {
    return covers(this.#init.kept(), position)
  }
}
