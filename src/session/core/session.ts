import { MAX_WAITERS } from '../constants.ts'
import { Delivery } from './delivery.ts'
import { decodeRecord } from './record.ts'
import { Round } from './round.ts'
import { epochOf, leave, newSession, wipeKeys } from './state.ts'
import { roundAt, setBack } from './triggers.ts'
import { Turn } from './turn.ts'
import { keyNamed, markOpened, nextPrune, openingOf, prune } from './windows.ts'
import type { Effect, Event } from './events.ts'
import type { Moment, SessionInit, SessionState } from './state.ts'
import type { Opening } from './windows.ts'
import type { Body, Head, Propose, Accept, Cancel, Confirm, Resync } from './wire.ts'

/**
 * One session with one peer: `step(event, moment)` changes the state and returns what is to be done. It never waits,
 * never throws for what a peer does, and asks no clock. The state is changed in place: a copy would leave secrets
 * behind.
 *
 * @example
 *
 * ```ts
 * const session = new Session(newSession({ me, peer, boot, options }))
 * for (const effect of session.step({ type: 'connected' }, { now, random })) {
 *   perform(effect)
 * }
 * ```
 */
export class Session {
  readonly state: SessionState
  readonly round = new Round()
  readonly delivery = new Delivery()

  constructor (state: SessionState) {
    this.state = state
  }

  /** What an earlier life has stored. Throws a MalformedError for what is no record of this version */
  static restore (record: Uint8Array, init: SessionInit, now: number): Session {
    return new Session(decodeRecord(record, init, now))
  }

  static begin (init: SessionInit): Session {
    return new Session(newSession(init))
  }

  step (event: Event, moment: Moment): Effect[] {
    const { state } = this
    const turn = new Turn(state, moment)

    if (moment.now < state.clock) {
      setBack(state, state.clock - moment.now)
    }

    state.clock = moment.now

    if (state.mode.type === 'closed') {
      this.#afterClose(turn, event)
      return turn.effects
    }

    this.#handle(turn, event)

    if (event.type === 'send' && event.isMore === true) {
      return turn.effects
    }
    // a close among them has ended it
    if (this.state.mode.type !== 'closed') {
      this.delivery.flush(turn)
      prune(state, turn.now)
      this.#proposeIfDue(turn)
    }

    return turn.effects
  }

  /** The key that opens a sealed frame. The result goes into a step: 'opened', or 'unopened' if the key is unknown */
  openingOf (head: Head): Opening {
    return openingOf(this.state, head)
  }

  /**
   * Whether the result of a crypto operation is still of use. Asked before it begins, it spares what newer frames have
   * overtaken: a flood of Proposes costs one operation at a time
   */
  isAwaited (token: number): boolean {
    const { mode } = this.state
    return 'token' in mode && mode.token === token
  }

  /** When a step 'wake' has something to do; Infinity if never */
  nextWake (): number {
    const { state } = this

    if (state.mode.type === 'closed') {
      return Infinity
    }

    const deadlines = state.waiters.map(({ deadline }) => deadline)
    const { clock } = state
    return Math.min(
      this.round.nextWake(state),
      this.delivery.nextWake(state, clock),
      roundAt(state, clock),
      nextPrune(state),
      ...deadlines
    )
  }

  #handle (turn: Turn, event: Event): void {
    const { state, round, delivery } = this

