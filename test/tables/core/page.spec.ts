import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { addLanesOf, LANES, subtractLanesOf } from '../../../src/tables/core/fingerprint.ts'
import { countOf, decodePage, encodePage, keyAt, lowerBound, prefixInto, signAt, sumInto } from '../../../src/tables/core/page.ts'
import { ID_AT, SPECS, TABLES } from '../../../src/log/core/rows.ts'
import { MalformedError } from '../../../src/runtime/errors.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import { rowsOf, someKeys } from '../../fixtures/runs.ts'
import type { Rows } from '../../../src/tables/core/page.ts'
import type { TableName } from '../../../src/log/core/rows.ts'

function somePage (table: TableName, size: number, seed = 1): { rows: Rows, keys: Uint8Array[], removed: boolean[] } {
  const random = seededRandom(seed)
  const keys = someKeys(table, size, random).sort(compare)
  const removed = keys.map(() => random() < 0.3)
  return { rows: rowsOf(table, keys.map((key, i) => ({ key, isRemoved: removed[i] }))), keys, removed }
}

function naiveSum (keys: Uint8Array[], removed: boolean[]): Uint32Array {
  const sum = new Uint32Array(LANES)
  keys.forEach((key, i) => { (removed[i] ? subtractLanesOf : addLanesOf)(sum, key, ID_AT) })
  return sum
}

describe('sorted rows', () => {
  it('say how many of them are below a key, or below all that begin with some bytes', () => {
    fc.assert(fc.property(fc.nat(60), fc.nat(1000), fc.uint8Array({ minLength: 1, maxLength: 6, max: 3 }), (size, seed, prefix) => {
      const { rows, keys } = somePage('order', size, seed)
      expect(lowerBound(rows, prefix)).to.equal(keys.filter(key => compare(key.subarray(0, prefix.byteLength), prefix) < 0).length)
      keys.forEach((key, i) => { expect(lowerBound(rows, key)).to.equal(i) })
    }), { seed: 1, numRuns: 200 })
  })

  it('hand out keys as copies, and what each row does to its key', () => {
    const { rows, keys, removed } = somePage('ring', 10)
    keyAt(rows, 3).fill(0xff)

    expect(keys.map((_, i) => keyAt(rows, i).join())).to.deep.equal(keys.map(key => key.join()))
    expect(keys.map((_, i) => signAt(rows, i))).to.deep.equal(removed.map(isRemoved => isRemoved ? -1 : 1))
  })

  it('count what they add, less what they remove, from any row to any other one', () => {
    const { rows, keys, removed } = somePage('ring', 20)

    for (let start = 0; start <= keys.length; start++) {
      for (let end = start; end <= keys.length; end++) {
        const count = removed.slice(start, end).reduce((sum, isRemoved) => sum + (isRemoved ? -1 : 1), 0)
        expect(countOf(rows, start, end)).to.equal(count)
      }
    }
  })

  it('sum up to what the ids in them do, added and taken away', () => {
    const { rows, keys, removed } = somePage('ring', 40)
    const sum = new Uint32Array(LANES)
    sumInto(sum, rows, 5, 30)
    expect(sum).to.deep.equal(naiveSum(keys.slice(5, 30), removed.slice(5, 30)))
    sumInto(sum, rows, 5, 30, -1)
    expect(sum).to.deep.equal(new Uint32Array(LANES))
  })
})

describe('a page', () => {
  it('comes out as it went in, of every table', () => {
    for (const table of TABLES) {
      for (const size of [1, 2, 31, 32, 33, 64, 65, 100]) {
        const { rows } = somePage(table, size)
        const { bytes, sum } = encodePage(7, table, rows)
        const page = decodePage(bytes, 7, table)

        expect([page.size, page.stride, page.bytes.join()]).to.deep.equal([size, rows.stride, rows.bytes.join()])
        expect([sum == null, page.sums == null]).to.deep.equal([!SPECS[table].isSummed, !SPECS[table].isSummed])
      }
    }
  })

  it('says what it sums up to, and what all rows before any one do, whatever its size', () => {
    for (const size of [1, 2, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 97, 130]) {
      const { rows, keys, removed } = somePage('ring', size, size)
      const { bytes, sum } = encodePage(1, 'ring', rows)
      const page = decodePage(bytes, 1, 'ring')
      expect(sum).to.deep.equal(naiveSum(keys, removed))

      for (let index = 0; index <= size; index++) {
        const prefix = new Uint32Array(LANES)
        prefixInto(prefix, page, index)
        expect(prefix, `${index} of ${size}`).to.deep.equal(naiveSum(keys.slice(0, index), removed))
      }
    }
  })

  it('is refused under another number, as one of another table, torn, and with any bit changed', () => {
    const { bytes } = encodePage(7, 'dead', somePage('dead', 10).rows)

    expect(() => decodePage(bytes, 8, 'dead')).to.throw(MalformedError, 'number 7')
    expect(() => decodePage(bytes, 7, 'named')).to.throw(MalformedError)
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => decodePage(bytes.subarray(0, length), 7, 'dead')).to.throw(MalformedError)
    }
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const flipped = bytes.map((byte, i) => i === bit >> 3 ? byte ^ 1 << bit % 8 : byte)
      expect(() => decodePage(flipped, 7, 'dead')).to.throw(MalformedError)
    }
  })
})
