import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { keyAt, signAt } from '../../../src/storage/core/rows.ts'
import { merged, rowsOf, someKeys } from '../../fixtures/runs.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { Rows } from '../../../src/storage/core/rows.ts'

const DEAD = { id: 3, name: 'dead', width: 6 }

interface Row {
  key: Uint8Array
  isRemoved: boolean
}

/** Runs that a table may have, the oldest first: a key is added and removed in turns */
function someRuns (random: Random, runs: number, isBottom: boolean): Row[][] {
  const keys = someKeys(DEAD, 30, random)
  const state = new Map(keys.map((key): [string, boolean] => [key.join(), !isBottom && random() < 0.5]))

  return Array.from({ length: runs }, () => keys.filter(() => random() < 0.4).sort(compare).map(key => {
    const isRemoved = state.get(key.join()) === true
    state.set(key.join(), !isRemoved)
    return { key, isRemoved }
  }))
}

/** In pieces of any size, some of which are empty */
function inPieces (rows: Row[], random: Random): Rows[] {
  const pieces: Rows[] = []
  for (let at = 0; at < rows.length;) {
    const size = randomInt(random, 5)
    pieces.push(rowsOf(DEAD, rows.slice(at, at + size)))
    at += size
  }
  return pieces
}

function flat (pages: Rows[]): string[] {
  return pages.flatMap(page => Array.from({ length: page.size }, (_, i) => `${signAt(page, i)} ${keyAt(page, i).join()}`))
}

describe('a merge of runs', () => {
  for (const isBottom of [true, false]) {
    it(`leaves what they say together, in order, where there is ${isBottom ? 'no' : 'an'} older run`, () => {
      fc.assert(fc.property(fc.nat(), fc.nat(4), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 20 }), (seed, count, pageRows, maxRows) => {
        const random = seededRandom(seed)
        const runs = someRuns(random, count, isBottom)
        const sums = new Map<string, { key: Uint8Array, sum: number }>()

        for (const { key, isRemoved } of runs.flat()) {
          const before = sums.get(key.join())?.sum ?? 0
          sums.set(key.join(), { key, sum: before + (isRemoved ? -1 : 1) })
        }

        const left = [...sums.values()].filter(({ sum }) => sum !== 0).sort((a, b) => compare(a.key, b.key))
        const pages = merged({ spec: DEAD, inputs: runs.map(rows => inPieces(rows, random)), pageRows, isBottom }, maxRows)
        expect(flat(pages)).to.deep.equal(left.map(({ key, sum }) => `${sum} ${key.join()}`))
        expect(pages.slice(0, -1).every(({ size }) => size === pageRows)).to.equal(true)
      }), { seed: 1, numRuns: 200 })
    })
  }

  it('of removals alone is nothing where there is no older run', () => {
    const rows = rowsOf(DEAD, someKeys(DEAD, 10, seededRandom(1)).sort(compare).map(key => ({ key, isRemoved: true })))

    expect(merged({ spec: DEAD, inputs: [[rows]], pageRows: 4, isBottom: true })).to.deep.equal([])
    expect(flat(merged({ spec: DEAD, inputs: [[rows]], pageRows: 4, isBottom: false }))).to.have.lengthOf(10)
  })

  it('of nothing is nothing', () => {
    expect(merged({ spec: DEAD, inputs: [], pageRows: 4, isBottom: true })).to.deep.equal([])
    expect(merged({ spec: DEAD, inputs: [[], []], pageRows: 4, isBottom: false })).to.deep.equal([])
  })
})
