import { randomInt } from '../../runtime/random.ts'
import { KEY_WINDOW, REKEY_JITTER, REPLAY_WINDOW } from '../constants.ts'
import type { Chain, SkippedKey } from './chain.ts'
import type { Derived } from './key-schedule.ts'
import type { Origin } from './origins.ts'
import type { Accept, Propose } from './wire.ts'
import type { Random } from '../../runtime/random.ts'

/** A peer: the bytes of its id, a character each */
export type Key = string
/** The name of a key: 8 bytes, a character each */
export type KeyId = string
/** A call of the program that waits for an outcome */
export type Call = number
/** A fresh round begins anew; a ratchet round builds on the root of the current key */
export type RoundKind = 'fresh' | 'ratchet'

/** When a step happens, and the chance it may use. A core has neither of its own */
export interface Moment {
  /** Milliseconds of the wall clock: they are stored, and number rounds */
  now: number
  random: Random
}

/** The keys of one epoch */
export interface EpochKeys {
  id: KeyId
  epoch: number
  /** What the next ratchet round builds on. Zeroed when a newer epoch takes over */
  root: Uint8Array
  confirm: Uint8Array
  /** Absent in keys that were stored: what comes back from a disk cannot seal */
  send?: Chain
  receive: Chain
  /** Message keys that were skipped, the oldest first */
  skipped: SkippedKey[]
  /** Which of the newest counters were opened: a ring of bits */
  opened: Uint32Array
  /** The lives of both peers that agreed on it. A life numbers its messages from 1 */
  myBoot: number
  peerBoot: number
  /** When it became current, and when its use makes a new one due */
  since: number
  rekeyAt: number
  sealed: number
  sealedBytes: number
  /** The first message of the program that it sealed, and whether that one wanted it for itself */
  message?: number
  isTaken: boolean
  /** When a frame under a newer key was opened first */
  supersededAt?: number
}

interface Round {
  type: 'proposing'
  n: number
  round: RoundKind
  base?: KeyId
  /** Names the crypto operation under way: a result with another token is too late */
  token: number
  tries: number
  wakeAt: number
}

/** Our round. The secret of its key pair lives here and nowhere else: leaving the mode zeroes it */
export type Proposing =
  | Round & { stage: 'preparing' }
  | Round & { stage: 'waiting', seed: Uint8Array, propose: Propose, encoded: Uint8Array }
  | Round & { stage: 'deriving', seed: Uint8Array, propose: Propose, encoded: Uint8Array, accept: Accept }

interface Answer {
  type: 'accepted'
  /** The round number of the peer */
  n: number
  tries: number
  wakeAt: number
}

/** A round of the peer that we have answered, or are about to. Nobody has proven yet that the key is in use */
export type Accepted =
  | Answer & { stage: 'computing', token: number, propose: Propose }
  | Answer & { stage: 'provisional', keys: EpochKeys, accept: Accept }

export type Mode = { type: 'idle' } | Proposing | Accepted | { type: 'closed' }

/** A message that the other side does not have yet, as far as we know */
export interface OutMessage {
  /** Who waits for it; absent: the call was aborted after the message had left */
  call?: Call
  payload: Uint8Array
  /** Given when it is sealed for the first time */
  seq?: number
  /** Whether it is under way: sealed, and nothing has happened since that lost it */
  isSent: boolean
  /** It is the only message of the program that its key seals, as often as that takes */
  isAlone: boolean
  /** The other side holds it, and waits for one before it */
  isHeld: boolean
}

export interface Outbox {
  nextSeq: number
  messages: OutMessage[]
  bytes: number
  /** How many of the first ones need not be sealed now, without a gap, and their bytes */
  settled: number
  settledBytes: number
  /** When what is under way is sealed again, and after how many times without progress */
  resendAt?: number
  resends: number
}

export interface Inbox {
  /** The life of the peer whose messages are counted */
  boot: number
  /** All messages up to here were handed to the program */
  delivered: number
  /** What acks say: `delivered` as it was when that was stored last */
  stored: number
  /** What came too early, by its number, the lowest first */
  early: Array<{ seq: number, payload: Uint8Array }>
  earlyBytes: number
  /** Messages that no ack spoke of yet, and when one is due */
  unacked: number
  ackAt?: number
}

export interface Waiter {
  call: Call
  /** Content with any epoch past this one */
  epoch: number
  deadline: number
}

export interface SessionOptions {
  /** Of messages that do not say: 'best-effort' never blocks; 'perfect' seals one message an epoch and direction */
  mode: 'best-effort' | 'perfect'
  queueMessages: number
  queueBytes: number
  /** Milliseconds that an ack may wait */
  ackDelay: number
  /** Messages after which a new key is due */
  rekeyMessages: number
  /** Milliseconds of use after which a new key is due, by rank */
  rekeyAge: readonly [number, number]
}

