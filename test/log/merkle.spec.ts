import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { besideLength, besideOf, decodeProof, encodeProof, MAX_BATCH, MAX_PROOF_BYTES, proofLength, Subtree } from '../../src/log/core/merkle.ts'
import { SharedProof } from '../../src/log/core/shared-proof.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { sha256 } from '../../src/runtime/sha256.ts'
import { BATCHES } from '../fixtures/entries-v1.ts'
import type { Proof } from '../../src/log/core/merkle.ts'

const NOTHING = new Uint8Array(0)
const SIGNATURE = new Uint8Array(64).fill(3)
/** Every size up to here: all shapes of a tree with up to eight levels */
const SIZES = Array.from({ length: 130 }, (_, i) => i + 1)
/** Every range of neighbours of every size up to here */
const SMALL_SIZES = SIZES.slice(0, 20)

function leaves (size: number, fill = 0xee): Uint8Array[] {
  return Array.from({ length: size }, (_, i) => {
    const id = new Uint8Array(32).fill(fill)
    new DataView(id.buffer).setUint32(0, i)
    return id
  })
}

function half (size: number): number {
  return 2 ** Math.ceil(Math.log2(size) - 1)
}

/** As RFC 6962 says it */
function rootByTheBook (ids: Uint8Array[]): Uint8Array {
  if (ids.length === 1) {
    return ids[0]
  }

  const middle = half(ids.length)
  return sha256(concat([Uint8Array.of(0), rootByTheBook(ids.slice(0, middle)), rootByTheBook(ids.slice(middle))]))
}

function pathByTheBook (ids: Uint8Array[], index: number): Uint8Array[] {
  if (ids.length === 1) {
    return []
  }

  const middle = half(ids.length)
  const [left, right] = [ids.slice(0, middle), ids.slice(middle)]
  return index < middle
    ? [...pathByTheBook(left, index), rootByTheBook(right)]
    : [...pathByTheBook(right, index - middle), rootByTheBook(left)]
}

function hex (bytes: Uint8Array): string {
  return toString(bytes, 'base16')
}

function treeOf (ids: Uint8Array[]): Subtree {
  return new Subtree(ids.length, 0, ids, NOTHING)
}

/** How many nodes the path of a leaf has */
function pathLength (size: number, index: number): number {
  return besideLength(size, index, 1)
}

/** The root that the proof of one entry leads to */
function rootOf (id: Uint8Array, { size, index, path }: Proof): Uint8Array {
  return new Subtree(size, index, [id], path).root
}

function proofsOf (ids: Uint8Array[]): Proof[] {
  const tree = treeOf(ids)
  return ids.map((_, index) => ({ size: ids.length, index, path: tree.beside(index, 1), signature: SIGNATURE }))
}

/** All neighbours that a batch of this size has */
function * rangesOf (size: number): Generator<{ first: number, count: number }> {
  for (let first = 0; first < size; first++) {
    for (let count = 1; first + count <= size; count++) {
      yield { first, count }
    }
  }
}

describe('the tree over a batch', () => {
  it('has the root and the paths of RFC 6962, whatever its size', () => {
    for (const size of SIZES) {
      const ids = leaves(size)
      const tree = treeOf(ids)
      expect(hex(tree.root)).to.equal(hex(rootByTheBook(ids)))

      for (let index = 0; index < size; index++) {
        expect(hex(tree.beside(index, 1))).to.equal(hex(concat(pathByTheBook(ids, index))))
        expect(tree.beside(index, 1).byteLength).to.equal(32 * pathLength(size, index))
      }
    }
  }).timeout(60_000)

  it('is led up by the path of each leaf', () => {
    for (const size of SIZES) {
      const ids = leaves(size)
      const root = hex(rootByTheBook(ids))
      expect(proofsOf(ids).every((proof, i) => hex(rootOf(ids[i], proof)) === root)).to.equal(true)
    }
  })

  it('leads elsewhere from another leaf, with another index, with another size and with another path', () => {
    for (const size of [2, 3, 7, 8, 11]) {
      const ids = leaves(size)
      const proofs = proofsOf(ids)
      const root = hex(rootByTheBook(ids))
      const roots = proofs.flatMap((proof, i) => {
        const { index, path } = proof
        const indexes = ids.map((_, other) => other).filter(other => other !== index && pathLength(size, other) === pathLength(size, index))
        const sizes = [size - 1, size + 1, size * 2].filter(other => other > index && pathLength(other, index) === pathLength(size, index) && hasOtherShape(size, other, index))
        return [
          rootOf(leaves(size, 0xdd)[i], proof),
          rootOf(ids[i], { ...proof, path: path.map((byte, i) => i === path.byteLength - 1 ? byte ^ 1 : byte) }),
          ...indexes.map(index => rootOf(ids[i], { ...proof, index })),
          ...sizes.map(size => rootOf(ids[i], { ...proof, size }))
        ]
      })

      expect(roots.map(hex)).to.not.include(root)
    }
  })

  it('has paths of at most 16 steps in the largest batch', () => {
    expect(pathLength(MAX_BATCH, 0)).to.equal(16)
    expect(pathLength(MAX_BATCH, MAX_BATCH - 1)).to.equal(16)
    expect(pathLength(MAX_BATCH - 65_535, 0)).to.equal(0)
    expect(pathLength(32_769, 32_768)).to.equal(1)
    expect(pathLength(32_769, 0)).to.equal(16)
  })
})

