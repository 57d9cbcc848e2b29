import { EntryId } from '../log/entry-id.ts'
import { keyOf, peerOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { MalformedError } from '../runtime/errors.ts'
import { Answers } from './answers.ts'
import { Audits } from './audits.ts'
import * as limits from './constants.ts'
import { covers } from './core/ring.ts'
import { Holdings, placeOf } from './holdings.ts'
import { Intake } from './intake.ts'
import { Prunes } from './prunes.ts'
import { Questions } from './questions.ts'
import { Roster } from './roster.ts'
import { Spread } from './spread.ts'
import { Syncs } from './syncs.ts'
import { decodeMessage, encodeMessage } from './wire.ts'
import type { LeaveReason, Transition } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Port, PortTopic } from './port.ts'
import type { Answer, Message, Question } from './wire.ts'
import type { Entry, Log } from '../log/index.ts'
import type { Signer } from '../pubsub/envelope.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from '../runtime/counters.ts'
import type { Random } from '../runtime/random.ts'
import type { AbortOptions, Logger, PeerId } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export interface ReplicaInit {
  /** The id of the log */
  id: string
  logHash: Uint8Array
  topic: string
  self: Key
  epoch: number
  clock: Clock
  random: Random
  randomBytes (length: number): Uint8Array
  logger: Logger
  counters: Counters
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
}

/** What there is once the log is open */
interface Parts {
  log: Log
  audits: Audits
  holdings: Holdings
  intake: Intake
  answers: Answers
  spread: Spread
  syncs: Syncs
  prunes: Prunes
}

/** Who asks these is comparing with us */
const COMPARING: Array<Question['kind']> = ['summaries', 'symbols', 'fetch', 'pull']

/**
 * A log while it is open, and its topic: what arrives is handed to those who deal with it, and what changes who keeps what is told
 * to all of them.
 */
export class Replica {
  readonly roster: Roster
  readonly questions: Questions
  readonly #init: ReplicaInit
  readonly #nudges: Alarm
  /** Whom something was learned from since others were nudged */
  readonly #learnedFrom = new Set<Key>()
  #topic?: PortTopic
  #parts?: Parts
  #isStopped = false

  constructor (init: ReplicaInit) {
    const { clock, logger, replicas, onTransition } = init
    this.#init = init
    this.#nudges = new Alarm(clock, () => { this.#nudgeAll() })
    this.questions = new Questions({ clock, send: async (to, message, options) => this.#send(to, message, options) })
    this.roster = new Roster({
      ...init,
      log: logger,
      replicas: replicas.min,
      send: async (to, message) => this.#send(to, message),
      broadcast: message => { this.#topic?.broadcast(encodeMessage(message)) },
      onShare: () => { this.#onShare() },
      onMature: (self, segments) => { onTransition('mature', self, segments) },
      onTransition: transition => { this.#onTransition(transition) }
    })
  }

  /** What there is once the log is open */
  get parts (): Parts | undefined {
    return this.#parts
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
    this.#parts.prunes.mark()
  }

  /** Entries that were appended here go to those who keep them */
  spread (entry: Entry): void {
    this.#parts?.spread.spread(entry, this.#keepersHere(placeOf(entry)))
  }

  /** Resolves when so many, or the leaders of those who are here, have stored it */
  async acked (entry: Entry, ack: 'leaders' | number, { signal }: AbortOptions): Promise<void> {
    const position = placeOf(entry)
    const { roster } = this
    const to = this.#keepersHere(position)

    await this.#parts?.spread.acked(entry, to, {
      signal,
      count: ack === 'leaders' ? undefined : ack,
      leaders: ack === 'leaders' ? roster.leaders(position).filter(peer => to.includes(peer) && !this.#isFailing(peer)) : [],
      wants: peer => roster.keepers(position).includes(peer)
    })
  }

  async close (): Promise<void> {
    this.#isStopped = true
    this.#nudges.set(Infinity)
    this.questions.stop()
    this.#parts?.intake.stop()
    this.#parts?.answers.stop()
    this.#parts?.audits.stop()
    this.#parts?.syncs.stop()
    this.#parts?.prunes.stop()
    this.#parts?.spread.stop()
    await Promise.all([this.#topic?.leave(), this.roster.close()])
  }

  #onMessage (from: Key, data: Uint8Array): void {
    if (this.#isStopped) {
      return
    }

    try {
      this.#handle(from, decodeMessage(data))
    } catch (err: any) {
      this.#init.counters.add(err instanceof MalformedError ? 'malformed messages' : `failed: ${err.name}`)
      this.#init.logger('a message could not be dealt with - %e', err)
    }
  }

  #handle (from: Key, message: Message): void {
    switch (message.type) {
      case 'hello':
        this.roster.heard(from, message)
        break
      case 'entries':
        this.#parts?.intake.receive(from, message)
        break
      case 'stored':
        this.#parts?.spread.answered(from, message.number, message.outcomes)
        break
      case 'question':
        this.#onQuestion(from, message)
        break
      case 'answer':
        this.questions.answered(from, message.number, message.answer)
        break
      case 'nudge':
        if (this.roster.members.core.infoOf(from) != null) {
          this.#parts?.syncs.mark(from)
        }
        break
    }
  }

  #onQuestion (from: Key, { number, question }: Extract<Message, { type: 'question' }>): void {
    this.#answer(from, question, async answer => this.#send(from, { type: 'answer', number, answer })).catch(err => {
      // it asks again
      this.#init.counters.add(`questions: ${err.name}`)
    })
  }

  async #answer (from: Key, question: Question, send: (answer: Answer) => Promise<void>): Promise<void> {
    if (this.#parts == null) {
      return send({ kind: 'refused', reason: 'the log is not open yet' })
    }
    // who is refused gets nothing; but that others keep what it has it may know
    if (this.#init.canReplicate != null && question.kind !== 'keep' && !await this.roster.members.isIn(from) && (question.kind !== 'list' || !await this.roster.members.mayRead(from))) {
      return send({ kind: 'refused', reason: 'it is no replicator here' })
    }
    if (COMPARING.includes(question.kind)) {
      this.#parts.syncs.asked(from)
    }
    return this.#parts.answers.answer(from, question, send)
  }

