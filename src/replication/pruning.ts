import { Alarm } from '../runtime/alarm.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { jitter } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { difference, RING, toRange } from './core/ring.ts'
import { placeOf, rawOf } from './digests.ts'
import { NoAnswerError } from './errors.ts'
import { provenBy } from './proof.ts'
import { KEY_BYTES } from './wire.ts'
import type { ReplicationContext } from './context.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { RingId } from '../log/entry-id.ts'
import type { Entry, Log } from '../log/index.ts'

export interface PruningInit {
  context: ReplicationContext
  log: Log
  questions: Questions
  /** What we keep; a new array when it changes */
  kept (): Segment[]
  /** Who else is here and keeps what lies there: it is asked, and offered what it does not have */
  keepers (position: number): Key[]
  /** Whether what it proves counts: it has been in for long enough to be relied on */
  isReliable (peer: Key): boolean
  /** When the next replicator after that moment will be reliable; Infinity: none is waited for */
  nextReliable (after: number): number
  /** Copies that there have to be elsewhere before ours may go */
  copies (entry: Entry): number
  keep? (entry: Entry): boolean
  /** Sends it what it should have, and has not */
  offer (peer: Key, entry: Entry): void
}

const WHOLE: Segment[] = [{ from: 0, width: RING }]

/**
 * Lets go of what lies here and is for others to keep: each entry only after enough of them have proven that they have
 * its bytes, and so said that they will keep it. Who does not have it is offered it.
 *
 * Who confirms keeps the entry's place at that moment, and we had given it up before we asked. So of any that rely on
 * each other the one that gave it up last keeps its copy until as many others confirm: there are never fewer copies
 * than there should be. Nor does anybody confirm while it removes: a disk takes its time, and the place may be its own
 * again by then.
 */
export class Pruning {
  readonly #init: PruningInit
  readonly #alarm: Alarm
  readonly #controller = new AbortController()
  #isRunning = false
  #isAgain = false
  /** A look comes soon, not only with the next interval */
  #isMarked = false
  /**
   * Whether somebody was offered something in this look, and in how many in a row: who is offered has it soon, or
   * refuses it
   */
  #hasOffered = false
  #offers = 0
  /** Looks in a row that found all where it was, and nobody who lacks something */
  #vain = 0
  #pruned = 0
  #removals = 0
  /** Entries that are here only until others have them, at the last look, and that have not gone since */
  #waiting = 0

  constructor (init: PruningInit) {
    this.#init = init
    this.#alarm = new Alarm(init.context.clock, () => { void this.#run() })
  }

