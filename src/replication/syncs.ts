import { toString } from 'uint8arrays/to-string'
import { compareMoments } from '../log/core/hybrid-clock.ts'
import { Alarm } from '../runtime/alarm.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import { jitter } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { Reconcile } from './core/reconcile.ts'
import { sameSegments } from './core/ring.ts'
import { IMPATIENCE, Spans } from './core/spans.ts'
import { NoAnswerError } from './errors.ts'
import { KEY_BYTES } from './wire.ts'
import type { Given, Need, Reconciled } from './core/reconcile.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Holdings } from './holdings.ts'
import type { Questions } from './questions.ts'
import type { RawEntry } from '../log/core/types.ts'
import type { Log } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { Logger } from '@libp2p/interface'

export interface SyncsInit {
  clock: Clock
  random: Random
  /** For keys: such as nobody can guess */
  randomBytes (length: number): Uint8Array
  logger: Logger
  log: Log
  holdings: Holdings
  questions: Questions
  /** What both of us keep */
  shared (peer: Key): Segment[]
  /** Stores what it should; how many were new */
  join (entries: RawEntry[]): Promise<number>
  /** The peer lacks something that we have */
  nudge (peer: Key): void
  /** The peer lacks these. Resolves when it has stored them, or is gone; rejects where it refuses some */
  offer (peer: Key, ids: Uint8Array[]): Promise<void>
  /** Others may lack what this one had */
  onLearned (from: Key): void
  onProgress (peer: Key, done: number, total: number): void
}

/** What is known of how a peer and we compare */
export interface Compared {
  /** When a comparison found no difference, and of what */
  equalAt?: number
  segments: Segment[]
  /** Where the last comparison that found nothing of that kind looked */
  hasAll: Segment[]
  /** Entries that it had and we did not have, at the end of the last comparison */
  missing: number
  failures: number
  /** Entries went between us since we were equal last: it does not know that we are */
  hasMoved: boolean
  /** Comparisons in a row that found a difference, and changed nothing */
  vain: number
}

/** All there is about comparing with one peer */
interface Pair extends Compared {
  /** When to compare next */
  at: number
  isRunning: boolean
  /** Something happened while it ran */
  isAgain: boolean
  /** Until what others tell us is here, or it can take part */
  isWaiting: boolean
  /** Entries that it lacked the last time, and was sent */
  offered: Set<string>
  controller: AbortController
}

/** One comparison, while it runs */
interface Comparison {
  peer: Key
  segments: Segment[]
  key: Uint8Array
  signal: AbortSignal
}

/** Ends a comparison that would ask for what others are at */
class ToldByOthers extends Error {
  static name = 'ToldByOthers'
  name = 'ToldByOthers'
}

/**
 * Keeps us in step with every replicator that keeps what we keep: compares when one joins or changes, when it says that it has
 * news, and now and then; and again until nothing differs.
 */
export class Syncs {
  readonly #init: SyncsInit
  readonly #pairs = new Map<Key, Pair>()
  readonly #alarm: Alarm
  #running = 0
  /** Much is missing: what of these segments is still to be told, by all who have them */
  #catchUp?: { segments: Segment[], spans: Spans }
  /** From whom is pulled what arrived there: another one would only send the same */
  #puller?: Key

  constructor (init: SyncsInit) {
    this.#init = init
    this.#alarm = new Alarm(init.clock, () => { this.#next() })
  }

  /** How many comparisons run */
  get running (): number {
    return this.#running
  }

  get pairs (): ReadonlyMap<Key, Compared> {
    return this.#pairs
  }

  /** Compare with it, in so many milliseconds at the latest */
  mark (peer: Key, delay = 0): void {
    const at = this.#init.clock.now() + delay
    const pair = this.#pairs.get(peer)

    if (pair == null) {
      this.#pairs.set(peer, { at, segments: [], hasAll: [], missing: 0, failures: 0, vain: 0, hasMoved: false, isRunning: false, isAgain: false, isWaiting: false, offered: new Set(), controller: new AbortController() })
    } else {
      pair.isAgain = pair.isRunning
      pair.at = Math.min(pair.at, at)
    }

    this.#arm()
  }

