import { AbortError } from '@libp2p/interface'
import { Bell } from '../runtime/bell.ts'
import * as limits from './constants.ts'
import { Incoming } from './core/incoming.ts'
import { Layout } from './core/leaves.ts'
import { failure, OfferOverError, TooManyTransfersError } from './errors.ts'
import { checkAccept } from './options.ts'
import { Reporter } from './progress.ts'
import { Reading } from './reading.ts'
import { leavesInCommon, leavesOf } from './source.ts'
import { EndReason } from './wire.ts'
import type { Context } from './context.ts'
import type { Budget, Share } from './core/budget.ts'
import type { Status } from './core/outgoing.ts'
import type { TransferFailure } from './errors.ts'
import type { AcceptOptions, IncomingTransfer, Offer, TransferProgress } from './index.ts'
import type { Port } from './port.ts'
import type { Leaves } from './source.ts'
import type { Message, Terms } from './wire.ts'
import type { Tally } from '../runtime/tally.ts'
import type { PeerId } from '@libp2p/interface'

/** A sender of the payload */
export interface Origin {
  /** Of the peer, and of the id that it gave the transfer */
  readonly key: string
  readonly id: Uint8Array
  readonly peer: string
  readonly peerId: PeerId
  readonly port: Port
  heardAt: number
  /** The last status, and the last question that came */
  number: number
  echo: number
  statusAt: number
  /** When it last got an answer to a question at once */
  answeredAt: number
  /** It knows nothing of the payload any more, as after a restart: its program may offer it again */
  hasForgotten: boolean
  /** Bytes that came and were never asked for: an earlier life of this node may have been */
  strayBytes: number
}

type State =
  | { type: 'offered', since: number }
  | {
    type: 'receiving'
    share: Share
    /** In whose name the hashes are counted */
    listsOf: string
    incoming: Incoming
    options: AcceptOptions
    /** What the program has, until it is read: then it is closed */
    have?: Leaves
    reporter: Reporter
  }
  | { type: 'over', err?: Error }

export interface InboundInit {
  context: Context
  budget: Budget
  /** Bytes of hashes */
  lists: Tally
  terms: Terms
  id: string
  transmit (origin: Origin, message: Message): void
  /** It is a source no more, and was told why */
  onDropped (origin: Origin, reason: EndReason): void
  onOver (inbound: Inbound, reason: EndReason): void
}

/** Why the sender ended it, as this side says it */
const FAILURES: Partial<Record<EndReason, TransferFailure>> = {
  [EndReason.STOPPED]: 'stopped',
  [EndReason.UNKNOWN]: 'forgotten',
  [EndReason.SOURCE]: 'source',
  [EndReason.MISMATCH]: 'mismatch',
  [EndReason.CREDIT]: 'protocol',
  [EndReason.STALLED]: 'stalled',
  [EndReason.SILENT]: 'silent',
  [EndReason.NODE_STOP]: 'node-stopped'
}

/** A payload that is offered, or comes in: from one sender, or from several that offer the same */
export class Inbound {
  readonly terms: Terms
  readonly id: string
  readonly #init: InboundInit
  readonly #origins = new Map<string, Origin>()
  readonly #bell = new Bell()
  #state: State
  #movedAt: number
  /** Bytes of what the program had before, when that is known */
  #from?: number
  /** What the program waits for, since when, and how long it does */
  #awaited?: { from: number, key: string, since: number }
  #patience = limits.SWAP_FIRST
  #ended: TransferProgress

  constructor (init: InboundInit) {
    this.#init = init
    this.terms = init.terms
    this.id = init.id
    this.#movedAt = init.context.clock.now()
    this.#ended = { bytes: 0, size: init.terms.size }
    this.#state = { type: 'offered', since: this.#movedAt }
  }

  get state (): string {
    return this.#state.type
  }

  get origins (): IterableIterator<Origin> {
    return this.#origins.values()
  }

  get keptBytes (): number {
    return this.#state.type === 'receiving' ? this.#state.incoming.kept : 0
  }

  /** What it came to, when it is over */
  get progress (): TransferProgress {
    return this.#state.type === 'receiving' ? progressOf(this.#state.incoming) : this.#ended
  }

