import { bytesOfKey } from '../../runtime/keys.ts'
import { sha256 } from '../../runtime/sha256.ts'
import * as limits from '../constants.ts'
import { acceptProof, confirmProof, derive, sameSecret, transcriptOf } from './key-schedule.ts'
import { current, epochOf, install, keysOf, leave, sealAgain } from './state.ts'
import { keyNamed, supersede } from './windows.ts'
import { encodeOffer, encodeSigned } from './wire.ts'
import type { Derived } from './key-schedule.ts'
import type { EpochKeys, KeyId, Mode, Proposing, RoundKind, SessionState } from './state.ts'
import type { Turn } from './turn.ts'
import type { Accept, Cancel, CancelReason, Confirm, Propose, Resync } from './wire.ts'

/**
 * How two peers agree on a key: the first time, again, and after one of them lost it. It is one kind of round for all.
 *
 * ```text
 * proposer                                     responder
 * proposing --- Propose (n, base, public key) ---> accepted, provisional key stored
 * key stored <-- Accept (ciphertext, proof) -----
 * idle ---------- Confirm, or data under it -----> idle
 * ```
 *
 * Only the proposer commits. The responder seals under the old key until it has seen that the new one is in use, and
 * repeats its Accept until then, or until a Cancel: the proposer's answer to an Accept is one of the two, whatever
 * became of it. So one exchange of frames ends every round, and nobody waits for anything but its own timers.
 *
 * If both propose, both know who wins. docs/session.md has the table of states and events.
 */
export class Round {
  // rules. A test that breaks one of them on purpose has to be found by the model

  /** Whether our round stands against one of the peer. Else one that lost its state could be kept out for good */
  wins (mine: RoundKind, theirs: RoundKind, rank: number): boolean {
    return mine === theirs ? rank === 0 : mine === 'fresh'
  }

  /** Whether a number of the peer was dealt with: its own, or a newer one */
  isStale ({ seen }: SessionState, n: number): boolean {
    return n <= seen
  }

  /** Whether an Accept answers the Propose that waits for one */
  isAnswer (mode: Proposing, { n, proposeHash }: Accept): boolean {
    return mode.stage !== 'preparing' && mode.n === n && sameSecret(sha256(mode.encoded), proposeHash)
  }

  /** Whether a key that we do not have is one that we had, and forgot */
  isBehind (state: SessionState, epoch: number): boolean {
    return epoch <= epochOf(state)
  }

  leave (state: SessionState, next: Mode): void {
    leave(state, next)
  }

  /** Calls that wait are content with any epoch past the one they saw, whoever proposed it */
  settle (turn: Turn): void {
    turn.settle('rekeyed', ({ epoch }) => epoch < epochOf(turn.state))
  }

  // our round

  propose (turn: Turn): void {
    const { state } = turn
    const key = current(state)

    if (state.n >= limits.MAX_NUMBER - 2 || epochOf(state) >= limits.MAX_NUMBER - 2) {
      turn.count('bad-number')
      state.retryAt = turn.now + limits.RETRY_CAP
      return
    }

    const kind = state.needsFresh || key == null
      ? { round: 'fresh' as const }
      : { round: 'ratchet' as const, base: key.id }
    const token = turn.nextToken()
    const wakeAt = turn.backoff(limits.ROUND_FIRST, limits.ROUND_CAP, 0)
    this.leave(state, { type: 'proposing', stage: 'preparing', n: turn.nextNumber(), ...kind, token, tries: 0, wakeAt })
    turn.do({ type: 'generate', token })
  }

  generated (turn: Turn, token: number, seed: Uint8Array, publicKey: Uint8Array): void {
    const { state } = turn
    const { mode, boot } = state

    if (mode.type !== 'proposing' || mode.stage !== 'preparing' || mode.token !== token) {
      seed.fill(0)
      turn.count('stale-result')
      return
    }

    const { n, round, base } = mode
    const propose: Propose = { kind: 'propose', n, round, base, epoch: epochOf(state), boot, publicKey }
    const encoded = encodeSigned(propose, state.me, state.peer)
    this.leave(state, { ...mode, stage: 'waiting', seed, propose, encoded })
    turn.persist()
    turn.sign(propose, encoded)
  }

  accept (turn: Turn, frame: Accept): void {
    const { state } = turn
    const { mode } = state

    if (mode.type === 'proposing' && mode.stage === 'waiting' && this.isAnswer(mode, frame)) {
      this.#derive(turn, mode, frame)
      return
    }
    if (mode.type === 'proposing' && mode.stage === 'deriving' && this.isAnswer(mode, frame)) {
      turn.count('duplicate')
      return
    }

    turn.count('stale-accept')
    const committed = state.keys.find(({ id, epoch }) => id === frame.key && epoch === frame.epoch)

    if (committed != null) {
      turn.confirm(committed)
    } else {
      // also of a number that we never used, as far as we know: we may have lost that
      turn.cancel(state.me, frame.n, 'dead-round')
    }
  }

