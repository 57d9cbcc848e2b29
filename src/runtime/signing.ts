import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { equals } from 'uint8arrays/equals'
import { fromString } from 'uint8arrays/from-string'
import { signerOf, verifierAsideOf, verifierOf } from './ed25519.ts'
import { MalformedError } from './errors.ts'
import type { Sign, Verify } from './ed25519.ts'
import type { PrivateKey, PublicKey } from '@libp2p/interface'

/**
 * Signs and verifies with the keys of libp2p, by one rule for Ed25519 on all platforms. Implementations differ in what
 * they take ('Taming the many EdDSAs', Chalkias, Garillot, Nikolaenko, 2020), and peers that differ would never come to
 * hold the same entries.
 *
 * The rule: the encodings of the key A and of R are canonical, neither point is of small order, S is less than L, and
 * [S]B = R + [k]A without the cofactor, where k is reduced modulo L. A point that only has a component of small order
 * ('mixed order') is not refused for it. This file checks all of the rule but the equation, which `ed25519.ts` computes
 * with what the platform has, and `ed25519.browser.ts` in browsers.
 */

const POINT_BYTES = 32
const SIGNATURE_BYTES = 64

/** The order of the base point */
const L = fromString('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'base16')
/** p - 1 is the last y of small order, and p or more is another spelling of something less */
const P_MINUS_1 = fromString('ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', 'base16')
/** The other y of small order: anybody can make signatures for such a key, and such an R says nothing of who signed */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'
].map(y => fromString(y, 'base16'))

/** Decodes a key of libp2p. Throws a MalformedError for a second spelling of a key, and for one that breaks the rule */
export function publicKeyOf (bytes: Uint8Array): PublicKey {
  let publicKey: PublicKey

  try {
    publicKey = publicKeyFromProtobuf(bytes)
  } catch (err: any) {
    throw new MalformedError(`the author is not a key: ${err.message}`)
  }

  if (!equals(bytes, publicKeyToProtobuf(publicKey))) {
    throw new MalformedError('the key of the author is not in its only form')
  }
  if (publicKey.type === 'Ed25519' && !isStrictPoint(publicKey.raw)) {
    throw new MalformedError('the key of the author is one that anybody can sign for')
  }

  return publicKey
}

/** Imports an Ed25519 key once. libp2p imports it for each signature, which takes longer than the signature */
export function signWith (privateKey: PrivateKey): Sign {
  return privateKey.type === 'Ed25519' ? signerOf(privateKey.raw) : message => privateKey.sign(message)
}

/** Verifies at once where the platform can (Node), later where it cannot (browsers) */
export function verifyWith (publicKey: PublicKey): Verify {
  return verifyBy(verifierOf, publicKey)
}

/** Verifies beside the main thread where the platform can: for many signatures at once */
export function verifyAsideWith (publicKey: PublicKey): Verify {
  return verifyBy(verifierAsideOf, publicKey)
}

/** Keeps the rule, whatever the platform takes. For tests: `verifierOf` stands for a platform */
export function verifyBy (verifierOf: (publicKey: Uint8Array) => Verify, publicKey: PublicKey): Verify {
  if (publicKey.type !== 'Ed25519') {
    return (message, signature) => falseIfItFails(() => publicKey.verify(message, signature))
  }
  if (!isStrictPoint(publicKey.raw)) {
    return () => false
  }

  const verify = verifierOf(publicKey.raw)
  return (message, signature) => isStrictSignature(signature) && falseIfItFails(() => verify(message, signature))
}

/** libp2p and OpenSSL throw for a signature that no key of its type can have made: it is a wrong one like others */
function falseIfItFails (verify: () => boolean | Promise<boolean>): boolean | Promise<boolean> {
  try {
    const verdict = verify()
    return verdict instanceof Promise ? verdict.catch(() => false) : verdict
  } catch {
    // as above
    return false
  }
}

/** Whether a key or an R is canonically encoded and not of small order. Whether it is on the curve is not asked */
export function isStrictPoint (bytes: Uint8Array): boolean {
  if (bytes.byteLength !== POINT_BYTES) {
    return false
  }

  return compareY(bytes, P_MINUS_1) < 0 && SMALL_ORDER.every(order => compareY(bytes, order) !== 0)
}

/** Compares the y of a point with a number, both the lowest byte first: the highest bit is the sign of x */
function compareY (bytes: Uint8Array, y: Uint8Array): number {
  for (let i = POINT_BYTES - 1; i >= 0; i--) {
    const difference = (i === POINT_BYTES - 1 ? bytes[i] & 0x7f : bytes[i]) - y[i]

    if (difference !== 0) {
      return difference
    }
  }

  return 0
}

/** Whether a signature has the right length, a strict R, and an S in its only form */
export function isStrictSignature (signature: Uint8Array): boolean {
  return signature.byteLength === SIGNATURE_BYTES &&
    isLess(signature.subarray(POINT_BYTES), L) &&
    isStrictPoint(signature.subarray(0, POINT_BYTES))
}

/** Compares numbers of as many bytes, the lowest first */
function isLess (a: Uint8Array, b: Uint8Array): boolean {
  for (let i = b.byteLength - 1; i >= 0; i--) {
    if (a[i] !== b[i]) {
      return a[i] < b[i]
    }
  }

  return false
}
