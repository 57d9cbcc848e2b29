import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { addLanesOf, LANES, subtractLanesOf } from '../../../src/tables/core/fingerprint.ts'
import { MemTable } from '../../../src/tables/core/mem-table.ts'
import { keyAt, signAt } from '../../../src/tables/core/page.ts'
import { ID_AT, SPECS } from '../../../src/log/core/rows.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { someKeys } from '../../fixtures/runs.ts'
import type { Random } from '../../../src/runtime/random.ts'

interface Row {
  key: Uint8Array
  sign: 1 | -1
}

/** A memtable, and a map that was told the same */
class Pair {
  readonly mem = new MemTable(SPECS.ring)
  readonly naive = new Map<string, Row>()

  change (key: Uint8Array, sign: 1 | -1): void {
    const name = key.join()
    const row = this.naive.get(name)
    sign === 1 ? this.mem.add(key) : this.mem.remove(key)

    if (row == null) {
      this.naive.set(name, { key, sign })
    } else {
      // one that was added and removed was never there
      this.naive.delete(name)
    }
  }

  sorted (): Row[] {
    return [...this.naive.values()].sort((a, b) => compare(a.key, b.key))
  }

  /** Adds what is not there, removes what is: as a table is told */
  toggle (key: Uint8Array, random: Random): void {
    const { sign = random() < 0.7 ? -1 : 1 } = this.naive.get(key.join()) ?? {}
    this.change(key, sign === 1 ? -1 : 1)
  }

  expectSame (): void {
    const { mem } = this
    const rows = mem.chunks.flatMap(chunk => Array.from({ length: chunk.size }, (_, i) => ({ key: keyAt(chunk, i), sign: signAt(chunk, i) })))
    const sorted = this.sorted()

    expect(rows.map(({ key, sign }) => `${sign} ${key.join()}`)).to.deep.equal(sorted.map(({ key, sign }) => `${sign} ${key.join()}`))
    expect([mem.rows, mem.count]).to.deep.equal([sorted.length, sorted.reduce((sum, { sign }) => sum + sign, 0)])
    expect(mem.chunks.every(({ size }) => size >= (sorted.length === 0 ? 0 : 1) && size <= 256)).to.equal(true)
  }

  expectPrefix (key?: Uint8Array): void {
    const below = this.sorted().filter(row => key == null || compare(row.key.subarray(0, key.byteLength), key) < 0)
    const naive = new Uint32Array(LANES)
    below.forEach(({ key, sign }) => { (sign === 1 ? addLanesOf : subtractLanesOf)(naive, key, ID_AT) })
    const sum = new Uint32Array(LANES)

    expect(this.mem.prefixInto(sum, key)).to.equal(below.reduce((sum, { sign }) => sum + sign, 0))
    expect(sum).to.deep.equal(naive)
    expect(this.mem.prefixInto(undefined, key)).to.equal(below.reduce((sum, { sign }) => sum + sign, 0))
  }
}

describe('a memtable', () => {
  it('is the sorted set that it was told of, with its counts and sums, in whatever order that was', () => {
    fc.assert(fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 150 }), (seed, size, changes) => {
      const random = seededRandom(seed)
      const pair = new Pair()
      const keys = someKeys('ring', size, random)

      for (let i = 0; i < changes; i++) {
        pair.toggle(keys[randomInt(random, keys.length)], random)

        if (i % 10 === 0) {
          // sums that were asked for before a change are right after it
          pair.expectPrefix(keys[randomInt(random, keys.length)])
        }
      }

      pair.expectSame()
      keys.slice(0, 10).forEach(key => { pair.expectPrefix(key) })
      pair.expectPrefix(keys[0].subarray(0, 2))
      pair.expectPrefix()
    }), { seed: 1, numRuns: 60 })
  }).timeout(60_000)

  for (const [how, order] of [['ascending', 1], ['descending', -1], ['no', 0]] as const) {
    it(`stays whole when its chunks fill up and are cut, by keys in ${how} order`, () => {
      const random = seededRandom(7)
      const pair = new Pair()
      const keys = someKeys('ring', 2_000, random)

      if (order !== 0) {
        keys.sort((a, b) => compare(a, b) * order)
      }
      for (const [i, key] of keys.entries()) {
        pair.change(key, 1)

        if (i % 97 === 0) {
          pair.mem.prefixInto(new Uint32Array(LANES))
        }
      }

      pair.expectSame()
      pair.expectPrefix()
      pair.expectPrefix(keys[1234])
      // rows that come in order leave full chunks behind
      expect(pair.mem.chunks.length).to.be.at.most(order === 1 ? 8 : 16)
      keys.forEach((key, i) => {
        if (i % 3 > 0) {
          pair.change(key, -1)
        }
      })
      pair.expectSame()
      pair.expectPrefix(keys[999])
    })
  }

  it('is empty again when all that was added is removed, or all that was removed is added', () => {
    const pair = new Pair()
    const keys = someKeys('ring', 600, seededRandom(3))
    const half = (i: number): 1 | -1 => i % 2 === 0 ? 1 : -1
    keys.forEach((key, i) => { pair.change(key, half(i)) })
    keys.forEach((key, i) => { pair.change(key, half(i) === 1 ? -1 : 1) })

    expect([pair.mem.rows, pair.mem.count, pair.mem.chunks.length]).to.deep.equal([0, 0, 0])
    pair.expectPrefix()
    pair.change(keys[5], 1)
    pair.expectSame()
  })

  it('does not change with the key that it was handed', () => {
    const pair = new Pair()
    const [key] = someKeys('ring', 1, seededRandom(4))
    const handed = key.slice()
    pair.mem.add(handed)
    handed.fill(0)

    expect(keyAt(pair.mem.chunks[0], 0)).to.deep.equal(key)
  })
})
