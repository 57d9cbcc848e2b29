import { peerIdFromMultihash } from '@libp2p/peer-id'
import { decode } from 'multiformats/hashes/digest'
import { LruMap } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import type { Key } from './core/types.ts'
import type { PeerId } from '@libp2p/interface'

/** Peer ids that were made from keys and keys from peer ids: the ones used last. A guess at how many matter at once */
const peers = new LruMap<Key, PeerId>(16_384)
const keys = new WeakMap<PeerId, Key>()

/** A peer as a map's key */
export function keyOf (peerId: PeerId): Key {
  return keys.get(peerId) ?? remember(peerId, keyOfBytes(peerId.toMultihash().bytes)).key
}

/** Throws a MalformedError when the key is of no peer id */
export function peerOf (key: Key): PeerId {
  try {
    return peers.get(key) ?? remember(peerIdFromMultihash(decode(bytesOfKey(key))), key).peerId
  } catch (err: any) {
    throw new MalformedError(`not a peer id: ${err.message}`)
  }
}

function remember (peerId: PeerId, key: Key): { peerId: PeerId, key: Key } {
  keys.set(peerId, key)
  peers.set(key, peerId)
  return { peerId, key }
}
