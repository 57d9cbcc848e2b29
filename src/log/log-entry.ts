import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { LruMap } from '../runtime/bounded.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { EntryId } from './entry-id.ts'
import type { SharedProof } from './core/shared-proof.ts'
import type { RawEntry, TrueEntry } from './core/types.ts'
import type { Entry } from './index.ts'
import type { PeerId } from '@libp2p/interface'

/** Peer ids of authors: making one takes longer than all else about an entry. A guess */
const authors = new LruMap<string, PeerId>(1024)

/** `proofs`: where the proof is taken from when somebody asks for it */
export type Provable = Omit<TrueEntry, 'proofs'> & { proofs: Pick<SharedProof, 'proofOf'> }

/** An entry as programs see it. Each read makes a copy: nobody outside can reach the bytes that are stored and sent */
export class LogEntry implements Entry {
  readonly #entry: Provable

  constructor (entry: Provable) {
    this.#entry = entry
  }

  /** Bytes and proof for other parts of this package, without a copy */
  static raw (entry: Entry): RawEntry {
    return { bytes: entry instanceof LogEntry ? entry.#entry.bytes : entry.bytes, proof: entry.proof }
  }

  static authorOf (author: Uint8Array): PeerId {
    const key = keyOfBytes(author)
    const peerId = authors.get(key) ?? peerIdFromPublicKey(publicKeyFromProtobuf(author))
    authors.set(key, peerId)
    return peerId
  }

  get id (): EntryId {
    return new EntryId(this.#entry.id)
  }

  get author (): PeerId {
    return LogEntry.authorOf(this.#entry.author)
  }

  get data (): Uint8Array {
    return new Uint8Array(this.#entry.data)
  }

  get clock (): { time: bigint, counter: number } {
    return { time: BigInt(this.#entry.time), counter: this.#entry.counter }
  }

  get previous (): EntryId | undefined {
    const { previous } = this.#entry
    return previous && new EntryId(previous)
  }

  get parents (): EntryId[] {
    return this.#entry.parents.map(id => new EntryId(id))
  }

  get group (): Uint8Array {
    return new Uint8Array(this.#entry.group)
  }

  get replicas (): number {
    return this.#entry.replicas
  }

  get request (): Uint8Array | undefined {
    const { request } = this.#entry
    return request && new Uint8Array(request)
  }

  get bytes (): Uint8Array {
    return new Uint8Array(this.#entry.bytes)
  }

  get proof (): Uint8Array {
    return this.#entry.proofs.proofOf(this.#entry.at)
  }
}
