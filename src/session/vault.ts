import { concat } from 'uint8arrays/concat'
import { encodeString } from '../runtime/codec.ts'
import { SECRET_BYTES } from './constants.ts'
import { hkdfExpand, hkdfExtract, hmac } from './core/key-schedule.ts'
import type { CryptoProvider } from './crypto/provider.ts'
import type { PrivateKey } from '@libp2p/interface'

/**
 * Encrypts what is stored, with a key of this node. Neither zeroes what is handed in. Both may be called at once or
 * later, as the platform has it.
 */
export interface Vault {
  /** `context`: bound to it, so that a record is of use in its own place only */
  seal (plaintext: Uint8Array, context: Uint8Array): Uint8Array | Promise<Uint8Array>
  /** Undefined: another key, another context, or a byte that has rotted */
  open (sealed: Uint8Array, context: Uint8Array): Uint8Array | undefined | Promise<Uint8Array | undefined>
}

const LABEL = encodeString('libp2p-sheaf/session/1/store')

/**
 * A vault whose key is derived from the private key of the node: whoever has that and the datastore can read it. Each
 * record has a key of its own, from a salt that stands before it, so that no nonce has to be kept.
 */
export function derivedVault ({ raw }: PrivateKey, crypto: CryptoProvider): Vault {
  const pseudorandom = hkdfExtract(LABEL, raw)
  const key = hkdfExpand(pseudorandom, LABEL, SECRET_BYTES)
  pseudorandom.fill(0)

  const under = <T> (salt: Uint8Array, use: (recordKey: Uint8Array) => T): T => {
    const recordKey = hmac(key, salt)

    try {
      return use(recordKey)
    } finally {
      recordKey.fill(0)
    }
  }

  return {
    seal (plaintext, context) {
      const salt = globalThis.crypto.getRandomValues(new Uint8Array(SECRET_BYTES))
      return concat([salt, under(salt, recordKey => crypto.seal(recordKey, context, plaintext))])
    },
    open: (sealed, context) => sealed.byteLength < SECRET_BYTES
      ? undefined
      : under(sealed.subarray(0, SECRET_BYTES), recordKey =>
        crypto.open(recordKey, context, sealed.subarray(SECRET_BYTES)))
  }
}
