import { MalformedError } from '../../runtime/errors.ts'
import { LANES, SUM_BYTES } from './lanes.ts'
import { begin, expectEnd, seal, unseal } from './sealed.ts'
import { FANOUT, Inner } from './tree-inner.ts'
import { compareKeys } from './tree-keys.ts'
import { Leaf, LEAF_KEYS } from './tree-leaf.ts'
import type { TreeNode } from './tree-inner.ts'
import type { Reader } from '../../runtime/codec.ts'

/**
 * How nodes of a tree are written down. Both kinds of page, and the root:
 *
 * - page: version, level, id, key size, size; then of a leaf (level 0) its keys
 * - and of an inner node id and count of each child, the first key of each, and, if summed, the sum of each
 * - root: version, page, count, depth, whether there is a sum, and the sum
 *
 * and behind that a CRC-32 of it (the one of zip and PNG), so that a page that was torn is found. The CRC and the sums are
 * little-endian, level and version a byte, other numbers varints. A page says its id: one in a wrong place is found, too.
 */

/** Levels above the leaves, at most: half-empty nodes of so many levels hold more than 2^53 keys */
const MAX_DEPTH = 12
/** Bytes of the longest head of a page */
const HEAD_BYTES = 32
/** Bytes that id and count of a child may take */
const CHILD_BYTES = 16

/** An operation needs pages that are not in memory, and has changed nothing: `load` them, and do it again */
export class PagesMissing extends Error {
  static name = 'PagesMissing'
  name = 'PagesMissing'
  readonly pages: number[]

  constructor (pages: number[]) {
    super(`Load the pages ${pages.join(', ')} and try again`)
    this.pages = pages
  }
}

/** All there is to know about a stored tree to open it again */
export interface TreeRoot {
  /** 0: the tree is empty */
  page: number
  count: number
  /** Levels of inner nodes */
  depth: number
  sum?: Uint32Array
}

export function encodePage (node: TreeNode, id: number): Uint8Array {
  const { level, width, size } = node
  const perChild = width + (node.kind === 'leaf' ? 0 : CHILD_BYTES + (node.sums == null ? 0 : SUM_BYTES))
  const writer = begin(HEAD_BYTES + size * perChild)
  writer.byte(level).uvarint(id).uvarint(width).uvarint(size)

  switch (node.kind) {
    case 'leaf':
      return seal(writer.raw(node.keys.subarray(0, size * width)))
    case 'inner':
      node.children.forEach((child, slot) => {
        writer.uvarint(typeof child === 'number' ? child : child.page).uvarint(node.counts[slot])
      })
      writer.raw(node.firsts.subarray(0, size * width))
      return seal(node.sums == null ? writer : writer.raw(lanesToBytes(node.sums.subarray(0, size * LANES))))
  }
}

/** The node that the page `id` of a tree with such keys is. What it says is copied */
export function decodePage (bytes: Uint8Array, id: number, width: number, isSummed: boolean): TreeNode {
  const reader = unseal(bytes)
  const level = reader.byte()

  if (level > MAX_DEPTH) {
    throw new MalformedError(`a page of level ${level}`)
  }
  if (reader.uvarint() !== id) {
    throw new MalformedError(`a page that is not page ${id}`)
  }
  if (reader.uvarint() !== width) {
    throw new MalformedError(`a page whose keys are not of ${width} bytes`)
  }

  const size = reader.uvarint()

  if (size < 1 || size > (level === 0 ? LEAF_KEYS : FANOUT)) {
    throw new MalformedError(`a page of ${size}`)
  }

  const node = level === 0 ? decodeLeaf(reader, width, size) : decodeInner(reader, new Inner(level, width, isSummed), id, size)
  node.page = id
  expectEnd(reader)
  return node
}

export function encodeRoot ({ page, count, depth, sum }: TreeRoot): Uint8Array {
  const writer = begin().uvarint(page).uvarint(count).byte(depth).byte(sum == null ? 0 : 1)
  return seal(sum == null ? writer : writer.raw(lanesToBytes(sum)))
}

export function decodeRoot (bytes: Uint8Array): TreeRoot {
  const reader = unseal(bytes)
  const root: TreeRoot = { page: reader.uvarint(), count: reader.uvarint(), depth: reader.byte() }
  const isSummed = reader.byte()

  if ((root.page === 0) !== (root.count === 0) || (root.page === 0 && root.depth > 0) || root.depth > MAX_DEPTH || isSummed > 1) {
    throw new MalformedError('a root that no tree has')
  }
  if (isSummed === 1) {
    root.sum = bytesToLanes(reader.raw(SUM_BYTES))
  }

  expectEnd(reader)
  return root
}

function decodeLeaf (reader: Reader, width: number, size: number): Leaf {
  const keys = new Uint8Array(reader.raw(size * width))
  expectAscending(keys, width)
  return new Leaf(width, keys, size)
}

function decodeInner (reader: Reader, node: Inner, id: number, size: number): Inner {
  const children = Array.from({ length: size }, () => ({ page: reader.uvarint(), count: reader.uvarint() }))
  const firsts = reader.raw(size * node.width)
  const sums = node.sums == null ? undefined : bytesToLanes(reader.raw(size * SUM_BYTES))
  expectAscending(firsts, node.width)

  // a node is written after what is below it
  if (children.some(({ page, count }) => page === 0 || page >= id || count === 0)) {
    throw new MalformedError('a page above what it cannot be above')
  }
  if (new Set(children.map(({ page }) => page)).size < size) {
    throw new MalformedError('a page twice above the same one')
  }

  children.forEach(({ page, count }, slot) => {
    node.put(slot, firsts.subarray(slot * node.width, (slot + 1) * node.width), page, { count, sums, at: slot * LANES })
  })

  return node
}

function expectAscending (keys: Uint8Array, width: number): void {
  for (let at = width; at < keys.byteLength; at += width) {
    if (compareKeys(keys, at - width, keys, at, width) >= 0) {
      throw new MalformedError('keys out of order')
    }
  }
}

function lanesToBytes (lanes: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(lanes.length * 4)
  const view = viewOf(bytes)
  lanes.forEach((lane, i) => { view.setUint32(i * 4, lane, true) })
  return bytes
}

function bytesToLanes (bytes: Uint8Array): Uint32Array {
  const lanes = new Uint32Array(bytes.byteLength / 4)
  const view = viewOf(bytes)

  // not by Uint32Array.from: that takes ten times as long
  for (let i = 0; i < lanes.length; i++) {
    lanes[i] = view.getUint32(i * 4, true)
  }

  return lanes
}

function viewOf (bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
