import { bytesOfKey, keyOfBytes } from '../../../src/runtime/keys.ts'
import { sha256 } from '../../../src/runtime/sha256.ts'
import { KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, SECRET_BYTES } from '../../../src/session/constants.ts'
import type { Effect, Event } from '../../../src/session/core/events.ts'

/**
 * A key agreement without strength: whoever knows the public key knows the secret. What it keeps is what the model
 * needs: each key pair and each answer is another one, named by who made it and when, not by how many were made before.
 */
export type CryptoEffect = Extract<Effect, { type: 'generate' | 'encapsulate' | 'decapsulate' }>

export function isCrypto (effect: Effect): effect is CryptoEffect {
  return effect.type === 'generate' || effect.type === 'encapsulate' || effect.type === 'decapsulate'
}

export function finish (effect: CryptoEffect, maker: string): Event {
  const { token } = effect
  const name = hash(`${maker}/${token}`)

  switch (effect.type) {
    case 'generate':
      return { type: 'generated', token, seed: name, publicKey: padded(KEM_PUBLIC_BYTES, publicOf(name)) }
    case 'encapsulate': {
      const ciphertext = padded(KEM_CIPHERTEXT_BYTES, name)
      return { type: 'encapsulated', token, ciphertext, secret: secretOf(effect.publicKey, ciphertext) }
    }
    case 'decapsulate': {
      const publicKey = padded(KEM_PUBLIC_BYTES, publicOf(effect.seed))
      return { type: 'decapsulated', token, secret: secretOf(publicKey, effect.ciphertext) }
    }
  }
}

function publicOf (seed: Uint8Array): Uint8Array {
  return hash(`public ${keyOfBytes(seed)}`)
}

function secretOf (publicKey: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return hash(keyOfBytes(publicKey.subarray(0, SECRET_BYTES)) + keyOfBytes(ciphertext.subarray(0, SECRET_BYTES)))
}

function hash (text: string): Uint8Array {
  return sha256(bytesOfKey(text))
}

function padded (length: number, start: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set(start)
  return bytes
}
