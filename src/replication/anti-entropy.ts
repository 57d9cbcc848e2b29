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
import type { ReplicationContext } from './context.ts'
import type { Given, Need, Reconciled } from './core/reconcile.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Digests } from './digests.ts'
import type { Questions } from './questions.ts'
import type { Answer, Question } from './wire.ts'
import type { RawEntry } from '../log/core/types.ts'
import type { Log } from '../log/index.ts'

export interface AntiEntropyInit {
  context: ReplicationContext
  log: Log
  digests: Digests
  questions: Questions
  /** What both of us keep */
  shared (peer: Key): Segment[]
  /** Stores what it should; how many were new */
  join (peer: Key, entries: RawEntry[]): Promise<number>
  /** The peer lacks something that we have */
  nudge (peer: Key): void
  /** The peer lacks these. Resolves when it has stored them, or is gone; rejects where it refuses some */
  offer (peer: Key, ids: Uint8Array[], signal: AbortSignal): Promise<void>
  /** Others may lack what this one had */
  onLearned (from: Key): void
  onProgress (peer: Key, done: number, total: number): void
  /** A comparison has ended */
  onCompared (): void
}

/** How a peer and this node compare, as far as this node knows */
export interface Compared {
  /** When a comparison found no difference, and of what */
  equalAt?: number
  segments: Segment[]
  /** Where the last comparison that found nothing of that kind looked */
  hasAll: Segment[]
  /** Entries that it had and we did not have, at the end of the last comparison */
  missing: number
  /** Comparisons in a row that came to nothing, and why the last one did */
  failures: number
  failure?: string
  /** Entries went between us since we were equal last: it does not know that we are */
  hasMoved: boolean
  /** Comparisons in a row that found a difference, and changed nothing */
  vain: number
  /** And those that found none */
  calm: number
}

/** All there is about comparing with one peer */
interface Pair extends Compared {
  /** When to compare next */
  at: number
  /** And not before, whoever says that there is something new */
  notBefore: number
  run?: Run
  /** Something happened while it ran */
  isAgain: boolean
  /** Until what others tell us is here, or it can take part */
  isWaiting: boolean
  /** This comparison was put off, as the peer compares with us: that happens once before each comparison of ours */
  isPutOff?: boolean
  /** Entries that it lacked the last time, and was sent */
  offered: Set<string>
  controller: AbortController
}

/** A comparison that runs */
interface Run {
  since: number
  /** Since when its peer owes us an answer */
  askedAt?: number
  /** When it brought something last, or began */
  usefulAt: number
  controller: AbortController
}

/** One comparison, while it runs */
interface Comparison {
  peer: Key
  run: Run
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
 * Comparisons that may begin at once: of those that are lively, and of those with peers that did not answer the last
 * time
 */
const LIVELY_AT_ONCE = limits.MAX_SESSIONS
const SUSPECTS_AT_ONCE = limits.MAX_SESSIONS / 2
/**
 * Milliseconds without an answer, and without anything new, after which a comparison is not lively any more. Guesses
 */
const SILENT = 1_000
const USELESS = 5_000
/** Milliseconds between two comparisons with one peer, at least, however often it nudges */
const NUDGED_AT_MOST = 8_000

/**
 * Keeps us in step with every replicator that keeps what we keep: compares when one joins or changes, when it says that
 * it has news, and now and then; and again until nothing differs.
 *
 * A comparison is lively while its peer answers within a second, and brings something new every five. Four lively ones
 * run at once, and the one that is due for longest begins first. One that is not lively goes on, but holds up nobody:
 * others begin beside it, up to MAX_RUNNING in all, and then one that is due for five seconds takes the place of the
 * one that was of no use for longest. A nudge makes a comparison begin earlier, but never before the time that its peer
 * has to wait for after a failure.
 */
export class AntiEntropy {
  readonly #init: AntiEntropyInit
  readonly #pairs = new Map<Key, Pair>()
  readonly #alarm: Alarm
  /** Much is missing: what of these segments is still to be told, by all who have them */
  #catchUp?: { segments: Segment[], spans: Spans }
  /** From whom is pulled what arrived there: another one would only send the same */
  #puller?: Key

  constructor (init: AntiEntropyInit) {
    this.#init = init
    this.#alarm = new Alarm(init.context.clock, () => { this.#next() })
  }

