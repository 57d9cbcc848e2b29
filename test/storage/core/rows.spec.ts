import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { addLanesOf, LANES, subtractLanesOf } from '../../../src/storage/core/fingerprint.ts'
import { countOf, keyAt, lowerBound, signAt, successor, sumInto } from '../../../src/storage/core/rows.ts'
import { someRows } from '../../fixtures/runs.ts'

const RING = { id: 0, name: 'ring', width: 45, sumAt: 4, bloomAt: 12 }
const ORDER = { id: 1, name: 'order', width: 22 }

function naiveSum (keys: Uint8Array[], removed: boolean[]): Uint32Array {
  const sum = new Uint32Array(LANES)
  keys.forEach((key, i) => { (removed[i] ? subtractLanesOf : addLanesOf)(sum, key, RING.sumAt) })
  return sum
}

describe('sorted rows', () => {
  it('say how many of them are below a key, or below all that begin with some bytes', () => {
    fc.assert(fc.property(fc.nat(60), fc.nat(1000), fc.uint8Array({ minLength: 1, maxLength: 6, max: 3 }), (size, seed, prefix) => {
      const { rows, keys } = someRows(ORDER, size, seed)
      expect(lowerBound(rows, prefix)).to.equal(keys.filter(key => compare(key.subarray(0, prefix.byteLength), prefix) < 0).length)
      keys.forEach((key, i) => { expect(lowerBound(rows, key)).to.equal(i) })
    }), { seed: 1, numRuns: 200 })
  })

  it('hand out keys as copies, and what each row does to its key', () => {
    const { rows, keys, removed } = someRows(RING, 10)
    keyAt(rows, 3).fill(0xff)

    expect(keys.map((_, i) => keyAt(rows, i).join())).to.deep.equal(keys.map(key => key.join()))
    expect(keys.map((_, i) => signAt(rows, i))).to.deep.equal(removed.map(isRemoved => isRemoved ? -1 : 1))
  })

  it('count what they add, less what they remove, from any row to any other one', () => {
    const { rows, keys, removed } = someRows(RING, 20)

    for (let start = 0; start <= keys.length; start++) {
      for (let end = start; end <= keys.length; end++) {
        const count = removed.slice(start, end).reduce((sum, isRemoved) => sum + (isRemoved ? -1 : 1), 0)
        expect(countOf(rows, start, end)).to.equal(count)
      }
    }
  })

  it('sum up to what the ids in them do, added and taken away', () => {
    const { rows, keys, removed } = someRows(RING, 40)
    const sum = new Uint32Array(LANES)
    sumInto(sum, rows, RING.sumAt, 5, 30)
    expect(sum).to.deep.equal(naiveSum(keys.slice(5, 30), removed.slice(5, 30)))
    sumInto(sum, rows, RING.sumAt, 5, 30, -1)
    expect(sum).to.deep.equal(new Uint32Array(LANES))
  })

  it('are followed by a next key, but for the last one', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 5 }), key => {
      const next = successor(key)
      const number = key.reduce((sum, byte) => sum * 256 + byte, 0)

      if (number === 256 ** key.byteLength - 1) {
        expect(next).to.equal(undefined)
      } else {
        expect(next?.reduce((sum, byte) => sum * 256 + byte, 0)).to.equal(number + 1)
        expect(next?.byteLength).to.equal(key.byteLength)
      }
    }), { seed: 7, numRuns: 300 })
    expect(successor(Uint8Array.of(255, 255))).to.equal(undefined)
    expect(successor(Uint8Array.of(1, 255))).to.deep.equal(Uint8Array.of(2, 0))
  })
})
