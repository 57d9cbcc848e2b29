import { compare } from 'uint8arrays/compare'
import { admissionOfOthers } from '../log/admission.ts'
import { MAX_AHEAD } from '../log/constants.ts'
import { positionIn, positionOfGroup } from '../log/core/rows.ts'
import { LogEntry } from '../log/log-entry.ts'
import { decodeEntry, verifyEntries } from '../log/signatures.ts'
import { aborted } from '../runtime/aborted.ts'
import { MalformedError } from '../runtime/errors.ts'
import { Gate } from '../runtime/gate.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { ANSWER_TIMEOUT, RETRY_CAP } from './constants.ts'
import { firstPart, whole } from './core/keepers.ts'
import { keptRanges } from './core/placement.ts'
import { covers, difference, intersect, RING, wrap } from './core/ring.ts'
import { MAX_STRIKES } from './core/trust.ts'
import { NoAnswerError, NoReplicatorError } from './errors.ts'
import type { Compared } from './anti-entropy.ts'
import type { Keeper, Part } from './core/keepers.ts'
import type { Segment } from './core/ring.ts'
import type { Trust } from './core/trust.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { Roster } from './roster.ts'
import type { DecodedEntry, RawEntry, TrueEntry } from '../log/core/types.ts'
import type { Entry } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface RemoteReadsInit {
  /** The id of the log */
  id: string
  clock: Clock
  questions: Questions
  roster: Roster
  trust: Trust
  replicas: number
  canAppend? (entry: Entry): boolean | Promise<boolean>
  /** How others and we compare; undefined: the log is not open yet */
  pairs (): ReadonlyMap<Key, Compared> | undefined
}

/**
 * Questions that one peer is asked at once: it does not answer more than MAX_QUESTIONS, and others ask in our name, too
 */
const MAX_AT_ONCE = 8
/**
 * Milliseconds that a read waits for a peer while another one may answer (a guess), and then, where none has answered
 */
const PATIENCE = [2_000, ANSWER_TIMEOUT]
/** Bytes of entries of one place that one peer may tell of: they are held until all of that place are there. A guess */
const MAX_HELD = 64 * 1024 * 1024
const WHOLE: Segment[] = [{ from: 0, width: RING }]

/** All there is about asking one peer */
interface Asked {
  gate: Gate
  /** Questions in a row that the peer answered wrongly or not at all, and until when it is passed over for that */
  strikes: number
  until: number
}

/** One read, while it goes on */
interface Reading extends AbortOptions {
  /** Who did not answer in it: only where nobody does are they asked again */
  failed: Set<Key>
  cause?: Error
}

/**
 * Reads entries that are not here, or may not be. Of each part of the ring a read merges what as many keepers tell as
 * there are copies. So a keeper that hides an entry hides it from nobody, and a read believes that an entry is missing
 * only if all of those keepers say so.
 */
export class RemoteReads {
  readonly #init: RemoteReadsInit
  readonly #asked = new Map<Key, Asked>()
  /** What this node kept when it was looked at last, and where of that it had all there was */
  #kept: Segment[] = []
  #compared: Segment[] = []

  constructor (init: RemoteReadsInit) {
    this.#init = init
  }

