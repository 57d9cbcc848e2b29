import { peerIdFromMultihash } from '@libp2p/peer-id'
import { decode } from 'multiformats/hashes/digest'
import { LruMap } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import type { Key } from './core/types.ts'
import type { PeerId } from '@libp2p/interface'

/**
 * A peer as a map's key: the bytes of its id, a character each. Making one from bytes is many times cheaper than base58.
 */
export function keyOfBytes (bytes: Uint8Array): Key {
  return String.fromCharCode.apply(null, bytes as unknown as number[])
}

export function bytesOfKey (key: Key): Uint8Array {
  const bytes = new Uint8Array(key.length)
  for (let i = 0; i < key.length; i++) {
    bytes[i] = key.charCodeAt(i)
  }
  return bytes
}

/** Peer ids that were made from keys and keys from peer ids: the ones used last. A guess at how many matter at once */
const peers = new LruMap<Key, PeerId>(16_384)
const keys = new WeakMap<PeerId, Key>()

export function keyOf (peerId: PeerId): Key {
  let key = keys.get(peerId)

  if (key == null) {
    key = keyOfBytes(peerId.toMultihash().bytes)
    keys.set(peerId, key)
    peers.set(key, peerId)
  }

  return key
}

/** Throws a MalformedError when the key is of no peer id */
export function peerOf (key: Key): PeerId {
  let peerId = peers.get(key)

  if (peerId == null) {
    try {
      peerId = peerIdFromMultihash(decode(bytesOfKey(key)))
    } catch (err: any) {
      throw new MalformedError(`not a peer id: ${err.message}`)
    }
    keys.set(peerId, key)
    peers.set(key, peerId)
  }

  return peerId
}
