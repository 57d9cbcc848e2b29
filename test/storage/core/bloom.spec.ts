import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { addToBloom, mayHave, newBloom } from '../../../src/storage/core/bloom.ts'

function someBytes (count: number, length: number, seed: number): Uint8Array[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => Uint8Array.from({ length }, () => randomInt(random, 256)))
}

describe('a Bloom filter', () => {
  it('never says of a key that is there that it is not, wherever the key lies in its row', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ minLength: 12, maxLength: 12 }), { maxLength: 50 }), fc.nat(4), (rows, at) => {
      const filter = newBloom(rows.length)
      rows.forEach(row => { addToBloom(filter, row, at) })
      expect(rows.every(row => mayHave(filter, row, at))).to.equal(true)
    }), { seed: 1, numRuns: 200 })
  })

  for (const [what, change] of [
    ['are hashes', (row: Uint8Array) => row],
    // as those of one part of a large run do
    ['begin alike', (row: Uint8Array) => row.fill(7, 0, 5)],
    ['end alike', (row: Uint8Array) => row.fill(7, 3)]
  ] as const) {
    it(`lets about one in a hundred pass of those that are not there, where keys ${what}`, () => {
      const rows = someBytes(20_000, 8, 3).map(change)
      const here = new Set(rows.map(row => row.join()))
      const filter = newBloom(rows.length)
      rows.forEach(row => { addToBloom(filter, row, 0) })
      const others = someBytes(20_000, 8, 4).map(change).filter(row => !here.has(row.join()))
      const passed = others.filter(row => mayHave(filter, row, 0)).length

      expect(rows.every(row => mayHave(filter, row, 0))).to.equal(true)
      expect(passed / others.length).to.be.within(0.002, 0.02)
    })
  }

  it('has ten bits for each key', () => {
    expect(newBloom(0).byteLength).to.equal(1)
    expect(newBloom(8000).byteLength).to.be.within(10_000, 10_001)
    expect(mayHave(newBloom(0), new Uint8Array(8), 0)).to.equal(false)
  })
})
