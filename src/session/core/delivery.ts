import * as limits from '../constants.ts'
import { advance } from './chain.ts'
import { isNews } from './origins.ts'
import { current, sealAgain } from './state.ts'
import { canSeal, hasSlot } from './triggers.ts'
import { encodeBody } from './wire.ts'
import type { Call, EpochKeys, OutMessage, SessionState } from './state.ts'
import type { Turn } from './turn.ts'
import type { Body, Head, SealedKind } from './wire.ts'

/**
 * Exactly once and in order, whatever becomes of keys. Numbers of messages and acks are inside of what is sealed, and
 * do not begin anew with an epoch. What has no ack is sealed again, under the key that is current by then.
 *
 * A message is 'delivered' when the other side has handed it to its program, and has stored that it did. Numbers belong
 * to a life of their sender: each key names the lives that agreed on it, so an ack for an earlier life says nothing to
 * this one, and a message of an earlier life is dropped.
 */
export class Delivery {
  add (turn: Turn, call: Call, payload: Uint8Array, isAlone = turn.state.options.mode === 'perfect'): void {
    const { out, options } = turn.state

    if (payload.byteLength > limits.MAX_MESSAGE) {
      turn.do({ type: 'send-settled', call, outcome: 'too-large' })
    } else if (out.messages.length >= options.queueMessages || out.bytes + payload.byteLength > options.queueBytes) {
      turn.do({ type: 'send-settled', call, outcome: 'queue-full' })
    } else {
      out.messages.push({ call, payload, isSent: false, isAlone, isHeld: false })
      out.bytes += payload.byteLength
    }
  }

  /** A message that has left cannot be called back: it stays, and nobody waits for it */
  abort (turn: Turn, call: Call): boolean {
    const { out } = turn.state
    const message = out.messages.find(message => message.call === call)

    if (message == null) {
      return false
    }

    message.call = undefined
    turn.do({ type: 'send-settled', call, outcome: 'aborted' })

    if (message.seq == null) {
      out.messages.splice(out.messages.indexOf(message), 1)
      out.bytes -= message.payload.byteLength
    }

    return true
  }

  /** Messages under way when the way broke may be lost. A heartbeat shows a peer that has another key than we */
  connected (turn: Turn): void {
    const { state, now } = turn
    sealAgain(state, () => true)
    this.flush(turn)

    if (turn.sealed === 0 && canSeal(state, now)) {
      this.#seal(turn, 'heartbeat')
    } else if (turn.sealed === 0 && current(state) != null) {
      state.isRekeyDue = true
    }
  }

  wake (turn: Turn): void {
    const { state, now } = turn
    const { out } = state

    if (out.resendAt != null && out.resendAt <= now && canSeal(state, now)) {
      out.resends++
      out.resendAt = undefined
      sealAgain(state, ({ isHeld }, i) => i === 0 || !isHeld)
      state.isRekeyDue ||= out.resends >= limits.RESENDS_BEFORE_REKEY
    }
  }

  nextWake (state: SessionState, now: number): number {
    const { out: { resendAt = Infinity }, in: { ackAt = Infinity } } = state
    return canSeal(state, now) ? Math.min(resendAt, ackAt) : Infinity
  }

  /** Seals what may leave now: messages, and an ack if one is due and none of them brought it */
  flush (turn: Turn): void {
    const { state, now } = turn

    if (!canSeal(state, now)) {
      return
    }

    const isAckDue = this.#storeAck(turn)
    const before = turn.sealed
    this.#sealMessages(turn)

    if (isAckDue && turn.sealed === before && canSeal(state, now)) {
      this.#seal(turn, 'heartbeat')
    }
  }

  close (turn: Turn): void {
    if (canSeal(turn.state, turn.now)) {
      this.#seal(turn, 'close')
    }

    this.settleAll(turn)
  }

  settleAll (turn: Turn): void {
    const { out } = turn.state
    const calls = out.messages.flatMap(({ call }) => call ?? [])
    calls.forEach(call => { turn.do({ type: 'send-settled', call, outcome: 'closed' }) })
    out.messages = []
    out.bytes = out.settled = out.settledBytes = 0
    out.resendAt = undefined
  }

  /** Takes the body of a frame that was opened */
  receive (turn: Turn, keys: EpochKeys, { base, ack, held, messages }: Body): void {
    const { state, now } = turn

    // else it speaks of messages of a life of ours that is over
    if (keys.myBoot === state.boot) {
      this.#acked(turn, ack, held)
    }
    if (now >= keys.rekeyAt) {
      state.isRekeyDue = true
    }
    if (keys.peerBoot !== state.in.boot) {
      turn.count('stale-life')
      return
    }

    this.#skipTo(turn, base)
    messages.forEach(({ seq, payload }) => { this.#take(turn, seq, payload) })
  }

  /** The sender has settled all below `base`: what we lack of that, an earlier state of ours had */
  #skipTo (turn: Turn, base: number): void {
    const { state } = turn

    while (state.in.delivered + 1 < base) {
      const [early] = state.in.early

      if (early != null && early.seq < base) {
        state.in.delivered = early.seq - 1
        this.#deliverEarly(turn)
      } else {
        state.in.delivered = base - 1
      }
    }

    this.#deliverEarly(turn)
  }

  #take (turn: Turn, seq: number, payload: Uint8Array): void {
    const { state, now } = turn
    const inbox = state.in
    const isNew = seq > inbox.delivered && !inbox.early.some(early => early.seq === seq)
    const isNext = seq === inbox.delivered + 1
    const hasRoom = seq - inbox.delivered <= limits.FLIGHT_MESSAGES &&
      (inbox.early.length === 0 || inbox.earlyBytes + payload.byteLength <= limits.FLIGHT_BYTES)

    if (isNew && !isNext && !hasRoom) {
      turn.count('early-full')
      return
    }

    inbox.unacked++
    inbox.ackAt ??= now + state.options.ackDelay

    if (!isNew) {
      turn.count('duplicate')
      return
    }

    const at = inbox.early.findIndex(early => early.seq > seq)
    // what waits must not keep the frame that it came in: that may be a thousand times as large
    const kept = isNext ? payload : new Uint8Array(payload)
    inbox.early.splice(at === -1 ? inbox.early.length : at, 0, { seq, payload: kept })
    inbox.earlyBytes += payload.byteLength
    this.#deliverEarly(turn)
  }

