import { toString } from 'uint8arrays/to-string'
import { Alarm } from '../runtime/alarm.ts'
import { Fifo } from '../runtime/bounded.ts'
import { StoreFailedError } from '../runtime/errors.ts'
import { bytesOfKey } from '../runtime/keys.ts'
import { Calls } from './calls.ts'
import * as limits from './constants.ts'
import { violations } from './core/invariants.ts'
import { Session } from './core/session.ts'
import { current, epochOf, roleOf } from './core/state.ts'
import { canSeal } from './core/triggers.ts'
import { closedError } from './errors.ts'
import { Outgoing } from './outgoing.ts'
import { Reading } from './reading.ts'
import { RecordWriter } from './record-writer.ts'
import type { Effect, Event } from './core/events.ts'
import type { Key, SessionInit } from './core/state.ts'
import type { XWingQueue } from './crypto/x-wing-queue.ts'
import type { ResyncReason, RekeyOptions, SessionMode, SessionState } from './index.ts'
import type { Options } from './options.ts'
import type { Read } from './reading.ts'
import type { Records } from './records.ts'
import type { Traffic } from './traffic.ts'
import type { Sign } from '../runtime/ed25519.ts'
import type { StoreInUseError } from '../runtime/errors.ts'
import type { Mailboxes } from '../runtime/mailbox.ts'
import type { AbortOptions, Logger, PeerId, PublicKey } from '@libp2p/interface'

/** What a session needs of the node around it */
export interface Surroundings {
  me: Key
  options: Options
  records: Records
  crypto: XWingQueue
  sign: Sign
  /** Frames that wait for one before them, by their peer */
  inbox: Mailboxes
  traffic: Traffic
  log: Logger
  /** Bytes that all sessions together hold */
  readonly earlyBytes: number
  publish (peerId: PeerId, frame: Uint8Array, isRound: boolean): Promise<void>
  isPresent (peer: Key): boolean
  publicKeyOf (peerId: PeerId): PublicKey | undefined
  /** Bytes that a session holds more than before */
  onBytes (queued: number, early: number): void
  onMessage (peerId: PeerId, payload: Uint8Array): void
  onEpoch (peerId: PeerId, epoch: number): void
  onResync (peerId: PeerId, reason: ResyncReason): void
  onPeerClosed (peerId: PeerId): void
  /** The session could not begin: nobody holds it any more */
  onFailed (session: PeerSession): void
  /** Somebody else has the store: all sessions are over */
  onLost (err: StoreInUseError): void
}

type State =
  /** What is asked of it meanwhile, in order, and how many of that are frames, and calls for a new key */
  | { type: 'loading', asked: Array<() => void>, frames: number, rekeys: number }
  | { type: 'live', session: Session, reading: Reading }
  | { type: 'over', err: Error }

/**
 * One session: what happens becomes an event of its core, and what the core says is done. It decides nothing. Events
 * that come while effects are done wait for those.
 */
export class PeerSession {
  readonly peerId: PeerId
  readonly peer: Key
  readonly #around: Surroundings
  readonly #calls: Calls
  readonly #outgoing: Outgoing
  readonly #writer: RecordWriter
  readonly #alarm: Alarm
  readonly #events = new Fifo<Event>()
  #isStepping = false
  #wakeAt = Infinity
  #state: State = { type: 'loading', asked: [], frames: 0, rekeys: 0 }
  /** Revisions of this life come behind those that were stored before */
  #stored = 0
  #queued = 0
  #early = 0
  /** Bytes of frames that wait to be read */
  #waiting = 0
  /** Messages that the core does not have yet, and their bytes */
  #unasked = { messages: 0, bytes: 0 }

