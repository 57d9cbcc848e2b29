import { expect } from 'aegir/chai'
import { SPECS } from '../../../src/log/core/rows.ts'
import { MalformedError } from '../../../src/runtime/errors.ts'
import { addLanes, addLanesOf, LANES, subtractLanesOf } from '../../../src/storage/core/fingerprint.ts'
import { decodePage, encodePage, sumOfPageInto } from '../../../src/storage/core/page.ts'
import { someRows } from '../../fixtures/runs.ts'

const RING = { id: 0, name: 'ring', width: 45, sumAt: 4, bloomAt: 12 }
const DEAD = { id: 3, name: 'dead', width: 6 }

/** Of the rows before each one, and of all of them */
function naivePrefixes (keys: Uint8Array[], removed: boolean[]): Uint32Array[] {
  const sum = new Uint32Array(LANES)
  return [sum.slice(), ...keys.map((key, i) => {
    (removed[i] ? subtractLanesOf : addLanesOf)(sum, key, RING.sumAt)
    return sum.slice()
  })]
}

describe('a page', () => {
  it('comes out as it went in, of every table of a log', () => {
    for (const spec of Object.values(SPECS)) {
      for (const size of [1, 2, 31, 32, 33, 64, 65, 100]) {
        const { rows } = someRows(spec, size)
        const { bytes, sum } = encodePage(7, spec, rows)
        const page = decodePage(bytes, 7, spec)

        expect([page.size, page.stride, page.bytes.join()]).to.deep.equal([size, rows.stride, rows.bytes.join()])
        expect([sum == null, page.sums == null]).to.deep.equal([spec.sumAt == null, spec.sumAt == null])
      }
    }
  })

  it('says what it sums up to, and what its rows do from any one to any other one, whatever its size', () => {
    for (const size of [1, 2, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 97, 130]) {
      const { rows, keys, removed } = someRows(RING, size, size)
      const { bytes, sum } = encodePage(1, RING, rows)
      const page = decodePage(bytes, 1, RING)
      const prefixes = naivePrefixes(keys, removed)
      expect(sum).to.deep.equal(prefixes[size])

      for (let start = 0; start <= size; start++) {
        for (let end = start; end <= size; end++) {
          const found = new Uint32Array(LANES)
          sumOfPageInto(found, page, RING.sumAt, start, end)
          addLanes(found, 0, prefixes[start])

          if (found.join() !== prefixes[end].join()) {
            expect.fail(`the sum from ${start} to ${end} of ${size}`)
          }
        }
      }
    }
  }).timeout(60_000)

  it('is refused under another number, as one of another table, torn, and with any bit changed', () => {
    const { bytes } = encodePage(7, DEAD, someRows(DEAD, 10).rows)

    expect(() => decodePage(bytes, 8, DEAD)).to.throw(MalformedError, 'number 7')
    expect(() => decodePage(bytes, 7, SPECS.named)).to.throw(MalformedError, 'of the table named')
    expect(() => decodePage(bytes, 7, { ...DEAD, id: 4 })).to.throw(MalformedError, 'table 3')
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => decodePage(bytes.subarray(0, length), 7, DEAD)).to.throw(MalformedError)
    }
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const flipped = bytes.map((byte, i) => i === bit >> 3 ? byte ^ 1 << bit % 8 : byte)
      expect(() => decodePage(flipped, 7, DEAD)).to.throw(MalformedError)
    }
  })
})
