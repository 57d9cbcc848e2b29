import * as limits from '../constants.ts'
import { current, isReceiveOnly } from './state.ts'
import type { OutMessage, SessionState } from './state.ts'

/**
 * Why there is a round: all of it is read off the state, so no order of events can lose a reason. What a round does not
 * take away stays a reason for the next one.
 */
export type Reason = 'asked' | 'desync' | 'restored' | 'due' | 'blocked'

/** Whether a frame may be sealed now. What may not waits for a new key, and is a reason to have one */
export function canSeal (state: SessionState, now: number): boolean {
  return state.isConnected && state.mode.type !== 'closed' && !state.needsFresh && isKeyGood(state, now)
}

function isKeyGood (state: SessionState, now: number): boolean {
  const keys = current(state)
  return keys?.send != null && keys.send.next < limits.KEY_MESSAGES && keys.sealedBytes < limits.KEY_BYTES &&
    now - keys.since < limits.KEY_AGE
}

export function reasonsOf (state: SessionState, now: number): Reason[] {
  const reasons: Array<[Reason, boolean]> = [
    ['asked', state.waiters.length > 0],
    ['desync', state.needsFresh],
    ['restored', isReceiveOnly(state)],
    ['due', state.isRekeyDue && current(state) != null],
    ['blocked', isBlocked(state, now)]
  ]
  return reasons.flatMap(([reason, isThere]) => isThere ? reason : [])
}

/** When a round may begin for these reasons; never, as long as one is under way or nobody could hear of it */
export function roundAt (state: SessionState, now: number): number {
  const isFree = state.mode.type === 'idle' && state.isConnected
  return isFree && reasonsOf(state, now).length > 0 ? state.retryAt : Infinity
}

/** A message that wants a key for itself has one, as often as that takes, and no other message is sealed with it */
export function hasSlot (state: SessionState, { seq, isAlone }: OutMessage): boolean {
  const { message, isTaken } = current(state) ?? {}
  return message == null || message === seq || (isTaken !== true && !isAlone)
}

/** Something waits that the current key may not seal */
function isBlocked (state: SessionState, now: number): boolean {
  const { out, in: inbox } = state
  const first = out.messages[out.settled] as OutMessage | undefined

  if (first == null && inbox.ackAt == null) {
    return false
  }
  if (!isKeyGood(state, now)) {
    return true
  }

  return first != null && !hasSlot(state, first)
}

/** A clock that was set back by so much takes all that it was to bring with it */
export function setBack (state: SessionState, by: number): void {
  const { mode, out, in: inbox, waiters, keys } = state
  const all = mode.type === 'accepted' && mode.stage === 'provisional' ? [...keys, mode.keys] : keys
  state.retryAt -= by
  state.resyncAt -= by
  state.staleAt -= by
  waiters.forEach(waiter => { waiter.deadline -= by })

  if (mode.type === 'proposing' || mode.type === 'accepted') {
    mode.wakeAt -= by
  }
  if (out.resendAt != null) {
    out.resendAt -= by
  }
  if (inbox.ackAt != null) {
    inbox.ackAt -= by
  }
  for (const key of all) {
    key.since -= by
    key.rekeyAt -= by
    key.skipped.forEach(skipped => { skipped.until -= by })

    if (key.supersededAt != null) {
      key.supersededAt -= by
    }
  }
}
