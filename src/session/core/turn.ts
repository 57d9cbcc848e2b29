import { bytesOfKey } from '../../runtime/keys.ts'
import { jitter } from '../../runtime/random.ts'
import { confirmProof } from './key-schedule.ts'
import { encodeRecord } from './record.ts'
import { encodeConfirm, encodeSigned } from './wire.ts'
import type { Count, Effect, Outgoing, RekeyOutcome } from './events.ts'
import type { EpochKeys, Moment, SessionState, Waiter } from './state.ts'
import type { CancelReason, Confirm, SignedFrame } from './wire.ts'
import type { Random } from '../../runtime/random.ts'

/** One step: the state that it changes, when it is, and what it wants done */
export class Turn {
  readonly state: SessionState
  readonly now: number
  readonly random: Random
  readonly effects: Effect[] = []
  /** Sealed frames that it sends */
  sealed = 0

  constructor (state: SessionState, { now, random }: Moment) {
    this.state = state
    this.now = now
    this.random = random
  }

  do (effect: Effect): void {
    this.effects.push(effect)
  }

  count (what: Count): void {
    this.do({ type: 'count', what })
  }

  /** Everything that is sent from here on waits until what the state is now is stored */
  persist (): void {
    const revision = ++this.state.revision
    this.do({ type: 'persist', revision, record: encodeRecord(this.state) })
  }

  send (frame: Outgoing): void {
    this.do({ type: 'send', frame, after: this.state.revision })
  }

  sign (frame: SignedFrame, encoded = encodeSigned(frame, this.state.me, this.state.peer)): void {
    this.send({ kind: frame.kind, frame, encoded })
  }

  cancel (by: string, n: number, reason: CancelReason): void {
    this.sign({ kind: 'cancel', by, n, reason, seen: this.state.seen })
  }

  confirm ({ id, epoch, confirm }: EpochKeys): void {
    const proof = confirmProof(confirm, bytesOfKey(id), epoch, this.state.rank)
    const frame: Confirm = { kind: 'confirm', key: id, epoch, proof }
    this.send({ kind: 'confirm', frame, encoded: encodeConfirm(frame) })
  }

  settle (outcome: RekeyOutcome, which: (waiter: Waiter) => boolean): void {
    const { state } = this
    const settled = state.waiters.filter(which)
    state.waiters = state.waiters.filter(waiter => !settled.includes(waiter))
    settled.forEach(({ call }) => { this.do({ type: 'rekey-settled', call, outcome }) })
  }

  /** A number past every one that we used: the clock's, so that one that forgot its own is not stale for ever */
  nextNumber (): number {
    this.state.n = Math.max(this.state.n + 1, Math.trunc(this.now))
    return this.state.n
  }

  nextToken (): number {
    return ++this.state.tokens
  }

  /** When the wait number `tries` is over that doubles from `first` to `cap` */
  backoff (first: number, cap: number, tries: number): number {
    return this.now + jitter(this.random, Math.min(cap, first * 2 ** Math.min(tries, 30)))
  }
}
