import { allocUnsafe } from 'uint8arrays/alloc'
import { compare } from 'uint8arrays/compare'
import { equals } from 'uint8arrays/equals'
import { Reader, uvarintLength, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { ID_BYTES } from './types.ts'

/**
 * One signature for many entries: it is over the root of a tree whose leaves are their ids, and each entry carries the path
 * from its leaf to the root.
 *
 * node = SHA-256(0x00 · left · right): no entry begins with a 0, so no entry can pass for a node. A node without a partner
 * moves up as it is, which is the shape of RFC 6962.
 *
 * proof = uvarint size · uvarint index · path, from the leaf up · bytes signature
 *
 * Neighbours can share one: its index is that of the first, and its path has the partners of all of them, each level once.
 */

/** Entries that one signature is for. A path then has 16 steps, 512 bytes */
export const MAX_BATCH = 65_536
/** As the largest that libp2p makes, of RSA keys with 8192 bits, four times */
export const MAX_SIGNATURE_BYTES = 4096
const MAX_PATH = 16
export const MAX_PROOF_BYTES = 3 + 3 + MAX_PATH * ID_BYTES + 2 + MAX_SIGNATURE_BYTES

const NODE = 0x00

export interface Proof {
  /** Of the batch: how many entries were signed at once, and which of them this is */
  size: number
  index: number
  /** The partners on the way up, one behind the other */
  path: Uint8Array
  signature: Uint8Array
}

/** What is to be the leaf of a tree */
export interface Claim extends Proof {
  id: Uint8Array
}

/**
 * Work that has to have something hashed now and then: a core does not know whether that takes a promise. It hands out what
 * is to be hashed, and is handed the hashes
 */
export type Hashing<T> = Generator<Uint8Array[], T, Uint8Array[]>

/** Ids, what they hash to, and so on up to the root */
export type Tree = Uint8Array[][]

export function encodeProof ({ size, index, path, signature }: Proof): Uint8Array {
  const length = uvarintLength(size) + uvarintLength(index) + path.byteLength + uvarintLength(signature.byteLength) + signature.byteLength
  return new Writer(length).uvarint(size).uvarint(index).raw(path).bytes(signature).finish()
}

/** Of one entry, or the shared one of `count` neighbours. Throws a MalformedError. What it hands out are views of the input */
export function decodeProof (bytes: Uint8Array, count = 1): Proof {
  const reader = new Reader(bytes)
  const size = reader.uvarint()

  if (size < 1 || size > MAX_BATCH) {
    throw new MalformedError(`a batch of ${size} where 1 to ${MAX_BATCH} are allowed`)
  }

  const index = reader.uvarint()

  if (index + count > size) {
    throw new MalformedError(`entry ${index + count - 1} of a batch of ${size}`)
  }

  const path = reader.raw(ID_BYTES * pathLength(size, index, count))
  const signature = reader.bytes(MAX_SIGNATURE_BYTES)

  if (reader.left > 0) {
    throw new MalformedError('there is something behind the signature')
  }

  return { size, index, path, signature }
}

/** How many partners a leaf has on its way up; or `count` neighbours, from this one on, on their way up together */
export function pathLength (size: number, index: number, count = 1): number {
  let length = 0
  let end = index + count - 1

  for (let last = size - 1; last > 0; last >>= 1, index >>= 1, end >>= 1) {
    length += partnersOf(index, end, last)
  }

  return length
}

/** The tree over at least one id. Its last level is the root */
export function * treeOf (ids: Uint8Array[]): Hashing<Tree> {
  const tree = [ids]

  for (let level = ids; level.length > 1; tree.push(level)) {
    const pairs: Uint8Array[] = []

    for (let left = 0; left + 1 < level.length; left += 2) {
      pairs.push(pairOf(level[left], level[left + 1]))
    }

    const nodes = yield pairs
    level = level.length % 2 === 0 ? nodes : [...nodes, level[level.length - 1]]
  }

  return tree
}

/**
 * The partners on the way of a leaf up to the root. Or those of `count` neighbours: on each level, one behind the other, the
 * partners of all the nodes that are on their way
 */
export function pathOf (tree: Tree, index: number, count = 1): Uint8Array {
  const path = allocUnsafe(ID_BYTES * pathLength(tree[0].length, index, count))
  let end = index + count - 1
  let offset = 0

  for (const level of tree) {
    const partners = partnersOf(index, end, level.length - 1)

    for (let i = index; i < index + partners; i++) {
      path.set(level[i ^ 1], offset)
      offset += ID_BYTES
    }

    index >>= 1
    end >>= 1
  }

  return path
}

/** Of the proof that `count` neighbours share, that of `few` of them, from number `from` on. Of one it is what that one shows to others */
export function partOf ({ size, index, path, signature }: Proof, count: number, from: number, few = 1): Proof {
  const part = allocUnsafe(ID_BYTES * pathLength(size, index + from, few))
  let [first, end, own, ownEnd] = [index, index + count - 1, index + from, index + from + few - 1]
  let read = 0
  let written = 0

  for (let last = size - 1; last > 0; last >>= 1, first >>= 1, end >>= 1, own >>= 1, ownEnd >>= 1) {
    const at = read + (own - first) * ID_BYTES
    const bytes = partnersOf(own, ownEnd, last) * ID_BYTES
    part.set(path.subarray(at, at + bytes), written)
    written += bytes
    read += partnersOf(first, end, last) * ID_BYTES
  }

  return { size, index: index + from, path: part, signature }
}

/**
 * The roots that the claims lead to. Those of one batch meet on their way up, and go on as one: a whole batch takes fewer
 * hashes than it has entries.
 */
export function * rootsOf (claims: Claim[]): Hashing<Uint8Array[]> {
  const climbs = claims.map(claim => new Climb(claim))

  for (let left = climbs.filter(isBelow).sort(sideBySide); left.length > 0; left = left.filter(isBelow)) {
    const pairs: Uint8Array[] = []
    let before: Climb | undefined

    for (const climb of left) {
      if (!climb.step()) {
        continue
      }
      if (before == null || !climb.meets(before)) {
        pairs.push(pairOf(climb.left, climb.right))
      }
      climb.pair = pairs.length - 1
      before = climb
    }

    const nodes = yield pairs

    for (const climb of left) {
      climb.node = climb.pair < 0 ? climb.node : nodes[climb.pair]
    }
  }

  return climbs.map(({ node }) => node)
}

function isBelow ({ isAtRoot }: Climb): boolean {
  return !isAtRoot
}

/** Those that meet follow each other if those of one batch do, in its order */
function sideBySide ({ claim: a }: Climb, { claim: b }: Climb): number {
  return compare(a.signature, b.signature) || a.index - b.index
}

/** A claim on its way up */
class Climb {
  readonly claim: Claim
  node: Uint8Array
  /** What its next node is the hash of */
  left: Uint8Array
  right: Uint8Array
  /** Which of those that are being hashed that is; less than 0: it moves up as it is */
  pair = -1
  #offset = 0
  #index: number
  #last: number

  constructor (claim: Claim) {
    const { id, size, index } = claim
    this.claim = claim
    this.node = this.left = this.right = id
    this.#index = index
    this.#last = size - 1
  }

  get isAtRoot (): boolean {
    return this.#last === 0
  }

  /** One level up. Whether there is something to hash for it */
  step (): boolean {
    const isPair = hasPartner(this.#index, this.#last)

    if (isPair) {
      const partner = this.claim.path.subarray(this.#offset, this.#offset += ID_BYTES)
      const isLeft = this.#index % 2 === 0
      this.left = isLeft ? this.node : partner
      this.right = isLeft ? partner : this.node
    }

    this.pair = -1
    this.#index >>= 1
    this.#last >>= 1
    return isPair
  }

  /** Whether it hashes the same as another one */
  meets ({ left, right }: Climb): boolean {
    return equals(this.left, left) && equals(this.right, right)
  }
}

/** How many of these neighbours have a partner */
function partnersOf (first: number, end: number, last: number): number {
  return end - first + (hasPartner(end, last) ? 1 : 0)
}

/** All nodes of a level but the last have one; the last one has it if it is a right one */
function hasPartner (index: number, last: number): boolean {
  return index < last || index % 2 === 1
}

function pairOf (left: Uint8Array, right: Uint8Array): Uint8Array {
  const pair = allocUnsafe(1 + 2 * ID_BYTES)
  pair[0] = NODE
  pair.set(left, 1)
  pair.set(right, 1 + ID_BYTES)
  return pair
}
