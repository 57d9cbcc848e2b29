import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { LruMap } from '../runtime/bounded.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { EntryId } from './entry-id.ts'
import type { RawEntry, TrueEntry } from './core/types.ts'
import type { Entry } from './index.ts'
import type { PeerId } from '@libp2p/interface'

/** Peer ids of authors that are kept: making one costs more than the rest of an entry. A guess */
const authors = new LruMap<string, PeerId>(1024)

/**
 * An entry as users see it. What is stored, sent and proved are the bytes inside, which nobody outside can reach: whatever is asked
 * for is made when it is, as a copy.
 */
export class LogEntry implements Entry {
  readonly #decoded: TrueEntry
  #id?: EntryId

  constructor (decoded: TrueEntry) {
    this.#decoded = decoded
  }

  /** What is passed on of an entry, without a copy: not for users */
  static raw (entry: Entry): RawEntry {
    if (!(entry instanceof LogEntry)) {
      return { bytes: entry.bytes, proof: entry.proof }
    }

    const { bytes, proofs, at } = entry.#decoded
    return { bytes, proof: proofs.proofOf(at) }
  }

  get id (): EntryId {
    this.#id ??= new EntryId(this.#decoded.id)
    return this.#id
  }

  static authorOf (author: Uint8Array): PeerId {
    const key = keyOfBytes(author)
    let peerId = authors.get(key)

    if (peerId == null) {
      peerId = peerIdFromPublicKey(publicKeyFromProtobuf(author))
      authors.set(key, peerId)
    }

    return peerId
  }

  get author (): PeerId {
    return LogEntry.authorOf(this.#decoded.author)
  }

  get data (): Uint8Array {
    return new Uint8Array(this.#decoded.data)
  }

  get clock (): { time: bigint, counter: number } {
    return { time: BigInt(this.#decoded.time), counter: this.#decoded.counter }
  }

  get previous (): EntryId | undefined {
    return this.#decoded.previous == null ? undefined : new EntryId(this.#decoded.previous)
  }

  get parents (): EntryId[] {
    return this.#decoded.parents.map(id => new EntryId(id))
  }

  get group (): Uint8Array {
    return new Uint8Array(this.#decoded.group)
  }

  get replicas (): number {
    return this.#decoded.replicas
  }

  get bytes (): Uint8Array {
    return new Uint8Array(this.#decoded.bytes)
  }

  get proof (): Uint8Array {
    const { proofs, at } = this.#decoded
    return proofs.proofOf(at)
  }
}
