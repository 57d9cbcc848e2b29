import { ed25519 } from '@noble/curves/ed25519.js'
import { bytesToNumberLE } from '@noble/curves/utils.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { equals } from 'uint8arrays/equals'
import type { EdwardsPoint } from '@noble/curves/abstract/edwards.js'

/**
 * Ed25519 in JavaScript, for browsers without it in WebCrypto and for pages without WebCrypto. Each call holds the
 * thread. Measured in Chromium: 0.3 ms to sign, 0.5 to 0.8 ms to verify, up to five times as much elsewhere
 */

const { Point } = ed25519
const POINT_BYTES = 32

/** @param seed - the first 32 bytes of a private key */
export function fallbackSigner (seed: Uint8Array): (message: Uint8Array) => Uint8Array {
  return message => ed25519.sign(message, seed)
}

/**
 * Computes the equation of `signing.ts`: [S]B - [k]A is R, byte for byte, which RFC 8032 5.1.7 allows. noble's own
 * `verify` multiplies by the cofactor, and so takes an R with a component of small order. Throws for a key that is no
 * point. `signature` has to be strict
 */
export function fallbackVerifier (publicKey: Uint8Array): (message: Uint8Array, signature: Uint8Array) => boolean {
  let key: EdwardsPoint | undefined

  return (message, signature) => {
    key ??= Point.fromBytes(publicKey)
    const r = signature.subarray(0, POINT_BYTES)
    const s = bytesToNumberLE(signature.subarray(POINT_BYTES))
    const hash = sha512.create().update(r).update(publicKey).update(message).digest()
    // reduced, as OpenSSL and BoringSSL do: a key with a component of small order tells k from its remainder
    const k = Point.Fn.create(bytesToNumberLE(hash))
    return equals(Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(k)).toBytes(), r)
  }
}