  /** It is comparing with us, and tells us what it finds: to do the same at the same time would be to do it twice */
  asked (peer: Key): void {
    const pair = this.#pairs.get(peer)

    if (pair != null && !pair.isRunning && pair.at < Infinity) {
      pair.at = Math.max(pair.at, this.#init.clock.now() + limits.COMPARED_BY_OTHER)
      this.#arm()
    }
  }

  gone (peer: Key): void {
    this.#pairs.get(peer)?.controller.abort()
    this.#pairs.delete(peer)
  }

  stop (): void {
    [...this.#pairs.keys()].forEach(peer => { this.gone(peer) })
    this.#alarm.set(Infinity)
  }

  #next (): void {
    const now = this.#init.clock.now()

    for (const [peer, pair] of this.#pairs) {
      if (pair.at <= now && !pair.isRunning && this.#running < limits.MAX_SESSIONS) {
        void this.#compare(peer, pair)
      }
    }

    this.#arm()
  }

  async #compare (peer: Key, pair: Pair): Promise<void> {
    const { clock, random, logger } = this.#init
    const segments = this.#init.shared(peer)
    pair.isRunning = true
    pair.isAgain = pair.isWaiting = false
    pair.at = Infinity
    this.#running++

    try {
      const outcome = await this.#reconcile(peer, segments, pair.controller.signal)
      pair.failures = 0
      pair.hasAll = outcome.missing + outcome.added === 0 ? segments : pair.hasAll
      this.#settle(peer, pair, segments, outcome)
    } catch (err: any) {
      if (err instanceof ToldByOthers) {
        pair.isWaiting = true
        pair.at = clock.now() + IMPATIENCE
      } else if (!pair.controller.signal.aborted) {
        logger('comparing with a replicator failed - %e', err)
        pair.at = clock.now() + jitter(random, Math.min(limits.RETRY_FIRST * 2 ** pair.failures++, limits.RETRY_CAP))
      }
    } finally {
      pair.isRunning = false
      this.#running--
      pair.at = pair.isAgain && !pair.isWaiting ? clock.now() : pair.at
      this.#leave(peer)
      this.#arm()
    }
  }

  /** It tells no more of what is missing: others go on with that, or compare what is left */
  #leave (peer: Key): void {
    const { spans } = this.#catchUp ?? {}

    if (this.#puller === peer || spans?.leave(peer) === true || spans?.isDone === true) {
      this.#wake()
    }

