import { EntryId } from '../log/entry-id.ts'
import { keyOf, peerOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { LruMap } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { randomInt } from '../runtime/random.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import { Answers } from './answers.ts'
import { AntiEntropy } from './anti-entropy.ts'
import * as limits from './constants.ts'
import { shareOf } from './core/placement.ts'
import { covers } from './core/ring.ts'
import { Digests, placeOf, rawOf } from './digests.ts'
import { Ingest } from './ingest.ts'
import { Pruning } from './pruning.ts'
import { Push } from './push.ts'
import { Questions } from './questions.ts'
import { syncReport } from './reports.ts'
import { Roster } from './roster.ts'
import { SpotChecks } from './spot-checks.ts'
import { decodeMessage, encodeMessage, entrySize } from './wire.ts'
import type { ReplicationContext } from './context.ts'
import type { LeaveReason, Transition } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { Trust } from './core/trust.ts'
import type { Key } from './core/types.ts'
import type { Weighed } from './own-share.ts'
import type { Port, PortTopic } from './port.ts'
import type { Answer, Message, Question } from './wire.ts'
import type { Entry, Log } from '../log/index.ts'
import type { Signer } from '../pubsub/envelope.ts'
import type { AbortOptions, PeerId } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export interface ReplicaInit {
  /** The id of the log */
  id: string
  logHash: Uint8Array
  topic: string
  epoch: number
  context: ReplicationContext
  port: Port
  signer: Signer
  datastore: Datastore
  replicas: { min: number, max: number }
  maturity: number
  grace: number
  canReplicate? (peerId: PeerId, segments: Segment[]): boolean | Promise<boolean>
  keep? (entry: Entry): boolean
  onTransition (type: Transition['type'], peer: Key, segments: Segment[], reason?: LeaveReason): void
  onProgress (peer: Key, done: number, total: number): void
  /** A comparison with a replicator has ended */
  onCompared (): void
  /** Makes room for bytes that are for this node to keep, see own-share.ts; and says how many of them are here then */
  take (bytes: number): boolean
  settle (taken: number, added: number): void
}

/** What there is once the log is open */
interface Parts {
  log: Log
  spotChecks: SpotChecks
  digests: Digests
  ingest: Ingest
  answers: Answers
  push: Push
  antiEntropy: AntiEntropy
  pruning: Pruning
}

/** Who asks these is comparing with us */
const COMPARING: Array<Question['kind']> = ['summaries', 'symbols', 'fetch', 'pull']
/** Bytes of a question: more than the largest one that this package asks */
const MAX_QUESTION_BYTES = 128 * 1024
/**
 * Replicators that are asked what their shares weigh: some, where there are many, and for so many milliseconds. Guesses
 */
const WEIGHED = 16
const WEIGHING = 5_000
/**
 * Messages of one peer that could not be read: so many at once, and so many a minute; while there are more it is not
 * listened to
 */
const MALFORMED = { burst: 32, rate: 32 / 60 }
const MAX_REMEMBERED = 1024

/**
 * A log while it is open, and its topic: what arrives is handed to those who deal with it, and what changes who keeps
 * what is told to all of them.
 */
export class Replica {
  readonly roster: Roster
  readonly questions: Questions
  readonly #init: ReplicaInit
  readonly #nudges: Alarm
  /** Whom something was learned from since others were nudged */
  readonly #learnedFrom = new Set<Key>()
  /** Of those who sent what could not be read, the last ones */
  readonly #malformed = new LruMap<Key, TokenBucket>(MAX_REMEMBERED)
  #topic?: PortTopic
  #parts?: Parts
  #isStopped = false

  constructor (init: ReplicaInit) {
    const { context, replicas, onTransition } = init
    this.#init = init
    this.#nudges = new Alarm(context.clock, () => { this.#nudgeAll() })
    const isBusy = (peer: Key): boolean => this.#topic?.isBusy?.(peer) === true
    this.questions = new Questions({
      context, isBusy, send: async (to, message, options) => this.#send(to, message, options)
    })
    this.roster = new Roster({
      ...init,
      ...context,
      log: context.logger,
      replicas: replicas.min,
      send: async (to, message) => this.#send(to, message),
      broadcast: message => { this.#topic?.broadcast(encodeMessage(message)) },
      onShare: () => { this.#onShare() },
      onMature: (self, segments) => { onTransition('mature', self, segments) },
      onTransition: transition => { this.#onTransition(transition) }
    })
  }

  get trust (): Trust {
    return this.#init.context.trust
  }

  /** What there is once the log is open */
  get parts (): Parts | undefined {
    return this.#parts
  }

  /** Peers on the topic that have not said yet whether they keep anything */
  get unheard (): Key[] {
    return [...this.roster.present].filter(peer => this.roster.infoOf(peer) == null)
  }

  /** On the topic; what others say is noted from now on */
  async join (): Promise<void> {
    const topic = await this.#init.port.join(this.#init.topic, {
      onMessage: (from, data) => { this.#onMessage(keyOf(from), data) },
      onPresent: peerId => { this.#onPresent(keyOf(peerId)) },
      onAbsent: (peerId, isSaid) => { this.#onAbsent(keyOf(peerId), isSaid) }
    })

    if (this.#isStopped) {
      // nobody waited for it any more
      await topic.leave()
    } else {
      this.#topic = topic
    }
  }

  /** The log is open: what was noted counts now, and others hear what we keep */
  async open (log: Log, segments: Segment[]): Promise<void> {
    this.#parts = this.#makeParts(log)
    await this.roster.open(segments)
    this.#parts.pruning.mark()
  }

  /** Entries that were appended here go to those who keep them */
  spread (entry: Entry): void {
    this.#parts?.push.push(entry, this.#keepersHere(placeOf(entry)))
  }

  /** Many entries may be new here: others look for them, and some may be for others to keep */
  imported (): void {
    if (this.#isStopped) {
      // the log was closed in the middle of it: there is nobody to tell
      return
    }

    this.#nudgeOthers(this.#init.context.self)
    this.#parts?.pruning.mark()
  }

  /** Resolves when so many, or the leaders of those who are here, have stored it */
  async acked (entry: Entry, ack: 'leaders' | number, { signal }: AbortOptions): Promise<void> {
    const position = placeOf(entry)
    const { roster } = this
    const { trust } = this.#init.context
    const to = this.#keepersHere(position)
    const leaders = roster.leaders(position).filter(peer => to.includes(peer) && !trust.isFailing(peer))
    const answering = leaders.filter(peer => !trust.isSilent(peer))

    await this.#parts?.push.acked(entry, to, {
      signal,
      count: ack === 'leaders' ? undefined : ack,
      // those that let something time out are waited for only if there is nobody else
      leaders: answering.length > 0 ? answering : leaders,
      wants: peer => roster.keepers(position).includes(peer)
    })
  }

  async close (): Promise<void> {
    this.#isStopped = true
    this.#nudges.set(Infinity)
    this.questions.stop()
    this.#parts?.ingest.stop()
    this.#parts?.answers.stop()
    this.#parts?.spotChecks.stop()
    this.#parts?.antiEntropy.stop()
    this.#parts?.pruning.stop()
    this.#parts?.push.stop()
    this.#parts?.digests.stop()
    await Promise.all([this.#topic?.leave(), this.roster.close()])
  }

  /** What the shares of others weigh, as they say: those that can be relied on, some of them where they are many */
  async weighOthers (): Promise<Weighed[]> {
    const { context: { clock, random, trust }, replicas: { min } } = this.#init
    const others = this.roster.replicators.filter(({ peer, isPresent, segments }) =>
      isPresent && segments.length > 0 && !trust.isFailing(peer))
    const first = randomInt(random, others.length)
    const some = [...others.slice(first), ...others.slice(0, first)].slice(0, WEIGHED)
    const controller = new AbortController()
    const timer = clock.after(WEIGHING, () => { controller.abort() })

    try {
      return (await Promise.all(some.map(async ({ peer, segments }) => {
        try {
          const { bytes } = await this.questions.ask<'weight'>(peer, { kind: 'weight' }, { signal: controller.signal })
          return [{ bytes, share: shareOf(segments, min) }]
        } catch {
          return []
        }
      }))).flat()
    } finally {
      timer.cancel()
    }
  }

  #onMessage (from: Key, data: Uint8Array): void {
    const { counters, logger, clock } = this.#init.context
    const malformed = this.#malformed.get(from)

    if (this.#isStopped) {
      return
    }
    if (malformed != null && malformed.level(clock.now()) < 1) {
      counters.add('messages of peers that send malformed ones')
      return
    }

    try {
      this.#handle(from, decodeMessage(data), data.byteLength)
    } catch (err: any) {
      counters.add(err instanceof MalformedError ? 'malformed messages' : `failed: ${err.name}`)
      logger('a message could not be dealt with - %e', err)

      if (err instanceof MalformedError) {
        const bucket = malformed ?? new TokenBucket(MALFORMED, clock.now())
        this.#malformed.set(from, bucket)
        bucket.spend(1, clock.now())
      }
    }
  }

  #handle (from: Key, message: Message, bytes: number): void {
    switch (message.type) {
      case 'hello':
        this.roster.heard(from, message)
        break
      case 'entries':
        this.#parts?.ingest.receive(from, message)
        break
      case 'stored':
        this.#parts?.push.answered(from, message.number, message.outcomes)
        break
      case 'question':
        if (bytes > MAX_QUESTION_BYTES) {
          throw new MalformedError(`a question of ${bytes} bytes where at most ${MAX_QUESTION_BYTES} are allowed`)
        }
        this.#onQuestion(from, message)
        break
      case 'answer':
        this.questions.answered(from, message.number, message.answer)
        break
      case 'nudge':
        if (this.roster.here.includes(from)) {
          this.#parts?.antiEntropy.mark(from)
        }
        break
    }
  }

  #onQuestion (from: Key, { number, question }: Extract<Message, { type: 'question' }>): void {
    this.#answer(from, question, async answer => this.#send(from, { type: 'answer', number, answer })).catch(err => {
      // it asks again
      this.#init.context.counters.add(`questions: ${err.name}`)
    })
  }

  async #answer (from: Key, question: Question, send: (answer: Answer) => Promise<void>): Promise<void> {
    if (this.#parts == null) {
      return send({ kind: 'refused', reason: 'the log is not open yet' })
    }
    // who is refused gets nothing; but that others keep what it has it may know
    if (this.#init.canReplicate != null && question.kind !== 'keep' && !await this.roster.isIn(from) &&
      (question.kind !== 'list' || !await this.roster.mayRead(from))) {
      return send({ kind: 'refused', reason: 'it is no replicator here' })
    }
    if (COMPARING.includes(question.kind)) {
      this.#parts.antiEntropy.asked(from)
    }
    return this.#parts.answers.answer(from, question, send)
  }

  #onPresent (peer: Key): void {
    if (this.roster.cameIn(peer) && this.#parts != null) {
      this.#parts.push.present(peer)

      if (this.roster.here.includes(peer)) {
        // it was missed for a moment: there was no join
        this.#parts.push.joined(peer)
        this.#compareWith(peer)
        this.#parts.pruning.mark()
      }
    }
  }

  #onAbsent (peer: Key, isSaid: boolean): void {
    this.roster.wentOut(peer, isSaid)
    this.questions.gone(peer)
  }

  #onShare (): void {
    this.roster.here.forEach(peer => { this.#parts?.antiEntropy.mark(peer) })
    this.#parts?.pruning.mark()
  }

  #onTransition (transition: Transition): void {
    const { type, peer, segments } = transition

    if (this.#parts != null && type === 'leave') {
      this.#parts.antiEntropy.gone(peer)
      this.#init.context.trust.gone(peer)
      this.#parts.push.gone(peer)
    } else if (this.#parts != null && type !== 'mature') {
      type === 'join' ? this.#compareWith(peer) : this.#parts.antiEntropy.mark(peer)
      this.#parts.push.joined(peer)
    }

    this.#parts?.pruning.mark()
    this.#init.onTransition(type, peer, segments, transition.type === 'leave' ? transition.reason : undefined)
  }

  /** One of us is enough: it tells the other what it finds */
  #compareWith (peer: Key): void {
    this.#parts?.antiEntropy.returned(peer, this.#init.context.self < peer ? 0 : limits.COURTESY)
  }

  /** To whom an entry that lies there goes. It is appended here, and may not be for us to keep */
  #keepersHere (position: number): Key[] {
    const { roster } = this

    if (!covers(roster.kept, position)) {
      this.#parts?.pruning.added()
    }

    return roster.present.size === 0 ? [] : roster.keepers(position).filter(peer => roster.present.has(peer))
  }

  #nudge (peer: Key): void {
    // they compare now and then anyway
    this.#send(peer, { type: 'nudge' }).catch(() => {})
  }

  /** Something is new here that others may not have heard of */
  #nudgeOthers (from: Key): void {
    this.#learnedFrom.add(from)
    this.#nudges.setIfUnset(this.#init.context.clock.now() + limits.NUDGE_DELAY)
  }

  #nudgeAll (): void {
    // one alone knows what it told us
    const [only] = this.#learnedFrom.size === 1 ? this.#learnedFrom : []
    this.roster.here.filter(peer => peer !== only).forEach(peer => { this.#nudge(peer) })
    this.#learnedFrom.clear()
  }

  /**
   * Sends it these, and no more at once than may be under way. Resolves when it has stored them; rejects where it
   * refuses some
   */
  async #offer (peer: Key, ids: Uint8Array[], signal: AbortSignal): Promise<void> {
    const { log, push } = this.#parts as Parts
    let entries: Entry[] = []
    let bytes = 0

    for (const [i, id] of ids.entries()) {
      const entry = await log.get(new EntryId(id))

      if (entry != null) {
        entries.push(entry)
        bytes += entrySize(rawOf(entry))
      }
      if (bytes > limits.MAX_UNDER_WAY_BYTES || i === ids.length - 1) {
        await Promise.all(entries.map(async entry => push.acked(entry, [peer], {
          leaders: [peer], wants: () => false, signal
        })))
        entries = []
        bytes = 0
      }
    }
  }

  #makeParts (log: Log): Parts {
    const { context, keep, onProgress, onCompared, take, settle, canReplicate, maturity } = this.#init
    const { roster, questions } = this
    const { clock, trust } = context
    const digests = new Digests(log, context)
    const kept = (): Segment[] => roster.kept
    const shared = (peer: Key): Segment[] => roster.shared(peer)
    // a stranger has to be in for longer before our copies go because of it
    const certain = canReplicate != null ? maturity : maturity * limits.STRANGER_MATURITY
    const isReliable = (peer: Key): boolean => !trust.isFailing(peer) && roster.replicators.some(replicator => {
      return replicator.peer === peer && replicator.isPresent && replicator.isMature &&
        clock.now() - replicator.since >= certain
    })

    const ingest = new Ingest({
      context,
      log,
      kept,
      take,
      settle,
      onMoved: () => { this.#parts?.pruning.mark() },
      send: async (to, message) => this.#send(to, message),
      onAdded: (from, reach) => {
        // who sent it does not see all that we see
        if (roster.here.filter(peer => peer !== from).length >= reach) {
          this.#nudgeOthers(from)
        }
      }
    })

    return {
      log,
      digests,
      ingest,
      answers: new Answers({
        context,
        log,
        digests,
        kept,
        removals: () => this.#parts?.pruning.removals ?? 0,
        isSynced: () => syncReport(this).isSynced
      }),
      spotChecks: new SpotChecks({ context, log, questions, shared, suspects: () => roster.reliable }),
      push: new Push({
        context,
        isBusy: peer => this.#topic?.isBusy?.(peer) === true,
        send: async (to, message) => this.#send(to, message),
        reach: () => roster.here.length
      }),
      antiEntropy: new AntiEntropy({
        context,
        log,
        digests,
        questions,
        shared,
        join: async (peer, entries) =>
          (await ingest.store(peer, entries)).filter(outcome => outcome?.status === 'added').length,
        nudge: peer => { this.#nudge(peer) },
        offer: async (peer, ids, signal) => this.#offer(peer, ids, signal),
        onLearned: from => { this.#nudgeOthers(from) },
        onProgress,
        onCompared
      }),
      pruning: new Pruning({
        context,
        log,
        questions,
        kept,
        keepers: position => roster.keepers(position).filter(peer => roster.present.has(peer)),
        isReliable,
        nextReliable: after => roster.replicators.reduce((next, { since, isPresent }) => {
          const at = since + certain
          return isPresent && at > after ? Math.min(next, at) : next
        }, Infinity),
        copies: entry => this.#copies(entry),
        keep,
        offer: (peer, entry) => { this.#parts?.push.push(entry, [peer]) }
      })
    }
  }

  #copies ({ replicas }: Entry): number {
    const { min, max } = this.#init.replicas
    return Math.max(min, Math.min(replicas, max))
  }

  async #send (to: Key, message: Message, options: AbortOptions = {}): Promise<void> {
    if (this.#topic == null || this.#isStopped) {
      throw new Error('the log is not on its topic')
    }

    await this.#topic.send(peerOf(to), encodeMessage(message), options)
  }
}
