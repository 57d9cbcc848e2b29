import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { x25519 } from '@noble/curves/ed25519.js'
import { sha3_256 as sha3, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768 as mlKem } from '@noble/post-quantum/ml-kem.js'
import type { Cipher, Encapsulated, Primitives } from './provider.ts'

/** All of it in JavaScript: what a platform does not have itself. Each call holds the thread */
export const noblePrimitives: Omit<Primitives, 'random'> = {
  x25519: (secret, publicKey) => x25519.getSharedSecret(secret, publicKey),
  x25519Public: secret => x25519.getPublicKey(secret),

  mlKemPublic (seed) {
    const { publicKey, secretKey } = mlKem.keygen(seed)
    secretKey.fill(0)
    return publicKey
  },

  mlKemEncapsulate: publicKey => mlKemEncapsulate(publicKey),

  mlKemDecapsulate (seed, ciphertext) {
    const { secretKey } = mlKem.keygen(seed)
    const secret = mlKem.decapsulate(ciphertext, secretKey)
    secretKey.fill(0)
    return secret
  },

  sha3: bytes => sha3(bytes),
  shake256: (bytes, length) => shake256(bytes, { dkLen: length })
}

/** `message`: what is drawn at random otherwise. For vectors */
export function mlKemEncapsulate (publicKey: Uint8Array, message?: Uint8Array): Encapsulated {
  const { cipherText, sharedSecret } = mlKem.encapsulate(publicKey, message)
  return { ciphertext: cipherText, secret: sharedSecret }
}

/** Up to 4 KiB take less than 0.1 ms in Chromium (a guess): the shell hands what is larger to a worker */
export const nobleCipher: Cipher = {
  seal: (key, nonce, head, plaintext) => chacha20poly1305(key, nonce, head).encrypt(plaintext),

  open (key, nonce, head, ciphertext) {
    try {
      return chacha20poly1305(key, nonce, head).decrypt(ciphertext)
    } catch {
      // the tag is wrong, or there is none: both are no message of the peer's
      return undefined
    }
  }
}
