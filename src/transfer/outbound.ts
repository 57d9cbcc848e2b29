import { AbortError } from '@libp2p/interface'
import { toString } from 'uint8arrays/to-string'
import { aborted } from '../runtime/aborted.ts'
import * as limits from './constants.ts'
import { Layout } from './core/leaves.ts'
import { Outgoing, weightOf } from './core/outgoing.ts'
import { failure, SourceFailedError, TransferRejectedError } from './errors.ts'
import { Reporter } from './progress.ts'
import { encodeMessage, EndReason } from './wire.ts'
import type { Context } from './context.ts'
import type { Extent } from './core/extents.ts'
import type { Fragment } from './core/outgoing.ts'
import type { Destination } from './destination.ts'
import type { TransferFailure } from './errors.ts'
import type { OutboundTransfer, SendOptions, TransferProgress } from './index.ts'
import type { Lane } from './port.ts'
import type { Source, Survey } from './source.ts'
import type { Message } from './wire.ts'
import type { PeerId } from '@libp2p/interface'

type State =
  /** Its hashes are being made */
  | { type: 'surveying' }
  /** The other side has not said that it knows of it */
  | { type: 'offering' }
  | { type: 'sending' }
  | { type: 'over' }

export interface OutboundInit {
  context: Context
  destination: Destination
  id: Uint8Array
  key: string
  peerId: PeerId
  source: Source
  options: SendOptions
  onOver (outbound: Outbound): void
}

/** Why the other side ended it, as this side says it. DONE is none of them */
const FAILURES: Partial<Record<EndReason, TransferFailure>> = {
  [EndReason.STOPPED]: 'stopped',
  [EndReason.MISMATCH]: 'mismatch',
  [EndReason.CREDIT]: 'protocol',
  [EndReason.STALLED]: 'stalled',
  [EndReason.SILENT]: 'silent',
  [EndReason.NODE_STOP]: 'node-stopped'
}

/** A transfer that goes out: what is to be sent next, and how it ends */
export class Outbound implements OutboundTransfer {
  readonly id: string
  readonly key: string
  readonly peerId: PeerId
  readonly done: Promise<void>
  readonly lane: Lane
  readonly #init: OutboundInit
  readonly #resolve: () => void
  readonly #reject: (err: Error) => void
  readonly #reporter: Reporter
  #state: State = { type: 'surveying' }
  #survey?: Survey
  #outgoing: Outgoing
  /** What the source came to, if that was not known before */
  #end?: { size: number, root: Uint8Array }
  #isEndUntold = false
  #leaf?: { index: number, bytes: Uint8Array }
  #isReading = false
  /** A piece that nothing but the window keeps from being sent */
  #ready?: Fragment
  #heardAt: number
  #movedAt: number
  #askAt = Infinity

  constructor (init: OutboundInit) {
    const { context: { clock }, id, key, peerId, options: { priority, onProgress, signal } } = init
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#init = init
    this.id = toString(id, 'base16')
    this.key = key
    this.peerId = peerId
    this.lane = priority ?? 'bulk'
    this.done = promise
    // who does not listen is not to hear of it as an unhandled rejection
    promise.catch(() => {})
    this.#resolve = resolve
    this.#reject = reject
    this.#reporter = new Reporter(clock, () => this.progress, onProgress, init.context.log)
    this.#heardAt = this.#movedAt = clock.now()
    this.#outgoing = this.#newOutgoing()
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    void this.#begin()
  }

  get state (): string {
    return this.#state.type
  }

  get progress (): TransferProgress {
    const { layout: { listBytes, size }, there } = this.#outgoing
    return { bytes: Math.max(0, Math.min(there - listBytes, size ?? Infinity)), size }
  }