  /** How many comparisons run */
  get running (): number {
    return this.#runs.length
  }

  get pairs (): ReadonlyMap<Key, Compared> {
    return this.#pairs
  }

  /** Compare with it, in so many milliseconds at the latest, unless it has to wait for longer */
  mark (peer: Key, delay = 0): void {
    const at = this.#init.context.clock.now() + delay
    const pair = this.#pairs.get(peer)

    if (pair == null) {
      this.#pairs.set(peer, {
        at,
        notBefore: 0,
        segments: [],
        hasAll: [],
        missing: 0,
        failures: 0,
        vain: 0,
        calm: 0,
        hasMoved: false,
        isAgain: false,
        isWaiting: false,
        offered: new Set(),
        controller: new AbortController()
      })
    } else {
      pair.isAgain = pair.run != null
      pair.at = Math.min(pair.at, Math.max(at, pair.notBefore))
    }

    this.#arm()
  }

  /** A peer was out of reach, and is back: failures from before say nothing any more */
  returned (peer: Key, delay: number): void {
    const pair = this.#pairs.get(peer)

    if (pair != null) {
      pair.notBefore = 0
    }
    if (pair?.run?.askedAt != null) {
      pair.run.controller.abort(new NoAnswerError('it was out of reach: what it was asked may be lost'))
    }
    this.mark(peer, delay)
  }

  /** The peer compares with us, and will tell us what it finds: our own comparison can wait for a moment */
  asked (peer: Key): void {
    const pair = this.#pairs.get(peer)

    // not for ever: one that asks again and again might have something to hide
    if (pair?.run == null && pair != null && pair.at < Infinity && !pair.isPutOff) {
      pair.isPutOff = true
      pair.at = Math.max(pair.at, this.#init.context.clock.now() + limits.COMPARED_BY_OTHER)
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

  get #runs (): Run[] {
    return [...this.#pairs.values()].flatMap(({ run }) => run ?? [])
  }

  #isLively ({ askedAt, usefulAt }: Run): boolean {
    const now = this.#init.context.clock.now()
    return now - (askedAt ?? now) < SILENT && now - usefulAt < USELESS
  }

  /** Whether a peer is telling us of much that is missing here, and goes on with that */
  #isTelling (peer: Key | undefined): boolean {
    const run = peer == null ? undefined : this.#pairs.get(peer)?.run
    return run != null && this.#isLively(run)
  }

  #isSuspect (peer: Key, pair: Pair): boolean {
    return pair.failures > 0 || this.#init.context.trust.isSilent(peer)
  }

  /** Begins as many as have room, the one that is due for longest first */
  #next (): void {
    const now = this.#init.context.clock.now()
    const runs = [...this.#pairs].filter(([, { run }]) => run != null && this.#isLively(run))
    const due = [...this.#pairs]
      .filter(([, { at, run }]) => at <= now && run == null).sort(([, a], [, b]) => a.at - b.at)
    let lively = runs.length
    let suspects = runs.filter(([peer, pair]) => this.#isSuspect(peer, pair)).length

    for (const [peer, pair] of due) {
      const isSuspect = this.#isSuspect(peer, pair)
      const isUrgent = now - pair.at >= USELESS

      if ((isSuspect && suspects >= SUSPECTS_AT_ONCE) || (lively >= LIVELY_AT_ONCE && !isUrgent)) {
        continue
      }
      if (this.running >= limits.MAX_RUNNING) {
        this.#endUseless()
        break
      }

      lively++
      suspects += isSuspect ? 1 : 0
      void this.#compare(peer, pair)
    }

    this.#arm(now)
  }

  /** Makes room for a comparison that is due: ends the one that brought nothing for longest, if that is long */
  #endUseless (): void {
    const [useless] = this.#runs.sort((a, b) => a.usefulAt - b.usefulAt)

    if (this.#init.context.clock.now() - useless.usefulAt >= USELESS) {
      useless.controller.abort(new NoAnswerError('others waited for its place, and it brought nothing new'))
    }
  }

  async #compare (peer: Key, pair: Pair): Promise<void> {
    const { context: { clock, random, logger }, onCompared } = this.#init
    const segments = this.#init.shared(peer)
    const now = clock.now()
    const run: Run = pair.run = { since: now, usefulAt: now, controller: new AbortController() }
    pair.isAgain = pair.isWaiting = pair.isPutOff = false
    pair.at = Infinity

    try {
      const outcome = await this.#reconcile({
        peer,
        run,
        segments,
        key: this.#init.context.randomBytes(KEY_BYTES),
        signal: AbortSignal.any([pair.controller.signal, run.controller.signal])
      })
      pair.failures = 0
      pair.hasAll = outcome.missing + outcome.added === 0 ? segments : pair.hasAll
      this.#settle(peer, pair, segments, outcome)
    } catch (err: any) {
      if (err instanceof ToldByOthers) {
        pair.isWaiting = true
        pair.at = clock.now() + IMPATIENCE
      } else if (!pair.controller.signal.aborted) {
        logger('comparing with a replicator failed - %e', err)
        pair.failure = err.message
        pair.at = pair.notBefore = clock.now() +
          jitter(random, Math.min(limits.RETRY_FIRST * 2 ** pair.failures++, limits.RETRY_CAP))
      }
    } finally {
      pair.run = undefined
      pair.at = pair.isAgain && !pair.isWaiting ? Math.max(clock.now(), pair.notBefore) : pair.at
      this.#leave(peer)
      this.#arm()
      onCompared()
    }
  }

  /** A peer tells no more of what is missing: others go on with its part, or compare what is left */
  #leave (peer: Key): void {
    const { spans } = this.#catchUp ?? {}

    if (this.#puller === peer || spans?.leave(peer) === true || spans?.isDone === true) {
      this.#wake()
    }

    this.#puller = this.#puller === peer ? undefined : this.#puller
    this.#catchUp = spans?.isDone === true ? undefined : this.#catchUp
  }

  /** Comparisons that wait for what other peers tell become due */
  #wake (): void {
    for (const pair of this.#pairs.values()) {
      pair.at = pair.isWaiting ? this.#init.context.clock.now() : pair.at
      pair.isWaiting = false
    }
    this.#arm()
  }

  #settle (
    peer: Key, pair: Pair, segments: Segment[], { isEqual, added, missing, surplus, isBehind }: Reconciled
  ): void {
    const { context: { clock }, nudge, onLearned, shared } = this.#init
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

    const isChanged = added > 0 || !sameSegments(segments, shared(peer))
    this.#schedule(pair, {
      isEqual, isChanged, missing, isMoving: isOffered || isBehind || (!isEqual && missing === 0)
    })
  }

  /**
   * Again until nothing differs, soon where one of us may be getting what it lacks; but what is refused is fetched in
   * vain
   */
  #schedule (pair: Pair, { isEqual, isChanged, missing, isMoving }: {
    isEqual: boolean, isChanged: boolean, missing: number, isMoving: boolean
  }): void {
    const { clock, random, resting } = this.#init.context
    const now = clock.now()
    pair.calm = isEqual && !isChanged ? pair.calm + 1 : 0

    if (isEqual) {
      const wait = Math.min(limits.COMPARE_INTERVAL * 2 ** Math.max(0, pair.calm - 1), limits.COMPARE_CAP)
      pair.at = now + jitter(random, pair.calm > 1 ? resting(wait) : wait)
    } else {
      const first = isMoving ? limits.RETRY_FIRST : limits.COMPARE_INTERVAL
      const cap = missing > 0 ? limits.VAIN_CAP : limits.COMPARE_INTERVAL
      pair.at = now + jitter(random, Math.min(first * 2 ** pair.vain, cap))
    }

    pair.vain = isEqual || isChanged ? 0 : pair.vain + 1
    // what is refused again and again is not fetched each time that somebody nudges
    pair.notBefore = now + Math.min(limits.NUDGE_DELAY * 4 ** Math.max(0, pair.vain - 1), NUDGED_AT_MOST)
    pair.at = isChanged ? now : pair.at
  }

  /** Sends the peer the entries that it lacks, and that it was not sent before. False: there are none */
  #offer (peer: Key, pair: Pair, surplus: Uint8Array[]): boolean {
    const news = surplus.filter(id => !pair.offered.has(keyOfBytes(id)))
    pair.offered = new Set(surplus.map(keyOfBytes))

    if (news.length === 0) {
      return false
    }

    // where it does not say that it has them, they are compared in a while
    this.#init.offer(peer, news, pair.controller.signal).then(() => {
      if (this.#pairs.get(peer) === pair) {
        this.mark(peer)
      }
    }, () => {})
    return true
  }

  async #reconcile (comparison: Comparison): Promise<Reconciled> {
    const { peer, segments, key, signal } = comparison

    if (segments.length === 0) {
      return { isEqual: true, added: 0, missing: 0, surplus: [], isBehind: false }
    }

    const { log, context: { pacer, sizes } } = this.#init
    const mark = `pulled from ${toString(bytesOfKey(peer), 'base64url')}`
    const reconcile = new Reconcile({
      segments,
      key,
      cursor: await log.marked(mark),
      isCatchingUp: () => this.#catchUp?.spans.tellers.some(other => other !== peer) === true,
      limits: {
        parts: limits.PARTS,
        rangeEntries: limits.RANGE_ENTRIES,
        maxAsked: limits.MAX_ASKED,
        maxSketched: limits.MAX_SKETCHED,
        maxSymbols: sizes.symbols
      }
    })
    const work = reconcile.run()
    const before = reconcile.cursor

    try {
      let step = work.next()

      while (step.done !== true) {
        await pacer.pause()
        const given = await Promise.all(step.value.map(async need => this.#give(need, comparison)))
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
    const { digests, join, onProgress, context: { clock } } = this.#init
    const { peer, run, key } = comparison

    switch (need.type) {
      case 'summaries': {
        const { segments, parts } = need
        return need.from === 'us'
          ? digests.summaries(segments, parts, key)
          : (await this.#ask<'summaries'>(comparison, { kind: 'summaries', key, parts, segments })).summaries
      }
      case 'symbols':
        return (await this.#ask<'symbols'>(comparison, {
          kind: 'symbols', key, segments: need.segments, from: need.from, count: need.count
        })).symbols
      case 'fetch':
        return this.#ask<'fetch'>(comparison, { kind: 'fetch', key, segments: need.segments, shortIds: need.shortIds })
      case 'pull':
        if (this.#puller !== peer && this.#isTelling(this.#puller)) {
          throw new ToldByOthers()
        }
        this.#puller = peer
        return this.#ask<'pull'>(comparison, { kind: 'pull', from: need.from, segments: need.segments })
      case 'window':
        return this.#askForWindow(need.segments, comparison)
      case 'ids':
        return digests.ids(need.segments)
      case 'join': {
        const added = await join(peer, need.entries)
        run.usefulAt = added > 0 ? clock.now() : run.usefulAt
        return added
      }
      case 'progress':
        onProgress(peer, need.done, need.total)
    }
  }

  async #ask<K extends Question['kind']> (
    { peer, run, signal }: Comparison, question: Extract<Question, { kind: K }>
  ): Promise<Extract<Answer, { kind: K }>> {
    run.askedAt ??= this.#init.context.clock.now()
    // it is looked at again when it has been silent for so long
    this.#arm()
    const answer = await this.#init.questions.ask<K>(peer, question, { signal })
    run.askedAt = undefined
    return answer
  }

  /**
   * The next piece that nobody else is at. Who has other segments than those who are at it waits until they are through
   */
  async #askForWindow (segments: Segment[], comparison: Comparison): Promise<Given['window']> {
    const { context: { clock } } = this.#init
    const { peer } = comparison
    const isSame = this.#catchUp != null && sameSegments(this.#catchUp.segments, comparison.segments)

    if (this.#catchUp == null || this.#catchUp.spans.isDone ||
      (!isSame && !this.#catchUp.spans.tellers.some(other => other !== peer && this.#isTelling(other)))) {
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
    const { entries, next, looked } = await this.#ask<'window'>(comparison, { kind: 'window', from, to, segments })

    if (compareMoments(next, from) <= 0) {
      throw new NoAnswerError('it told of no moment that was asked for')
    }
    if (spans.told(window, next)) {
      this.#wake()
    }

    return { entries, looked, isEnd: spans.next(peer, clock.now()) == null }
  }

  /**
   * At the next one that is due. Those that were due at `full` found no room then, until one that runs ends or is not
   * lively any more. One that became due since was not looked at: timers ring a little early
   */
  #arm (full = -Infinity): void {
    let next = Infinity

    for (const { at, run } of this.#pairs.values()) {
      next = run != null ? next : Math.min(next, at <= full ? full + SILENT : at)
    }

    this.#alarm.set(next)
  }
}
