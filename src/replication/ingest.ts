import { decodeContent } from '../log/core/entry.ts'
import { positionOf, positionOfGroup } from '../log/core/rows.ts'
import { LruMap } from '../runtime/bounded.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { sha256 } from '../runtime/sha256.ts'
import { Tally } from '../runtime/tally.ts'
import * as limits from './constants.ts'
import { covers, RING, widthOf } from './core/ring.ts'
import { entrySize, Outcome } from './wire.ts'
import type { ReplicationContext } from './context.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Message } from './wire.ts'
import type { RawEntry } from '../log/core/types.ts'
import type { JoinOutcome, Log } from '../log/index.ts'

export interface IngestInit {
  context: ReplicationContext
  log: Log
  /** Where the entries lie that are for this node to keep; another array when it changes */
  kept (): Segment[]
  /**
   * Makes room for so many bytes of what is for this node to keep; false: there is none. And how many of them are here
   * then
   */
  take (bytes: number): boolean
  settle (taken: number, added: number): void
  /** Some of what was just stored may be for others to keep by now */
  onMoved (): void
  send (to: Key, message: Message): Promise<void>
  /** Some of a batch was new here; so many others had been sent it, too */
  onAdded (from: Key, reach: number): void
}

/** Peers whose clocks are told of: the last ones. A guess */
const MAX_CLOCKS = 64

/**
 * What others send is stored, if it is for this node to keep: of each peer one batch after the other, and it hears what
 * became of each entry. What waits is bounded in bytes, for each peer and for all: a peer that sends more than it may
 * have under way is not answered.
 */
export class Ingest {
  readonly #init: IngestInit
  readonly #batches: Mailboxes
  /** Bytes that wait, by peer, and of all */
  readonly #waiting = new Tally()
  /**
   * By how many milliseconds the entries of a peer were ahead of our clock, further than the log takes them, and when
   * that was
   */
  readonly #ahead = new LruMap<Key, { by: number, at: number }>(MAX_CLOCKS)

  constructor (init: IngestInit) {
    this.#init = init
    this.#batches = new Mailboxes({
      name: 'entries of peers',
      clock: init.context.clock,
      deadline: limits.LIFECYCLE_DEADLINE,
      capacity: 2 * limits.WINDOW
    })
  }

  /** Peers whose entries were too far ahead of our clock lately, and by how many milliseconds */
  get ahead (): Array<{ peer: Key, by: number }> {
    const since = this.#init.context.clock.now() - limits.CLOCKS_REMEMBERED
    return [...this.#ahead.entries()].filter(([, { at }]) => at >= since).map(([peer, { by }]) => ({ peer, by }))
  }

  receive (from: Key, { number, reach, entries }: Extract<Message, { type: 'entries' }>): void {
    const { context: { counters }, send, onAdded } = this.#init
    const bytes = entries.reduce((sum, raw) => sum + entrySize(raw), 0)
    const waiting = this.#waiting.of(from)

    // a peer of which nothing waits has some room more: so that those of which much waits do not keep out the others
    const ofAll = waiting > 0 ? limits.MAX_WAITING_OF_ALL : 2 * limits.MAX_WAITING_OF_ALL

    // one large entry is sent alone: it has a place behind what the peer may have under way beside it
    const counted = entries.length === 1 ? Math.min(bytes, limits.MAX_UNDER_WAY_BYTES) : bytes

    if ((waiting > 0 && waiting + counted > limits.MAX_WAITING_OF_PEER) || this.#waiting.total + bytes > ofAll) {
      // nobody answers, so it is sent again, or found when we compare
      counters.add('entries: too many bytes wait')
      return
    }

    // what arrived is a view, and waits
    const raws = entries.map(({ bytes, proof }) => ({ bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) }))
    this.#waiting.add(from, bytes)

    this.#batches.turn(from, async () => {
      const joined = await this.store(from, raws)
      await send(from, { type: 'stored', number, outcomes: joined.map(outcomeOf) })

      if (joined.some(outcome => outcome?.status === 'added')) {
        onAdded(from, reach)
      }
    }).catch(err => {
      counters.add(`entries: ${err.name}`)
    }).finally(() => { this.#waiting.add(from, -bytes) })
  }

  /** Undefined: the entry is not for this node to keep, or there is no room for it */
  async store (from: Key, raws: RawEntry[]): Promise<Array<JoinOutcome | undefined>> {
    const { context: { clock, traffic }, log, kept: keptNow, take, onMoved } = this.#init
    const began = clock.now()
    const kept = keptNow()
    const isAll = widthOf(kept) === RING
    const ours = raws.filter(raw => (isAll || isWithin(kept, raw)) && take(entrySize(raw)))
    const joined = new Map<RawEntry, JoinOutcome>()

    try {
      (await log.join(ours)).forEach((outcome, i) => { joined.set(ours[i], outcome) })
    } finally {
      this.#account(from, ours, joined)
    }

    if (kept !== keptNow()) {
      onMoved()
    }

    const outcomes = raws.map(raw => joined.get(raw))
    traffic.received(outcomes)
    traffic.add('join_seconds', (clock.now() - began) / 1000)
    return outcomes
  }

  stop (): void {
    this.#batches.stop()
  }

  #account (from: Key, ours: RawEntry[], joined: Map<RawEntry, JoinOutcome>): void {
    const { context: { clock }, settle } = this.#init
    const at = clock.now()
    let taken = 0
    let added = 0

    for (const raw of ours) {
      const outcome = joined.get(raw)
      taken += entrySize(raw)
      added += outcome?.status === 'added' ? entrySize(raw) : 0

      if (outcome != null && isLater(outcome)) {
        this.#ahead.set(from, { by: decodeContent(raw.bytes).time - at, at })
      }
    }

    settle(taken, added)
  }
}

function outcomeOf (joined: JoinOutcome | undefined): Outcome {
  if (joined == null) {
    return Outcome.REFUSED
  }
  if (isLater(joined)) {
    return Outcome.LATER
  }
  return joined.status === 'refused' ? Outcome.REFUSED : Outcome.STORED
}

/** The clock of the author is ahead of ours. An entry that waits for its time is in memory alone */
function isLater (joined: JoinOutcome): boolean {
  return joined.status === 'waiting' || (joined.status === 'refused' && joined.reason.name === 'FutureEntryError')
}

function isWithin (kept: Segment[], { bytes }: RawEntry): boolean {
  try {
    const { group } = decodeContent(bytes)
    return covers(kept, group.byteLength === 0 ? positionOf(sha256(bytes)) : positionOfGroup(group))
  } catch {
    // for the log to refuse by name
    return true
  }
}
