import { Alarm } from '../runtime/alarm.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { jitter } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { difference, RING, toRange } from './core/ring.ts'
import { placeOf } from './holdings.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { Entry, Log } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { Logger } from '@libp2p/interface'

export interface PrunesInit {
  clock: Clock
  random: Random
  logger: Logger
  log: Log
  questions: Questions
  /** What we keep; a new array when it changes */
  kept (): Segment[]
  /** Who else is here and keeps what lies there: it is asked, and offered what it does not have */
  keepers (position: number): Key[]
  /** Whether what it confirms counts: it has been in for long enough to be relied on */
  isReliable (peer: Key): boolean
  /** Copies that there have to be elsewhere before ours may go */
  copies (entry: Entry): number
  keep? (entry: Entry): boolean
  /** It should have this entry, and has not */
  offer (peer: Key, entry: Entry): void
}

const WHOLE: Segment[] = [{ from: 0, width: RING }]

/**
 * Lets go of what lies here and is for others to keep: each entry only after enough of them have said, by its name, that they have
 * it and will keep it. Who does not have it is offered it.
 *
 * Who confirms keeps the entry's place at that moment, and we had given it up before we asked. So of any that rely on each other
 * the one that gave it up last keeps its copy until as many others confirm: there are never fewer copies than there should be. Nor
 * does anybody confirm while it removes: a disk takes its time, and the place may be its own again by then.
 */
export class Prunes {
  readonly #init: PrunesInit
  readonly #alarm: Alarm
  readonly #controller = new AbortController()
  #isRunning = false
  #isAgain = false
  /** A look comes soon, not only with the next interval */
  #isMarked = false
  /** Whether somebody was offered something in this look, and in how many in a row: who is offered has it soon, or refuses it */
  #hasOffered = false
  #offers = 0
  /** Looks in a row that found all where it was, and nobody who lacks something */
  #vain = 0
  #pruned = 0
  #removals = 0
  /** Entries that are here only until others have them, at the last look */
  #waiting = 0

  constructor (init: PrunesInit) {
    this.#init = init
    this.#alarm = new Alarm(init.clock, () => { void this.#run() })
  }

  get sizes (): { pruned: number, waiting: number } {
    return { pruned: this.#pruned, waiting: this.#waiting }
  }

  /** How often a removal has begun or ended: odd while one is under way. What is confirmed must not go by one that was decided before */
  get removals (): number {
    return this.#removals
  }

  /** Something new lies here that is not ours to keep. While nobody takes what lies here, it waits for the next look as all of that does */
  added (): void {
    if (this.#vain === 0) {
      this.mark()
    }
  }

  /** Who keeps what may have changed */
  mark (): void {
    this.#vain = 0

    if (this.#isRunning) {
      this.#isAgain = true
    } else if (!this.#isMarked && !this.#controller.signal.aborted) {
      this.#isMarked = true
      this.#alarm.set(this.#init.clock.now() + limits.NUDGE_DELAY)
    }
  }

  stop (): void {
    this.#controller.abort()
    this.#alarm.set(Infinity)
  }

  async #run (): Promise<void> {
    const { clock, random, logger, kept } = this.#init

    if (this.#isRunning) {
      return
    }

    const before = this.#pruned
    this.#isRunning = true
    this.#isAgain = this.#isMarked = this.#hasOffered = false

    try {
      this.#waiting = 0

      for (const segment of difference(WHOLE, kept())) {
        await this.#prune(segment)
      }
    } catch (err) {
      if (!this.#controller.signal.aborted) {
        logger.error('entries that others keep could not be let go - %e', err)
      }
    } finally {
      this.#isRunning = false
    }

    this.#offers = this.#hasOffered ? this.#offers + 1 : 0
    this.#vain = this.#hasOffered || this.#isAgain || this.#waiting === 0 || this.#pruned > before ? 0 : this.#vain + 1

    if (!this.#controller.signal.aborted && (this.#waiting > 0 || this.#isAgain)) {
      const wait = this.#hasOffered ? Math.min(limits.RETRY_FIRST * 2 ** (this.#offers - 1), limits.PRUNE_INTERVAL) : Math.min(limits.PRUNE_INTERVAL * 2 ** this.#vain, limits.VAIN_CAP)
      this.#isMarked = this.#isAgain
      this.#alarm.set(clock.now() + jitter(random, this.#isAgain ? limits.NUDGE_DELAY : wait))
    }
  }

  async #prune (segment: Segment): Promise<void> {
    const { log, kept } = this.#init
    const before = kept()
    const range = toRange(segment)
    let ids = await log.idsInRange(range, { limit: limits.PRUNE_ENTRIES })

    while (ids.length > 0) {
      const entries = (await Promise.all(ids.map(async id => log.get(id)))).filter(entry => entry != null)
      const gone = await this.#confirmed(entries)

      // what we keep by now is not to go, and nobody may have relied on us meanwhile
      if (kept() !== before || this.#controller.signal.aborted) {
        this.#isAgain = true
        return
      }
      if (gone.length > 0) {
        this.#pruned += await this.#remove(gone)
      }

      this.#waiting += entries.length - gone.length
      ids = ids.length < limits.PRUNE_ENTRIES ? [] : await log.idsInRange(range, { limit: limits.PRUNE_ENTRIES, after: ids[ids.length - 1] })
    }
  }

  async #remove (gone: Entry[]): Promise<number> {
    this.#removals++

    try {
      return await this.#init.log.remove(gone.map(({ id }) => id))
    } finally {
      this.#removals++
    }
  }

  /** Those that enough others have, and will keep */
  async #confirmed (entries: Entry[]): Promise<Entry[]> {
    const { keepers, isReliable, copies, keep } = this.#init
    const byPeer = new Map<Key, Entry[]>()
    const confirmed = new Map<string, number>()

    for (const entry of entries) {
      for (const peer of keepers(placeOf(entry))) {
        const asked = byPeer.get(peer) ?? []
        byPeer.set(peer, asked)
        asked.push(entry)
      }
    }

    await Promise.all([...byPeer].map(async ([peer, asked]) => {
      const has = await this.#ask(peer, asked)

      for (const { id } of isReliable(peer) ? has : []) {
        const key = keyOfBytes(id.bytes)
        confirmed.set(key, (confirmed.get(key) ?? 0) + 1)
      }
    }))

    return entries.filter(entry => (confirmed.get(keyOfBytes(entry.id.bytes)) ?? 0) >= copies(entry) && keep?.(entry) !== true)
  }

  /** Which of them it has and will keep; the others it is offered */
  async #ask (peer: Key, entries: Entry[]): Promise<Entry[]> {
    const { questions, offer } = this.#init

    try {
      const { kept } = await questions.ask<'keep'>(peer, { kind: 'keep', ids: entries.map(({ id }) => id.bytes) }, { signal: this.#controller.signal })
      entries.forEach((entry, i) => {
        if (kept[i] !== true) {
          this.#hasOffered = true
          offer(peer, entry)
        }
      })
      return entries.filter((_, i) => kept[i])
    } catch {
      // it confirms nothing
      return []
    }
  }
}