  #onPresent (peer: Key): void {
    if (this.roster.cameIn(peer) && this.#parts != null) {
      this.#parts.spread.present(peer)

      if (this.roster.here.includes(peer)) {
        // it was missed for a moment: there was no join
        this.#parts.spread.joined(peer)
        this.#compareWith(peer)
        this.#parts.prunes.mark()
      }
    }
  }

  #onAbsent (peer: Key, isSaid: boolean): void {
    this.roster.wentOut(peer, isSaid)
    this.questions.gone(peer)
  }

  #onShare (): void {
    this.roster.here.forEach(peer => { this.#parts?.syncs.mark(peer) })
    this.#parts?.prunes.mark()
  }

  #onTransition (transition: Transition): void {
    const { type, peer, segments } = transition

    if (this.#parts != null && type === 'leave') {
      this.#parts.syncs.gone(peer)
      this.#parts.audits.gone(peer)
      this.#parts.spread.gone(peer)
    } else if (this.#parts != null && type !== 'mature') {
      this.#compareWith(peer)
      this.#parts.spread.joined(peer)
    }

    this.#parts?.prunes.mark()
    this.#init.onTransition(type, peer, segments, transition.type === 'leave' ? transition.reason : undefined)
  }

  /** One of us is enough: it tells the other what it finds */
  #compareWith (peer: Key): void {
    this.#parts?.syncs.mark(peer, this.#init.self < peer ? 0 : limits.COURTESY)
  }

  /** To whom an entry that lies there goes. It is appended here, and may not be for us to keep */
  #keepersHere (position: number): Key[] {
    const { roster } = this

    if (!covers(roster.kept, position)) {
      this.#parts?.prunes.added()
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
    this.#nudges.setIfUnset(this.#init.clock.now() + limits.NUDGE_DELAY)
  }

  #nudgeAll (): void {
    // one alone knows what it told us
    const [only] = this.#learnedFrom.size === 1 ? this.#learnedFrom : []
    this.roster.here.filter(peer => peer !== only).forEach(peer => { this.#nudge(peer) })
    this.#learnedFrom.clear()
  }

  async #offer (peer: Key, id: Uint8Array): Promise<void> {
    const entry = await this.#parts?.log.get(new EntryId(id))

    if (entry != null) {
      await this.#parts?.spread.acked(entry, [peer], { leaders: [peer], wants: () => false })
    }
  }

  #makeParts (log: Log): Parts {
    const { clock, random, randomBytes, logger, counters, keep, onProgress } = this.#init
    const { roster, questions } = this
    const holdings = new Holdings(log, clock)
    const kept = (): Segment[] => roster.kept
    const shared = (peer: Key): Segment[] => roster.shared(peer)

    const intake = new Intake({
      clock,
      counters,
      log,
      kept,
      onMoved: () => { this.#parts?.prunes.mark() },
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
      holdings,
      intake,
      answers: new Answers({ clock, log, holdings, kept, removals: () => this.#parts?.prunes.removals ?? 0 }),
      audits: new Audits({ clock, random, log, questions, shared, suspects: () => roster.reliable }),
      spread: new Spread({ clock, send: async (to, message) => this.#send(to, message), reach: () => roster.here.length }),
      syncs: new Syncs({
        clock,
        random,
        randomBytes,
        logger,
        log,
        holdings,
        questions,
        shared,
        join: async entries => (await intake.store(entries)).filter(outcome => outcome?.status === 'added').length,
        nudge: peer => { this.#nudge(peer) },
        offer: async (peer, ids) => { await Promise.all(ids.map(async id => this.#offer(peer, id))) },
        onLearned: from => { this.#nudgeOthers(from) },
        onProgress
      }),
      prunes: new Prunes({
        clock,
        random,
        logger,
        log,
        questions,
        kept,
        keepers: position => roster.keepers(position).filter(peer => roster.present.has(peer)),
        isReliable: peer => roster.reliable.includes(peer) && !this.#isFailing(peer),
        copies: entry => this.#copies(entry),
        keep,
        offer: (peer, entry) => { this.#parts?.spread.spread(entry, [peer]) }
      })
    }
  }

  #isFailing (peer: Key): boolean {
    return this.#parts?.audits.isFailing(peer) === true
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
