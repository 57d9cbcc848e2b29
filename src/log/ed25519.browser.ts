import { sha256 } from 'multiformats/hashes/sha2'
import type { Sign, Verify } from './ed25519.ts'
import type { PrivateKey, PublicKey } from '@libp2p/interface'

/** What `ed25519.ts` is to Node: here all is asked of WebCrypto, by way of the libraries */

/** SHA-256 */
export function hash (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return sha256.encode(bytes)
}

export function signWith (privateKey: PrivateKey): Sign {
  return message => privateKey.sign(message)
}

export function verifyWith (publicKey: PublicKey): Verify {
  return (message, signature) => publicKey.verify(message, signature)
}
