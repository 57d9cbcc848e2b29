import { allocUnsafe } from 'uint8arrays/alloc'
import { Reader, uvarintLength, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { sha256 } from '../../runtime/sha256.ts'
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
 * Neighbours share one: their ids give back all nodes between them, so it needs only the nodes beside them: on each level at
 * most one to the left and one to the right. Of a whole batch there are none.
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
  return new Writer(proofLength(size, index, signature)).uvarint(size).uvarint(index).raw(path).bytes(signature).finish()
}

/** Bytes of the proof of one entry */
export function proofLength (size: number, index: number, { byteLength }: Uint8Array): number {
  return uvarintLength(size) + uvarintLength(index) + ID_BYTES * pathLength(size, index) + uvarintLength(byteLength) + byteLength
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

  const path = reader.raw(ID_BYTES * pathLength(size, index))
  const signature = reader.bytes(MAX_SIGNATURE_BYTES)

  if (reader.left > 0) {
    throw new MalformedError('there is something behind the signature')
  }

  return { size, index, path, signature }
}

/** How many partners a leaf has on its way up */
export function pathLength (size: number, index: number): number {
  let length = 0

  for (let last = size - 1; last > 0; last >>= 1, index >>= 1) {
    length += hasPartner(index, last) ? 1 : 0
  }

  return length
}

/** The root that the proof of one entry leads to */
export function rootOf (id: Uint8Array, { size, index, path }: Proof): Uint8Array {
  let node = id
  let offset = 0

  for (let last = size - 1; last > 0; last >>= 1, index >>= 1) {
    if (hasPartner(index, last)) {
      const partner = path.subarray(offset, offset += ID_BYTES)
      node = index % 2 === 0 ? hashPair(node, partner) : hashPair(partner, node)
    }
  }

  return node
}

/** How many nodes neighbours need beside them, from `first` on */
export function besideLength (size: number, first: number, count: number): number {
  let length = 0

  for (let last = size - 1, end = first + count - 1; last > 0; last >>= 1, first >>= 1, end >>= 1) {
    length += first % 2 + (needsRight(end, last) ? 1 : 0)
  }

  return length
}

/** The nodes beside neighbours, from the proofs of the first and the last of them: on each level the left one, then the right one */
export function besideOf (first: Proof, last: Proof): Uint8Array {
  const beside = allocUnsafe(ID_BYTES * besideLength(first.size, first.index, last.index - first.index + 1))
  let offset = 0
  let [left, right, leftAt, rightAt] = [first.index, last.index, 0, 0]

  for (let top = first.size - 1; top > 0; top >>= 1, left >>= 1, right >>= 1) {
    if (left % 2 === 1) {
      beside.set(first.path.subarray(leftAt, leftAt + ID_BYTES), offset)
      offset += ID_BYTES
    }
    if (needsRight(right, top)) {
      beside.set(last.path.subarray(rightAt, rightAt + ID_BYTES), offset)
      offset += ID_BYTES
    }

    leftAt += hasPartner(left, top) ? ID_BYTES : 0
    rightAt += hasPartner(right, top) ? ID_BYTES : 0
  }

  return beside
}

/** Nodes of one level that lie side by side */
interface Level {
  first: number
  nodes: Uint8Array[]
}

/**
 * The part of a tree that is above neighbours, with the nodes beside it: gives back the root, the path of each, and what some
 * of them need beside them.
 */
export class Subtree {
  readonly #size: number
  readonly #levels: Level[] = []

  /** `ids`: of the neighbours, from number `first` of the batch on */
  constructor (size: number, first: number, ids: Uint8Array[], beside: Uint8Array) {
    this.#size = size
    let level: Level = { first, nodes: ids }
    let offset = 0

    for (let last = size - 1; last > 0; last >>= 1) {
      const { first, nodes } = level
      const end = first + nodes.length - 1
      const whole = nodes.slice()

      if (first % 2 === 1) {
        whole.unshift(beside.subarray(offset, offset += ID_BYTES))
      }
      if (needsRight(end, last)) {
        whole.push(beside.subarray(offset, offset += ID_BYTES))
      }

      this.#levels.push({ first: first - first % 2, nodes: whole })
      level = { first: first >> 1, nodes: parentsOf(whole) }
    }

    this.#levels.push(level)
  }

  get root (): Uint8Array {
    return this.#levels[this.#levels.length - 1].nodes[0]
  }

  /** The partners on the way of entry `index` of the batch up to the root */
  path (index: number): Uint8Array {
    const path = allocUnsafe(ID_BYTES * pathLength(this.#size, index))
    let offset = 0

    for (let height = 0, last = this.#size - 1; last > 0; height++, last >>= 1, index >>= 1) {
      if (hasPartner(index, last)) {
        path.set(this.#node(height, index ^ 1), offset)
        offset += ID_BYTES
      }
    }

    return path
  }

  /** Whether these are the partners on the way of entry `index` */
  isPath (index: number, path: Uint8Array): boolean {
    let offset = 0

    for (let height = 0, last = this.#size - 1; last > 0; height++, last >>= 1, index >>= 1) {
      if (hasPartner(index, last)) {
        const node = this.#node(height, index ^ 1)

        for (let i = 0; i < ID_BYTES; i++) {
          if (node[i] !== path[offset + i]) {
            return false
          }
        }

        offset += ID_BYTES
      }
    }

    return true
  }

  /** The nodes beside `count` of the neighbours, from entry `first` of the batch on */
  beside (first: number, count: number): Uint8Array {
    const beside = allocUnsafe(ID_BYTES * besideLength(this.#size, first, count))
    let offset = 0
    let end = first + count - 1

    for (let height = 0, last = this.#size - 1; last > 0; height++, last >>= 1, first >>= 1, end >>= 1) {
      if (first % 2 === 1) {
        beside.set(this.#node(height, first - 1), offset)
        offset += ID_BYTES
      }
      if (needsRight(end, last)) {
        beside.set(this.#node(height, end + 1), offset)
        offset += ID_BYTES
      }
    }

    return beside
  }

  #node (height: number, index: number): Uint8Array {
    const { first, nodes } = this.#levels[height]
    return nodes[index - first]
  }
}

function parentsOf (nodes: Uint8Array[]): Uint8Array[] {
  const parents: Uint8Array[] = []

  for (let left = 0; left < nodes.length; left += 2) {
    parents.push(left + 1 < nodes.length ? hashPair(nodes[left], nodes[left + 1]) : nodes[left])
  }

  return parents
}

/** All nodes of a level but the last have one; the last one has it if it is a right one */
function hasPartner (index: number, last: number): boolean {
  return index < last || index % 2 === 1
}

/** Whether neighbours that end here need the node to their right */
function needsRight (end: number, last: number): boolean {
  return end % 2 === 0 && end < last
}

const pair = new Uint8Array(1 + 2 * ID_BYTES)
pair[0] = NODE

function hashPair (left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 1)
  pair.set(right, 1 + ID_BYTES)
  return sha256(pair)
}
