import { hmac } from './key-schedule.ts'

/**
 * The keys of one direction within an epoch. Each message has a key of its own, and a key that was used is gone:
 * whoever takes the state later cannot open what was said before.
 *
 * ```text
 * chain(i + 1) = HMAC(chain(i), 1)        message(i) = HMAC(chain(i), 2)
 * ```
 *
 * A message key seals once, so the nonce of ChaCha20-Poly1305 is fixed. A chain that seals is never stored: what comes
 * back from a disk cannot seal, whatever was rolled back or copied (I9).
 */
export interface Chain {
  /** The chain key of the message `next` */
  key: Uint8Array
  next: number
}

/** A message key that a later message went past */
export interface SkippedKey {
  counter: number
  key: Uint8Array
  until: number
}

const NEXT_CHAIN = Uint8Array.of(1)
const MESSAGE = Uint8Array.of(2)

/** The key of the next message. The chain is past it when this returns */
export function advance (chain: Chain): Uint8Array {
  const { key } = chain
  const messageKey = hmac(key, MESSAGE)
  chain.key = hmac(key, NEXT_CHAIN)
  chain.next++
  key.fill(0)
  return messageKey
}

/** The key of a message to come, leaving the chain where it is */
export function peek ({ key, next }: Chain, counter: number): Uint8Array {
  const probe: Chain = { key: Uint8Array.from(key), next }

  while (probe.next < counter) {
    advance(probe).fill(0)
  }

  const messageKey = advance(probe)
  probe.key.fill(0)
  return messageKey
}

/** Takes the chain past a message that was opened. What it skipped is kept until `until` */
export function advancePast (chain: Chain, counter: number, until: number): SkippedKey[] {
  const skipped: SkippedKey[] = []

  while (chain.next < counter) {
    skipped.push({ counter: chain.next, key: advance(chain), until })
  }

  advance(chain).fill(0)
  return skipped
}