    this.#puller = this.#puller === peer ? undefined : this.#puller
    this.#catchUp = spans?.isDone === true ? undefined : this.#catchUp
  }

  /** Those who wait for what others tell look again */
  #wake (): void {
    for (const pair of this.#pairs.values()) {
      pair.at = pair.isWaiting ? this.#init.clock.now() : pair.at
      pair.isWaiting = false
    }
    this.#arm()
  }

  #settle (peer: Key, pair: Pair, segments: Segment[], { isEqual, added, missing, surplus, isBehind }: Reconciled): void {
    const { clock, random, nudge, onLearned, shared } = this.#init
    const isOffered = this.#offer(peer, pair, surplus)
    pair.missing = missing

    if (isEqual) {
      pair.equalAt = clock.now()
      pair.segments = segments
    }

    // it lacks something, which it is told ever less often; or is to see for itself that nothing differs any more
    if ((isBehind && Number.isInteger(Math.log2(pair.vain + 1))) || (isEqual && pair.hasMoved)) {
      nudge(peer)
    }
    pair.hasMoved = !isEqual && (pair.hasMoved || added > 0 || isOffered)
    if (added > 0) {
      onLearned(peer)
    }

    // again until nothing differs, soon if the other is getting what it lacks; but what is refused stays different, and is fetched in vain
    const isMoving = isOffered || (!isEqual && !isBehind && missing === 0)
    const isChanged = added > 0 || !sameSegments(segments, shared(peer))
    const first = isMoving ? limits.RETRY_FIRST : limits.COMPARE_INTERVAL
    const wait = isEqual ? limits.COMPARE_INTERVAL : Math.min(first * 2 ** pair.vain, missing > 0 ? limits.VAIN_CAP : limits.COMPARE_INTERVAL)
    pair.vain = isEqual || isChanged ? 0 : pair.vain + 1
    pair.at = isChanged ? clock.now() : clock.now() + jitter(random, wait)
  }

  /** What it lacks, and was not sent: who did not take it then fetches it if he wants it now. False: there is nothing */
  #offer (peer: Key, pair: Pair, surplus: Uint8Array[]): boolean {
    const news = surplus.filter(id => !pair.offered.has(keyOfBytes(id)))
    pair.offered = new Set(surplus.map(keyOfBytes))

    if (news.length === 0) {
      return false
    }

    // where it does not say that it has them, they are compared in a while
    this.#init.offer(peer, news).then(() => {
      if (this.#pairs.get(peer) === pair) {
        this.mark(peer)
      }
    }, () => {})
    return true
  }

  async #reconcile (peer: Key, segments: Segment[], signal: AbortSignal): Promise<Reconciled> {
    if (segments.length === 0) {
      return { isEqual: true, added: 0, missing: 0, surplus: [], isBehind: false }
    }

    const { log } = this.#init
    const key = this.#init.randomBytes(KEY_BYTES)
    const mark = `pulled from ${toString(bytesOfKey(peer), 'base64url')}`
    const reconcile = new Reconcile({
      segments,
      key,
      cursor: await log.marked(mark),
      isCatchingUp: () => this.#catchUp?.spans.hasOthers(peer) === true,
      limits: { parts: limits.PARTS, rangeEntries: limits.RANGE_ENTRIES, maxAsked: limits.MAX_ASKED, maxSketched: limits.MAX_SKETCHED, maxSymbols: limits.MAX_SYMBOLS }
    })
    const work = reconcile.run()
    const before = reconcile.cursor

    try {
      let step = work.next()

      while (step.done !== true) {
        const given = await Promise.all(step.value.map(async need => this.#give(need, { peer, segments, key, signal })))
        signal.throwIfAborted()
        step = work.next(given)
      }

      return step.value
    } finally {
      if (reconcile.cursor !== before && log.status === 'open') {
        await log.mark(mark, reconcile.cursor)
      }
    }
  }

  async #give (need: Need, comparison: Comparison): Promise<Given[keyof Given]> {
    const { holdings, questions, join, onProgress } = this.#init
    const { peer, key, signal } = comparison
    const options = { signal }

    switch (need.type) {
      case 'summaries': {
        const { segments, parts } = need
        return need.from === 'us' ? holdings.summaries(segments, parts, key) : (await questions.ask<'summaries'>(peer, { kind: 'summaries', key, parts, segments }, options)).summaries
      }
      case 'symbols':
        return (await questions.ask<'symbols'>(peer, { kind: 'symbols', key, segments: need.segments, from: need.from, count: need.count }, options)).symbols
      case 'fetch':
        return questions.ask<'fetch'>(peer, { kind: 'fetch', key, segments: need.segments, shortIds: need.shortIds }, options)
      case 'pull':
        if ((this.#puller ?? peer) !== peer) {
          throw new ToldByOthers()
        }
        this.#puller = peer
        return questions.ask<'pull'>(peer, { kind: 'pull', from: need.from, segments: need.segments }, options)
      case 'window':
        return this.#askForWindow(need.segments, comparison)
      case 'ids':
        return holdings.ids(need.segments)
      case 'join':
        return join(need.entries)
      case 'progress':
        onProgress(peer, need.done, need.total)
    }
  }

  /** The next piece that nobody else is at. Who has other segments than those who are at it waits until they are through */
  async #askForWindow (segments: Segment[], comparison: Comparison): Promise<Given['window']> {
    const { clock, questions } = this.#init
    const { peer, signal } = comparison

    const isSame = this.#catchUp != null && sameSegments(this.#catchUp.segments, comparison.segments)

    if (this.#catchUp == null || this.#catchUp.spans.isDone || (!isSame && !this.#catchUp.spans.hasOthers(peer))) {
      this.#catchUp = { segments: comparison.segments, spans: new Spans() }
    } else if (!isSame) {
      throw new ToldByOthers()
    }

    const { spans } = this.#catchUp
    const window = spans.next(peer, clock.now())

    if (window == null) {
      throw new ToldByOthers()
    }

    const { from, to } = window
    const { entries, next, looked } = await questions.ask<'window'>(peer, { kind: 'window', from, to, segments }, { signal })

    if (compareMoments(next, from) <= 0) {
      throw new NoAnswerError('it told of no moment that was asked for')
    }
    if (spans.told(window, next)) {
      this.#wake()
    }

    return { entries, looked, isEnd: spans.next(peer, clock.now()) == null }
  }

  #arm (): void {
    let next = Infinity

    for (const { at, isRunning } of this.#pairs.values()) {
      next = isRunning ? next : Math.min(next, at)
    }

    // when one ends it looks again
    this.#alarm.set(this.#running < limits.MAX_SESSIONS ? next : Infinity)
  }
}