/** Whether the path of a leaf goes left and right otherwise in a batch of another size. The size itself is signed */
function hasOtherShape (size: number, other: number, index: number): boolean {
  const sides = (size: number): string => {
    const turns: number[] = []
    for (let last = size - 1, at = index; last > 0; last >>= 1, at >>= 1) {
      if (at < last || at % 2 === 1) {
        turns.push(at % 2)
      }
    }
    return turns.join()
  }
  return sides(size) !== sides(other)
}

describe('neighbours of a batch', () => {
  it('lead to its root with the nodes beside them, and to the path of each, whichever they are', () => {
    for (const size of SMALL_SIZES) {
      const ids = leaves(size)
      const whole = treeOf(ids)
      const proofs = proofsOf(ids)

      for (const { first, count } of rangesOf(size)) {
        const beside = whole.beside(first, count)
        const part = new Subtree(size, first, ids.slice(first, first + count), beside)

        expect(beside.byteLength).to.equal(32 * besideLength(size, first, count))
        expect(hex(besideOf(proofs[first], proofs[first + count - 1]))).to.equal(hex(beside))
        expect(hex(part.root)).to.equal(hex(whole.root))

        for (let index = first; index < first + count; index++) {
          expect(hex(part.beside(index, 1))).to.equal(hex(proofs[index].path))
          expect(part.isPath(index, proofs[index].path)).to.equal(true)
        }
      }
    }
  }).timeout(60_000)

  it('say what some of them need beside them', () => {
    for (const size of SMALL_SIZES.filter(size => size <= 13)) {
      const ids = leaves(size)
      const whole = treeOf(ids)

      for (const { first, count } of rangesOf(size)) {
        const part = new Subtree(size, first, ids.slice(first, first + count), whole.beside(first, count))

        for (const inner of rangesOf(count)) {
          expect(hex(part.beside(first + inner.first, inner.count))).to.equal(hex(whole.beside(first + inner.first, inner.count)))
        }
      }
    }
  }).timeout(60_000)

  it('need nothing beside them when they are all of it, and at most two nodes a level otherwise', () => {
    for (const size of SIZES) {
      expect(besideLength(size, 0, size)).to.equal(0)

      for (const { first, count } of rangesOf(Math.min(size, 40))) {
        expect(besideLength(size, first, count)).to.be.at.most(2 * Math.ceil(Math.log2(size)))
      }
    }
  })

  it('know the path of each of them from every other one', () => {
    const ids = leaves(13)
    const proofs = proofsOf(ids)
    const tree = treeOf(ids)

    proofs.forEach(({ index, path }) => {
      for (let at = 0; at < path.byteLength; at += 11) {
        expect(tree.isPath(index, path.map((byte, i) => i === at ? byte ^ 4 : byte))).to.equal(false)
      }
      proofs.filter(other => other.index !== index && other.path.byteLength === path.byteLength).forEach(other => {
        expect(tree.isPath(other.index, path)).to.equal(false)
      })
    })
  })
})

