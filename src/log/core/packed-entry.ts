import { decodeContent } from './entry.ts'
import type { SharedProof } from './shared-proof.ts'
import type { Content, TrueEntry } from './types.ts'

/** Where entries lie together */
export interface EntrySource {
  bytesAt (slot: number): Uint8Array
  idAt (slot: number): Uint8Array
}

/**
 * An entry among others, decoded when somebody reads a field. So the garbage collector has little to copy of the
 * hundred thousand entries that an `appendMany` returns.
 */
export class PackedEntry implements TrueEntry {
  readonly #source: EntrySource
  readonly slot: number
  proofs: SharedProof
  at: number
  request?: Uint8Array
  #bytes?: Uint8Array
  #content?: Content

  /** `content`: what the bytes say, where that is known */
  constructor (source: EntrySource, slot: number, proofs: SharedProof, at: number, content?: Content) {
    this.#source = source
    this.slot = slot
    this.proofs = proofs
    this.at = at
    this.#content = content
  }

  get id (): Uint8Array {
    return this.#source.idAt(this.slot)
  }

  get bytes (): Uint8Array {
    this.#bytes ??= this.#source.bytesAt(this.slot)
    return this.#bytes
  }

  get time (): number {
    return this.#decoded.time
  }

  get counter (): number {
    return this.#decoded.counter
  }

  get author (): Uint8Array {
    return this.#decoded.author
  }

  get previous (): Uint8Array | undefined {
    return this.#decoded.previous
  }

  get parents (): Uint8Array[] {
    return this.#decoded.parents
  }

  get group (): Uint8Array {
    return this.#decoded.group
  }

  get replicas (): number {
    return this.#decoded.replicas
  }

  get data (): Uint8Array {
    return this.#decoded.data
  }

  /** Lets go of the bytes and the decoded fields: the next read decodes them again */
  forgetContent (): void {
    this.#bytes = undefined
    this.#content = undefined
  }

  get #decoded (): Content {
    this.#content ??= decodeContent(this.bytes)
    return this.#content
  }
}
