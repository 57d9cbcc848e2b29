import { decodeContent } from '../log/core/entry.ts'
import { EntryId } from '../log/entry-id.ts'
import { LogEntry } from '../log/log-entry.ts'
import type { Content } from '../log/core/types.ts'
import type { Entry } from '../log/index.ts'
import type { PeerId } from '@libp2p/interface'

/** An entry as it goes from tab to tab: the leader has verified it */
export interface WireEntry {
  id: Uint8Array
  bytes: Uint8Array
  proof: Uint8Array
  request?: Uint8Array
}

/** An entry that the leader has handed over, decoded when somebody reads a field */
export class RemoteEntry implements Entry {
  readonly #wire: WireEntry
  #content?: Content

  constructor (wire: WireEntry) {
    this.#wire = wire
  }

  static wireOf ({ id, bytes, proof, request }: Entry): WireEntry {
    return { id: id.bytes, bytes, proof, request }
  }

  get id (): EntryId {
    return new EntryId(this.#wire.id)
  }

  get author (): PeerId {
    return LogEntry.authorOf(this.#decoded.author)
  }

  get data (): Uint8Array {
    return new Uint8Array(this.#decoded.data)
  }

  get clock (): { time: bigint, counter: number } {
    const { time, counter } = this.#decoded
    return { time: BigInt(time), counter }
  }

  get previous (): EntryId | undefined {
    const { previous } = this.#decoded
    return previous && new EntryId(previous)
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

  get request (): Uint8Array | undefined {
    return this.#wire.request && new Uint8Array(this.#wire.request)
  }

  get bytes (): Uint8Array {
    return new Uint8Array(this.#wire.bytes)
  }

  get proof (): Uint8Array {
    return new Uint8Array(this.#wire.proof)
  }

  get #decoded (): Content {
    this.#content ??= decodeContent(this.#wire.bytes)
    return this.#content
  }
}