  #deliverEarly (turn: Turn): void {
    const inbox = turn.state.in

    for (let [next] = inbox.early; next?.seq === inbox.delivered + 1; [next] = inbox.early) {
      const { seq, payload } = next
      inbox.early.shift()
      inbox.earlyBytes -= payload.byteLength
      inbox.delivered = seq

      if (isNews(turn.state.origins, payload)) {
        turn.do({ type: 'deliver', seq, payload })
      } else {
        turn.count('repeated')
      }
    }
  }

  /** An ack says only what is stored: one that is due makes the state be stored first */
  #storeAck (turn: Turn): boolean {
    const { state, now } = turn
    const inbox = state.in
    const isDue = inbox.unacked >= limits.ACK_EVERY || (inbox.ackAt != null && inbox.ackAt <= now)

    if (isDue) {
      inbox.unacked = 0
      inbox.ackAt = undefined
    }
    if (isDue && inbox.stored !== inbox.delivered) {
      inbox.stored = inbox.delivered
      turn.persist()
    }

    return isDue
  }

  #sealMessages (turn: Turn): void {
    const { state, now } = turn
    const { out } = state

    let batch: OutMessage[] = []
    let bytes = 0
    const seal = (): void => {
      if (batch.length > 0) {
        this.#seal(turn, 'data', batch)
        out.resendAt ??= turn.backoff(limits.RESEND_FIRST, limits.RESEND_CAP, out.resends)
        batch = []
        bytes = 0
      }
    }

    for (let i = out.settled; i < out.messages.length && i < limits.FLIGHT_MESSAGES; i++) {
      const message = out.messages[i]
      const { byteLength } = message.payload
      const flying = out.settledBytes + byteLength

      // the receiver holds no more of what comes too early
      if (i > 0 && flying > limits.FLIGHT_BYTES) {
        break
      }
      if (!message.isSent && !(message.isHeld && i > 0)) {
        if (message.isAlone || bytes + byteLength > limits.FRAME_BYTES || batch.length === limits.FRAME_MESSAGES) {
          seal()
        }
        if (!canSeal(state, now) || !hasSlot(state, message)) {
          break
        }

        message.seq ??= out.nextSeq++
        message.isSent = true
        batch.push(message)
        bytes += byteLength

        if (message.isAlone) {
          seal()
        }
      }

      out.settled = i + 1
      out.settledBytes = flying
    }

    seal()
  }

  #seal (turn: Turn, kind: SealedKind, messages: OutMessage[] = []): void {
    const { state, now } = turn
    const { out, options } = state
    const keys = current(state)

    if (keys?.send == null) {
      return
    }

    const { stored, early } = state.in
    const carried = messages.flatMap(({ seq, payload }) => seq == null ? [] : { seq, payload })

    if (messages.length > 0) {
      keys.isTaken ||= messages[0].isAlone
      keys.message ??= messages[0].seq
    }

    const held = early.map(({ seq }) => seq)
    const body = encodeBody({ base: out.messages[0]?.seq ?? out.nextSeq, ack: stored, held, messages: carried })
    const head: Head = { kind, key: keys.id, epoch: keys.epoch, counter: keys.send.next }
    turn.send({ kind, head, key: advance(keys.send), body })
    turn.sealed++
    keys.sealed += Math.max(1, messages.length)
    keys.sealedBytes += body.byteLength
    state.isRekeyDue ||= keys.sealed >= options.rekeyMessages || keys.sealedBytes >= limits.REKEY_BYTES ||
      now >= keys.rekeyAt
  }

  #acked (turn: Turn, ack: number, held: number[]): void {
    const { out } = turn.state

    if (ack >= out.nextSeq) {
      turn.count('wrong-ack')
      return
    }

    const before = out.messages.length

    for (let [first] = out.messages; first?.seq != null && first.seq <= ack; [first] = out.messages) {
      out.messages.shift()
      out.bytes -= first.payload.byteLength

      if (out.settled > 0) {
        out.settled--
        out.settledBytes -= first.payload.byteLength
      }
      if (first.call != null) {
        turn.do({ type: 'send-settled', call: first.call, outcome: 'delivered' })
      }
    }
    for (const message of held.length > 0 ? out.messages : []) {
      message.isHeld ||= message.seq != null && held.includes(message.seq)
    }
    // it was passed over because one before it was missing
    if (out.messages[0]?.isSent === false) {
      out.settled = out.settledBytes = 0
    }
    if (out.messages.length < before) {
      out.resends = 0
      const isUnderWay = out.messages.some(({ isSent }) => isSent)
      out.resendAt = isUnderWay ? turn.backoff(limits.RESEND_FIRST, limits.RESEND_CAP, 0) : undefined
    }
  }
}
