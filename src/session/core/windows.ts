import * as limits from '../constants.ts'
import { advancePast, peek } from './chain.ts'
import { wipeKeys } from './state.ts'
import type { EpochKeys, KeyId, SessionState } from './state.ts'
import type { Head } from './wire.ts'

/**
 * What can be opened: keys of some epochs, message keys that were skipped, and which counters were opened already. Each
 * side forgets its own; no frame speaks of it.
 *
 * Opening takes two steps, because a cipher may answer later: `openingOf` gives the key and changes nothing, so that a
 * forged frame costs nobody a key; `opened` marks the frame as opened, and refuses a second one that was on its way.
 */
export type Opening =
  /** `steps`: of the chain, that it took */
  | { type: 'key', key: Uint8Array, steps: number }
  /** No key of this name: the core has to hear of it, as 'unopened' */
  | { type: 'unknown' }
  | { type: 'replayed' }
  /** It skips more message keys than one frame may */
  | { type: 'too-far' }

/** The key of this name: one that opens, or the one that waits for its proof */
export function keyNamed ({ keys, mode }: SessionState, id: KeyId): EpochKeys | undefined {
  const provisional = mode.type === 'accepted' && mode.stage === 'provisional' ? mode.keys : undefined
  return provisional?.id === id ? provisional : keys.find(key => key.id === id)
}

/** The key that opens a frame. Costs at most MAX_SKIP steps of the chain */
export function openingOf (state: SessionState, { key: id, epoch, counter }: Head): Opening {
  const keys = keyNamed(state, id)

  // the name alone decides; an epoch that does not fit to it was never sealed by anybody who has the key
  if (keys?.epoch !== epoch) {
    return { type: 'unknown' }
  }
  if (counter >= keys.receive.next) {
    const isTooFar = counter - keys.receive.next > limits.MAX_SKIP
    const steps = counter - keys.receive.next
    return isTooFar ? { type: 'too-far' } : { type: 'key', key: peek(keys.receive, counter), steps }
  }

  const skipped = keys.skipped.find(skipped => skipped.counter === counter)
  return skipped == null ? { type: 'replayed' } : { type: 'key', key: Uint8Array.from(skipped.key), steps: 0 }
}

/** Marks a frame as opened; false if another one with its counter was */
export function markOpened (keys: EpochKeys, counter: number, now: number): boolean {
  const { receive, skipped } = keys

  if (wasOpened(keys, counter) || (counter - receive.next) > limits.MAX_SKIP) {
    return false
  }
  if (counter < receive.next) {
    const [found] = skipped.splice(skipped.findIndex(skipped => skipped.counter === counter), 1)
    found.key.fill(0)
  } else {
    forget(keys, receive.next, counter)
    skipped.push(...advancePast(receive, counter, now + limits.SKIPPED_LIFE))
  }

  keys.opened[slot(counter)] |= bit(counter)
  return true
}

/**
 * Two guards that do not know of each other: the key of a message that was opened is gone, and the ring of bits
 * remembers the newest counters
 */
export function wasOpened ({ receive, skipped, opened }: EpochKeys, counter: number): boolean {
  if (counter >= receive.next) {
    return false
  }

  const isMarked = counter >= receive.next - limits.REPLAY_WINDOW && (opened[slot(counter)] & bit(counter)) !== 0
  return isMarked || !skipped.some(skipped => skipped.counter === counter)
}

/** A frame under this key was opened: those before it have KEY_GRACE left */
export function supersede ({ keys }: SessionState, epoch: number, now: number): void {
  keys.filter(key => key.epoch < epoch).forEach(key => { key.supersededAt ??= now })
}

/** Zeroes keys whose time is over, and message keys past the bound, the oldest first */
export function prune (state: SessionState, now: number): void {
  const { keys } = state
  const isOver = ({ supersededAt }: EpochKeys): boolean =>
    supersededAt != null && now - supersededAt >= limits.KEY_GRACE
  keys.slice(0, -1).filter(isOver).forEach(key => {
    keys.splice(keys.indexOf(key), 1)
    wipeKeys(key)
  })
  let tooMany = Math.max(0, skippedCount(state) - limits.MAX_SKIPPED)

  for (const key of allKeys(state)) {
    const firstYoung = key.skipped.findIndex(({ until }) => until > now)
    const over = Math.max(Math.min(tooMany, key.skipped.length), firstYoung === -1 ? key.skipped.length : firstYoung)
    key.skipped.splice(0, over).forEach(({ key }) => key.fill(0))
    tooMany = Math.max(0, tooMany - over)
  }
}

export function skippedCount (state: SessionState): number {
  return allKeys(state).reduce((sum, { skipped }) => sum + skipped.length, 0)
}

/** When `prune` has something to do for its time */
export function nextPrune (state: SessionState): number {
  const { keys } = state
  const graces = keys.slice(0, -1).map(({ supersededAt = Infinity }) => supersededAt + limits.KEY_GRACE)
  const lives = allKeys(state).map(({ skipped }) => skipped.length > 0 ? skipped[0].until : Infinity)
  return Math.min(Infinity, ...graces, ...lives)
}

function allKeys ({ keys, mode }: SessionState): EpochKeys[] {
  return mode.type === 'accepted' && mode.stage === 'provisional' ? [...keys, mode.keys] : keys
}

/** The ring moves on: bits of counters from `next` to `counter` belonged to ones that are now too old */
function forget ({ opened }: EpochKeys, next: number, counter: number): void {
  if (counter - next >= limits.REPLAY_WINDOW) {
    opened.fill(0)
    return
  }
  for (let i = next; i <= counter; i++) {
    opened[slot(i)] &= ~bit(i)
  }
}

function slot (counter: number): number {
  return (counter % limits.REPLAY_WINDOW) >>> 5
}

function bit (counter: number): number {
  return 1 << (counter % 32)
}
