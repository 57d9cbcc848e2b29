import { compare } from 'uint8arrays/compare'
import { MAX_AHEAD } from '../log/constants.ts'
import { positionOf } from '../log/core/keys.ts'
import { Proofs } from '../log/core/proofs.ts'
import { LogEntry } from '../log/log-entry.ts'
import { decodeEntry, hash, verifyEntries } from '../log/signatures.ts'
import { MalformedError } from '../runtime/errors.ts'
import { keptRanges } from './core/placement.ts'
import { covers, difference, intersect, RING, wrap } from './core/ring.ts'
import { NoAnswerError, NoReplicatorError } from './errors.ts'
import { placeOf } from './holdings.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { Roster } from './roster.ts'
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

const WHOLE: Segment[] = [{ from: 0, width: RING }]

/**
 * Reads what this node does not keep: each part of the ring from one that does, and from the next one where that does not answer.
 */
export class Elsewhere {
  readonly #init: ElsewhereInit

  constructor (init: ElsewhereInit) {
    this.#init = init
  }

  async keeps (group: Uint8Array): Promise<boolean> {
    return covers(this.#init.roster.kept, positionOf(await hash(group)))
  }

  async * read ({ group, signal }: AbortOptions & { group?: Uint8Array }): AsyncGenerator<Entry> {
    const wanted = group == null ? WHOLE : [{ from: positionOf(await hash(group)), width: 1 }]
    let left = difference(wanted, this.#init.roster.kept)
    let cause: Error | undefined

    for (const { peer, kept } of this.#keepers()) {
      for (const part of intersect(left, kept)) {
        const { width, failure } = yield * this.#list(peer, part, { signal })

        if (width > 0) {
          left = difference(left, [{ from: part.from, width }])
        }
        if (failure != null) {
          cause = failure
          break
        }
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
      .sort((a, b) => Number(b.isMature) - Number(a.isMature))
      .map(({ peer, segments }) => ({ peer, kept: keptRanges(segments, this.#init.replicas) }))
  }

  /** Of this part, and up to where that is all: those of one position come when all of them are there, so that another one can go on behind it */
  async * #list (peer: Key, part: Segment, { signal }: AbortOptions): AsyncGenerator<Entry, { width: number, failure?: Error }> {
    let held: Entry[] = []
    let width = 0
    let after: DecodedEntry | undefined

    for (;;) {
      let listed: { entries: DecodedEntry[], isEnd: boolean }

      try {
        listed = await this.#ask(peer, part, after, { signal })
      } catch (err: any) {
        if (err instanceof NoAnswerError) {
          return { width, failure: err }
        }
        throw err
      }

      for (const entry of await this.#verified(listed.entries)) {
        const offset = wrap(await placeOf(entry) - part.from)

        if (offset > width) {
          yield * held
          held = []
          width = offset
        }
        held.push(entry)
      }

      if (listed.isEnd) {
        yield * held
        return { width: part.width }
      }

      after = listed.entries[listed.entries.length - 1]
    }
  }

  /** What it answers is in its order, and comes nearer to the end: so it ends */
  async #ask (peer: Key, part: Segment, after: DecodedEntry | undefined, { signal }: AbortOptions): Promise<{ entries: DecodedEntry[], isEnd: boolean }> {
    const { entries: raws, isEnd } = await this.#init.questions.ask<'list'>(peer, { kind: 'list', segment: part, after: after?.id }, { signal })
    const entries = await Promise.all(raws.map(decode))
    let last = after == null ? undefined : { id: after.id, offset: wrap(await placeOf(faceOf(after, false)) - part.from) }

    for (const entry of entries) {
      const offset = wrap(await placeOf(faceOf(entry, false)) - part.from)

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

  /** Those that the log would take, too */
  async #verified (entries: DecodedEntry[]): Promise<Entry[]> {
    const { id, clock, canAppend } = this.#init
    const verdicts = await verifyEntries(entries, id)
    const latest = clock.now() + MAX_AHEAD
    const verified: Entry[] = []

    for (const [i, entry] of entries.entries()) {
      const verdict = verdicts[i]
      const face = verdict instanceof Error || entry.time > latest ? undefined : faceOf(entry, verdict === 'proved')

      if (face != null && (canAppend == null || await canAppend(face))) {
        verified.push(face)
      }
    }

    return verified
  }
}

async function decode ({ bytes, proof }: RawEntry): Promise<DecodedEntry> {
  try {
    // what arrived is a view
    return await decodeEntry({ bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) })
  } catch (err: any) {
    throw err instanceof MalformedError ? new NoAnswerError(`it answered with what is no entry: ${err.message}`) : err
  }
}

function faceOf ({ proof, ...content }: DecodedEntry, isProved: boolean): Entry {
  return new LogEntry({ ...content, proofs: new Proofs(proof), at: 0, isProved })
}
