import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { decodeProof, encodeProof, MAX_BATCH, pathLength, pathOf, rootsOf, treeOf } from '../../src/log/core/merkle.ts'
import { Proofs } from '../../src/log/core/proofs.ts'
import { hash } from '../../src/log/signatures.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { BATCHES } from '../fixtures/entries-v1.ts'
import type { Claim, Hashing, Tree } from '../../src/log/core/merkle.ts'

/** Does the work, and counts the hashes that it takes */
async function done <T> (work: Hashing<T>, count = { hashes: 0 }): Promise<T> {
  let step = work.next()

  while (step.done !== true) {
    count.hashes += step.value.length
    step = work.next(await Promise.all(step.value.map(async bytes => hash(bytes))))
  }

  return step.value
}

function leaves (size: number, fill = 0xee): Uint8Array[] {
  return Array.from({ length: size }, (_, i) => {
    const id = new Uint8Array(32).fill(fill)
    new DataView(id.buffer).setUint32(0, i)
    return id
  })
}

/** As RFC 6962 says it */
async function rootByTheBook (ids: Uint8Array[]): Promise<Uint8Array> {
  if (ids.length === 1) {
    return ids[0]
  }

  const half = 2 ** Math.ceil(Math.log2(ids.length) - 1)
  return hash(concat([Uint8Array.of(0), await rootByTheBook(ids.slice(0, half)), await rootByTheBook(ids.slice(half))]))
}

async function pathByTheBook (ids: Uint8Array[], index: number): Promise<Uint8Array[]> {
  if (ids.length === 1) {
    return []
  }

  const half = 2 ** Math.ceil(Math.log2(ids.length) - 1)
  const [left, right] = [ids.slice(0, half), ids.slice(half)]
  return index < half
    ? [...await pathByTheBook(left, index), await rootByTheBook(right)]
    : [...await pathByTheBook(right, index - half), await rootByTheBook(left)]
}

function claimsOf (tree: Tree): Claim[] {
  const size = tree[0].length
  return tree[0].map((id, index) => ({ id, size, index, path: pathOf(tree, index), signature: rootOf(tree) }))
}

function rootOf (tree: Tree): Uint8Array {
  return tree[tree.length - 1][0]
}

describe('the tree over a batch', () => {
  it('has the root and the paths of RFC 6962, whatever its size', async () => {
    for (const size of [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 31, 33]) {
      const ids = leaves(size)
      const tree = await done(treeOf(ids))
      expect(rootOf(tree)).to.deep.equal(await rootByTheBook(ids))

      for (let index = 0; index < size; index++) {
        expect(pathOf(tree, index)).to.deep.equal(concat(await pathByTheBook(ids, index)))
      }
    }
  })

  it('is led up by the path of each leaf', async () => {
    for (const size of [1, 2, 3, 5, 8, 13, 100]) {
      const tree = await done(treeOf(leaves(size)))
      const roots = await done(rootsOf(claimsOf(tree)))

      expect(roots).to.have.lengthOf(size)
      expect(roots.every(root => toString(root, 'base16') === toString(rootOf(tree), 'base16'))).to.equal(true)
    }
  })

  it('takes as many hashes as it has leaves, less one, to build and to climb in any order', async () => {
    for (const size of [1, 2, 6, 64, 1000]) {
      const [built, climbed] = [{ hashes: 0 }, { hashes: 0 }]
      const tree = await done(treeOf(leaves(size)), built)
      // each 7th one and round again: all of them, since no size is a multiple of 7
      const claims = claimsOf(tree)
      await done(rootsOf(claims.map((_, i) => claims[i * 7 % size])), climbed)

      expect([built.hashes, climbed.hashes]).to.deep.equal([size - 1, size - 1])
    }
  })

  it('is climbed by claims of several batches in any order, each to its own root', async () => {
    const trees = await Promise.all([1, 3, 8, 21].map(async size => done(treeOf(leaves(size, size)))))
    const claims = trees.flatMap(tree => claimsOf(tree).map(claim => ({ claim, root: rootOf(tree) })))

    await fc.assert(fc.asyncProperty(fc.shuffledSubarray(claims), async some => {
      expect(await done(rootsOf(some.map(({ claim }) => claim)))).to.deep.equal(some.map(({ root }) => root))
    }), { numRuns: 30 })
  })

  it('leads elsewhere from another leaf, with another index, with another size and with another path', async () => {
    const tree = await done(treeOf(leaves(11)))
    const claims = claimsOf(tree)
    const wrong = claims.flatMap(claim => [
      { ...claim, id: leaves(12)[11] },
      { ...claim, path: claim.path.map((byte, i) => i === claim.path.byteLength - 1 ? byte ^ 1 : byte) },
      ...claims.filter(({ index, path }) => index !== claim.index && path.byteLength === claim.path.byteLength).map(({ index }) => ({ ...claim, index }))
    ])
    const roots = await done(rootsOf(wrong))

    expect(roots.map(root => toString(root, 'base16'))).to.not.include(toString(rootOf(tree), 'base16'))
  })

  it('has paths of at most 16 steps in the largest batch', () => {
    expect(pathLength(MAX_BATCH, 0)).to.equal(16)
    expect(pathLength(MAX_BATCH, MAX_BATCH - 1)).to.equal(16)
    expect(pathLength(MAX_BATCH - 65_535, 0)).to.equal(0)
    expect(pathLength(32_769, 32_768)).to.equal(1)
  })
})

