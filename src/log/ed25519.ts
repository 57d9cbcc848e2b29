import crypto from 'node:crypto'
import { toString } from 'uint8arrays/to-string'
import { sha256 } from '../runtime/sha256.ts'
import { isStrictPoint, isStrictSignature } from './core/strict-ed25519.ts'
import type { PrivateKey, PublicKey } from '@libp2p/interface'
import type { KeyObject } from 'node:crypto'

/**
 * Signs, and verifies by the rule of the log (`core/strict-ed25519.ts`), with Node's own crypto: faster than the
 * libraries that also run in browsers. `ed25519.browser.ts` is the same for browsers. libp2p uses keys of other types.
 */

export type Sign = (message: Uint8Array) => Uint8Array | Promise<Uint8Array>
export type Verify = (message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>

/** SHA-256 */
export function hash (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return sha256(bytes)
}

/** libp2p imports the key anew for each signature: that takes longer than the signature does */
export function signWith (privateKey: PrivateKey): Sign {
  if (privateKey.type !== 'Ed25519') {
    return message => privateKey.sign(message)
  }

  const d = toString(privateKey.raw.subarray(0, 32), 'base64url')
  const key = crypto.createPrivateKey({ format: 'jwk', key: { ...jwkOf(privateKey.publicKey), d } })

  return message => {
    const { buffer, byteOffset, byteLength } = crypto.sign(null, message, key)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
}

/**
 * Verifies on the threads of Node. One takes a hundred microseconds where it would take seventy on the main thread, but
 * the main thread is free meanwhile, and many at once use all processors
 */
export function verifyWith (publicKey: PublicKey): Verify {
  if (publicKey.type !== 'Ed25519') {
    return (message, signature) => publicKey.verify(message, signature)
  }

  const isStrictKey = isStrictPoint(publicKey.raw)
  let key: KeyObject | undefined

  return async (message, signature) => {
    if (!isStrictKey || !isStrictSignature(signature)) {
      return false
    }

    try {
      key ??= crypto.createPublicKey({ format: 'jwk', key: jwkOf(publicKey) })
    } catch {
      // not a point, so nothing was signed with it: OpenSSL says so when it verifies, Deno's crypto already here
      return false
    }

    return verifyAside(message, key, signature)
  }
}

async function verifyAside (message: Uint8Array, key: KeyObject, signature: Uint8Array): Promise<boolean> {
  return new Promise((resolve, reject) => {
    crypto.verify(null, message, key, signature, (err, isTrue) => {
      if (err == null) {
        resolve(isTrue)
      } else {
        reject(err)
      }
    })
  })
}

function jwkOf (publicKey: PublicKey): { kty: string, crv: string, x: string } {
  return { kty: 'OKP', crv: 'Ed25519', x: toString(publicKey.raw, 'base64url') }
}
