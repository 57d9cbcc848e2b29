import crypto from 'node:crypto'
import { concat } from 'uint8arrays/concat'
import { TAG_BYTES } from '../constants.ts'
import { noblePrimitives } from './noble.ts'
import { providerOf } from './provider.ts'
import { XWing } from './x-wing.ts'
import type { Cipher, CryptoProvider, Encapsulated, Primitives } from './provider.ts'
import type { KeyObject } from 'node:crypto'

/**
 * Node's own crypto: ML-KEM from Node 24.7 on, before that in JavaScript. `platform.browser.ts` is the same for
 * browsers. Everything here holds the thread: X25519 and ML-KEM for about 0.1 ms each, JavaScript's ML-KEM for some ms.
 * Where that one is in use, the shell calls this in a worker.
 */
const CIPHER = 'chacha20-poly1305'
/** RFC 8410: what comes before the 32 bytes of a key */
const X25519_PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex')
/** RFC 9935: what comes before a secret key that is a seed of 64 bytes, and before a public key */
const ML_KEM_PKCS8 = Buffer.from('3054020100300b060960864801650304040204428040', 'hex')
const ML_KEM_SPKI = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex')

/** What Node 22 does not have, and what the types of Node do not either */
interface NativeKem {
  encapsulate?(key: KeyObject): { sharedKey: Uint8Array, ciphertext: Uint8Array }
  decapsulate?(key: KeyObject, ciphertext: Uint8Array): Uint8Array
}

const { encapsulate, decapsulate } = crypto as NativeKem

const x25519: Pick<Primitives, 'x25519' | 'x25519Public'> = {
  x25519 (secret, publicKey) {
    const shared = crypto.diffieHellman({
      privateKey: secretKey(X25519_PKCS8, secret),
      publicKey: crypto.createPublicKey({ key: Buffer.concat([X25519_SPKI, publicKey]), format: 'der', type: 'spki' })
    })
    return plain(shared)
  },
  x25519Public: secret => publicOf(secretKey(X25519_PKCS8, secret), X25519_SPKI.byteLength)
}

function nativeMlKem (
  kem: Required<NativeKem>
): Pick<Primitives, 'mlKemPublic' | 'mlKemEncapsulate' | 'mlKemDecapsulate'> {
  return {
    mlKemPublic: seed => publicOf(secretKey(ML_KEM_PKCS8, seed), ML_KEM_SPKI.byteLength),

    mlKemEncapsulate (publicKey): Encapsulated {
      const key = crypto.createPublicKey({ key: Buffer.concat([ML_KEM_SPKI, publicKey]), format: 'der', type: 'spki' })
      const { sharedKey, ciphertext } = kem.encapsulate(key)
      return { secret: plain(sharedKey), ciphertext: plain(ciphertext) }
    },

    mlKemDecapsulate: (seed, ciphertext) => plain(kem.decapsulate(secretKey(ML_KEM_PKCS8, seed), ciphertext))
  }
}

/** Whether this Node has ML-KEM: the functions may be there without it, by the OpenSSL that it was built with */
export function hasNativeMlKem (): boolean {
  try {
    return encapsulate != null && decapsulate != null && secretKey(ML_KEM_PKCS8, new Uint8Array(64)) != null
  } catch {
    // this OpenSSL does not know the algorithm
    return false
  }
}

/** `isNative`: for tests, whether Node's own ML-KEM is taken */
export function primitivesBy (isNative: boolean): Primitives {
  return {
    ...noblePrimitives,
    ...x25519,
    ...(isNative && encapsulate != null && decapsulate != null ? nativeMlKem({ encapsulate, decapsulate }) : {}),
    random: length => plain(crypto.randomBytes(length)),
    sha3: bytes => plain(crypto.createHash('sha3-256').update(bytes).digest()),
    shake256: (bytes, length) => plain(crypto.createHash('shake256', { outputLength: length }).update(bytes).digest())
  }
}

/** For tests: see `primitivesBy` */
export function providerBy (isNative: boolean): CryptoProvider {
  return providerOf(isNative ? 'node' : 'node with noble', new XWing(primitivesBy(isNative)), platformCipher)
}

export const platformCipher: Cipher = {
  seal (key, nonce, head, plaintext) {
    // with bytes for a key it takes twice as long. Measured: 15 us and 7 us for 1 KiB
    const cipher = crypto.createCipheriv(CIPHER, crypto.createSecretKey(key), nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(head, { plaintextLength: plaintext.byteLength })
    const ciphertext = cipher.update(plaintext)
    cipher.final()
    return concat([ciphertext, cipher.getAuthTag()])
  },

  open (key, nonce, head, ciphertext) {
    const length = ciphertext.byteLength - TAG_BYTES

    if (length < 0) {
      return undefined
    }

    const decipher = crypto.createDecipheriv(CIPHER, crypto.createSecretKey(key), nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(head, { plaintextLength: length })
    decipher.setAuthTag(ciphertext.subarray(length))

    try {
      const plaintext = decipher.update(ciphertext.subarray(0, length))
      decipher.final()
      return plain(plaintext)
    } catch {
      // the tag is wrong: no message of the peer's
      return undefined
    }
  }
}

/** How this platform does it */
export function platformPrimitives (): Primitives {
  return primitivesBy(hasNativeMlKem())
}

export function cryptoProvider (): CryptoProvider {
  return providerBy(hasNativeMlKem())
}

function secretKey (head: Uint8Array, secret: Uint8Array): KeyObject {
  const der = Buffer.concat([head, secret])

  try {
    return crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
  }
}

function publicOf (key: KeyObject, headBytes: number): Uint8Array {
  return plain(crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(headBytes))
}

/** Not a Buffer, whose slice is a view */
function plain ({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
