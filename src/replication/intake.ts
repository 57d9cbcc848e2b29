import { decodeContent } from '../log/core/entry.ts'
import { positionOf, positionOfGroup } from '../log/core/rows.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { sha256 } from '../runtime/sha256.ts'
import * as limits from './constants.ts'
import { covers, RING, widthOf } from './core/ring.ts'
import { Outcome } from './wire.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Message } from './wire.ts'
import type { RawEntry } from '../log/core/types.ts'
import type { JoinOutcome, Log } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from '../runtime/counters.ts'

export interface IntakeInit {
  clock: Clock
  counters: Counters
  log: Log
  /** Where the entries lie that are for this node to keep; another array when it changes */
  kept (): Segment[]
  /** Some of what was just stored may be for others to keep by now */
  onMoved (): void
  send (to: Key, message: Message): Promise<void>
  /** Some of a batch was new here; so many others had been sent it, too */
  onAdded (from: Key, reach: number): void
}

/**
 * What others send is stored, if it is for this node to keep: of each peer one batch after the other, and it hears what became of each
 * entry.
 */
export class Intake {
  readonly #init: IntakeInit
  readonly #batches: Mailboxes

  constructor (init: IntakeInit) {
    this.#init = init
    this.#batches = new Mailboxes({ name: 'entries of peers', clock: init.clock, deadline: limits.LIFECYCLE_DEADLINE, capacity: 2 * limits.WINDOW })
  }

  receive (from: Key, { number, reach, entries }: Extract<Message, { type: 'entries' }>): void {
    const { counters, send, onAdded } = this.#init
    // what arrived is a view, and waits
    const raws = entries.map(({ bytes, proof }) => ({ bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) }))

    this.#batches.turn(from, async () => {
      const joined = await this.store(raws)
      await send(from, { type: 'stored', number, outcomes: joined.map(outcomeOf) })

      if (joined.some(outcome => outcome?.status === 'added')) {
        onAdded(from, reach)
      }
    }).catch(err => {
      // nobody answers, so it is sent again, or found when we compare
      counters.add(`entries: ${err.name}`)
    })
  }

  /** Undefined: it is not for this node to keep */
  async store (raws: RawEntry[]): Promise<Array<JoinOutcome | undefined>> {
    const { log, kept: keptNow, onMoved } = this.#init
    const kept = keptNow()
    const isOurs = widthOf(kept) === RING ? raws.map(() => true) : raws.map(raw => isWithin(kept, raw))
    const joined = await log.join(raws.filter((_, i) => isOurs[i]))
    let next = 0

    if (kept !== keptNow()) {
      onMoved()
    }

    return isOurs.map(isOurs => isOurs ? joined[next++] : undefined)
  }

  stop (): void {
    this.#batches.stop()
  }
}

function outcomeOf (joined: JoinOutcome | undefined): Outcome {
  if (joined == null || joined.status === 'refused') {
    return joined?.reason?.name === 'FutureEntryError' ? Outcome.LATER : Outcome.REFUSED
  }
  // what waits for its time is in memory alone
  return joined.status === 'waiting' ? Outcome.LATER : Outcome.STORED
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
