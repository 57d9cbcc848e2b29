import { ed25519 } from '@noble/curves/ed25519.js'
import { bytesToNumberLE, numberToBytesLE } from '@noble/curves/utils.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { seededRandom } from '../../src/runtime/random.ts'
import type { EdwardsPoint } from '@noble/curves/abstract/edwards.js'

/**
 * Signatures of Ed25519 that are true, false, or true for some implementations only, with the verdict of our rule
 * (src/runtime/signing.ts). The edge cases are those of 'Taming the many EdDSAs' (Chalkias, Garillot,
 * Nikolaenko, 2020), made anew, and more like them.
 */

export interface Vector {
  name: string
  key: Uint8Array
  message: Uint8Array
  signature: Uint8Array
  /** What the rule says */
  isTrue: boolean
  /** Whether the key and the signature pass the strict checks: only then the equation is looked at */
  isStrict: boolean
}

type Verdict = 'true' | 'false' | 'not strict'

const { Point } = ed25519

const L = Point.Fn.ORDER
const SCALAR_BYTES = 32
/** A point of order 8: its multiples are all of small order */
const T8 = Point.fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a')
const TORSION = Array.from({ length: 8 }, (_, i) => T8.multiplyUnsafe(BigInt(i)))

/** Other spellings of points of small order: a sign where x is 0, or a y that is p or p + 1 */
const NON_CANONICAL_SMALL = [
  '0100000000000000000000000000000000000000000000000000000000000080',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'
]

/** RFC 8032 7.1, TEST 1 to 3: seed, key, message, signature */
const RFC_8032 = [
  [
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155' +
      '5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b'
  ],
  [
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00'
  ],
  [
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
      '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a'
  ]
].map(row => row.map(hex => fromString(hex, 'base16')))

const random = seededRandom(8032)

function randomBytes (length: number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(random() * 256))
}

function randomScalar (): bigint {
  return Point.Fn.create(bytesToNumberLE(randomBytes(64)))
}

/** The hash of all three, whole */
function challenge (r: Uint8Array, key: Uint8Array, message: Uint8Array): bigint {
  return bytesToNumberLE(sha512(concat([r, key, message])))
}

/** Which challenges will do: messages are tried until one does */
type Wanted = (k: bigint, hash: bigint) => boolean

interface Craft {
  /** The torsion of the key, or all of the key if `a` is 0 */
  keyTorsion?: EdwardsPoint
  /** The torsion of R, or all of R if `r` is 0 */
  rTorsion?: EdwardsPoint
  a?: bigint
  r?: bigint
  /** In the place of the canonical encoding */
  keyBytes?: Uint8Array
  rBytes?: Uint8Array
  /** The challenge is the hash over the canonical encoding of R, not over the one in the signature */
  hashesCanonicalR?: boolean
  wants?: Wanted
}

type Signed = Pick<Vector, 'key' | 'message' | 'signature'>

/** S = r + k a: true up to torsion, whatever the encodings */
function craft (craft: Craft): Signed {
  const { keyTorsion = Point.ZERO, rTorsion = Point.ZERO, a = randomScalar(), r = randomScalar() } = craft
  const key = craft.keyBytes ?? Point.BASE.multiplyUnsafe(a).add(keyTorsion).toBytes()
  const canonicalR = Point.BASE.multiplyUnsafe(r).add(rTorsion).toBytes()
  const rBytes = craft.rBytes ?? canonicalR

  for (;;) {
    const message = randomBytes(32)
    const hash = challenge(craft.hashesCanonicalR === true ? canonicalR : rBytes, key, message)
    const k = Point.Fn.create(hash)

    if (craft.wants == null || craft.wants(k, hash)) {
      const s = Point.Fn.create(r + k * a)
      return { key, message, signature: concat([rBytes, numberToBytesLE(s, SCALAR_BYTES)]) }
    }
  }
}

function is (remainder: number, modulus = 8): Wanted {
  return k => k % BigInt(modulus) === BigInt(remainder)
}

function isNot (remainder: number, modulus = 8): Wanted {
  return k => k % BigInt(modulus) !== BigInt(remainder)
}

/** Whether torsion of a key shows in the equation, and also in one where 8 k was reduced modulo L before it is used */
const showsInBoth: Wanted = k => k % 8n !== 0n && 8n * k % L % 8n !== 0n

function rOf ({ signature }: Signed): Uint8Array {
  return signature.subarray(0, 32)
}

function sOf ({ signature }: Signed): Uint8Array {
  return signature.subarray(32)
}

function withR (signed: Signed, r: Uint8Array): Signed {
  return { ...signed, signature: concat([r, sOf(signed)]) }
}

function withS (signed: Signed, change: (s: bigint) => bigint): Signed {
  const s = numberToBytesLE(change(bytesToNumberLE(sOf(signed))), SCALAR_BYTES)
  return { ...signed, signature: concat([rOf(signed), s]) }
}