  /** When to call `tick` */
  get nextAt (): number {
    if (this.#state.type === 'over') {
      return Infinity
    }

    const silentAt = this.#state.type === 'surveying' ? Infinity : this.#heardAt + limits.SILENCE
    return Math.min(this.#askAt, silentAt, this.#movedAt + limits.STALL)
  }

  /** What goes next, as far as the window allows */
  peek (): Fragment | undefined {
    return this.#state.type === 'sending' ? this.#outgoing.nextAgain() ?? this.#ready : undefined
  }

  abort (reason?: Error): void {
    this.settle(EndReason.STOPPED, reason ?? new AbortError('The transfer was aborted'))
  }

  /** The fragment that `peek` returned leaves */
  send (fragment: Fragment): void {
    const { context: { clock, flight }, destination } = this.#init
    const now = clock.now()
    const outgoing = this.#outgoing
    const ticket = flight.beginResend(fragment)

    if (ticket == null) {
      flight.register(fragment, outgoing.owner, weightOf(fragment), destination.key, now)
      destination.window.sent(weightOf(fragment), now)
    } else {
      flight.commitResend(ticket, destination.key, now)
    }

    const { order } = flight.get(fragment) as NonNullable<ReturnType<typeof flight.get>>
    outgoing.sent(fragment, order)
    this.#askAt = Math.min(this.#askAt, now + destination.roundTrip.timeout)

    if (fragment === this.#ready) {
      this.#ready = undefined
      this.#prepare()
    }

    destination.transmit(fragment.message, this.lane).catch(() => {
      // else the transfer is over, or the other side has it by another way, or it was sent again meanwhile
      if (flight.get(fragment)?.order === order) {
        destination.window.discarded(flight.abandon(fragment))
        outgoing.unsent(fragment)
      }

      destination.failed()
    })
  }

  /** What was on its way does not arrive */
  lost (fragment: Fragment): void {
    this.#outgoing.unsent(fragment)
  }

  /** With the next tick: there is a way to the other side again, or it may not have what was sent */
  ask (): void {
    if (this.#askAt < Infinity) {
      this.#askAt = this.#init.context.clock.now()
    }
  }

  owns (owner: number): boolean {
    return this.#outgoing.owner === owner
  }

  tick (now: number): void {
    if (this.#state.type === 'over') {
      return
    }
    if (now >= this.#heardAt + limits.SILENCE && this.#state.type !== 'surveying') {
      this.settle(EndReason.SILENT, failure(this.peerId, 'silent'))
    } else if (now >= this.#movedAt + limits.STALL && (this.#isReading || this.#state.type === 'surveying')) {
      this.#fail(new SourceFailedError('The source has yielded nothing for ten minutes'))
    } else if (now >= this.#movedAt + limits.STALL) {
      this.settle(EndReason.STALLED, failure(this.peerId, 'stalled'))
    } else if (now >= this.#askAt) {
      this.#ask(now)
    }
  }

  onMessage (message: Extract<Message, { type: 'status' } | { type: 'end' }>): void {
    const { context: { clock, flight }, destination } = this.#init
    const now = clock.now()

    if (this.#state.type === 'over' || this.#state.type === 'surveying') {
      return
    }

    this.#heardAt = now
    destination.heard()

    if (message.type === 'end') {
      this.#onEnd(message.reason)
      return
    }

    this.#state = { type: 'sending' }
    const arrived = this.#outgoing.onStatus(message.status)

    if (arrived != null && arrived.length > 0) {
      this.#movedAt = now
      const bytes = arrived.reduce((sum, fragment) => {
        const { order = 0, sentAt = 0, first } = flight.get(fragment) as NonNullable<ReturnType<typeof flight.get>>
        // what was sent again does not tell how long an answer takes (Karn)
        order === first && destination.roundTrip.measured(now - sentAt)
        return sum + flight.ack(fragment)
      }, 0)
      destination.window.acked(bytes, now)
      this.#reporter.changed()
    }
    if (this.#outgoing.isInsatiable) {
      this.settle(EndReason.CREDIT, failure(this.peerId, 'protocol'))
      return
    }

    this.#askAt = now + (this.#outgoing.isOwing || this.#end != null ? destination.roundTrip.timeout : limits.KEEPALIVE)
    this.#prepare()
    destination.pump()
  }

  /** The one way to end. What is in flight is released, who waits is told, and so is the other side */
  settle (reason: EndReason, err?: Error): void {
    const { context: { flight }, destination, id, source, options: { signal }, onOver } = this.#init

    if (this.#state.type === 'over') {
      return
    }

    const isKnown = this.#state.type !== 'surveying'
    this.#state = { type: 'over' }
    this.#ready = undefined
    this.#leaf = undefined
    destination.window.discarded(flight.dropStream(this.#outgoing.owner))
    this.#outgoing.close()
    signal?.removeEventListener('abort', this.#onAbort)
    source.close().catch(err => { this.#init.context.log('a source did not close - %e', err) })
    onOver(this)
    destination.pump()

    if (err == null) {
      this.#resolve()
    } else {
      this.#reject(err)
    }
    if (isKnown && err != null) {
      // who does not hear it hears nothing more, and gives up
      this.#transmit({ type: 'end', id, isSender: true, reason }, 'control').catch(() => {})
    }

    this.#reporter.over()
  }

  readonly #onAbort = (): void => {
    // a reason may be null: that is no success
    this.abort(this.#init.options.signal?.reason)
  }

  async #begin (): Promise<void> {
    const { context: { clock, pacer }, destination, source, options: { signal } } = this.#init

    try {
      this.#survey = await aborted(source.survey(async () => {
        this.#movedAt = clock.now()
        await pacer.pause()
      }), signal)
    } catch (err: any) {
      this.#fail(err)
      return
    }

    if (this.#state.type === 'surveying') {
      this.#outgoing = this.#newOutgoing()
      this.#state = { type: 'offering' }
      this.#heardAt = this.#movedAt = clock.now()
      this.#ask(this.#heardAt)
      destination.arm()
    }
  }

  /** `cost`: what it took to send it to earlier lives of the other side */
  #newOutgoing (cost = 0): Outgoing {
    const { context: { flight, newOwner }, destination: { port: { maxFragment } } } = this.#init
    return new Outgoing({ layout: new Layout(this.#survey?.size), flight, owner: newOwner(), maxFragment, cost })
  }

  /** Says it again, or asks where the other side stands: a hop loses nothing, but a relay may die */
  #ask (now: number): void {
    const { destination: { roundTrip }, id, options: { protocol = '', meta = new Uint8Array() } } = this.#init
    const { size, root } = this.#survey ?? {}
    const message: Message = this.#state.type === 'offering'
      ? { type: 'offer', id, terms: { size, root, protocol, meta } }
      : { type: 'probe', id, question: this.#outgoing.question(), end: this.#end }
    const isWaiting = this.#state.type === 'offering' || this.#outgoing.isOwing || this.#end != null

    this.#askAt = now + (isWaiting ? roundTrip.timeout : limits.KEEPALIVE)
    roundTrip.asked()
    // a question goes behind what was sent: then it tells what is lost
    this.#transmit(message, this.#state.type === 'offering' ? 'control' : this.lane).catch(() => {})
  }

  #onEnd (reason: EndReason): void {
    const { peerId } = this

    if (reason === EndReason.DONE) {
      this.#outgoing.done()
      this.settle(reason)
    } else if (reason === EndReason.UNKNOWN) {
      this.#beginAnew()
    } else if (reason === EndReason.REJECTED) {
      this.settle(reason, new TransferRejectedError(`${peerId} does not take it`, 'rejected'))
    } else if (reason === EndReason.BUSY) {
      this.settle(
        reason, new TransferRejectedError(`${peerId} has no room for one more transfer: try again later`, 'busy')
      )
    } else if (reason === EndReason.TOO_LARGE) {
      this.settle(reason, new TransferRejectedError(`${peerId} takes no transfer of this size`, 'too-large'))
    } else {
      this.settle(reason, failure(peerId, FAILURES[reason] ?? 'stopped'))
    }
  }

  /** The other side lives anew. It is offered once more, and says what it has of it */
  #beginAnew (): void {
    const { context: { clock, flight }, destination, source } = this.#init

    if (this.#state.type !== 'sending') {
      // it was asked before it heard the offer
      return
    }
    if (!source.isRewindable) {
      this.settle(EndReason.STOPPED, failure(this.peerId, 'forgotten'))
      return
    }

    destination.window.discarded(flight.dropStream(this.#outgoing.owner))
    this.#outgoing.close()
    this.#ready = undefined
    // an offer costs something, too
    this.#outgoing = this.#newOutgoing(this.#outgoing.cost + limits.MIN_FRAGMENT)

    if (this.#outgoing.isInsatiable) {
      this.settle(EndReason.CREDIT, failure(this.peerId, 'protocol'))
      return
    }

    this.#state = { type: 'offering' }
    this.#ask(clock.now())
  }

  /** Reads what is to be sent next: one piece, so that no more is taken from the source than can go */
  #prepare (): void {
    const { context: { clock }, destination } = this.#init

    if (this.#ready != null || this.#isReading || this.#state.type !== 'sending') {
      return
    }

    const extent = this.#outgoing.nextExtent(destination.window.rate)

    if (extent == null) {
      return
    }

    const { layout } = this.#outgoing
    const outgoing = this.#outgoing

    if (extent.from < layout.listBytes) {
      this.#ready = this.#fragment(extent, (this.#survey as Survey).list.subarray(extent.from, extent.to))
      return
    }

    const index = layout.leafAt(extent.from)
    const leaf = this.#leaf?.index === index ? this.#leaf.bytes : this.#read(index)

    if (leaf instanceof Uint8Array) {
      this.#cut(index, leaf)
      return
    }

    this.#isReading = true
    // from now on it is the source that has to move
    this.#movedAt = clock.now()
    leaf.then(bytes => {
      this.#isReading = false
      this.#movedAt = clock.now()

      if (outgoing !== this.#outgoing) {
        this.#prepare()
      } else if (this.#state.type === 'sending') {
        this.#cut(index, bytes)
      }
      destination.pump()
    }).catch(err => { this.#fail(err) })
  }

  #read (index: number): Uint8Array | Promise<Uint8Array> {
    return this.#init.source.leaf(index)
  }

  #cut (index: number, bytes: Uint8Array): void {
    const { layout } = this.#outgoing
    const { root } = this.#survey ?? {}
    const start = layout.startOf(index)

    if (root == null && bytes.byteLength < limits.LEAF_BYTES && this.#end == null) {
      this.#ended(start - layout.listBytes + bytes.byteLength)
    } else if (root != null && bytes.byteLength < layout.bytesOf(index)) {
      this.#fail(new SourceFailedError(`The source has fewer bytes now than the ${layout.size} that it had when ` +
        'it was offered'))
      return
    }

    this.#leaf = { index, bytes }
    const extent = this.#outgoing.nextExtent(this.#init.destination.window.rate)

    if (extent == null) {
      return
    }
    if (layout.leafAt(extent.from) !== index) {
      this.#prepare()
      return
    }

    this.#ready = this.#fragment(extent, bytes.subarray(extent.from - start, extent.to - start))
  }

  /** The one copy: who made the bytes may use their memory again */
  #fragment (extent: Extent, bytes: Uint8Array): Fragment {
    return { ...extent, message: encodeMessage({ type: 'data', id: this.#init.id, offset: extent.from, bytes }) }
  }

  /** What was read is all that there is */
  #ended (size: number): void {
    const { context: { clock }, destination, source } = this.#init
    this.#outgoing.layout.ends(size)
    this.#outgoing.ended()
    this.#end = { size, root: source.root(size) }
    // behind the last piece, when that has gone
    this.#askAt = Math.min(this.#askAt, clock.now() + destination.roundTrip.timeout)
    this.#isEndUntold = true
  }

  /** All has been sent of a source whose end the other side does not know */
  tellEnd (): void {
    if (this.#isEndUntold && this.#state.type === 'sending' && this.peek() == null) {
      this.#isEndUntold = false
      this.#ask(this.#init.context.clock.now())
    }
  }

  #fail (err: Error): void {
    const cause = err instanceof SourceFailedError
      ? err
      : new SourceFailedError(`The source failed: ${err?.message}`, { cause: err })
    const isOurs = this.#init.options.signal?.aborted === true
    this.settle(isOurs ? EndReason.STOPPED : EndReason.SOURCE, isOurs ? err : cause)
  }

  async #transmit (message: Message, lane: Lane): Promise<void> {
    await this.#init.destination.transmit(encodeMessage(message), lane)
  }
}
