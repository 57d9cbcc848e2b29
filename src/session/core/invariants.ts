import * as limits from '../constants.ts'
import { epochOf, isReceiveOnly } from './state.ts'
import { skippedCount } from './windows.ts'
import { decodeBody } from './wire.ts'
import type { Effect } from './events.ts'
import type { SessionState } from './state.ts'

/**
 * What has to be true after every step, by the names of docs/session.md. Tests ask after each step and fail; a node may
 * ask now and then, and count. I2, I4, I12 and most of I11
 * speak of two peers: the model of test/session has those.
 */
export type Invariant = 'I1' | 'I3' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'I10' | 'I11'

export interface Violation {
  invariant: Invariant
  what: string
}

/** Numbers that never become less within one life and what was stored by it */
export interface Marks {
  boot: number
  inBoot: number
  n: number
  seen: number
  epoch: number
  nextSeq: number
  delivered: number
}

export function marksOf (state: SessionState): Marks {
  const { boot, n, seen, out: { nextSeq }, in: { boot: inBoot, delivered } } = state
  return { boot, inBoot, n, seen, epoch: epochOf(state), nextSeq, delivered }
}

/** `before` and `effects`: of the step that led here */
export function violations (state: SessionState, before?: Marks, effects: Effect[] = []): Violation[] {
  if (state.mode.type === 'closed') {
    return closed(state)
  }

  const history = before == null ? [] : marks(state, before)
  return [...keys(state), ...modes(state), ...bounds(state), ...history, ...sealing(state, effects)]
}

function ifNot (isTrue: boolean, invariant: Invariant, what: string): Violation[] {
  return isTrue ? [] : [{ invariant, what }]
}

function keys (state: SessionState): Violation[] {
  const older = state.keys.slice(0, -1)
  const isRising = older.every(({ epoch }, i) => epoch < state.keys[i + 1].epoch)
  const names = new Set(state.keys.map(({ id }) => id))
  const last = state.keys[state.keys.length - 1]
  const areLive = state.keys.every(({ confirm, receive }) => isSecret(confirm) && isSecret(receive.key))
  const areOver = older.every(({ send, root }) => send == null && !isSecret(root))
  return [
    ...ifNot(isRising && names.size === state.keys.length, 'I1', 'the current key is not the newest of the window'),
    ...ifNot(areLive, 'I1', 'a key of the window was zeroed'),
    ...ifNot(last == null || isSecret(last.root), 'I8', 'the current key has no root'),
    ...ifNot(areOver, 'I9', 'an older key can still seal, or be built on')
  ]
}

function modes ({ mode, keys }: SessionState): Violation[] {
  if (mode.type === 'proposing') {
    return ifNot(mode.stage === 'preparing' || isSecret(mode.seed), 'I3', 'a round of ours has no secret')
  }
  if (mode.type === 'accepted' && mode.stage === 'provisional') {
    const { id, epoch, confirm, root } = mode.keys
    const last = keys[keys.length - 1]
    return [
      ...ifNot(isSecret(confirm) && isSecret(root), 'I3', 'a provisional key was zeroed'),
      ...ifNot(mode.accept.key === id && mode.accept.n === mode.n, 'I8', 'the provisional key is of another round'),
      ...ifNot(last == null || epoch > last.epoch, 'I8', 'the provisional key is not of a later epoch')
    ]
  }

  return []
}

function bounds (state: SessionState): Violation[] {
  const { keys, out, in: inbox, waiters, options } = state
  const bytes = out.messages.reduce((sum, { payload }) => sum + payload.byteLength, 0)
  const early = inbox.early.reduce((sum, { payload }) => sum + payload.byteLength, 0)
  const isWaiting = inbox.early.every(({ seq }, i) => seq > (inbox.early[i - 1]?.seq ?? inbox.delivered + 1))
  return [
    ...ifNot(keys.length <= limits.KEY_WINDOW, 'I7', 'too many keys'),
    ...ifNot(skippedCount(state) <= limits.MAX_SKIPPED, 'I7', 'too many skipped keys'),
    ...ifNot(
      out.messages.length <= options.queueMessages && bytes <= options.queueBytes, 'I7', 'too much waits to be sent'
    ),
    ...ifNot(bytes === out.bytes && early === inbox.earlyBytes, 'I7', 'bytes are counted wrongly'),
    ...ifNot(inbox.early.length <= limits.FLIGHT_MESSAGES, 'I7', 'too much came too early'),
    ...ifNot(inbox.early.length <= 1 || early <= limits.FLIGHT_BYTES, 'I7', 'too many bytes came too early'),
    ...ifNot(waiters.length <= limits.MAX_WAITERS, 'I7', 'too many calls wait'),
    ...ifNot(waiters.every(({ epoch }) => epoch >= epochOf(state)), 'I11', 'a call waits for an epoch that has come'),
    ...ifNot(inbox.stored <= inbox.delivered, 'I6', 'acks speak of more than was delivered'),
    ...ifNot(isWaiting, 'I6', 'what can be delivered waits')
  ]
}

function marks (state: SessionState, before: Marks): Violation[] {
  const now = marksOf(state)

  // a new life begins to count anew, and so does what is counted of a new life of the peer
  if (now.boot !== before.boot) {
    return []
  }

  const own = ['n', 'seen', 'epoch', 'nextSeq'] as const
  const names = now.inBoot === before.inBoot ? [...own, 'delivered' as const] : own
  return names.flatMap(name =>
    ifNot(now[name] >= before[name], 'I5', `${name} went back from ${before[name]} to ${now[name]}`))
}

/** What a step seals under a key is new under it, and no other one if a message wanted the key for itself */
function sealing (state: SessionState, effects: Effect[]): Violation[] {
  const heads = effects.flatMap(effect => effect.type === 'send' && 'head' in effect.frame ? effect.frame.head : [])
  const names = new Set(heads.map(({ key, counter }) => `${key}/${counter}`))
  const last = state.keys[state.keys.length - 1]
  const isSlotKept = last?.isTaken !== true || seqsOf(effects).every(seq => seq === last.message)
  return [
    ...ifNot(names.size === heads.length, 'I9', 'a counter was used twice'),
    ...ifNot(heads.length === 0 || !isReceiveOnly(state), 'I9', 'a restored key seals'),
    ...ifNot(isSlotKept, 'I10', 'an epoch seals two messages')
  ]
}

/** The messages that a step has sealed */
function seqsOf (effects: Effect[]): number[] {
  return effects.flatMap(effect => effect.type === 'send' && effect.frame.kind === 'data'
    ? decodeBody('data', effect.frame.body).messages.map(({ seq }) => seq)
    : [])
}

function closed ({ keys, waiters, out }: SessionState): Violation[] {
  return ifNot(keys.length + waiters.length + out.messages.length === 0, 'I3', 'something outlives a close')
}

function isSecret (bytes: Uint8Array): boolean {
  return bytes.some(byte => byte !== 0)
}
