import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { addLanesOf, LANES, subtractLanesOf } from '../../../src/storage/core/fingerprint.ts'
import { MemTable } from '../../../src/storage/core/mem-table.ts'
import { keyAt, signAt } from '../../../src/storage/core/rows.ts'
import { someKeys } from '../../fixtures/runs.ts'
import type { Random } from '../../../src/runtime/random.ts'

const RING = { id: 0, name: 'ring', width: 45, sumAt: 4, bloomAt: 12 }

interface Row {
  key: Uint8Array
  sign: 1 | -1
}

/** A memtable, and a map that was told the same */
class Pair {
  readonly mem = new MemTable(RING)
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

  /** Of the rows from one key, or from all that begin with some bytes, up to another one */
  expectSummary (from?: Uint8Array, to?: Uint8Array): void {
    const isBelow = (key: Uint8Array, bound: Uint8Array): boolean => compare(key.subarray(0, bound.byteLength), bound) < 0
    const inside = this.sorted().filter(({ key }) => (from == null || !isBelow(key, from)) && (to == null || isBelow(key, to)))
    const naive = new Uint32Array(LANES).fill(7)
    inside.forEach(({ key, sign }) => { (sign === 1 ? addLanesOf : subtractLanesOf)(naive, key, RING.sumAt) })
    const sum = new Uint32Array(LANES).fill(7)

    expect(this.mem.summaryInto(sum, from, to)).to.equal(inside.reduce((sum, { sign }) => sum + sign, 0))
    expect(sum).to.deep.equal(naive)
  }

  /** Up to a key, from it on, and between it and another one */
  expectSummaries (key: Uint8Array, other: Uint8Array): void {
    this.expectSummary(undefined, key)
    this.expectSummary(key)
    this.expectSummary(...[key, other].sort(compare))
  }
}

describe('a memtable', () => {
  it('is the sorted set that it was told of, with its counts and sums, in whatever order that was', () => {
    fc.assert(fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 150 }), (seed, size, changes) => {
      const random = seededRandom(seed)
      const pair = new Pair()
      const keys = someKeys(RING, size, random)

      for (let i = 0; i < changes; i++) {
        pair.toggle(keys[randomInt(random, keys.length)], random)

        if (i % 10 === 0) {
          // sums that were asked for before a change are right after it
          pair.expectSummaries(keys[randomInt(random, keys.length)], keys[randomInt(random, keys.length)])
        }
      }

      pair.expectSame()
      keys.slice(0, 10).forEach((key, i) => { pair.expectSummaries(key, keys[i >> 1]) })
      pair.expectSummaries(keys[0].subarray(0, 2), keys[randomInt(random, keys.length)].subarray(0, 3))
      pair.expectSummary()
    }), { seed: 1, numRuns: 60 })
  }).timeout(60_000)

  for (const [how, order] of [['ascending', 1], ['descending', -1], ['no', 0]] as const) {
    it(`stays whole when its chunks fill up and are cut, by keys in ${how} order`, () => {
      const random = seededRandom(7)
      const pair = new Pair()
      const keys = someKeys(RING, 2_000, random)

      if (order !== 0) {
        keys.sort((a, b) => compare(a, b) * order)
      }
      for (const [i, key] of keys.entries()) {
        pair.change(key, 1)

        if (i % 97 === 0) {
          pair.mem.chunks.forEach(chunk => { pair.mem.sumUp(chunk) })
        }
      }

      pair.expectSame()
      pair.expectSummary()
      pair.expectSummaries(keys[1234], keys[567])
      // rows that come in order leave full chunks behind
      expect(pair.mem.chunks.length).to.be.at.most(order === 1 ? 8 : 16)
      keys.forEach((key, i) => {
        if (i % 3 > 0) {
          pair.change(key, -1)
        }
      })
      pair.expectSame()
      pair.expectSummaries(keys[999], keys[1001])
    })
  }

  it('is empty again when all that was added is removed, or all that was removed is added', () => {
    const pair = new Pair()
    const keys = someKeys(RING, 600, seededRandom(3))
    const half = (i: number): 1 | -1 => i % 2 === 0 ? 1 : -1
    keys.forEach((key, i) => { pair.change(key, half(i)) })
    keys.forEach((key, i) => { pair.change(key, half(i) === 1 ? -1 : 1) })

    expect([pair.mem.rows, pair.mem.count, pair.mem.chunks.length]).to.deep.equal([0, 0, 1])
    pair.expectSummary()
    pair.change(keys[5], 1)
    pair.expectSame()
  })

  it('does not change with the key that it was handed', () => {
    const pair = new Pair()
    const [key] = someKeys(RING, 1, seededRandom(4))
    const handed = key.slice()
    pair.mem.add(handed)
    handed.fill(0)

    expect(keyAt(pair.mem.chunks[0], 0)).to.deep.equal(key)
  })

  it('sums up each chunk once, before somebody asks, and says the same then', () => {
    const pair = new Pair()
    const keys = someKeys(RING, 700, seededRandom(5))
    keys.forEach(key => { pair.change(key, 1) })

    expect(pair.mem.chunks.every(chunk => pair.mem.sumUp(chunk))).to.equal(true)
    expect(pair.mem.chunks.some(chunk => pair.mem.sumUp(chunk))).to.equal(false)
    pair.expectSummaries(keys[3], keys[4])
    pair.expectSummary()
  })

  it('without sums has none to ask for', () => {
    const mem = new MemTable({ id: 3, name: 'dead', width: 6 })
    someKeys({ ...RING, width: 6 }, 300, seededRandom(6)).forEach(key => { mem.add(key) })
    const sum = new Uint32Array(LANES)

    expect(mem.chunks.some(chunk => mem.sumUp(chunk))).to.equal(false)
    expect(mem.summaryInto(sum)).to.equal(300)
    expect(sum).to.deep.equal(new Uint32Array(LANES))
  })
})