  constructor (peerId: PeerId, peer: Key, around: Surroundings) {
    const { options, crypto, sign, records, traffic } = around
    this.peerId = peerId
    this.peer = peer
    this.#around = around
    this.#calls = new Calls(peerId)
    this.#alarm = new Alarm(options.clock, () => { this.#wake() })
    this.#outgoing = new Outgoing({
      crypto,
      sign,
      publish: async (frame, isRound) => around.publish(peerId, frame, isRound),
      onDropped: reason => { traffic.dropped.add(reason) }
    })
    this.#writer = new RecordWriter({
      clock: options.clock,
      random: options.random,
      store: async (revision, record) => records.store(peer, this.#stored + revision, record),
      onStored: revision => {
        traffic.add('stored_records')
        this.#outgoing.stored(revision)
      },
      onProblem: err => {
        traffic.dropped.add('not-stored')
        around.log.error('the session with %p cannot be stored, and waits - %e', peerId, err)
      },
      onLost: err => { around.onLost(err) }
    })
  }

  /** Begins with what was stored, when an earlier life of it here is over */
  async begin (before?: Promise<void>): Promise<void> {
    const { records, log, onFailed } = this.#around

    try {
      await before
      const found = await records.load(this.peer)

      if (this.#state.type !== 'loading') {
        found.type === 'record' && found.record.fill(0)
        return
      }

      const { asked } = this.#state
      this.#live(found)
      asked.forEach(ask => { ask() })
    } catch (err: any) {
      log.error('the session with %p cannot be read - %e', this.peerId, err)
      onFailed.call(this.#around, this)
      this.#end(new StoreFailedError(`The session with ${this.peerId} cannot be read: ${err.message}`, { cause: err }))
    }
  }

  /**
   * Whether nothing would be lost but a key, if it were begun anew from what is stored. A round that the peer has
   * begun, and messages of it that came too early, are no reason to keep it: the peer says them again, and might never
   * end them
   */
  get isIdle (): boolean {
    if (this.#state.type !== 'live' || !this.#writer.isIdle) {
      return false
    }

    const { mode, out, waiters } = this.#state.session.state
    return mode.type !== 'proposing' && out.messages.length + waiters.length === 0
  }

  /** Whether the two have ever agreed on a key */
  get hasKey (): boolean {
    return this.#state.type === 'live' && this.#state.session.state.keys.length > 0
  }

  get state (): SessionState | undefined {
    if (this.#state.type !== 'live') {
      return
    }

    const { state } = this.#state.session
    const key = current(state)
    const { out, in: inbox, isConnected } = state
    return {
      peerId: this.peerId,
      epoch: epochOf(state),
      ...(key == null ? {} : { key: toString(bytesOfKey(key.id), 'base16') }),
      role: roleOf(state),
      isConnected,
      canSeal: canSeal(state, this.#now),
      queued: { messages: out.messages.length, bytes: out.bytes },
      early: { messages: inbox.early.length, bytes: inbox.earlyBytes },
      ...(this.#writer.problem == null ? {} : { problem: this.#writer.problem })
    }
  }

  /** The payload is the session's from now on */
  send (payload: Uint8Array, mode: SessionMode, { signal }: AbortOptions): Promise<void> {
    const isAlone = mode === 'perfect'

    // the core asks again. But what it does not have yet would have no bound, and its disk may never answer
    if (this.#isFull(payload.byteLength)) {
      throw this.#calls.queueFull()
    }

    this.#hold(1, payload.byteLength)
    return this.#calls.wait(call => {
      this.#ask({ type: 'send', call, payload, isAlone })
      this.#reach()
    }, call => { this.#ask({ type: 'abort', call }) }, this.#now, signal)
  }

  async rekey ({ wait = true, signal }: RekeyOptions): Promise<number> {
    const deadline = this.#now + limits.REKEY_PATIENCE

    if (this.#state.type === 'loading' && ++this.#state.rekeys > limits.MAX_WAITERS) {
      throw this.#calls.tooManyRekeys()
    }
    if (wait) {
      await this.#calls.wait(call => {
        this.#ask({ type: 'rekey', call, deadline })
        this.#reach()
      }, call => { this.#ask({ type: 'abort', call }) }, this.#now, signal)
    } else {
      this.#whenLive(({ state }) => {
        // somebody waits for a new key already: it is the same one
        if (state.waiters.length === 0) {
          this.#step({ type: 'rekey', call: 0, deadline })
        }
      })
      this.#reach()
    }

    return this.#state.type === 'live' ? epochOf(this.#state.session.state) : 0
  }

  /** One that begins later looks for itself whether the peer is there */
  connected (): void {
    this.#state.type === 'live' && this.#step({ type: 'connected' })
  }

  disconnected (): void {
    this.#state.type === 'live' && this.#step({ type: 'disconnected' })
  }

  /** A frame came. Those of one peer are dealt with in their order */
  frame (bytes: Uint8Array): void {
    const { inbox, traffic } = this.#around
    const state = this.#state
    const isFull = this.#waiting + bytes.byteLength > limits.BACKLOG_BYTES

    if (state.type === 'loading' && (isFull || ++state.frames > limits.BACKLOG_FRAMES)) {
      traffic.dropped.add('too-many')
    } else if (state.type === 'loading') {
      this.#waiting += bytes.byteLength
      state.asked.push(() => {
        this.#waiting -= bytes.byteLength
        this.frame(bytes)
      })
    } else if (state.type === 'live' && inbox.isBusy(this.peer)) {
      this.#inTurn(bytes, isFull, async () => state.reading.read(bytes))
    } else if (state.type === 'live') {
      const read = state.reading.read(bytes)

      if (read instanceof Promise) {
        this.#inTurn(bytes, false, async () => read)
      } else {
        this.#take(read)
      }
    }
  }

  /**
   * Ends it: calls are rejected, secrets zeroed. `isSilent`: nothing is said to the peer. Resolves when its state is
   * stored
   */
  async close (isSilent = false): Promise<void> {
    if (this.#state.type === 'live') {
      isSilent && this.#step({ type: 'disconnected' })
      this.#step({ type: 'close' })
    }

    this.#end(closedError(this.peerId))
    // a handler may call this in the middle of a step: then the end is done behind that, in the same tick
    await Promise.resolve()
    await this.#writer.whenIdle()
    this.#outgoing.stop()
  }

  /** Ends it, with nothing stored any more, and nothing sent */
  abandon (err: Error): void {
    this.#writer.stop()
    this.#outgoing.stop()

    if (this.#state.type === 'live') {
      this.#step({ type: 'close' })
    }

    this.#end(err)
  }

  get #now (): number {
    return this.#around.options.clock.now()
  }

  /** With what was stored, or anew */
  #live (found: Awaited<ReturnType<Records['load']>>): void {
    const { me, options, crypto, traffic } = this.#around
    const init: SessionInit = { me, peer: this.peer, boot: newBoot(), options: coreOptionsOf(options) }
    const { session, isLost } = beginWith(found, init, this.#now)
    this.#stored = found.type === 'record' ? found.revision : 0
    const reading = new Reading({
      me,
      peer: this.peer,
      session,
      crypto,
      now: () => this.#now,
      publicKey: () => this.#around.publicKeyOf(this.peerId)
    })
    this.#state = { type: 'live', session, reading }

    if (isLost) {
      traffic.dropped.add('unreadable-record')
      this.#around.onResync(this.peerId, 'unreadable')
    }
    if (this.#around.isPresent(this.peer)) {
      this.connected()
    }
  }

  #ask (event: Event): void {
    this.#whenLive(() => { this.#step(event) })
  }

  #whenLive (ask: (session: Session) => void): void {
    const state = this.#state

    if (state.type === 'loading') {
      state.asked.push(() => { this.#whenLive(ask) })
    } else if (state.type === 'live') {
      ask(state.session)
    } else {
      this.#calls.rejectAll(state.err)
    }
  }

  /** The peer had closed its side, and is there: who sends something wants it to be tried again */
  #reach (): void {
    if (this.#state.type === 'live' && !this.#state.session.state.isConnected && this.#around.isPresent(this.peer)) {
      this.#step({ type: 'connected' })
    }
  }

  /** Frames that wait for one before them are views of what arrived: bounded in bytes as well */
  #inTurn ({ byteLength }: Uint8Array, isFull: boolean, read: () => Promise<Read>): void {
    const { inbox, traffic } = this.#around

    if (isFull) {
      traffic.dropped.add('too-many')
      return
    }

    this.#waiting += byteLength
    inbox.turn(this.peer, async () => { this.#take(await read()) })
      .catch(() => { traffic.dropped.add('too-many') })
      .finally(() => { this.#waiting -= byteLength })
  }

  #take (read: Read): void {
    const { traffic } = this.#around

    if (this.#state.type !== 'live') {
      return
    }
    if (read.type === 'dropped') {
      traffic.dropped.add(read.reason)
      return
    }

    const { state } = this.#state.session
    const isEarly = read.type === 'opened' && read.body.messages.length > 0 &&
      read.body.messages[0].seq > state.in.delivered + 1

    if (isEarly && this.#around.earlyBytes > limits.NODE_EARLY_BYTES) {
      traffic.dropped.add('early-full')
      return
    }

    const wasFresh = state.needsFresh
    this.#step(read)

    if (read.type === 'frame' && read.frame.kind === 'resync' && state.needsFresh && !wasFresh) {
      this.#around.onResync(this.peerId, 'asked')
    }
  }

  #wake (): void {
    this.#wakeAt = Infinity

    if (this.#state.type === 'live') {
      const { session } = this.#state

      if (session.nextWake() <= this.#now) {
        this.#step({ type: 'wake' })
      } else {
        this.#arm(session)
      }
    }
  }

  /** Messages that are sent in one tick go into one frame, or few */
  #step (event: Event): void {
    this.#events.push(event)

    if (event.type !== 'send') {
      this.#run()
    } else if (this.#events.length === 1) {
      queueMicrotask(() => { this.#run() })
    }
  }

  #run (): void {
    if (this.#isStepping || this.#state.type !== 'live') {
      return
    }

    const { session } = this.#state
    const { clock, random } = this.#around.options
    this.#isStepping = true

    try {
      for (let next = this.#events.shift(); next != null; next = this.#events.shift()) {
        if (next.type === 'send') {
          next.isMore = this.#events.peek()?.type === 'send'
          this.#hold(-1, -next.payload.byteLength)
        }

        const effects = session.step(next, { now: clock.now(), random })
        effects.forEach(effect => { this.#perform(effect, session) })
      }
    } finally {
      this.#isStepping = false
    }

    this.#measure(session)
    this.#arm(session)
  }

  /** A timer that rings too early asks again: it is set anew only when it would ring too late */
  #arm (session: Session): void {
    const at = session.nextWake()

    if (at < this.#wakeAt) {
      this.#wakeAt = at
      this.#alarm.set(at)
    }
  }

  #isFull (bytes: number): boolean {
    const { queueMessages, queueBytes } = this.#around.options
    const out = this.#state.type === 'live' ? this.#state.session.state.out : { messages: [], bytes: 0 }
    return out.messages.length + this.#unasked.messages >= queueMessages ||
      out.bytes + this.#unasked.bytes + bytes > queueBytes
  }

  #hold (messages: number, bytes: number): void {
    this.#unasked.messages += messages
    this.#unasked.bytes += bytes
    this.#around.onBytes(bytes, 0)
  }

  #measure ({ state: { out, in: inbox } }: Session): void {
    if (out.bytes !== this.#queued || inbox.earlyBytes !== this.#early) {
      this.#around.onBytes(out.bytes - this.#queued, inbox.earlyBytes - this.#early)
      this.#queued = out.bytes
      this.#early = inbox.earlyBytes
    }
  }

  #perform (effect: Effect, session: Session): void {
    const { traffic } = this.#around

    switch (effect.type) {
      case 'generate':
      case 'encapsulate':
      case 'decapsulate':
        void this.#compute(effect, session)
        break
      case 'persist':
        this.#writer.write(effect.revision, effect.record)
        break
      case 'send':
        this.#outgoing.push(effect.frame, effect.after)
        break
      case 'deliver':
        this.#around.onMessage(this.peerId, effect.payload)
        break
      case 'send-settled':
        this.#sent(effect)
        break
      case 'rekey-settled':
        this.#calls.rekeyed(effect.call, effect.outcome)
        break
      case 'epoch':
        traffic.add('rounds')
        violations(session.state).forEach(({ invariant }) => traffic.dropped.add(invariant))
        this.#around.onEpoch(this.peerId, effect.epoch)
        break
      case 'round-failed':
        traffic.add('failed_rounds')
        break
      case 'resync':
        this.#around.onResync(this.peerId, 'unknown-key')
        break
      case 'peer-closed':
        this.#around.onPeerClosed(this.peerId)
        break
      case 'count':
        traffic.dropped.add(effect.what)
        break
      case 'closed':
        break
    }
  }

  #sent ({ call, outcome }: Effect & { type: 'send-settled' }): void {
    const { traffic } = this.#around
    const took = this.#calls.sent(call, outcome, this.#now)

    if (outcome === 'delivered') {
      traffic.add('acked_messages')
    }
    if (took != null) {
      traffic.acked(took)
    }
  }

  async #compute (
    effect: Extract<Effect, { type: 'generate' | 'encapsulate' | 'decapsulate' }>, session: Session
  ): Promise<void> {
    const { crypto } = this.#around
    const { token } = effect
    const isWanted = (): boolean => session.isAwaited(token)
    let result: Event

    try {
      switch (effect.type) {
        case 'generate':
          result = { type: 'generated', token, ...await crypto.generate(isWanted) }
          break
        case 'encapsulate':
          result = { type: 'encapsulated', token, ...await crypto.encapsulate(effect.publicKey, isWanted) }
          break
        case 'decapsulate': {
          const secret = await crypto.decapsulate(effect.seed, effect.ciphertext, isWanted)
          result = { type: 'decapsulated', token, secret }
          break
        }
      }
    } catch {
      // a key or a ciphertext that is none, too long a queue, or nobody wants it any more. The core counts it
      result = { type: 'crypto-failed', token }
    }

    if (this.#state.type === 'live') {
      this.#step(result)
    } else {
      // the core is closed, and zeroes what still comes
      session.step(result, { now: this.#now, random: this.#around.options.random })
    }
  }

  #end (err: Error): void {
    if (this.#state.type !== 'over') {
      this.#around.onBytes(-this.#queued - this.#unasked.bytes, -this.#early)
      this.#queued = this.#early = 0
      this.#unasked = { messages: 0, bytes: 0 }
      this.#state = { type: 'over', err }
    }

    this.#alarm.set(Infinity)
    this.#calls.rejectAll(err)
  }
}

/** A life of a session: below 2^48, from a source for secrets */
function newBoot (): number {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(6))
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0)
}

/** `isLost`: what was stored is of no use, so the peer has to be told sooner or later */
function beginWith (
  found: Awaited<ReturnType<Records['load']>>, init: SessionInit, now: number
): { session: Session, isLost: boolean } {
  if (found.type !== 'record') {
    return { session: Session.begin(init), isLost: found.type === 'unreadable' }
  }

  try {
    return { session: Session.restore(found.record, init, now), isLost: false }
  } catch {
    // of another version, or a bug has written it: a fresh round repairs it, and it is counted
    return { session: Session.begin(init), isLost: true }
  } finally {
    found.record.fill(0)
  }
}

function coreOptionsOf ({ mode, queueMessages, queueBytes, rekeyMessages, rekeyAge }: Options): SessionInit['options'] {
  const later = rekeyAge * limits.REKEY_AGE[1] / limits.REKEY_AGE[0]
  return {
    mode, queueMessages, queueBytes, rekeyMessages, rekeyAge: [rekeyAge, later], ackDelay: limits.ACK_DELAY
  }
}
