import { compare } from 'uint8arrays/compare'
import { MAX_AHEAD } from '../log/constants.ts'
import { positionIn, positionOfGroup } from '../log/core/rows.ts'
import { LogEntry } from '../log/log-entry.ts'
import { decodeEntry, verifyEntries } from '../log/signatures.ts'
import { MalformedError } from '../runtime/errors.ts'
import { ANSWER_TIMEOUT } from './constants.ts'
import { keptRanges } from './core/placement.ts'
import { covers, difference, intersect, RING, wrap } from './core/ring.ts'
import { NoAnswerError, NoReplicatorError } from './errors.ts'
import { placeOf } from './holdings.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { Roster } from './roster.ts'
import type { Answer, Question } from './wire.ts'
import type { DecodedEntry, RawEntry } from '../log/core/types.ts'
import type { Entry } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface ElsewhereInit {
  /** The id of the log */
  id: string
  clock: Clock
  questions: Questions
  roster: Roster
  replicas: number
  canAppend? (entry: Entry): boolean | Promise<boolean>
}

/** Questions that one peer is asked at once: who asks more than MAX_QUESTIONS is not answered, and others ask in our name, too */
const MAX_AT_ONCE = 8
/** Milliseconds that one is waited for while another one may answer, and then as long as others wait. The first is a guess */
const PATIENCE = [2_000, ANSWER_TIMEOUT]
const WHOLE: Segment[] = [{ from: 0, width: RING }]

interface AskOptions extends AbortOptions {
  /** Milliseconds */
  patience: number
}

/**
 * Reads what this node does not keep: each part of the ring from one that does, and from the next one where that does not answer.
 */
export class Elsewhere {
  readonly #init: ElsewhereInit
  /** Whom we ask, how many questions that is, and who waits until one of them is answered */
  readonly #asking = new Map<Key, { count: number, waiting: Array<() => void> }>()
  /** Who did not answer the last time: a lost one is here for a while yet. They are asked last */
  readonly #silent = new Set<Key>()

  constructor (init: ElsewhereInit) {
    this.#init = init
  }