  #derive (turn: Turn, mode: Proposing & { stage: 'waiting' }, accept: Accept): void {
    const isNext = mode.round === 'fresh' ? accept.epoch > mode.propose.epoch : accept.epoch === mode.propose.epoch + 1

    if (!isNext || accept.epoch >= limits.MAX_NUMBER - 2) {
      turn.count('wrong-epoch')
      this.fail(turn, 'refused')
      return
    }

    const token = turn.nextToken()
    const seed = Uint8Array.from(mode.seed)
    // the seed stays where it is
    turn.state.mode = { ...mode, stage: 'deriving', accept, token }
    turn.do({ type: 'decapsulate', token, seed, ciphertext: accept.ciphertext })
  }

  decapsulated (turn: Turn, token: number, secret: Uint8Array): void {
    const { state } = turn
    const { mode } = state

    if (mode.type !== 'proposing' || mode.stage !== 'deriving' || mode.token !== token) {
      secret.fill(0)
      turn.count('stale-result')
      return
    }

    const { accept } = mode
    const { key: id, proof, ...offer } = accept
    const transcript = transcriptOf(mode.encoded, encodeOffer(offer, state.peer, state.me))
    const derived = derive(mode.round === 'ratchet' ? current(state)?.root : undefined, secret, transcript)
    const isProven = sameSecret(acceptProof(derived.confirm, bytesOfKey(derived.id), accept.epoch), proof)
    secret.fill(0)

    if (!isProven || derived.id !== id) {
      wipeDerived(derived)
      turn.count('wrong-proof')
      // our roots differ, if nothing worse
      state.needsFresh = true
      this.fail(turn, 'refused')
      return
    }

    const keys = keysOf(state, derived, accept.epoch, { myBoot: state.boot, peerBoot: accept.boot })
    this.leave(state, { type: 'idle' })
    this.#advance(turn, keys)
    turn.confirm(keys)
  }

  /** The round is over. The session is not, and its key stays as it is */
  fail (turn: Turn, reason: CancelReason): void {
    const { state } = turn
    const { mode } = state

    if (mode.type !== 'proposing') {
      return
    }
    if (mode.stage !== 'preparing') {
      turn.cancel(state.me, mode.n, reason)
    }

    turn.do({ type: 'round-failed', n: mode.n, reason })
    this.leave(state, { type: 'idle' })
    this.#retryLater(turn)
    turn.settle(reason === 'timeout' ? 'timeout' : 'failed', () => true)
  }

  // a round of the peer

  proposed (turn: Turn, frame: Propose): void {
    const { state } = turn

    if (this.isStale(state, frame.n)) {
      this.#repeat(turn, frame)
      return
    }
    if (frame.epoch >= limits.MAX_NUMBER - 2) {
      turn.count('wrong-epoch')
      return
    }
    // it builds on the provisional key: it has committed that
    if (frame.round === 'ratchet' && this.#provisional(state)?.id === frame.base) {
      this.promote(turn)
    }

    state.seen = frame.n

    if (frame.round === 'ratchet' && frame.base !== current(state)?.id) {
      this.#refuseBase(turn, frame)
    } else if (frame.round === 'ratchet' && frame.epoch !== epochOf(state)) {
      turn.count('wrong-epoch')
      turn.persist()
      turn.cancel(state.peer, frame.n, 'refused')
    } else if (state.mode.type === 'proposing' && this.wins(state.mode.round, frame.round, state.rank)) {
      turn.persist()
      turn.cancel(state.peer, frame.n, 'lost-tie')
    } else {
      // what we have proposed or answered before ends here, and its secret with it
      const token = turn.nextToken()
      const wakeAt = turn.backoff(limits.ROUND_FIRST, limits.ROUND_CAP, 0)
      this.leave(state, { type: 'accepted', stage: 'computing', n: frame.n, token, propose: frame, tries: 0, wakeAt })
      turn.do({ type: 'encapsulate', token, publicKey: frame.publicKey })
    }
  }

  /** A Propose that was dealt with: its answer again, or the number that it has to be past */
  #repeat (turn: Turn, { n }: Propose): void {
    const { state, now } = turn
    const { mode } = state

    if (mode.type === 'accepted' && mode.n === n) {
      turn.count('duplicate')

      if (mode.stage === 'provisional') {
        turn.sign(mode.accept)
      }
    } else {
      turn.count('stale-propose')

      if (now >= state.staleAt) {
        state.staleAt = now + limits.STALE_PAUSE
        turn.cancel(state.peer, n, 'stale')
      }
    }
  }

  #refuseBase (turn: Turn, { n, base = '' }: Propose): void {
    const { state } = turn
    const known = current(state)
    turn.persist()
    turn.cancel(state.peer, n, 'behind')

    if (known != null && state.keys.some(({ id }) => id === base)) {
      turn.confirm(known)
    } else {
      this.desync(turn, base)
    }
  }

  encapsulated (turn: Turn, token: number, secret: Uint8Array, ciphertext: Uint8Array): void {
    const { state } = turn
    const { mode, me, peer, boot } = state

    if (mode.type !== 'accepted' || mode.stage !== 'computing' || mode.token !== token) {
      secret.fill(0)
      turn.count('stale-result')
      return
    }

    const { propose, n } = mode
    const proposed = encodeSigned(propose, peer, me)
    const epoch = propose.round === 'ratchet' ? epochOf(state) + 1 : Math.max(epochOf(state), propose.epoch) + 1
    const offer = { kind: 'accept' as const, n, proposeHash: sha256(proposed), epoch, boot, ciphertext }
    const transcript = transcriptOf(proposed, encodeOffer(offer, me, peer))
    const derived = derive(propose.round === 'ratchet' ? current(state)?.root : undefined, secret, transcript)
    const keys = keysOf(state, derived, epoch, { myBoot: boot, peerBoot: propose.boot })
    const accept = { ...offer, key: keys.id, proof: acceptProof(keys.confirm, bytesOfKey(keys.id), epoch) }
    const wakeAt = turn.backoff(limits.ROUND_FIRST, limits.ACCEPT_CAP, 0)
    secret.fill(0)
    this.leave(state, { type: 'accepted', stage: 'provisional', n, keys, accept, tries: 0, wakeAt })
    turn.persist()
    turn.sign(accept)
  }

  /** The peer has proven that it uses the provisional key: we may, too */
  promote (turn: Turn): void {
    const { state } = turn
    const keys = this.#provisional(state)

    if (keys != null) {
      // it is not a provisional key any more: leaving the mode must not zero it
      state.mode = { type: 'idle' }
      this.#advance(turn, keys)
    }
  }

  confirmed (turn: Turn, { key: id, epoch, proof }: Confirm): void {
    const { state } = turn
    const keys = keyNamed(state, id)

    if (keys?.epoch !== epoch) {
      this.unknown(turn, id, epoch)
    } else if (!sameSecret(confirmProof(keys.confirm, bytesOfKey(id), epoch, 1 - state.rank), proof)) {
      turn.count('wrong-proof')
    } else {
      this.proven(turn, keys)
    }
  }

  /** The peer uses this key */
  proven (turn: Turn, keys: EpochKeys): void {
    if (keys === this.#provisional(turn.state)) {
      this.promote(turn)
    }

    supersede(turn.state, keys.epoch, turn.now)
  }

  /** Cancel names a round by its proposer and number, and is the same for both roles */
  cancelled (turn: Turn, { by, n, reason, seen }: Cancel): void {
    const { state, now } = turn
    const { mode } = state

    if (by === state.me && mode.type === 'proposing' && mode.stage !== 'preparing' && mode.n === n) {
      turn.do({ type: 'round-failed', n, reason })
      this.leave(state, { type: 'idle' })
      this.#retryLater(turn)

      if (reason === 'stale') {
        // our clock is behind what it was, or we forgot: the next one is past it
        state.n = Math.max(state.n, seen)
        state.retryAt = now
      }
    } else if (by === state.peer && mode.type === 'accepted' && mode.n === n) {
      this.leave(state, { type: 'idle' })
      turn.persist()
    } else {
      turn.count('stale-cancel')
    }
  }

  // when one of us has lost something

  /** A frame under a key that we do not have */
  unknown (turn: Turn, id: KeyId, epoch: number): void {
    if (this.isBehind(turn.state, epoch)) {
      turn.count('stale-key')
    } else {
      turn.count('unknown-key')
      this.desync(turn, id)
    }
  }

  /** Tells the peer so, once in a while, and asks for a fresh round. The old key stays until that is confirmed */
  desync (turn: Turn, unknown: KeyId): void {
    const { state, now } = turn
    const { mode } = state

    if (mode.type === 'proposing' && mode.round === 'fresh') {
      return
    }
    if (now < state.resyncAt) {
      turn.count('resync-limited')
      return
    }
    if (now - state.resyncAt > limits.RESYNC_CAP) {
      state.resyncs = 0
    }

    state.resyncAt = now + Math.min(limits.RESYNC_CAP, limits.RESYNC_FIRST * 2 ** Math.min(state.resyncs++, 30))
    turn.do({ type: 'resync', unknown })

    if (state.n < limits.MAX_NUMBER - 2) {
      const n = turn.nextNumber()
      turn.persist()
      turn.sign({ kind: 'resync', n, unknown })
    }

    this.#goFresh(turn)
  }

  resynced (turn: Turn, { n, unknown }: Resync): void {
    const { state } = turn

    if (this.isStale(state, n)) {
      turn.count('stale-resync')
      return
    }

    state.seen = n

    if (unknown === current(state)?.id) {
      this.#goFresh(turn)
    } else {
      turn.count('unwanted')
    }
  }

  /** The next round is a fresh one, now if we may; if we have answered one, when that is over */
  #goFresh (turn: Turn): void {
    const { state } = turn
    const { mode } = state
    state.needsFresh = true
    state.retryAt = 0

    if (mode.type === 'proposing' && mode.round === 'ratchet') {
      if (mode.stage !== 'preparing') {
        turn.cancel(state.me, mode.n, 'superseded')
      }
      this.leave(state, { type: 'idle' })
    }
  }

  // crypto that fails, and time

  failed (turn: Turn, token: number): void {
    const { state } = turn
    const { mode } = state
    const isCurrent = 'token' in mode && mode.token === token
    turn.count(isCurrent ? 'crypto-failed' : 'stale-result')

    if (isCurrent && mode.type === 'proposing') {
      this.fail(turn, 'refused')
    } else if (isCurrent && mode.type === 'accepted') {
      this.leave(state, { type: 'idle' })
      turn.persist()
      turn.cancel(state.peer, mode.n, 'refused')
    }
  }

  connected (turn: Turn): void {
    this.#sayAgain(turn)
  }

  wake (turn: Turn): void {
    const { state, now } = turn
    const { mode } = state

    if (now < this.nextWake(state) || mode.type === 'idle' || mode.type === 'closed') {
      return
    }
    if (mode.type === 'proposing' && mode.tries + 1 >= limits.ROUND_TRIES) {
      this.fail(turn, 'timeout')
      return
    }
    // nothing was said to anybody: it may be dropped. What was said is kept until the peer answers
    if (mode.type === 'accepted' && mode.stage === 'computing' && mode.tries + 1 >= limits.ROUND_TRIES) {
      this.leave(state, { type: 'idle' })
      return
    }

    const cap = mode.type === 'proposing' ? limits.ROUND_CAP : limits.ACCEPT_CAP
    mode.wakeAt = turn.backoff(limits.ROUND_FIRST, cap, ++mode.tries)
    this.#sayAgain(turn)
  }

  nextWake ({ mode, isConnected }: SessionState): number {
    switch (mode.type) {
      case 'proposing':
        return mode.wakeAt
      case 'accepted':
        return isConnected || mode.stage === 'computing' ? mode.wakeAt : Infinity
      case 'idle':
      case 'closed':
        return Infinity
    }
  }

  #sayAgain (turn: Turn): void {
    const { mode } = turn.state

    if (mode.type === 'proposing' && mode.stage === 'waiting') {
      turn.sign(mode.propose, mode.encoded)
    } else if (mode.type === 'accepted' && mode.stage === 'provisional') {
      turn.sign(mode.accept)
    }
  }

  #advance (turn: Turn, keys: EpochKeys): void {
    const { state } = turn
    const before = current(state)
    const isGap = state.needsFresh || before?.send == null || before.peerBoot !== keys.peerBoot
    install(state, keys, turn)
    turn.persist()
    turn.do({ type: 'epoch', epoch: keys.epoch, key: keys.id })
    this.settle(turn)

    // the peer may not have had the key that messages under way were sealed with
    if (isGap) {
      sealAgain(state, () => true)
    }
  }

  #provisional ({ mode }: SessionState): EpochKeys | undefined {
    return mode.type === 'accepted' && mode.stage === 'provisional' ? mode.keys : undefined
  }

  #retryLater (turn: Turn): void {
    turn.state.retryAt = turn.backoff(limits.RETRY_FIRST, limits.RETRY_CAP, turn.state.retries++)
  }
}

function wipeDerived ({ root, lowToHigh, highToLow, confirm }: Derived): void {
  [root, lowToHigh, highToLow, confirm].forEach(bytes => bytes.fill(0))
}
