import crypto from 'node:crypto'
import { toString } from 'uint8arrays/to-string'
import type { Sign, Verify } from './ed25519.ts'
import type { KeyObject } from 'node:crypto'

/**
 * Ed25519 with Node's own crypto: faster than the libraries that also run in browsers. `ed25519.browser.ts` is the same
 * for browsers
 */

const SEED_BYTES = 32

/** `privateKey`: the seed, and the public key behind the seed */
export function signerOf (privateKey: Uint8Array): Sign {
  const [seed, publicKey] = [privateKey.subarray(0, SEED_BYTES), privateKey.subarray(SEED_BYTES)]
  const key = crypto.createPrivateKey({ format: 'jwk', key: { ...jwkOf(publicKey), d: toString(seed, 'base64url') } })

  return message => {
    const { buffer, byteOffset, byteLength } = crypto.sign(null, message, key)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
}

/** Measured: 80 us a signature, for which the main thread is held */
export function verifierOf (publicKey: Uint8Array): Verify {
  const key = importer(publicKey)
  return (message, signature) => crypto.verify(null, message, key(), signature)
}

/**
 * Verifies on the threads of Node. Measured: 92 us a signature, 8 us of them on the main thread, and many at once use
 * all processors
 */
export function verifierAsideOf (publicKey: Uint8Array): Verify {
  const key = importer(publicKey)

  return async (message, signature) => new Promise((resolve, reject) => {
    crypto.verify(null, message, key(), signature, (err, isTrue) => {
      if (err == null) {
        resolve(isTrue)
      } else {
        reject(err)
      }
    })
  })
}

/** Imports a key when it is first used. Throws for what is no point: Deno does so here, OpenSSL when it verifies */
function importer (publicKey: Uint8Array): () => KeyObject {
  let key: KeyObject | undefined

  return () => {
    key ??= crypto.createPublicKey({ format: 'jwk', key: jwkOf(publicKey) })
    return key
  }
}

/** RFC 8037 */
function jwkOf (publicKey: Uint8Array): { kty: string, crv: string, x: string } {
  return { kty: 'OKP', crv: 'Ed25519', x: toString(publicKey, 'base64url') }
}
