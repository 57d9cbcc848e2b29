import { encodeProof, proofLength, Subtree } from './merkle.ts'

export interface SharedProofInit {
  /** Entries that were signed at once */
  size: number
  /** Which of them the first of the neighbours is */
  first: number
  count: number
  /** Nodes beside them, as merkle.ts has them */
  beside: Uint8Array
  signature: Uint8Array
  /** Their ids: computed when somebody asks for a proof, as most are never asked */
  ids (): Uint8Array[]
}

/**
 * What proves neighbours of one batch. Each has a proof of its own in it, which is taken out when it is passed on.
 */
export class SharedProof {
  readonly init: Readonly<SharedProofInit>
  #tree?: Subtree

  constructor (init: SharedProofInit) {
    this.init = init
  }

  /** What number `at` of them shows to others */
  proofOf (at: number): Uint8Array {
    const { size, first, signature } = this.init
    return encodeProof({ size, index: first + at, path: this.#subtree.beside(first + at, 1), signature })
  }

  /** Bytes of what number `at` shows to others */
  sizeOf (at: number): number {
    const { size, first, signature } = this.init
    return proofLength(size, first + at, signature)
  }

  /** What some of them share, from number `from` on */
  part (from: number, count: number): SharedProof {
    const { size, first, signature, ids } = this.init

    if (from === 0 && count === this.init.count) {
      return this
    }

    const beside = this.#subtree.beside(first + from, count)
    return new SharedProof({
      size, first: first + from, count, beside, signature, ids: () => ids().slice(from, from + count)
    })
  }

  get #subtree (): Subtree {
    const { size, first, ids, beside } = this.init
    this.#tree ??= new Subtree(size, first, ids(), beside)
    return this.#tree
  }
}