  async keeps (group: Uint8Array): Promise<boolean> {
    return covers(this.#init.roster.kept, positionOfGroup(group))
  }

  async * read ({ group, signal }: AbortOptions & { group?: Uint8Array }): AsyncGenerator<Entry> {
    const wanted = group == null ? WHOLE : [{ from: positionOfGroup(group), width: 1 }]
    let left = difference(wanted, this.#init.roster.kept)
    let cause: Error | undefined

    for (const patience of PATIENCE) {
      for (const { peer, kept } of left.length > 0 ? this.#keepers() : []) {
        for (const part of intersect(left, kept)) {
          const { width, failure } = yield * this.#list(peer, part, { patience, signal })

          if (width > 0) {
            left = difference(left, [{ from: part.from, width }])
          }
          if (failure != null) {
            cause = failure
            break
          }
        }
      }
    }

    for (const peer of this.#silent) {
      if (!this.#init.roster.here.includes(peer)) {
        this.#silent.delete(peer)
      }
    }
    if (left.length > 0) {
      throw new NoReplicatorError(`Nobody who is here shows what lies elsewhere${cause == null ? '' : `, the last one since ${cause.message}`}: wait for replicators`, { cause })
    }
  }

  /** Others that are here, those first that have been in for longer */
  #keepers (): Array<{ peer: Key, kept: Segment[] }> {
    return this.#init.roster.replicators
      .filter(({ isPresent }) => isPresent)
      .sort((a, b) => Number(this.#silent.has(a.peer)) - Number(this.#silent.has(b.peer)) || Number(b.isMature) - Number(a.isMature))
      .map(({ peer, segments }) => ({ peer, kept: keptRanges(segments, this.#init.replicas) }))
  }

  /** Of this part, and up to where that is all: those of one position come when all of them are there, so that another one can go on behind it */
  async * #list (peer: Key, part: Segment, options: AskOptions): AsyncGenerator<Entry, { width: number, failure?: Error }> {
    let held: Entry[] = []
    let width = 0
    let after: DecodedEntry | undefined

    for (;;) {
      let listed: { entries: DecodedEntry[], isEnd: boolean }

      try {
        listed = await this.#ask(peer, part, after, options)
      } catch (err: any) {
        if (err instanceof NoAnswerError) {
          return { width, failure: err }
        }
        throw err
      }

      for (const entry of await this.#verified(listed.entries)) {
        const offset = wrap(placeOf(entry) - part.from)

        if (offset > width) {
          yield * byGroup(held)
          held = []
          width = offset
        }
        held.push(entry)
      }

      if (listed.isEnd) {
        yield * byGroup(held)
        return { width: part.width }
      }

      after = listed.entries[listed.entries.length - 1]
    }
  }

  /** What it answers is in its order, and comes nearer to the end: so it ends */
  async #ask (peer: Key, part: Segment, after: DecodedEntry | undefined, options: AskOptions): Promise<{ entries: DecodedEntry[], isEnd: boolean }> {
    const { entries: raws, isEnd } = await this.#inTurn(peer, async () => this.#askWithin(peer, { kind: 'list', segment: behind(part, after), after: after?.id }, options), options)
    const entries = await Promise.all(raws.map(decode))
    let last = after == null ? undefined : { id: after.id, offset: wrap(positionIn(after) - part.from) }

    for (const entry of entries) {
      const offset = wrap(positionIn(entry) - part.from)

      if (offset >= part.width || (last != null && (offset < last.offset || (offset === last.offset && compare(entry.id, last.id) <= 0)))) {
        throw new NoAnswerError('it answered with other entries, or in another order')
      }

      last = { id: entry.id, offset }
    }

    if (!isEnd && entries.length === 0) {
      throw new NoAnswerError('it answered with nothing')
    }

    return { entries, isEnd }
  }

  async #askWithin (peer: Key, question: Extract<Question, { kind: 'list' }>, { patience, signal }: AskOptions): Promise<Extract<Answer, { kind: 'list' }>> {
    const impatience = new AbortController()
    const timer = this.#init.clock.after(patience, () => { impatience.abort(new NoAnswerError(`no answer within ${patience} ms`)) })

    try {
      const answer = await this.#init.questions.ask<'list'>(peer, question, { signal: signal == null ? impatience.signal : AbortSignal.any([signal, impatience.signal]) })
      this.#silent.delete(peer)
      return answer
    } catch (err) {
      if (impatience.signal.aborted) {
        this.#silent.add(peer)
      }
      throw err
    } finally {
      timer.cancel()
    }
  }

  async #inTurn<R> (peer: Key, ask: () => Promise<R>, { signal }: AbortOptions): Promise<R> {
    const asking = this.#asking.get(peer) ?? { count: 0, waiting: [] }
    this.#asking.set(peer, asking)

    if (asking.count === MAX_AT_ONCE) {
      // whoever is answered, or gives up, hands its place on
      await turnIn(asking.waiting, signal)
    } else {
      asking.count++
    }

    try {
      return await ask()
    } finally {
      const next = asking.waiting.shift()

      if (next != null) {
        next()
      } else if (--asking.count === 0) {
        this.#asking.delete(peer)
      }
    }
  }

  /** Those that the log would take, too */
  async #verified (entries: DecodedEntry[]): Promise<Entry[]> {
    const { id, clock, canAppend } = this.#init
    const latest = clock.now() + MAX_AHEAD
    const verified: Entry[] = []

    for (const verdict of await verifyEntries(entries, id)) {
      const face = verdict instanceof Error || verdict.time > latest ? undefined : new LogEntry(verdict)

      if (face != null && (canAppend == null || await canAppend(face))) {
        verified.push(face)
      }
    }

    return verified
  }
}

async function turnIn (waiting: Array<() => void>, signal?: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const abort = (): void => {
    const at = waiting.indexOf(resolve)

    // its turn may have come in this moment: then it hands it on
    if (at >= 0) {
      waiting.splice(at, 1)
      reject(signal?.reason)
    }
  }
  signal?.throwIfAborted()
  signal?.addEventListener('abort', abort)
  waiting.push(resolve)

  try {
    await promise
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** Other groups may lie at the same position */
function byGroup (entries: Entry[]): Entry[] {
  return entries.sort((a, b) => compare(a.group, b.group))
}

async function decode ({ bytes, proof }: RawEntry): Promise<DecodedEntry> {
  try {
    // what arrived is a view
    return await decodeEntry({ bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) })
  } catch (err: any) {
    throw err instanceof MalformedError ? new NoAnswerError(`it answered with what is no entry: ${err.message}`) : err
  }
}

/** What of a part is left from this entry on: should it be gone meanwhile, the other one still knows where it lay */
function behind (part: Segment, after?: DecodedEntry): Segment {
  if (after == null) {
    return part
  }

  const position = positionIn(after)
  return { from: position, width: part.width - wrap(position - part.from) }
}