/** All there is about one session. Plain data, so that a test can copy it; its secrets are zeroed in place */
export interface SessionState {
  readonly me: Key
  readonly peer: Key
  /** 0: the smaller id. It wins when both propose, and seals low to high */
  readonly rank: 0 | 1
  /** A number for this life of the session, made at random when it began */
  readonly boot: number
  readonly options: SessionOptions
  isConnected: boolean
  /** Our round counter, and the highest one of the peer that was dealt with */
  n: number
  seen: number
  /** The current key is the last one: it is what we seal with. The others only open */
  keys: EpochKeys[]
  mode: Mode
  /** The next round has to be a fresh one: the peer does not have our key, or we not its */
  needsFresh: boolean
  /** The key in use is used up, or soon will be */
  isRekeyDue: boolean
  /** A round that failed is not tried again before */
  retryAt: number
  retries: number
  /** Resyncs in a row, and when the next one may leave */
  resyncs: number
  resyncAt: number
  staleAt: number
  out: Outbox
  in: Inbox
  /** Numbered messages of the peer that were handed over, in all lives */
  origins: Origin[]
  waiters: Waiter[]
  /** The newest token and the newest stored revision that were given out */
  tokens: number
  revision: number
  /** When the last step was: a clock that is set back takes all deadlines with it */
  clock: number
}

export interface SessionInit {
  me: Key
  peer: Key
  /** Below 2^48, from a source for secrets, new for every life: also for one that restores what another one stored */
  boot: number
  options: SessionOptions
}

export function newSession ({ me, peer, boot, options }: SessionInit): SessionState {
  return {
    me,
    peer,
    rank: me < peer ? 0 : 1,
    boot,
    options,
    isConnected: false,
    n: 0,
    seen: 0,
    keys: [],
    mode: { type: 'idle' },
    needsFresh: false,
    isRekeyDue: false,
    retryAt: 0,
    retries: 0,
    resyncs: 0,
    resyncAt: 0,
    staleAt: 0,
    out: { nextSeq: 1, messages: [], bytes: 0, settled: 0, settledBytes: 0, resends: 0 },
    in: { boot: 0, delivered: 0, stored: 0, early: [], earlyBytes: 0, unacked: 0 },
    origins: [],
    waiters: [],
    tokens: 0,
    revision: 0,
    clock: 0
  }
}

/** Messages under way may be lost: all, or those that `isLost` names, are sealed again */
export function sealAgain ({ out }: SessionState, isLost: (message: OutMessage, i: number) => boolean): void {
  out.messages.filter(isLost).forEach(message => { message.isSent = message.isHeld = false })
  out.settled = out.settledBytes = 0
}

/** The key that we seal with, if there is one */
export function current ({ keys }: SessionState): EpochKeys | undefined {
  return keys[keys.length - 1]
}

export function epochOf (state: SessionState): number {
  return current(state)?.epoch ?? 0
}

/** What came of the last restart: a key that opens and does not seal */
export function isReceiveOnly (state: SessionState): boolean {
  const key = current(state)
  return key != null && key.send == null
}

/** Names for reporting: the one whose round it is, the one who answers, and nobody */
export function roleOf ({ mode }: SessionState): 'leader' | 'loser' | 'idle' | 'closed' {
  switch (mode.type) {
    case 'proposing': return 'leader'
    case 'accepted': return 'loser'
    case 'idle':
    case 'closed': return mode.type
  }
}

export interface Lives {
  myBoot: number
  peerBoot: number
}

/** The keys of an epoch from what a round derived */
export function keysOf (state: SessionState, derived: Derived, epoch: number, { myBoot, peerBoot }: Lives): EpochKeys {
  const { id, root, confirm, lowToHigh, highToLow } = derived
  const [mine, theirs] = state.rank === 0 ? [lowToHigh, highToLow] : [highToLow, lowToHigh]
  return {
    id,
    epoch,
    root,
    confirm,
    send: { key: mine, next: 0 },
    receive: { key: theirs, next: 0 },
    skipped: [],
    opened: new Uint32Array(REPLAY_WINDOW / 32),
    myBoot,
    peerBoot,
    since: 0,
    rekeyAt: Infinity,
    isTaken: false,
    sealed: 0,
    sealedBytes: 0
  }
}

/**
 * A key becomes the current one. Those before it only open from now on: they lose their root, and what they seal with.
 * Messages of another life of the peer are counted anew
 */
export function install (state: SessionState, keys: EpochKeys, { now, random }: Moment): void {
  const before = current(state)
  const age = state.options.rekeyAge[state.rank]
  keys.since = now
  keys.rekeyAt = now + age * (1 - REKEY_JITTER) + randomInt(random, Math.max(1, 2 * REKEY_JITTER * age))
  before?.root.fill(0)
  before?.send?.key.fill(0)

  if (before != null) {
    before.send = undefined
  }

  state.keys.push(keys)
  state.keys.splice(0, Math.max(0, state.keys.length - KEY_WINDOW)).forEach(wipeKeys)
  state.isRekeyDue = false
  state.needsFresh = false
  state.retries = 0
  state.retryAt = 0

  if (state.in.boot !== keys.peerBoot) {
    state.in = { boot: keys.peerBoot, delivered: 0, stored: 0, early: [], earlyBytes: 0, unacked: 0 }
  }
}

export function wipeKeys (keys: EpochKeys): void {
  const { root, confirm, send, receive, skipped } = keys
  const all = [root, confirm, receive.key, ...skipped.map(({ key }) => key), ...(send == null ? [] : [send.key])]
  all.forEach(bytes => bytes.fill(0))
  keys.skipped = []
}

/** Goes to another mode. The secrets of the one that is left are zeroed, but for those that were taken over */
export function leave (state: SessionState, next: Mode): void {
  const { mode } = state

  if (mode.type === 'proposing' && mode.stage !== 'preparing') {
    mode.seed.fill(0)
  } else if (mode.type === 'accepted' && mode.stage === 'provisional' && !state.keys.includes(mode.keys)) {
    wipeKeys(mode.keys)
  }

  state.mode = next
}