describe('the proof that neighbours share', () => {
  it('has that of each in it, and that of some of them, wherever they lie in the tree', async () => {
    for (const size of [1, 2, 3, 5, 6, 8, 13, 33]) {
      const tree = await done(treeOf(leaves(size)))
      const proofOf = (index: number, count = 1): Uint8Array => encodeProof({ size, index, path: pathOf(tree, index, count), signature: rootOf(tree) })

      for (let index = 0; index < size; index++) {
        for (let count = 1; index + count <= size; count++) {
          const proofs = new Proofs(proofOf(index, count), count)

          for (let from = 0; from < count; from++) {
            expect(proofs.proofOf(from)).to.deep.equal(proofOf(index + from))
            expect(proofs.sizeOf(from)).to.equal(proofOf(index + from).byteLength)
            expect(proofs.part(from, count - from).bytes).to.deep.equal(proofOf(index + from, count - from))
            expect(proofs.part(0, from + 1).bytes).to.deep.equal(proofOf(index, from + 1))
          }
        }
      }
    }
  })

  it('has each node of the tree at most once, where it is that of a whole batch', async () => {
    for (const size of [1, 2, 7, 64]) {
      const tree = await done(treeOf(leaves(size)))
      const path = pathOf(tree, 0, size)
      const nodes = Array.from({ length: path.byteLength / 32 }, (_, i) => toString(path.subarray(i * 32, i * 32 + 32), 'base16'))

      expect(new Set(nodes).size).to.equal(nodes.length)
      expect(nodes.length).to.equal(2 * (size - 1))
    }
  })

  it('of one entry is not looked into: it may be anything', () => {
    const proofs = new Proofs(Uint8Array.of(7, 7))

    expect(proofs.proofOf(0)).to.deep.equal(Uint8Array.of(7, 7))
    expect([proofs.sizeOf(0), proofs.part(0, 1)]).to.deep.equal([2, proofs])
  })

  it('is refused for more entries than the batch has', async () => {
    const tree = await done(treeOf(leaves(5)))
    const bytes = encodeProof({ size: 5, index: 2, path: pathOf(tree, 2, 3), signature: rootOf(tree) })

    expect(decodeProof(bytes, 3).index).to.equal(2)
    expect(() => decodeProof(bytes, 4)).to.throw(MalformedError, 'entry 5')
  })
})

describe('a proof', () => {
  it('comes out as it went in', () => {
    const anyPlace = fc.integer({ min: 1, max: MAX_BATCH }).chain(size => fc.record({ size: fc.constant(size), index: fc.integer({ min: 0, max: size - 1 }) }))

    fc.assert(fc.property(anyPlace, fc.uint8Array({ maxLength: 4096 }), ({ size, index }, signature) => {
      const proof = { size, index, path: new Uint8Array(32 * pathLength(size, index)).fill(9), signature }
      expect(decodeProof(encodeProof(proof))).to.deep.equal(proof)
    }), { numRuns: 100 })
  })

  it('is written and read as it was at first', () => {
    for (const { entries, proofs } of BATCHES) {
      proofs.forEach((hex, i) => {
        const proof = decodeProof(fromString(hex, 'base16'))
        expect(proof).to.include({ size: entries.length, index: i })
        expect(toString(encodeProof(proof), 'base16')).to.equal(hex)
      })
    }
  })

  it('is refused wherever it is cut off, and with anything behind it', () => {
    for (const hex of BATCHES.flatMap(({ proofs }) => proofs)) {
      const bytes = fromString(hex, 'base16')

      for (let length = 0; length < bytes.byteLength; length++) {
        expect(() => decodeProof(bytes.subarray(0, length))).to.throw(MalformedError)
      }
      expect(() => decodeProof(Uint8Array.from([...bytes, 0]))).to.throw(MalformedError, 'behind')
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