  get nextAt (): number {
    const state = this.#state

    if (state.type === 'over') {
      return Infinity
    }

    let at = state.type === 'offered' ? state.since + limits.DECISION : this.#movedAt + limits.STALL
    at = Math.min(at, (this.#awaited?.since ?? Infinity) + this.#patience)

    for (const { statusAt, heardAt } of this.#origins.values()) {
      at = Math.min(at, statusAt, heardAt + limits.SILENCE)
    }

    return at
  }

  /** What the program is handed to decide */
  offerOf (origin: Origin): Offer {
    const { terms, id } = this
    const isOpen = (): boolean => this.#state.type === 'offered'

    return {
      id,
      from: origin.peerId,
      ...terms,
      isConfidential: origin.port.isConfidential,
      get isOpen () { return isOpen() },
      accept: (options = {}) => {
        checkAccept(options)
        return this.#accept(options)
      },
      reject: () => { isOpen() && this.settle(EndReason.REJECTED) }
    }
  }

  /** Who was to decide, or had decided, failed */
  fail (err: Error): void {
    this.#state.type === 'offered' ? this.settle(EndReason.REJECTED) : this.abort(err)
  }

  countOf (peer: string): number {
    return [...this.#origins.values()].filter(origin => origin.peer === peer).length
  }

  /** One more that offers it, or the same one again */
  addOrigin (origin: Origin): void {
    this.#origins.set(origin.key, origin)
    ;[...this.#origins.values()].forEach(other => { other.hasForgotten && this.#drop(other, 'forgotten') })

    if (this.#state.type === 'receiving') {
      this.#state.incoming.addSource(origin.key)
    }

    this.#sayAll()
  }

  onMessage (
    origin: Origin,
    message: Extract<Message, { type: 'offer' } | { type: 'data' } | { type: 'probe' } | { type: 'end' }>
  ): void {
    if (!origin.hasForgotten) {
      origin.heardAt = this.#init.context.clock.now()
    }

    switch (message.type) {
      case 'offer':
        this.#answer(origin)
        break
      case 'data':
        this.#onData(origin, message.offset, message.bytes)
        break
      case 'probe':
        origin.echo = message.question
        this.#onProbe(origin, message.end)
        break
      case 'end':
        this.#onEnd(origin, message.reason)
        break
    }

    this.#watch()
  }

  /** A sender has stopped */
  onGone (peer: string): void {
    for (const origin of [...this.#origins.values()]) {
      origin.peer === peer && this.#drop(origin, 'node-stopped', EndReason.NODE_STOP)
    }
  }

  tick (now: number): void {
    const state = this.#state

    this.#watch()

    for (const origin of [...this.#origins.values()]) {
      if (now >= origin.heardAt + limits.SILENCE && origin.hasForgotten) {
        this.#drop(origin, 'forgotten')
      } else if (now >= origin.heardAt + limits.SILENCE) {
        this.#drop(origin, 'silent', EndReason.SILENT)
      } else if (now >= origin.statusAt) {
        this.#say(origin)
      }
    }

    if (state.type === 'offered' && now >= state.since + limits.DECISION) {
      this.settle(EndReason.REJECTED)
    } else if (state.type === 'receiving' && now >= this.#movedAt + limits.STALL) {
      this.settle(EndReason.STALLED, failure(this.#someone(), 'stalled'))
    }
  }

  /** The one way to end: memory is free, who waits is told, and so are those who send */
  settle (reason: EndReason, err?: Error): void {
    const { lists, transmit, onDropped, onOver } = this.#init
    const state = this.#state
    const peer = this.#someoneKey()

    if (state.type === 'over') {
      return
    }

    this.#state = { type: 'over', err }

    if (state.type === 'receiving') {
      this.#ended = progressOf(state.incoming)
      state.share.end()
      lists.add(state.listsOf, -state.incoming.layout.listBytes)
      state.options.signal?.removeEventListener('abort', this.#onAbort)
      this.#leave(state.have)
      state.reporter.over()
    }

    for (const origin of this.#origins.values()) {
      // the program saw the first, and did not want it of that one: the others are to offer it for themselves
      const own = reason === EndReason.REJECTED && origin.peer !== peer ? EndReason.UNKNOWN : reason
      transmit(origin, { type: 'end', id: origin.id, isSender: false, reason: own })
      onDropped(origin, own)
    }

    onOver(this, reason)
    this.#bell.ring()
  }

  #accept (options: AcceptOptions): IncomingTransfer {
    const { context: { clock, log }, budget, lists, terms: { size, root } } = this.#init
    checkAccept(options)

    if (this.#state.type !== 'offered') {
      throw new OfferOverError(this.#state.type === 'over'
        ? 'The offer is over: its sender gave it up, or nobody decided in time'
        : 'The offer was accepted already')
    }

    options.signal?.throwIfAborted()
    // from here on it is closed, whatever happens: it may be a file that is open
    const have = options.have == null ? undefined : leavesOf(options.have)
    const { listBytes } = new Layout(size)
    const listsOf = this.#someoneKey()
    const isRoom = lists.total + listBytes <= limits.LIST_BUDGET && lists.of(listsOf) + listBytes <= limits.PEER_LISTS
    const share = isRoom ? budget.take(listsOf) : undefined

    if (share == null) {
      this.#leave(have)
      this.settle(EndReason.BUSY)
      throw new TooManyTransfersError('As many transfers come in as there is memory for: ' +
        'take what they brought, or abort some')
    }

    lists.add(listsOf, listBytes)
    const receiving = new Incoming({ size, root, window: share.resize, hasSome: have != null })
    const reporter = new Reporter(clock, () => progressOf(receiving), options.onProgress, log)
    this.#state = { type: 'receiving', share, listsOf, incoming: receiving, options, have, reporter }
    this.#movedAt = clock.now()
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.#origins.forEach(({ key }) => { receiving.addSource(key) })

    if (have == null || listBytes === 0) {
      this.#leave(have)
      receiving.begin(0)
      this.#from = 0
    }

    this.#sayAll()
    return new Reading(this)
  }

  /** How many bytes of what the program has are those that are offered, once that is known */
  async from (): Promise<number> {
    while (this.#from == null) {
      this.#throwIfOver()
      await this.#bell.rung()
    }

    return this.#from
  }

  readonly #onAbort = (): void => {
    this.abort(this.#state.type === 'receiving' ? this.#state.options.signal?.reason : undefined)
  }

  /** A reason may be null: that is no end of the payload */
  abort (reason?: Error): void {
    this.settle(EndReason.STOPPED, reason ?? new AbortError('The transfer was aborted'))
  }

  /** The next chunk, when there is one; undefined at the end */
  async take (): Promise<Uint8Array | undefined> {
    const { context: { clock } } = this.#init

    for (;;) {
      const state = this.#state

      if (state.type !== 'receiving') {
        this.#throwIfOver()
        return
      }

      const leaf = state.incoming.take()

      if (leaf != null) {
        this.#movedAt = clock.now()
        state.reporter.changed()
        this.#sayNews()
        this.#watch()
        return leaf
      }
      if (state.incoming.outcome === 'done') {
        this.settle(EndReason.DONE)
        return
      }
      if (state.incoming.outcome === 'wrong') {
        this.settle(EndReason.MISMATCH, failure(this.#someone(), 'mismatch'))
      } else {
        await this.#bell.rung()
      }
    }
  }

  #onData (origin: Origin, offset: number, bytes: Uint8Array): void {
    const { context: { clock, dropped } } = this.#init
    const state = this.#state

    if (state.type !== 'receiving') {
      // nothing was asked for yet
      this.#onStray(origin, bytes)
      return
    }

    const neededList = state.incoming.needsList
    const arrival = state.incoming.data(origin.key, offset, bytes)

    if (arrival === 'over') {
      this.#onStray(origin, bytes)
    } else if (arrival === 'mismatch') {
      this.#dropLiars(state.incoming)
    } else if (arrival === 'duplicate') {
      dropped.add('duplicate')
    } else {
      this.#movedAt = clock.now()

      if (neededList && !state.incoming.needsList && state.have != null && this.#from == null) {
        this.#checkWhatIsHere(state.incoming, state.have).catch(err => { this.settle(EndReason.STOPPED, err) })
      }

      state.incoming.canTake && this.#bell.ring()
      this.#sayNews()
    }
  }

  /** It may be what an earlier life of this node asked for, and was on its way. That is not more than a window */
  #onStray (origin: Origin, bytes: Uint8Array): void {
    this.#init.context.dropped.add('stray')
    origin.strayBytes += Math.max(limits.MIN_FRAGMENT, bytes.byteLength)

    if (origin.strayBytes > limits.MAX_FLIGHT) {
      this.#drop(origin, 'protocol', EndReason.CREDIT)
    }
  }

  /** One source that the program waits for, while there are others, is not waited for without end */
  #watch (): void {
    const { context: { clock, arm } } = this.#init
    const state = this.#state
    const awaited = state.type === 'receiving' && this.#origins.size > 1 ? state.incoming.awaited : undefined
    const now = clock.now()

    if (state.type !== 'receiving' || awaited == null) {
      this.#awaited = undefined
    } else if (awaited.from !== this.#awaited?.from || awaited.key !== this.#awaited.key) {
      this.#awaited = { ...awaited, since: now }
      arm()
    } else if (now >= this.#awaited.since + this.#patience) {
      this.#patience = Math.min(limits.SWAP_CAP, 2 * this.#patience)
      this.#init.context.dropped.add('source: slow')
      this.#awaited = undefined
      state.incoming.swap(awaited.key)
      this.#sayAll()
    }
  }

  /** Of several, the others go on. One that began anew has as long to offer it again as one that is silent */
  #onEnd (origin: Origin, reason: EndReason): void {
    if (reason === EndReason.UNKNOWN && this.terms.root != null && this.#origins.size === 1) {
      origin.hasForgotten = true
    } else {
      this.#drop(origin, FAILURES[reason] ?? 'stopped')
    }
  }

  #onProbe (origin: Origin, end?: { size: number, root: Uint8Array }): void {
    if (end != null && this.#state.type === 'receiving') {
      if (!this.#state.incoming.end(end.size, end.root)) {
        this.#drop(origin, 'mismatch', EndReason.MISMATCH)
        return
      }
      this.#bell.ring()
    }

    this.#answer(origin)
  }

  /** Who asks all the time is told now and then: one answer is for all questions before it */
  #answer (origin: Origin): void {
    const now = this.#init.context.clock.now()

    if (now >= origin.answeredAt + limits.STATUS_AFTER) {
      origin.answeredAt = now
      this.#say(origin)
    } else {
      origin.statusAt = Math.min(origin.statusAt, origin.answeredAt + limits.STATUS_AFTER)
    }
  }

  /** Which of the program's own bytes are those that are offered */
  async #checkWhatIsHere (incoming: Incoming, have: Leaves): Promise<void> {
    const { context: { clock, pacer } } = this.#init
    const { layout, list = new Uint8Array() } = incoming
    let leaves: number

    try {
      leaves = await leavesInCommon(have, layout, list, async () => {
        this.#movedAt = clock.now()
        await pacer.pause()
        return this.#state.type === 'receiving'
      })
    } catch (err: any) {
      this.abort(err)
      return
    }

    if (this.#state.type === 'receiving') {
      this.#leave(have)
      incoming.begin(leaves)
      this.#from = Math.min(leaves * limits.LEAF_BYTES, layout.size ?? 0)
      this.#bell.ring()
      this.#sayAll()
    }
  }

  /** What the program has is not read any more. Nobody waits until it is closed */
  #leave (have?: Leaves): void {
    have?.close().catch(err => { this.#init.context.log('what a program has did not close - %e', err) })
  }

  /** It is no source any more. Without any, it is over: what was verified, and not taken, goes with it */
  #drop (origin: Origin, reason: TransferFailure, say?: EndReason): void {
    const { context: { dropped }, transmit, onDropped } = this.#init

    if (this.#state.type === 'over') {
      return
    }
    if (this.#origins.size === 1) {
      this.settle(say ?? EndReason.STOPPED, failure(origin.peerId, reason))
      return
    }

    dropped.add(`source: ${reason}`)
    this.#origins.delete(origin.key)
    this.#state.type === 'receiving' && this.#state.incoming.dropSource(origin.key)
    say != null && transmit(origin, { type: 'end', id: origin.id, isSender: false, reason: say })
    onDropped(origin, say ?? EndReason.STOPPED)
    this.#sayAll()
  }

  #dropLiars (incoming: Incoming): void {
    for (const key of incoming.liars) {
      const liar = this.#origins.get(key)
      liar != null && this.#drop(liar, 'mismatch', EndReason.MISMATCH)
    }
  }

  #sayNews (): void {
    const { context: { clock, arm } } = this.#init
    const state = this.#state

    if (state.type !== 'receiving') {
      return
    }

    for (const origin of this.#origins.values()) {
      const news = state.incoming.news(origin.key)

      if (news === 'now') {
        this.#say(origin)
      } else if (news === 'soon' && origin.statusAt === Infinity) {
        origin.statusAt = clock.now() + limits.STATUS_AFTER
        arm()
      }
    }
  }

  #sayAll (): void {
    this.#origins.forEach(origin => { this.#say(origin) })
  }

  #say (origin: Origin): void {
    const { transmit } = this.#init
    const { wanted = [], horizon = 0 } = this.#state.type === 'receiving'
      ? this.#state.incoming.standing(origin.key) ?? {}
      : {}
    const status: Status = { number: ++origin.number, echo: origin.echo, horizon, wanted: [...wanted] }
    origin.statusAt = Infinity

    if (this.#state.type !== 'over') {
      transmit(origin, { type: 'status', id: origin.id, status })
    }
  }

  #throwIfOver (): void {
    if (this.#state.type === 'over' && this.#state.err != null) {
      throw this.#state.err
    }
  }

  #someoneKey (): string {
    const [{ peer }] = this.#origins.values()
    return peer
  }

  #someone (): PeerId {
    const [{ peerId }] = this.#origins.values()
    return peerId
  }
}

function progressOf ({ taken, layout: { size } }: Incoming): TransferProgress {
  return { bytes: taken, size }
}
