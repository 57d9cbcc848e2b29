import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { SPECS } from '../../../src/log/core/rows.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { addLanesOf, LANES } from '../../../src/storage/core/fingerprint.ts'
import { Table } from '../../../src/storage/core/table.ts'
import { makeRun, MemoryPages, pagesOf, someKeys } from '../../fixtures/runs.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { Rows, TableSpec } from '../../../src/storage/core/rows.ts'

type Step = 'change' | 'freeze' | 'thaw' | 'merge' | 'forget' | 'sumUp'
const anySteps = fc.array(fc.oneof(
  { weight: 30, arbitrary: fc.constant<Step>('change') },
  { weight: 2, arbitrary: fc.constantFrom<Step>('freeze', 'thaw', 'thaw', 'merge', 'forget', 'sumUp') }
), { maxLength: 250, size: 'max' })

/** A table in memtables and runs of tiny pages, and a set that was told the same */
class Pair {
  readonly source = new MemoryPages()
  readonly table: Table
  readonly naive = new Map<string, Uint8Array>()
  readonly keys: Uint8Array[]
  readonly #spec: TableSpec
  readonly #random: Random
  #frozen?: Rows[]

  constructor (spec: TableSpec, random: Random, size: number) {
    this.#spec = spec
    this.#random = random
    this.table = new Table(spec, this.source)
    this.keys = someKeys(spec, size, random)
  }