    switch (event.type) {
      case 'send':
        delivery.add(turn, event.call, event.payload, event.isAlone)
        break
      case 'rekey':
        this.#rekey(turn, event.call, event.deadline)
        break
      case 'abort':
        if (!delivery.abort(turn, event.call)) {
          turn.settle('aborted', ({ call }) => call === event.call)
        }
        break
      case 'close':
        this.#close(turn)
        break
      case 'connected':
        state.isConnected = true
        state.retryAt = 0
        round.connected(turn)
        delivery.connected(turn)
        break
      case 'disconnected':
        state.isConnected = false
        break
      case 'frame':
        // whoever speaks is there
        state.isConnected = true
        this.#frame(turn, event.frame)
        break
      case 'opened':
        state.isConnected = true
        this.#opened(turn, event.head, event.body)
        break
      case 'unopened':
        round.unknown(turn, event.head.key, event.head.epoch)
        break
      case 'generated':
        round.generated(turn, event.token, event.seed, event.publicKey)
        break
      case 'encapsulated':
        round.encapsulated(turn, event.token, event.secret, event.ciphertext)
        break
      case 'decapsulated':
        round.decapsulated(turn, event.token, event.secret)
        break
      case 'crypto-failed':
        round.failed(turn, event.token)
        break
      case 'wake':
        round.wake(turn)
        delivery.wake(turn)
        turn.settle('timeout', ({ deadline }) => deadline <= turn.now)
        break
    }
  }

  #frame (turn: Turn, frame: Propose | Accept | Cancel | Resync | Confirm): void {
    const { round } = this

    switch (frame.kind) {
      case 'propose':
        round.proposed(turn, frame)
        break
      case 'accept':
        round.accept(turn, frame)
        break
      case 'confirm':
        round.confirmed(turn, frame)
        break
      case 'resync':
        round.resynced(turn, frame)
        break
      case 'cancel':
        round.cancelled(turn, frame)
        if (frame.reason === 'closed') {
          this.#peerClosed(turn)
        }
        break
    }
  }

  #opened (turn: Turn, head: Head, body: Body): void {
    const keys = keyNamed(this.state, head.key)

    // forgotten, or opened by another copy, since its key was asked for
    if (keys?.epoch !== head.epoch) {
      turn.count('stale-key')
    } else if (!markOpened(keys, head.counter, turn.now)) {
      turn.count('replayed')
    } else {
      this.round.proven(turn, keys)
      this.delivery.receive(turn, keys, body)

      if (head.kind === 'close' && keys.peerBoot === this.state.in.boot) {
        this.#peerClosed(turn)
      }
    }
  }

  /** The waiter is there before anything is sent: no answer can be too quick for it */
  #rekey (turn: Turn, call: number, deadline: number): void {
    const { state } = this

    if (state.waiters.length >= MAX_WAITERS) {
      turn.do({ type: 'rekey-settled', call, outcome: 'too-many' })
      return
    }

    state.waiters.push({ call, deadline, epoch: epochOf(state) })
    state.retryAt = 0
  }

  #proposeIfDue (turn: Turn): void {
    if (roundAt(this.state, turn.now) <= turn.now) {
      this.round.propose(turn)
    }
  }

  /** It is as if the way to it were cut: nothing is sent until it comes back */
  #peerClosed (turn: Turn): void {
    const { state } = this
    state.isConnected = false
    turn.do({ type: 'peer-closed', peer: state.peer })
  }

  /** Waits for nobody. What is stored is as it was: the next life begins with it */
  #close (turn: Turn): void {
    const { state } = this
    const { mode } = state
    turn.persist()

    if (mode.type === 'proposing' && mode.stage !== 'preparing') {
      turn.cancel(state.me, mode.n, 'closed')
    }

    this.delivery.close(turn)
    turn.settle('closed', () => true)
    leave(state, { type: 'closed' })
    state.keys.forEach(wipeKeys)
    state.keys = []
    state.in.early = []
    state.in.earlyBytes = 0
    turn.do({ type: 'closed' })
  }

  #afterClose (turn: Turn, event: Event): void {
    switch (event.type) {
      case 'send':
        turn.do({ type: 'send-settled', call: event.call, outcome: 'closed' })
        break
      case 'rekey':
        turn.do({ type: 'rekey-settled', call: event.call, outcome: 'closed' })
        break
      case 'close':
        turn.do({ type: 'closed' })
        break
      case 'generated':
        event.seed.fill(0)
        break
      case 'encapsulated':
      case 'decapsulated':
        event.secret.fill(0)
        break
      case 'abort':
      case 'connected':
      case 'disconnected':
      case 'frame':
      case 'opened':
      case 'unopened':
      case 'crypto-failed':
      case 'wake':
        break
    }
  }
}