  get sizes (): { pruned: number, waiting: number } {
    return { pruned: this.#pruned, waiting: this.#waiting }
  }

  /**
   * How often a removal has begun or ended: odd while one is under way. What is confirmed must not go by one that was
   * decided before
   */
  get removals (): number {
    return this.#removals
  }

  /**
   * Something new lies here that is not ours to keep. While nobody takes what lies here, it waits for the next look as
   * all of that does
   */
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
      this.#alarm.set(this.#init.context.clock.now() + limits.NUDGE_DELAY)
    }
  }

  stop (): void {
    this.#controller.abort()
    this.#alarm.set(Infinity)
  }

  async #run (): Promise<void> {
    const { context: { clock, random, logger }, kept } = this.#init

    if (this.#isRunning) {
      return
    }

    const began = clock.now()
    const pruned = this.#pruned
    this.#isRunning = true
    this.#isAgain = this.#isMarked = this.#hasOffered = false

    try {
      const before = kept()
      let waiting = 0

      for (const segment of difference(WHOLE, before)) {
        waiting += await this.#prune(segment, before)
      }
      this.#waiting = waiting
    } catch (err) {
      if (!this.#controller.signal.aborted) {
        logger.error('entries that others keep could not be let go - %e', err)
      }
    } finally {
      this.#isRunning = false
    }

    this.#offers = this.#hasOffered ? this.#offers + 1 : 0
    this.#vain = this.#hasOffered || this.#isAgain || this.#waiting === 0 || this.#pruned > pruned ? 0 : this.#vain + 1

    if (!this.#controller.signal.aborted && (this.#waiting > 0 || this.#isAgain)) {
      const wait = this.#hasOffered
        ? Math.min(limits.RETRY_FIRST * 2 ** (this.#offers - 1), limits.PRUNE_INTERVAL)
        : Math.min(limits.PRUNE_INTERVAL * 2 ** this.#vain, limits.VAIN_CAP)
      const at = clock.now() + jitter(random, this.#isAgain ? limits.NUDGE_DELAY : wait)
      this.#isMarked = this.#isAgain
      // one that became so since this look began may have answered before that
      this.#alarm.set(Math.min(at, this.#init.nextReliable(began)))
    }
  }

  /** How many stay. `before`: what this node kept when the look began; where that has changed, the look begins anew */
  async #prune (segment: Segment, before: Segment[]): Promise<number> {
    const { log, kept } = this.#init
    const range = toRange(segment)
    let ids = await log.idsInRange(range, { limit: limits.PRUNE_ENTRIES })
    let waiting = 0

    while (ids.length > 0) {
      const { entries, last } = await this.#read(ids)
      const gone = await this.#confirmed(entries)

      // what we keep by now is not to go, and nobody may have relied on us meanwhile
      if (kept() !== before || this.#controller.signal.aborted) {
        this.#isAgain = true
        return waiting + entries.length
      }
      if (gone.length > 0) {
        const removed = await this.#remove(gone)
        this.#pruned += removed
        this.#waiting = Math.max(0, this.#waiting - removed)
      }

      waiting += entries.length - gone.length
      const isEnd = last === ids[ids.length - 1] && ids.length < limits.PRUNE_ENTRIES
      ids = isEnd ? [] : await log.idsInRange(range, { limit: limits.PRUNE_ENTRIES, after: last })
    }

    return waiting
  }

  /** The first of them, as far as PRUNE_BYTES go, and the id of the last one that was looked at */
  async #read (ids: RingId[]): Promise<{ entries: Entry[], last: RingId }> {
    const entries: Entry[] = []
    let [last] = ids
    let bytes = 0

    for (const id of ids) {
      const entry = await this.#init.log.get(id)
      last = id

      if (entry != null) {
        entries.push(entry)
        bytes += rawOf(entry).bytes.byteLength
      }
      if (bytes > limits.PRUNE_BYTES) {
        break
      }
    }

    return { entries, last }
  }

  async #remove (gone: Entry[]): Promise<number> {
    this.#removals++

    try {
      const removed = await this.#init.log.remove(gone.map(({ id }) => id))
      this.#init.context.traffic.add('removed_entries', removed)
      return removed
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

    return entries.filter(entry =>
      (confirmed.get(keyOfBytes(entry.id.bytes)) ?? 0) >= copies(entry) && keep?.(entry) !== true)
  }

  /** The entries that the peer has proven, asked for one question after the other. The peer is offered the others */
  async #ask (peer: Key, entries: Entry[]): Promise<Entry[]> {
    const { questions, offer, context: { randomBytes } } = this.#init
    const proven: Entry[] = []

    try {
      for (let i = 0; i < entries.length;) {
        const nonce = randomBytes(KEY_BYTES)
        const asked = entries.slice(i, i + limits.MAX_PROVEN)
        const { proofs } = await questions.ask<'keep'>(
          peer, { kind: 'keep', nonce, ids: asked.map(({ id }) => id.bytes) }, { signal: this.#controller.signal }
        )

        if (proofs.length === 0 || proofs.length > asked.length) {
          throw new NoAnswerError(`it answered with ${proofs.length} proofs for ${asked.length} entries`)
        }

        const answered = asked.slice(0, proofs.length)
        const some = new Set(await this.proven(peer, answered, proofs, nonce))
        proven.push(...some)
        answered.filter(entry => !some.has(entry)).forEach(entry => {
          this.#hasOffered = true
          offer(peer, entry)
        })
        i += proofs.length
      }
    } catch {
      // what it did not answer it does not confirm
    }

    return proven
  }

  async proven (peer: Key, entries: Entry[], proofs: Uint8Array[], nonce: Uint8Array): Promise<Entry[]> {
    return provenBy(peer, entries, proofs, nonce, this.#init.context.pacer)
  }
}
