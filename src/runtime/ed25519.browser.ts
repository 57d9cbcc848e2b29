import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { withArrayBuffer } from 'uint8arrays/with-array-buffer'
import { fallbackSigner, fallbackVerifier } from './ed25519-fallback.ts'
import type { Sign, Verify } from './ed25519.ts'

/**
 * What `ed25519.node.ts` is to Node: WebCrypto, where it has Ed25519 and keeps the rule of `signing.ts`, else
 * JavaScript
 */

const ALGORITHM = 'Ed25519'
const SEED_BYTES = 32

const KEY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
const R = '0beb733c35ba2497e33d11c0757353b5d0555f7e59c9af3c5eb004466fb89ba4'
/** With a component of small order */
const MIXED_KEY = '9158312a9a8d6e3b34c891d6d61444f8b8211c5117ebad15bdb0bd68b07e0245'
const MIXED_R = '35dbea31ddd4290fbdeff2da9b7dd0773b601a8684582a8fb5fd01ede58ef4cc'

/** One signature for each way in which implementations are known to differ */
const PROBES = [
  // honest
  {
    key: KEY, message: '00', r: R, s: 'c1983ab7f39834f37b2e474ccb8678cc558bdf116db167c42786aca851a89300', isTrue: true
  },
  // true only if all is multiplied by the cofactor
  {
    key: KEY,
    message: '00',
    r: MIXED_R,
    s: '9ddeaa35c44c2a7863d57bef0f6477def81ec7272bd97082dd6be3b5f51fc10d',
    isTrue: false
  },
  // true only if such keys are taken and k is reduced modulo L
  {
    key: MIXED_KEY,
    message: '02',
    r: R,
    s: '2d5c5ca5f9a3f502a232832247cef485f2617c796d68f373d646fd5cf97ef60f',
    isTrue: true
  }
]

/** Whether WebCrypto keeps the rule: probed once a life */
const verdicts = new WeakMap<SubtleCrypto, Promise<boolean>>()

/** Undefined in a page that came over plain HTTP */
const webCrypto = globalThis.crypto?.subtle as SubtleCrypto | undefined

/** `privateKey`: the seed, and the public key behind the seed */
export function signerOf (privateKey: Uint8Array): Sign {
  return signerBy(webCrypto, privateKey)
}

export function verifierOf (publicKey: Uint8Array): Verify {
  return verifierBy(webCrypto, publicKey)
}

export { verifierOf as verifierAsideOf }

/** For tests: with another WebCrypto than that of the platform */
export function signerBy (subtle: SubtleCrypto | undefined, privateKey: Uint8Array): Sign {
  const fallback = fallbackSigner(privateKey.subarray(0, SEED_BYTES))

  if (subtle == null) {
    return fallback
  }

  let key: Promise<CryptoKey> | undefined

  return async message => {
    try {
      key ??= importPrivateKey(subtle, privateKey)
      return new Uint8Array(await subtle.sign(ALGORITHM, await key, withArrayBuffer(message)))
    } catch {
      // no Ed25519 here
      return fallback(message)
    }
  }
}

/** For tests: with another WebCrypto than that of the platform */
export function verifierBy (subtle: SubtleCrypto | undefined, publicKey: Uint8Array): Verify {
  const fallback = fallbackVerifier(publicKey)

  if (subtle == null) {
    return fallback
  }

  let key: Promise<CryptoKey> | undefined

  return async (message, signature) => {
    if (!await keepsRule(subtle)) {
      return fallback(message, signature)
    }

    try {
      key ??= importPublicKey(subtle, publicKey)
      return await verifyImported(subtle, await key, message, signature)
    } catch {
      // some refuse to import bytes that are no point, others say that nothing was signed with them
      return fallback(message, signature)
    }
  }
}

async function keepsRule (subtle: SubtleCrypto): Promise<boolean> {
  const verdict = verdicts.get(subtle) ?? probe(subtle)
  verdicts.set(subtle, verdict)
  return verdict
}

async function probe (subtle: SubtleCrypto): Promise<boolean> {
  try {
    const kept = await Promise.all(PROBES.map(async ({ key, message, r, s, isTrue }) => {
      const imported = await importPublicKey(subtle, fromString(key, 'base16'))
      const verdict = await verifyImported(subtle, imported, fromString(message, 'base16'), fromString(r + s, 'base16'))
      return verdict === isTrue
    }))
    return kept.every(isKept => isKept)
  } catch {
    // no Ed25519 here, or one that refuses a key that is a point
    return false
  }
}

async function importPublicKey (subtle: SubtleCrypto, raw: Uint8Array): Promise<CryptoKey> {
  return subtle.importKey('raw', withArrayBuffer(raw), ALGORITHM, false, ['verify'])
}

/** The key as RFC 8037 has it */
async function importPrivateKey (subtle: SubtleCrypto, privateKey: Uint8Array): Promise<CryptoKey> {
  const [seed, publicKey] = [privateKey.subarray(0, SEED_BYTES), privateKey.subarray(SEED_BYTES)]
  const jwk = { kty: 'OKP', crv: ALGORITHM, x: toString(publicKey, 'base64url'), d: toString(seed, 'base64url') }
  return subtle.importKey('jwk', jwk, ALGORITHM, false, ['sign'])
}

async function verifyImported (
  subtle: SubtleCrypto, key: CryptoKey, message: Uint8Array, signature: Uint8Array
): Promise<boolean> {
  return subtle.verify(ALGORITHM, key, withArrayBuffer(signature), withArrayBuffer(message))
}