  do (step: Step): void {
    const { table } = this
    const tiny = { spec: this.#spec, pageRows: 1 + randomInt(this.#random, 5), partPages: 1 + randomInt(this.#random, 3) }

    if (step === 'change') {
      this.change(this.keys[randomInt(this.#random, this.keys.length)])
    } else if (step === 'freeze' && this.#frozen == null) {
      this.#frozen = table.freeze()
    } else if (step === 'thaw' && this.#frozen != null) {
      table.thaw(makeRun(this.source, { ...tiny, inputs: [this.#frozen], isBottom: table.runs.length === 0 }))
      this.#frozen = undefined
    } else if (step === 'merge' && table.runs.length > 1) {
      const at = randomInt(this.#random, table.runs.length - 1)
      const some = table.runs.slice(at, at + 2 + randomInt(this.#random, 2))
      const inputs = some.map(run => pagesOf(this.source, this.#spec, run))
      table.replace(some, makeRun(this.source, { ...tiny, inputs, isBottom: at === 0 }))
    } else if (step === 'forget') {
      this.source.forget()
    } else if (step === 'sumUp') {
      // as much of it as there is time for
      table.sumUp().next()
    }
  }

  change (key: Uint8Array): void {
    if (this.naive.delete(key.join())) {
      this.table.remove(key)
    } else {
      this.naive.set(key.join(), key)
      this.table.add(key)
    }
  }

  sorted (): Uint8Array[] {
    return [...this.naive.values()].sort(compare)
  }

  /** Some bytes that keys begin with, or a whole key, or one that is not there */
  somePrefix (): Uint8Array {
    const key = this.keys[randomInt(this.#random, this.keys.length)].slice()
    key[1 + randomInt(this.#random, 3)] += randomInt(this.#random, 2)
    return key.subarray(0, [1, 2, 3, 4, key.byteLength][randomInt(this.#random, 5)])
  }

  expectSame (): void {
    const { table, source } = this
    expect(table.count).to.equal(this.naive.size)

    for (const key of this.keys) {
      const found = source.answer(() => table.find(key.subarray(0, Math.min(key.byteLength, 36))))
      expect(found?.join()).to.equal(this.naive.get(key.join())?.join())
    }
    for (let i = 0; i < 6; i++) {
      const prefix = this.somePrefix()
      const begins = this.sorted().filter(key => compare(key.subarray(0, prefix.byteLength), prefix) === 0)
      expect(joined(source.answer(() => table.findAll(prefix)).sort(compare))).to.deep.equal(joined(begins))
    }
  }

  expectScan (): void {
    const { table, source } = this
    const isBelow = (key: Uint8Array, bound: Uint8Array): boolean => compare(key.subarray(0, bound.byteLength), bound) < 0
    const from = this.#random() < 0.7 ? this.somePrefix() : undefined
    const to = this.#random() < 0.5 ? this.somePrefix() : undefined
    const limit = [1, 3, 1000][randomInt(this.#random, 3)]
    const up = this.sorted().filter(key => (from == null || !isBelow(key, from)) && (to == null || isBelow(key, to))).slice(0, limit)
    const down = this.sorted().filter(key => from == null || isBelow(key, from)).reverse().slice(0, limit)

    expect(joined(source.answer(() => table.scan({ from, to, limit })))).to.deep.equal(joined(up))
    expect(joined(source.answer(() => table.scan({ from, limit, reverse: true })))).to.deep.equal(joined(down))
  }

  expectSummary (): void {
    const { table, source } = this
    const [a, b] = [this.somePrefix(), this.somePrefix()].sort(compare)

    for (const [from, to] of [[a, b], [undefined, b], [a, undefined], [undefined, undefined]]) {
      const sum = new Uint32Array(LANES)
      const inside = this.sorted().filter(key => {
        return (from == null || compare(key.subarray(0, from.byteLength), from) >= 0) && (to == null || compare(key.subarray(0, to.byteLength), to) < 0)
      })
      inside.forEach(key => { addLanesOf(sum, key, this.#spec.sumAt ?? 0) })
      const summary = source.answer(() => table.summary(from, to))
      expect(summary.count).to.equal(inside.length)
      expect(summary.sum).to.deep.equal(sum)
    }
  }
}

function joined (keys: Uint8Array[]): string[] {
  return keys.map(key => key.join())
}

describe('a table in memtables and runs', () => {
  for (const name of ['ring', 'groups', 'order', 'named'] as const) {
    it(`is the set that it was told of: the one of '${name}'`, () => {
      fc.assert(fc.property(anySteps, fc.nat(), fc.integer({ min: 1, max: 40 }), (steps, seed, size) => {
        const pair = new Pair(SPECS[name], seededRandom(seed), size)
        steps.forEach(step => { pair.do(step) })
        pair.expectSame()

        for (let i = 0; i < 8; i++) {
          pair.expectScan()
        }
        if (SPECS[name].sumAt != null) {
          pair.expectSummary()
        }
      }), { seed: 1, numRuns: 100 })
    }).timeout(60_000)
  }

  it('is asked for pages all at once, and changes nothing before they are there', () => {
    const pair = new Pair(SPECS.ring, seededRandom(5), 40)

    for (let i = 0; i < 4; i++) {
      pair.keys.forEach((key, k) => {
        if (k % 4 === i) {
          pair.change(key)
        }
      })
      pair.do('freeze')
      pair.do('thaw')
    }

    pair.source.forget()
    // of each run its part, then its pages
    const { missing } = { missing: [], ...pair.source.tryAnswer(() => pair.table.scan({ limit: 1000 })) }
    expect(missing.length).to.equal(4)
    pair.expectSame()
  })

  it('looks for a key only where its filter says that it may be', () => {
    const pair = new Pair(SPECS.ring, seededRandom(6), 400)
    pair.keys.slice(0, 200).forEach(key => { pair.change(key) })
    const rows = pair.table.freeze()
    pair.table.thaw(makeRun(pair.source, { spec: SPECS.ring, inputs: [rows], pageRows: 10, partPages: 30, isBottom: true }))
    // the part itself
    pair.source.answer(() => pair.table.find(pair.keys[300].subarray(0, 36)))
    const { reads } = pair.source
    pair.keys.slice(200).forEach(key => { expect(pair.source.answer(() => pair.table.find(key.subarray(0, 36)))).to.equal(undefined) })

    expect(pair.source.reads - reads).to.be.at.most(10)
  })
})
