import { concat } from 'uint8arrays/concat'
import { encodeString } from '../../runtime/codec.ts'
import { keyOfBytes } from '../../runtime/keys.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { KEY_ID_BYTES, SECRET_BYTES } from '../constants.ts'
import type { KeyId } from './state.ts'

/**
 * From the secret of a round to the keys of its epoch.
 *
 * ```text
 * transcript = SHA-256(Propose || Accept, both as they were signed, the Accept without its proof)
 * pseudorandom = HKDF-Extract(salt = root of the epoch before | 32 zero bytes if fresh, X-Wing secret)
 * root || low to high || high to low || confirm || name = HKDF-Expand(pseudorandom, label || transcript)
 * ```
 *
 * The name of a key comes out of the same derivation as the key: two peers that have the same name have the same key,
 * and the same transcript. HKDF is RFC 5869, HMAC is RFC 2104, both with SHA-256. They are here and not in the crypto
 * provider because they take microseconds, and a core that can call them at once has fewer states.
 */
export interface Derived {
  id: KeyId
  root: Uint8Array
  /** What the peer with the smaller id seals with, and the other opens with */
  lowToHigh: Uint8Array
  highToLow: Uint8Array
  confirm: Uint8Array
}

const BLOCK_BYTES = 64
const LABEL = encodeString('libp2p-sheaf/session/1/epoch')
const ACCEPT = encodeString('libp2p-sheaf/session/1/accept')
const CONFIRM = encodeString('libp2p-sheaf/session/1/confirm')
const NO_ROOT = new Uint8Array(SECRET_BYTES)

/** HMAC-SHA-256 of what the parts are together */
export function hmac (key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const short = key.byteLength > BLOCK_BYTES ? sha256(key) : key
  const inner = new Uint8Array(BLOCK_BYTES).fill(0x36)
  const outer = new Uint8Array(BLOCK_BYTES + SECRET_BYTES).fill(0x5c, 0, BLOCK_BYTES)

  for (let i = 0; i < short.byteLength; i++) {
    inner[i] ^= short[i]
    outer[i] ^= short[i]
  }

  const message = concat([inner, ...parts])
  outer.set(sha256(message), BLOCK_BYTES)
  const mac = sha256(outer)
  inner.fill(0)
  outer.fill(0)
  message.fill(0)
  return mac
}

export function hkdfExtract (salt: Uint8Array, secret: Uint8Array): Uint8Array {
  return hmac(salt, secret)
}

export function hkdfExpand (pseudorandom: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(length / SECRET_BYTES) * SECRET_BYTES)
  let block: Uint8Array = new Uint8Array(0)

  for (let i = 0; i * SECRET_BYTES < length; i++) {
    block = hmac(pseudorandom, block, info, Uint8Array.of(i + 1))
    out.set(block, i * SECRET_BYTES)
  }

  block.fill(0)
  return out.subarray(0, length)
}

/** What both sides signed in a round */
export function transcriptOf (propose: Uint8Array, accept: Uint8Array): Uint8Array {
  return sha256(concat([propose, accept]))
}

/** `root`: of the epoch that the round builds on; none: the round is fresh */
export function derive (root: Uint8Array | undefined, secret: Uint8Array, transcript: Uint8Array): Derived {
  const pseudorandom = hkdfExtract(root ?? NO_ROOT, secret)
  const keys = hkdfExpand(pseudorandom, concat([LABEL, transcript]), 4 * SECRET_BYTES + KEY_ID_BYTES)
  const take = (at: number): Uint8Array => keys.slice(at * SECRET_BYTES, (at + 1) * SECRET_BYTES)
  const derived = {
    root: take(0),
    lowToHigh: take(1),
    highToLow: take(2),
    confirm: take(3),
    id: keyOfBytes(keys.subarray(4 * SECRET_BYTES))
  }

  pseudorandom.fill(0)
  keys.fill(0)
  return derived
}

/** The responder has the key: its Accept says so. The key's name stands for the transcript */
export function acceptProof (confirm: Uint8Array, id: Uint8Array, epoch: number): Uint8Array {
  return hmac(confirm, ACCEPT, id, numberBytes(epoch))
}

/**
 * The one with this rank has the key, and uses it. There is no nonce in it, so it may be said as often as is asked,
 * also of a key that came back from a disk
 */
export function confirmProof (confirm: Uint8Array, id: Uint8Array, epoch: number, rank: number): Uint8Array {
  return hmac(confirm, CONFIRM, id, numberBytes(epoch), Uint8Array.of(rank))
}

/** Compares in a time that does not depend on what is in them */
export function sameSecret (a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.byteLength ^ b.byteLength

  for (let i = 0; i < a.byteLength && i < b.byteLength; i++) {
    difference |= a[i] ^ b[i]
  }

  return difference === 0
}

function numberBytes (value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}