describe('the proof that neighbours share', () => {
  function shareOf (ids: Uint8Array[], first: number, count: number): SharedProof {
    const beside = treeOf(ids).beside(first, count)
    return new SharedProof({ size: ids.length, first, count, beside, signature: SIGNATURE, ids: () => ids.slice(first, first + count) })
  }

  it('has that of each in it, and that of some of them, wherever they lie in the tree', () => {
    for (const size of SMALL_SIZES) {
      const ids = leaves(size)
      const alone = proofsOf(ids).map(encodeProof)

      for (const { first, count } of rangesOf(size)) {
        const proofs = shareOf(ids, first, count)

        for (let at = 0; at < count; at++) {
          expect(hex(proofs.proofOf(at))).to.equal(hex(alone[first + at]))
          expect(proofs.sizeOf(at)).to.equal(alone[first + at].byteLength)
        }
      }
    }
  }).timeout(60_000)

  it('has a part of it, and the part of a part, that proves as much', () => {
    for (const size of [1, 2, 3, 5, 6, 8, 13]) {
      const ids = leaves(size)
      const alone = proofsOf(ids).map(encodeProof)
      const whole = shareOf(ids, 0, size)

      for (const outer of rangesOf(size)) {
        const part = whole.part(outer.first, outer.count)
        expect([part.init.first, part.init.count, hex(part.init.beside)]).to.deep.equal([outer.first, outer.count, hex(treeOf(ids).beside(outer.first, outer.count))])

        for (const inner of rangesOf(outer.count)) {
          const first = outer.first + inner.first
          const ofPart = part.part(inner.first, inner.count)
          expect(hex(ofPart.init.beside)).to.equal(hex(treeOf(ids).beside(first, inner.count)))
          expect(hex(ofPart.proofOf(inner.count - 1))).to.equal(hex(alone[first + inner.count - 1]))
        }
      }
    }
  }).timeout(60_000)

  it('is itself where all of it is asked for', () => {
    const proofs = shareOf(leaves(7), 2, 4)

    expect(proofs.part(0, 4)).to.equal(proofs)
    expect(proofs.part(0, 3)).to.not.equal(proofs)
  })

  it('asks for no ids as long as nobody asks for a proof', () => {
    let asked = 0
    const ids = leaves(8)
    const proofs = new SharedProof({
      size: 8,
      first: 0,
      count: 8,
      beside: NOTHING,
      signature: SIGNATURE,
      ids: () => {
        asked++
        return ids
      }
    })

    expect(proofs.sizeOf(3)).to.equal(proofLength(8, 3, SIGNATURE))
    // all of it, alone
    expect(proofs.part(0, 8).init.count).to.equal(8)
    expect(asked).to.equal(0)
    proofs.proofOf(1)
    proofs.proofOf(7)
    expect(asked).to.equal(1)
  })
})

describe('a proof', () => {
  it('comes out as it went in, and is as long as was said', () => {
    const anyPlace = fc.integer({ min: 1, max: MAX_BATCH }).chain(size => fc.record({ size: fc.constant(size), index: fc.integer({ min: 0, max: size - 1 }) }))

    fc.assert(fc.property(anyPlace, fc.uint8Array({ maxLength: 4096 }), ({ size, index }, signature) => {
      const proof = { size, index, path: new Uint8Array(32 * pathLength(size, index)).fill(9), signature }
      const bytes = encodeProof(proof)
      expect(decodeProof(bytes)).to.deep.equal(proof)
      expect(proofLength(size, index, signature)).to.equal(bytes.byteLength)
      expect(bytes.byteLength).to.be.at.most(MAX_PROOF_BYTES)
    }), { numRuns: 100 })
  })

  it('is written and read as it was at first', () => {
    for (const { entries, proofs } of BATCHES) {
      proofs.forEach((written, i) => {
        const proof = decodeProof(fromString(written, 'base16'))
        expect(proof).to.include({ size: entries.length, index: i })
        expect(hex(encodeProof(proof))).to.equal(written)
      })
    }
  })

  it('is refused wherever it is cut off, and with anything behind it', () => {
    for (const written of BATCHES.flatMap(({ proofs }) => proofs)) {
      const bytes = fromString(written, 'base16')

      for (let length = 0; length < bytes.byteLength; length++) {
        expect(() => decodeProof(bytes.subarray(0, length))).to.throw(MalformedError)
      }
      expect(() => decodeProof(Uint8Array.from([...bytes, 0]))).to.throw(MalformedError, 'behind')
      expect(() => decodeProof(concat([bytes, new Uint8Array(1_040_000)]))).to.throw(MalformedError, 'behind')
    }
  })

  it('is refused for no entries, for too many, for one past the end, and with numbers that are too long', () => {
    const spelled: Array<[number[], string]> = [
      [[0, 0, 0], 'a batch of 0'], [[0x81, 0x80, 0x04, 0, 0], 'a batch of 65537'], [[1, 1, 0], 'entry 1'], [[3, 3, 0], 'entry 3'],
      [[0x81, 0x00, 0, 0], 'shortest'], [[1, 0x80, 0x00, 0], 'shortest'], [[1, 0, 0x80, 0x00], 'shortest'], [[1, 0, 0x81, 0x20], 'at most 4096']
    ]

    for (const [bytes, text] of spelled) {
      expect(() => decodeProof(Uint8Array.from(bytes))).to.throw(MalformedError, text)
    }
  })
})
