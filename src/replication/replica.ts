import { decodeContent } from '../log/core/entry.ts'
import { positionOf } from '../log/core/keys.ts'
import { EntryId } from '../log/entry-id.ts'
import { hash } from '../log/signatures.ts'
import { keyOf, peerOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { MalformedError } from '../runtime/errors.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { then } from '../runtime/then.ts'
import { Answers } from './answers.ts'
import { Audits } from './audits.ts'
import * as limits from './constants.ts'
import { covers, RING, widthOf } from './core/ring.ts'
import { Holdings, placeOf } from './holdings.ts'
import { Prunes } from './prunes.ts'
import { Questions } from './questions.ts'
import { Roster } from './roster.ts'
import { Spread } from './spread.ts'
import { Syncs } from './syncs.ts'
import { decodeMessage, encodeMessage, Outcome } from './wire.ts'
import type { LeaveReason, Transition } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Port, PortTopic } from './port.ts'
import type { Answer, Message, Question } from './wire.ts'
import type { RawEntry } from '../log/core/types.ts'
import type { Entry, JoinOutcome, Log } from '../log/index.ts'
import type { Sealer } from '../pubsub/seal.ts'
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
  sealer: Sealer
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
  readonly #arrivals: Mailboxes
  readonly #nudges: Alarm
  /** Whom something was learned from since others were nudged */
  readonly #learnedFrom = new Set<Key>()
  #topic?: PortTopic
  #parts?: Parts
  #isStopped = false

  constructor (init: ReplicaInit) {
    const { clock, logger, replicas, onTransition } = init
    this.#init = init
    this.#arrivals = new Mailboxes({ name: 'entries of peers', clock, deadline: limits.LIFECYCLE_DEADLINE, capacity: 2 * limits.WINDOW })
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
  spread (entry: Entry): void | Promise<void> {
    return then(placeOf(entry), position => { this.#parts?.spread.spread(entry, this.#keepersHere(position)) })
  }

  /** Resolves when so many, or the leaders of those who are here, have stored it */
  async acked (entry: Entry, ack: 'leaders' | number, { signal }: AbortOptions): Promise<void> {
    const position = await placeOf(entry)
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
    this.#arrivals.stop()
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
        this.#onEntries(from, message)
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

  #onEntries (from: Key, { number, reach, entries }: Extract<Message, { type: 'entries' }>): void {
    if (this.#parts == null) {
      return
    }

    // what arrived is a view, and waits
    const raws = entries.map(({ bytes, proof }) => ({ bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) }))

    this.#arrivals.turn(from, async () => {
      const joined = await this.#store(raws)
      await this.#send(from, { type: 'stored', number, outcomes: joined.map(outcomeOf) })

      // who sent it does not see all that we see
      if (joined.some(outcome => outcome?.status === 'added') && this.roster.here.filter(peer => peer !== from).length >= reach) {
        this.#nudgeOthers(from)
      }
    }).catch(err => {
      // nobody answers, so it is sent again, or found when we compare
      this.#init.counters.add(`entries: ${err.name}`)
    })
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
    if (this.#init.canReplicate != null && question.kind !== 'keep' && !await this.roster.members.isIn(from)) {
      return send({ kind: 'refused', reason: 'it is no replicator here' })
    }
    if (COMPARING.includes(question.kind)) {
      this.#parts.syncs.asked(from)
    }
    return this.#parts.answers.answer(from, question, send)
  }

  /** Stores what is for us to keep; undefined: it is not */
  async #store (raws: RawEntry[]): Promise<Array<JoinOutcome | undefined>> {
    const { log, prunes } = this.#parts as Parts
    const { kept } = this.roster
    const isOurs = widthOf(kept) === RING ? raws.map(() => true) : await Promise.all(raws.map(async raw => isWithin(kept, raw)))
    const joined = await log.join(raws.filter((_, i) => isOurs[i]))
    let next = 0

    if (kept !== this.roster.kept) {
      // some may be for others to keep by now
      prunes.mark()
    }

    return isOurs.map(isOurs => isOurs ? joined[next++] : undefined)
  }

  #onPresent (peer: Key): void {
    if (this.roster.cameIn(peer) && this.#parts != null) {
      this.#parts.spread.present(peer)

      if (this.roster.here.includes(peer)) {
        // it was missed for a moment: there was no join
        this.#parts.spread.joined(peer)
        this.#parts.syncs.mark(peer)
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
      this.#parts.syncs.mark(peer, this.#init.self < peer ? 0 : limits.COURTESY)
      this.#parts.spread.joined(peer)
    }

    this.#parts?.prunes.mark()
    this.#init.onTransition(type, peer, segments, transition.type === 'leave' ? transition.reason : undefined)
  }

  /** To whom an entry that lies there goes. It is appended here, and may not be for us to keep */
  #keepersHere (position: number): Key[] {
    const { roster } = this

    if (!covers(roster.kept, position)) {
      this.#parts?.prunes.mark()
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

  #offer (peer: Key, entry: Entry): void {
    this.#parts?.spread.spread(entry, [peer])
  }

  async #offerAll (peer: Key, ids: Uint8Array[]): Promise<void> {
    for (const id of ids) {
      const entry = await this.#parts?.log.get(new EntryId(id))

      if (entry != null) {
        this.#offer(peer, entry)
      }
    }
  }

  #makeParts (log: Log): Parts {
    const { clock, random, randomBytes, logger, keep, onProgress } = this.#init
    const { roster, questions } = this
    const holdings = new Holdings(log, clock)
    const kept = (): Segment[] => roster.kept
    const shared = (peer: Key): Segment[] => roster.shared(peer)

    return {
      log,
      holdings,
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
        join: async entries => (await this.#store(entries)).filter(outcome => outcome?.status === 'added').length,
        nudge: peer => { this.#nudge(peer) },
        offer: (peer, ids) => { this.#offerAll(peer, ids).catch(() => {}) },
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
        offer: (peer, entry) => { this.#offer(peer, entry) }
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

function outcomeOf (joined: JoinOutcome | undefined): Outcome {
  if (joined == null || joined.status === 'refused') {
    return joined?.reason?.name === 'FutureEntryError' ? Outcome.LATER : Outcome.REFUSED
  }
  return Outcome.STORED
}

async function isWithin (kept: Segment[], { bytes }: RawEntry): Promise<boolean> {
  try {
    const { group } = decodeContent(bytes)
    return covers(kept, positionOf(await hash(group.byteLength === 0 ? bytes : group)))
  } catch {
    // for the log to refuse by name
    return true
  }
}
