import { encodeString } from '../../runtime/codec.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { HASH_BYTES, LEAF_BYTES } from '../constants.ts'

const DOMAIN = encodeString('libp2p-sheaf/transfer/1:')

/**
 * The root of a payload: a hash over its size and the hashes of its leaves. The leaves are chained, so it is made in
 * their order, in the memory of one hash:
 *
 * `chain(0) = sha256(domain) · chain(i + 1) = sha256(chain(i) · sha256(leaf i)) · root = sha256(chain(n) · size)`
 */
export class LeafChain {
  #chain = sha256(DOMAIN)

  add (leafHash: Uint8Array): void {
    const both = new Uint8Array(2 * HASH_BYTES)
    both.set(this.#chain)
    both.set(leafHash, HASH_BYTES)
    this.#chain = sha256(both)
  }

  root (size: number): Uint8Array {
    const bytes = new Uint8Array(HASH_BYTES + 8)
    bytes.set(this.#chain)
    new DataView(bytes.buffer).setBigUint64(HASH_BYTES, BigInt(size))
    return sha256(bytes)
  }
}

/** The root of a payload whose leaf hashes stand one behind the other */
export function rootOfList (list: Uint8Array, size: number): Uint8Array {
  const chain = new LeafChain()

  for (let at = 0; at < list.byteLength; at += HASH_BYTES) {
    chain.add(list.subarray(at, at + HASH_BYTES))
  }

  return chain.root(size)
}

/**
 * The bytes that a transfer sends, under one count: the list of the hashes, if the size is known before and there is
 * more than one leaf, and then the payload.
 *
 * ```
 * 0              listBytes                             end
 * ├── hashes ────┼── leaf 0 ──┼── leaf 1 ──┼── … ──────┤
 * ```
 */
export class Layout {
  readonly listBytes: number
  #size?: number

  constructor (size?: number) {
    this.#size = size
    this.listBytes = size == null || size <= LEAF_BYTES ? 0 : Math.ceil(size / LEAF_BYTES) * HASH_BYTES
  }

  get size (): number | undefined {
    return this.#size
  }

  /** Undefined while nobody knows */
  get end (): number | undefined {
    return this.#size == null ? undefined : this.listBytes + this.#size
  }

  /** A source of unknown size has come to its end. False: it did before, elsewhere */
  ends (size: number): boolean {
    this.#size ??= size
    return this.#size === size
  }

  leafAt (offset: number): number {
    return Math.floor((offset - this.listBytes) / LEAF_BYTES)
  }

  /** Where a leaf begins */
  startOf (leaf: number): number {
    return this.listBytes + leaf * LEAF_BYTES
  }

  /** Bytes of a leaf; of the last one only when the size is known */
  bytesOf (leaf: number): number {
    return Math.min(LEAF_BYTES, (this.#size ?? Infinity) - leaf * LEAF_BYTES)
  }

  /** Where the leaf, or the part of the list, begins that this byte is in */
  partOf (offset: number): number {
    const base = offset < this.listBytes ? 0 : this.listBytes
    return offset - (offset - base) % LEAF_BYTES
  }

  /** Bytes of a leaf, or a part of the list, that begins here; of the last leaf only when the size is known */
  partBytes (at: number): number {
    return at < this.listBytes ? Math.min(LEAF_BYTES, this.listBytes - at) : this.bytesOf(this.leafAt(at))
  }

  /** Where the leaf, or the part of the list, ends that this byte is in: no piece goes across */
  boundary (offset: number): number {
    const [base, end] = offset < this.listBytes ? [0, this.listBytes] : [this.listBytes, this.end ?? Infinity]
    return Math.min(end, base + (Math.floor((offset - base) / LEAF_BYTES) + 1) * LEAF_BYTES)
  }
}