function flipped (bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[bit >> 3] ^= 1 << (bit & 7)
  return copy
}

function honest (message = randomBytes(100), seed = randomBytes(32)): Signed {
  return { key: ed25519.getPublicKey(seed), message, signature: ed25519.sign(message, seed) }
}

/** The seeds and signatures of RFC 8032, for whoever signs */
export const SIGNED = RFC_8032.map(([seed, key, message, signature]) => ({ seed, key, message, signature }))

export const VECTORS: Vector[] = []

function add (verdict: Verdict, name: string, { key, message, signature }: Signed): void {
  VECTORS.push({ name, key, message, signature, isTrue: verdict === 'true', isStrict: verdict !== 'not strict' })
}

/* what an honest author makes, and what a mishap makes of it */

SIGNED.forEach((signed, i) => { add('true', `RFC 8032 test ${i + 1}`, signed) })

for (const length of [0, 1, 111, 112, 5000]) {
  add('true', `an honest one of ${length} bytes`, honest(randomBytes(length)))
}

const good = honest()
const other = honest()

add('false', 'no message where there was one', { ...good, message: new Uint8Array(0) })
add('false', 'the key of another', { ...good, key: other.key })
add('false', 'the R of another', withR(good, rOf(other)))
add('false', 'the S of another', withR(other, rOf(good)))
add('false', 'S = 0', withS(good, () => 0n))
add('false', 'S = L - S', withS(good, s => L - s))
add('not strict', 'only zeros', { ...good, signature: new Uint8Array(64) })
add('not strict', 'only ones', { ...good, signature: new Uint8Array(64).fill(0xff) })

// a bit of each byte, each of its eight in turn. The highest bit of S makes S larger than L
for (let byte = 0; byte < 64; byte++) {
  const bit = byte * 8 + byte % 8
  const signature = flipped(good.signature, bit)
  add(byte === 63 ? 'not strict' : 'false', `bit ${bit} of the signature flipped`, { ...good, signature })
}
for (let byte = 0; byte < 32; byte++) {
  const bit = byte * 8 + byte % 8
  add('false', `bit ${bit} of the key flipped`, { ...good, key: flipped(good.key, bit) })
}
for (const bit of [0, 401, 799]) {
  add('false', `bit ${bit} of the message flipped`, { ...good, message: flipped(good.message, bit) })
}
for (const length of [0, 1, 31, 32, 63, 65, 96, 128]) {
  const signature = Uint8Array.from({ length }, (_, i) => good.signature[i] ?? 0)
  add('not strict', `a signature of ${length} bytes`, { ...good, signature })
}

/* malleable S */

for (const times of [1n, 2n, 8n, 14n]) {
  add('not strict', `S + ${times} L`, withS(good, s => s + times * L))
}

/* torsion in R only */

for (const [i, rTorsion] of TORSION.entries()) {
  add(i === 0 ? 'true' : 'false', `R + ${i} T8`, craft({ rTorsion }))
}

/* torsion in the key only: it does not show where the challenge is a multiple of its order */

const mixedKey = { keyTorsion: T8 }

for (const [i, keyTorsion] of TORSION.entries()) {
  const order = [1, 8, 4, 8, 2, 8, 4, 8][i]
  add('true', `A + ${i} T8, k = 0 mod ${order}`, craft({ keyTorsion, wants: is(0, order) }))

  if (order > 1) {
    add('false', `A + ${i} T8, k = ${order / 2} mod ${order}`, craft({ keyTorsion, wants: is(order / 2, order) }))
    add('false', `A + ${i} T8, k = 1 mod ${order}`, craft({ keyTorsion, wants: is(1, order) }))
  }
}

add('true', 'A + T8, k = 0 mod 8 when reduced, not when whole', craft({
  ...mixedKey, wants: (k, hash) => k % 8n === 0n && hash % 8n !== 0n
}))
add('false', 'A + T8, k = 0 mod 8 when whole, not when reduced', craft({
  ...mixedKey, wants: (k, hash) => k % 8n !== 0n && hash % 8n === 0n
}))
add('false', 'A + T8, 8 k is not 0 mod 8 when reduced', craft({ ...mixedKey, wants: showsInBoth }))

/* torsion in both */

for (let i = 1; i < 8; i++) {
  const both = { keyTorsion: T8, rTorsion: TORSION[i] }
  add('true', `A + T8, R + ${i} T8, which cancel each other`, craft({ ...both, wants: is(8 - i) }))
  add('false', `A + T8, R + ${i} T8, which do not`, craft({ ...both, wants: isNot(8 - i) }))
}

/* small order */

