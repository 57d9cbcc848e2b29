import { uvarintLength } from '../../runtime/codec.ts'
import { decodeProof, encodeProof, partOf, pathLength } from './merkle.ts'
import { ID_BYTES } from './types.ts'
import type { Proof } from './merkle.ts'

/**
 * The proof that neighbours of one batch share. Each has one of its own in it, which is taken out when somebody asks for it:
 * most entries are never asked, and alone their proofs would be larger than they are.
 */
export class Proofs {
  /** Of one entry: whatever came with it. Of more than one: one proof, as merkle.ts writes it for neighbours */
  readonly bytes: Uint8Array
  readonly count: number
  #decoded?: Proof

  constructor (bytes: Uint8Array, count = 1) {
    this.bytes = bytes
    this.count = count
  }

  /** What the entry with this number shows to others */
  proofOf (at: number): Uint8Array {
    return this.part(at, 1).bytes
  }

  /** Bytes of it */
  sizeOf (at: number): number {
    if (this.count === 1) {
      return this.bytes.byteLength
    }

    const { size, index, signature: { byteLength } } = this.#proof
    return uvarintLength(size) + uvarintLength(index + at) + ID_BYTES * pathLength(size, index + at) + uvarintLength(byteLength) + byteLength
  }

  /** What some of them share, from this number on */
  part (from: number, count: number): Proofs {
    // what was only vouched for may have anything for a proof: that of one is not looked into
    return count === this.count ? this : new Proofs(encodeProof(partOf(this.#proof, this.count, from, count)), count)
  }

  get #proof (): Proof {
    this.#decoded ??= decodeProof(this.bytes, this.count)
    return this.#decoded
  }
}
