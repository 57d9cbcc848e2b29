import { concat } from 'uint8arrays/concat'
import { Reader, uvarintLength, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { compareAt } from '../../storage/core/rows.ts'
import { ID_BYTES } from './types.ts'

/**
 * One signature for many entries: it is over the root of a tree whose leaves are their ids, and each entry carries the
 * path from its leaf to the root.
 *
 * node = SHA-256(0x00 · left · right): no entry begins with a 0, so no entry can pass for a node. A node without a
 * partner moves up as it is, which is the shape of RFC 6962.
 *
 * proof = uvarint size · uvarint index · path, from the leaf up · bytes signature
 *
 * Neighbours share one: their ids give back all nodes between them, so it needs only the nodes beside them: on each
 * level at most one to the left and one to the right. Of a whole batch there are none.
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

export function encodeProof ({ size, index, path, signature }: Proof): Uint8Array {
  return new Writer(proofLength(size, index, signature))
    .uvarint(size).uvarint(index).raw(path).bytes(signature).finish()
}

/** Bytes of the proof of one entry */
export function proofLength (size: number, index: number, { byteLength }: Uint8Array): number {
  return uvarintLength(size) + uvarintLength(index) + ID_BYTES * besideLength(size, index, 1) +
    uvarintLength(byteLength) + byteLength
}

/** Throws a MalformedError. What it hands out are views of the input */
export function decodeProof (bytes: Uint8Array): Proof {
  const reader = new Reader(bytes)
  const size = reader.uvarint()

  if (size < 1 || size > MAX_BATCH) {
    throw new MalformedError(`a batch of ${size} where 1 to ${MAX_BATCH} are allowed`)
  }

  const index = reader.uvarint()

  if (index >= size) {
    throw new MalformedError(`entry ${index} of a batch of ${size}`)
  }

  const path = reader.raw(ID_BYTES * besideLength(size, index, 1))
  const signature = reader.bytes(MAX_SIGNATURE_BYTES)

  if (reader.left > 0) {
    throw new MalformedError('there is something behind the signature')
  }

  return { size, index, path, signature }
}

/** How many nodes neighbours need beside them, from number `first` of the batch on. One entry needs its path */
export function besideLength (size: number, first: number, count: number): number {
  let length = 0
  climb(size, first, count, (_, __, ___, needsLeft, needsRight) => { length += Number(needsLeft) + Number(needsRight) })
  return length
}

/**
 * The nodes beside neighbours, from the proofs of the first and the last of them: on each level the left one, then the
 * right one
 */
export function besideOf (first: Proof, last: Proof): Uint8Array {
  const [ofFirst, ofLast] = [partnersOf(first), partnersOf(last)]
  const beside: Uint8Array[] = []
  climb(first.size, first.index, last.index - first.index + 1, (height, _, __, needsLeft, needsRight) => {
    if (needsLeft) {
      beside.push(ofFirst[height])
    }
    if (needsRight) {
      beside.push(ofLast[height])
    }
  })
  return concat(beside)
}

/** The nodes of a path by their height */
function partnersOf ({ size, index, path }: Proof): Uint8Array[] {
  const partners: Uint8Array[] = []
  let offset = 0
  climb(size, index, 1, (height, _, __, needsLeft, needsRight) => {
    if (needsLeft || needsRight) {
      partners[height] = path.subarray(offset, offset += ID_BYTES)
    }
  })
  return partners
}

/** Nodes of one level that lie side by side */
interface Level {
  first: number
  nodes: Uint8Array[]
}

/**
 * The part of a tree above some neighbours, with the nodes beside it. It gives the root, and the nodes that fewer of
 * the neighbours need beside them.
 */
export class Subtree {
  readonly root: Uint8Array
  readonly #size: number
  readonly #levels: Level[] = []

  /** `ids`: of the neighbours, from number `first` of the batch on */
  constructor (size: number, first: number, ids: Uint8Array[], beside: Uint8Array) {
    this.#size = size
    let nodes = ids
    let offset = 0
    climb(size, first, ids.length, (_, first, __, needsLeft, needsRight) => {
      nodes = nodes.slice()

      if (needsLeft) {
        nodes.unshift(beside.subarray(offset, offset += ID_BYTES))
      }
      if (needsRight) {
        nodes.push(beside.subarray(offset, offset += ID_BYTES))
      }

      this.#levels.push({ first: first - first % 2, nodes })
      nodes = parentsOf(nodes)
    })
    this.root = nodes[0]
  }

  /** The nodes beside `count` of the neighbours, from number `first` of the batch on. Beside one entry lies its path */
  beside (first: number, count: number): Uint8Array {
    return concat(this.#nodesBeside(first, count))
  }

  /** Whether this is what lies beside one entry */
  isPath (index: number, path: Uint8Array): boolean {
    return this.#nodesBeside(index, 1).every((node, i) => compareAt(path, ID_BYTES * i, node) === 0)
  }

  #nodesBeside (first: number, count: number): Uint8Array[] {
    const beside: Uint8Array[] = []
    climb(this.#size, first, count, (height, first, end, needsLeft, needsRight) => {
      const level = this.#levels[height]

      if (needsLeft) {
        beside.push(level.nodes[first - 1 - level.first])
      }
      if (needsRight) {
        beside.push(level.nodes[end + 1 - level.first])
      }
    })
    return beside
  }
}

/**
 * Goes up from neighbours to the root. On each level below the root, `step` hears where their nodes begin and end, and
 * whether they need a partner to the left and to the right. A last node that is a left one has no partner.
 */
function climb (
  size: number, first: number, count: number,
  step: (height: number, first: number, end: number, needsLeft: boolean, needsRight: boolean) => void
): void {
  let end = first + count - 1

  for (let height = 0, last = size - 1; last > 0; height++, last >>= 1, first >>= 1, end >>= 1) {
    step(height, first, end, first % 2 === 1, end % 2 === 0 && end < last)
  }
}

/** A node without a partner moves up as it is */
function parentsOf (nodes: Uint8Array[]): Uint8Array[] {
  const parents: Uint8Array[] = []

  for (let left = 0; left < nodes.length; left += 2) {
    parents.push(left + 1 < nodes.length ? hashPair(nodes[left], nodes[left + 1]) : nodes[left])
  }

  return parents
}

const pair = new Uint8Array(1 + 2 * ID_BYTES)
pair[0] = NODE

function hashPair (left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 1)
  pair.set(right, 1 + ID_BYTES)
  return sha256(pair)
}