  /** Whether all of this group is for this node to keep, and here, as far as those know who are here */
  async keeps (group: Uint8Array): Promise<boolean> {
    return covers(this.#whole(), positionOfGroup(group))
  }

  async * read ({ group, signal }: AbortOptions & { group?: Uint8Array }): AsyncGenerator<Entry> {
    const reading: Reading = { signal, failed: new Set() }
    const unknown: Segment[] = []
    let left = difference(group == null ? WHOLE : [{ from: positionOfGroup(group), width: 1 }], this.#whole())

    while (left.length > 0) {
      const part = firstPart(left, this.#keepers())

      if (!(yield * this.#part(part, reading))) {
        unknown.push(part.segment)
      }
      left = difference(left, [part.segment])
    }

    for (const peer of this.#asked.keys()) {
      if (!this.#init.roster.here.includes(peer)) {
        this.#asked.delete(peer)
      }
    }

    // of what is ours to keep we tell what we have
    if (difference(unknown, this.#init.roster.kept).length > 0) {
      const { cause } = reading
      const why = cause == null ? '' : `, the last one since ${cause.message}`
      throw new NoReplicatorError(
        `Too few who are here show what lies elsewhere${why}: wait for replicators`, { cause }
      )
    }
  }

  /** Where all there is lies here */
  #whole (): Segment[] {
    const { roster, pairs } = this.#init
    const { kept } = roster

    if (kept !== this.#kept) {
      this.#kept = kept
      this.#compared = intersect(this.#compared, kept)
    }
    if (kept === this.#compared || kept.length === 0 || roster.replicators.length === 0) {
      return kept
    }

    const others = this.#keepers().filter(({ peer }) => !this.#isPassedOver(peer))
      .map(({ peer, kept: theirs }) => ({ shared: intersect(kept, theirs), hasAll: pairs()?.get(peer)?.hasAll ?? [] }))
    const { now, compared } = whole(kept, this.#compared, others)
    // from then on it need not be looked at again
    this.#compared = difference(kept, compared).length === 0 ? kept : compared
    return now
  }

  /** Others that are here: those first that answered the last time, then those that have been in for longer */
  #keepers (): Keeper[] {
    const strikesOf = (peer: Key): number => this.#asked.get(peer)?.strikes ?? 0
    return this.#init.roster.replicators
      .filter(({ isPresent }) => isPresent)
      .sort((a, b) => strikesOf(a.peer) - strikesOf(b.peer) || Number(b.isMature) - Number(a.isMature))
      .map(({ peer, segments }) => ({ peer, kept: keptRanges(segments, this.#init.replicas) }))
  }

  /** It is asked when nobody else is left, and does not count */
  #isPassedOver (peer: Key): boolean {
    const { strikes = 0, until = 0 } = this.#asked.get(peer) ?? {}
    return (strikes >= MAX_STRIKES && until > this.#init.clock.now()) || this.#init.trust.isFailing(peer)
  }

  /**
   * Entries of one place come together, those of one group in a row. False: too few have answered for all of the part
   */
  async * #part ({ segment, keepers }: Part, reading: Reading): AsyncGenerator<Entry, boolean> {
    const counting = keepers.filter(({ peer }) => !this.#isPassedOver(peer))
    const needed = Math.max(1, Math.min(this.#init.replicas, counting.length))
    let listings: Listing[] = []
    let isKnown = true

    for (let told = 0; told < segment.width;) {
      const begin = (peer: Key): Listing => new Listing(peer, segment, told)
      listings = await this.#fill(listings, keepers, needed, begin, reading)

      if (listings.length === 0) {
        return false
      }

      isKnown &&= listings.length >= needed
      told = Math.min(...listings.map(listing => listing.toldUpTo))
      yield * await this.#verified(listings.flatMap(listing => listing.take(told)))
    }

    return isKnown
  }

  /** As many as are needed tell what comes next: one that does not is replaced by another one, who begins there */
  async #fill (
    before: Listing[], keepers: Keeper[], needed: number, begin: (peer: Key) => Listing, reading: Reading
  ): Promise<Listing[]> {
    let listings = before

    for (const patience of PATIENCE) {
      const telling = new Set(listings.map(({ peer }) => peer))
      const candidates = keepers.map(({ peer }) => peer)
        .filter(peer => !telling.has(peer) && (patience === ANSWER_TIMEOUT || !reading.failed.has(peer)))

      do {
        const some = [...listings, ...candidates.splice(0, needed - listings.length).map(begin)]
        const filled = await Promise.all(some.map(async listing => this.#fillOne(listing, patience, reading)))
        listings = filled.filter(listing => listing != null)
      } while (listings.length < needed && candidates.length > 0)

      if (listings.length > 0) {
        break
      }
    }

    return listings
  }

  /** Until it tells of something behind what it was taken for, or of the end */
  async #fillOne (listing: Listing, patience: number, reading: Reading): Promise<Listing | undefined> {
    try {
      while (!listing.isTelling) {
        listing.add(await this.#list(listing, patience, reading))

        if (listing.isAtEnd) {
          this.#askedOf(listing.peer).strikes = 0
        }
      }
      return listing
    } catch (err: any) {
      if (!(err instanceof NoAnswerError)) {
        throw err
      }

      const asked = this.#askedOf(listing.peer)
      asked.strikes++
      asked.until = this.#init.clock.now() + RETRY_CAP
      reading.failed.add(listing.peer)
      reading.cause = err
    }
  }

  async #list ({ peer, next, after }: Listing, patience: number, { signal }: Reading): Promise<Page> {
    const { questions, clock } = this.#init

    const answer = await aborted(this.#askedOf(peer).gate.run(async () => {
      signal?.throwIfAborted()
      const impatience = new AbortController()
      const timer = clock.after(patience, () => {
        impatience.abort(new NoAnswerError(`no answer within ${patience} ms`))
      })
      const options = { signal: signal == null ? impatience.signal : AbortSignal.any([signal, impatience.signal]) }

      try {
        return await questions.ask<'list'>(peer, { kind: 'list', segment: next, after: after?.id }, options)
      } finally {
        timer.cancel()
      }
    }), signal)

    return { isEnd: answer.isEnd, entries: await Promise.all(answer.entries.map(decode)) }
  }

  #askedOf (peer: Key): Asked {
    const asked = this.#asked.get(peer) ?? { gate: new Gate(MAX_AT_ONCE), strikes: 0, until: 0 }
    this.#asked.set(peer, asked)
    return asked
  }

  /** Those that the log would take, too, each once, in the order of the ring */
  async #verified (entries: DecodedEntry[]): Promise<Entry[]> {
    const { id, clock } = this.#init
    const latest = clock.now() + MAX_AHEAD
    const unique = [...new Map(entries.map(entry => [keyOfBytes(entry.id), entry])).values()]
    const verified: Entry[] = []

    for (const verdict of await verifyEntries(unique, id)) {
      if (!(verdict instanceof Error) && verdict.time <= latest && await this.#isWanted(verdict)) {
        verified.push(new LogEntry(verdict))
      }
    }

    // other groups may lie at the same position
    return verified.map(entry => ({ entry, position: positionIn({ id: entry.id.bytes, group: entry.group }) }))
      .sort((a, b) => a.position - b.position || compare(a.entry.group, b.entry.group))
      .map(({ entry }) => entry)
  }

  async #isWanted (entry: TrueEntry): Promise<boolean> {
    const { canAppend, clock } = this.#init
    return canAppend == null || await admissionOfOthers(canAppend, entry, clock) == null
  }
}

interface Page {
  entries: DecodedEntry[]
  isEnd: boolean
}

/** What one peer tells of a part, from one place in it on, page by page, as far as it was not taken yet */
class Listing {
  readonly peer: Key
  /** The last entry that it told of */
  after?: DecodedEntry
  isAtEnd = false
  readonly #part: Segment
  #held: DecodedEntry[] = []
  #bytes = 0
  #taken: number

  constructor (peer: Key, part: Segment, from: number) {
    this.peer = peer
    this.#part = part
    this.#taken = from
  }

  /** What comes next: should the last entry be gone meanwhile, the other one still knows where it lay */
  get next (): Segment {
    const { from, width } = this.#part
    const told = this.after == null ? this.#taken : this.#offset(this.after)
    return { from: wrap(from + told), width: width - told }
  }

  /** All of it that lies before there is held, or was taken. More may come of the place where the last one lies */
  get toldUpTo (): number {
    return this.isAtEnd ? this.#part.width : this.#part.width - this.next.width
  }

  get isTelling (): boolean {
    return this.toldUpTo > this.#taken
  }

  /** In its order, and nearer to the end: so it ends. Throws a NoAnswerError */
  add ({ entries, isEnd }: Page): void {
    for (const entry of entries) {
      const [least, offset] = [this.toldUpTo, this.#offset(entry)]

      const isTwice = offset === least && this.after != null && compare(entry.id, this.after.id) <= 0

      if (offset >= this.#part.width || offset < least || isTwice) {
        throw new NoAnswerError('it answered with other entries, or in another order')
      }

      this.after = entry
    }

    this.#bytes += entries.reduce((sum, { bytes, proof }) => sum + bytes.byteLength + proof.byteLength, 0)

    if (!isEnd && entries.length === 0) {
      throw new NoAnswerError('it answered with nothing')
    }
    if (this.#bytes > MAX_HELD) {
      throw new NoAnswerError(`it told of more than ${MAX_HELD} bytes that lie in one place`)
    }

    this.#held.push(...entries)
    this.isAtEnd = isEnd
  }

  take (upTo: number): DecodedEntry[] {
    const at = this.#held.findIndex(entry => this.#offset(entry) >= upTo)
    this.#taken = upTo
    this.#bytes = 0
    return this.#held.splice(0, at < 0 ? this.#held.length : at)
  }

  #offset (entry: DecodedEntry): number {
    return wrap(positionIn(entry) - this.#part.from)
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