for (const [i, torsion] of TORSION.entries()) {
  const smallKey = { a: 0n, keyTorsion: torsion }
  const smallR = { r: 0n, rTorsion: torsion }
  add('not strict', `A = ${i} T8, the equation is true`, craft({ ...smallKey, wants: is(0) }))
  add('not strict', `A = ${i} T8, R + T8`, craft({ ...smallKey, rTorsion: T8 }))
  add('not strict', `R = ${i} T8, A is clean`, craft(smallR))
  add('not strict', `R = ${i} T8, A + T8 cancels it`, craft({ ...smallR, ...mixedKey, wants: is((8 - i) % 8) }))
  add('not strict', `A = ${i} T8, R = T8, S = 0`, craft({ ...smallKey, r: 0n, rTorsion: T8 }))
}

/* other spellings */

/** Small, and spelled otherwise */
const SPELLED = NON_CANONICAL_SMALL.map(hex => {
  const bytes = fromString(hex, 'base16')
  const torsion = Point.fromHex(hex, true)
  return {
    name: `${hex.slice(0, 4)}...${hex.slice(-2)}`,
    torsion,
    asKey: { a: 0n, keyTorsion: torsion, keyBytes: bytes },
    asR: { r: 0n, rTorsion: torsion, rBytes: bytes }
  }
})

for (const { name, torsion, asKey, asR } of SPELLED) {
  const cancels: Wanted = k => T8.multiplyUnsafe(k % 8n).add(torsion).is0()
  add('not strict', `A = ${name}, the equation is true`, craft({ ...asKey, wants: is(0) }))
  add('not strict', `A = ${name}, R + T8`, craft({ ...asKey, rTorsion: T8 }))
  add('not strict', `R = ${name}, hashed as it is`, craft(asR))
  add('not strict', `R = ${name}, hashed as canonical`, craft({ ...asR, hashesCanonicalR: true }))
  add('not strict', `R = ${name}, A + T8 cancels it`, craft({ ...asR, ...mixedKey, wants: cancels }))
}

// nobody knows the secret of these: they can only be refused as any other wrong one is
for (let y = 2n; y < 19n; y++) {
  const bytes = numberToBytesLE(Point.Fp.ORDER + y, SCALAR_BYTES)
  add('not strict', `A = p + ${y}`, { ...good, key: bytes })
  add('not strict', `R = p + ${y}`, withR(good, bytes))
}

/* not on the curve */

function isOnCurve (bytes: Uint8Array): boolean {
  try {
    Point.fromBytes(bytes)
    return true
  } catch {
    // that is how noble says it
    return false
  }
}

const offCurve = Array.from({ length: 64 }, (_, y) => numberToBytesLE(BigInt(y), SCALAR_BYTES))
  .filter(bytes => !isOnCurve(bytes))[0]

add('false', 'A is not on the curve', { ...good, key: offCurve })
add('false', 'R is not on the curve', withR(good, offCurve))

/* the twelve cases of the paper, in its order */

const small = { a: 0n, keyTorsion: T8 }
const mixed = { keyTorsion: T8, rTorsion: T8 }
/** (0, -1) with the sign of a negative 0 */
const { asKey: spelledKey, asR: spelledR } = SPELLED[1]
const isOdd = is(1, 2)

const PAPER: Array<[Verdict, string, Signed]> = [
  ['not strict', 'small A, small R, S = 0', craft({ ...mixed, a: 0n, r: 0n, wants: is(7) })],
  ['not strict', 'small A, mixed R', craft({ ...small, rTorsion: T8, wants: is(7) })],
  ['not strict', 'mixed A, small R', craft({ ...mixed, r: 0n, wants: is(7) })],
  ['true', 'mixed A, mixed R, true without the cofactor', craft({ ...mixed, wants: is(7) })],
  ['false', 'mixed A, mixed R, true with the cofactor only', craft({ ...mixed, wants: isNot(7) })],
  ['false', 'mixed A, clean R, true unless 8 k is reduced', craft({ ...mixedKey, wants: showsInBoth })],
  ['not strict', 'S > L', withS(craft({}), s => s + L)],
  ['not strict', 'S >> L', withS(craft({}), s => s + 14n * L)],
  ['not strict', 'non-canonical R, hashed as canonical', craft({ ...mixedKey, ...spelledR, hashesCanonicalR: true })],
  ['not strict', 'non-canonical R, hashed as it is', craft({ ...mixedKey, ...spelledR })],
  ['not strict', 'non-canonical A, hashed as it is', craft({ ...spelledKey, rTorsion: T8, wants: isOdd })],
  ['not strict', 'non-canonical A, hashed as canonical', {
    ...craft({ ...spelledKey, keyBytes: undefined, rTorsion: T8, wants: isOdd }), key: spelledKey.keyBytes
  }]
]

PAPER.forEach(([verdict, name, signed], i) => { add(verdict, `paper ${i}: ${name}`, signed) })
