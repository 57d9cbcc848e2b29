import { concat } from 'uint8arrays/concat'
import { withArrayBuffer } from 'uint8arrays/with-array-buffer'
import { nobleCipher, noblePrimitives } from './noble.ts'
import { providerOf } from './provider.ts'
import { XWing } from './x-wing.ts'
import type { CryptoProvider, Primitives } from './provider.ts'

/**
 * What `platform.node.ts` is to Node: WebCrypto's X25519 where there is one, the rest in JavaScript. ML-KEM takes some
 * ms: the shell calls this in a worker, and once at its start, as the first calls take many times as long.
 */
const X25519 = 'X25519'
/** RFC 8410: what comes before the 32 bytes of a secret key */
const PKCS8_HEAD = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20)
/** The base point of RFC 7748: a public key is the secret times it */
const BASE = new Uint8Array(32)
BASE[0] = 9

/** Undefined in a page that came over plain HTTP */
const webCrypto = globalThis.crypto?.subtle as SubtleCrypto | undefined

/** `subtle`: for tests, another WebCrypto than the platform's, or none */
export function primitivesBy (subtle: SubtleCrypto | undefined): Primitives {
  const multiply = async (secret: Uint8Array, publicKey: Uint8Array): Promise<Uint8Array> => {
    if (subtle == null) {
      return noblePrimitives.x25519(secret, publicKey)
    }

    let keys: [CryptoKey, CryptoKey]

    try {
      keys = await importKeys(subtle, secret, publicKey)
    } catch {
      // no X25519 here: older browsers
      return noblePrimitives.x25519(secret, publicKey)
    }

    return new Uint8Array(await subtle.deriveBits({ name: X25519, public: keys[1] }, keys[0], 256))
  }

  return {
    ...noblePrimitives,
    random: length => globalThis.crypto.getRandomValues(new Uint8Array(length)),
    x25519: multiply,
    x25519Public: async secret => multiply(secret, BASE)
  }
}

/** For tests: see `primitivesBy` */
export function providerBy (subtle: SubtleCrypto | undefined): CryptoProvider {
  return providerOf(subtle == null ? 'noble' : 'webcrypto', new XWing(primitivesBy(subtle)), nobleCipher)
}

/** How this platform does it */
export function platformPrimitives (): Primitives {
  return primitivesBy(webCrypto)
}

export { nobleCipher as platformCipher }

export function cryptoProvider (): CryptoProvider {
  return providerBy(webCrypto)
}

async function importKeys (
  subtle: SubtleCrypto, secret: Uint8Array, publicKey: Uint8Array
): Promise<[CryptoKey, CryptoKey]> {
  const pkcs8 = concat([PKCS8_HEAD, secret])

  try {
    return await Promise.all([
      subtle.importKey('pkcs8', withArrayBuffer(pkcs8), X25519, false, ['deriveBits']),
      subtle.importKey('raw', withArrayBuffer(publicKey), X25519, true, [])
    ])
  } finally {
    pkcs8.fill(0)
  }
}
