import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { LruMap } from '../runtime/bounded.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { EntryId } from './entry-id.ts'
import type { TrueEntry } from './core/types.ts'
import type { Entry } from './index.ts'
import type { PeerId } from '@libp2p/interface'

/** Peer ids of authors that are kept: making one costs more than the rest of an entry. A guess */
const authors = new LruMap<string, PeerId>(1024)

/** An entry as users see it: what is seldom asked for is made when it is */
export class LogEntry implements Entry {
  readonly id: EntryId
  readonly #decoded: TrueEntry

  constructor (decoded: TrueEntry) {
    this.id = new EntryId(decoded.id)
    this.#decoded = decoded
  }

  get author (): PeerId {
    const { author } = this.#decoded
    const key = keyOfBytes(author)
    let peerId = authors.get(key)

    if (peerId == null) {
      peerId = peerIdFromPublicKey(publicKeyFromProtobuf(author))
      authors.set(key, peerId)
    }

    return peerId
  }

  get data (): Uint8Array {
    return this.#decoded.data
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
    return this.#decoded.group
  }

  get replicas (): number {
    return this.#decoded.replicas
  }

  get bytes (): Uint8Array {
    return this.#decoded.bytes
  }

  get proof (): Uint8Array {
    const { proofs, at } = this.#decoded
    return proofs.proofOf(at)
  }

  get isProved (): boolean {
    return this.#decoded.isProved
  }
}
