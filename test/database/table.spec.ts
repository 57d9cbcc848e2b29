import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { decodeHead, decodeRows, encodeHead, encodeRows, nameOf, recordOf } from '../../src/database/core/records.ts'
import { compareVersions, Table } from '../../src/database/core/table.ts'
import type { OnRow, Row } from '../../src/database/core/table.ts'

const KEYS = ['a', 'b', 'c']

const row: fc.Arbitrary<Row> = fc.record({
  // few, so that ties are frequent: they are decided by what comes next
  time: fc.nat(3),
  counter: fc.nat(2),
  id: fc.tuple(fc.nat(5), fc.nat(255)).map(([first, last]) => Uint8Array.of(first, ...new Uint8Array(30), last)),
  arrival: fc.nat(1000),
  isDeleted: fc.boolean(),
  fields: fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 3 })
})
/** What is said of a key, once for each entry: an entry that comes again comes as it was */
const versions = fc.uniqueArray(fc.tuple(fc.constantFrom(...KEYS), row), { selector: ([, { id }]) => id.join(), maxLength: 40 })
/** Positions in the list, each as often as it likes, and all of them at least once */
const shuffled = versions.chain(all => fc.tuple(fc.constant(all), fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length })))

describe('the table of a database', () => {
  it('is the same for the same entries, in whatever order they come, and however often', () => {
    fc.assert(fc.property(shuffled, ([all, again]) => {
      expect(contents(filled(again))).to.deep.equal(contents(filled(all)))
    }))
  })

  it('has the last one of each key in the order of the log', () => {
    fc.assert(fc.property(versions, all => {
      const table = filled(all)

      for (const key of KEYS) {
        const last = all.filter(([of]) => of === key).map(([, row]) => row).sort(compareVersions).at(-1)
        expect(table.get(key)).to.equal(last)
      }
      expect(table.size).to.equal(KEYS.filter(key => table.get(key)?.isDeleted === false).length)
    }))
  })

  it('is what a checkpoint and all that came after it make, also if some of that came before', () => {
    fc.assert(fc.property(shuffled, fc.nat(80), fc.nat(80), ([, all], cut, overlap) => {
      const before = new Table()
      const disk: Uint8Array[] = []
      all.slice(0, cut).forEach(([key, row], i) => {
        before.apply(key, row)

        if (i % 7 === 0) {
          store(before, disk)
        }
      })
      store(before, disk)
      const after = new Table()
      disk.flatMap(decodeRows).forEach(([key, row]) => { after.restore(key, row as Row) })
      expect(after.changes()).to.deep.equal([])
      all.slice(Math.max(0, cut - overlap)).forEach(([key, row]) => { after.apply(key, row) })
      expect(contents(after)).to.deep.equal(contents(filled(all)))
      expect(after.size).to.equal(filled(all).size)
    }))
  })

  it('forgets an entry that is gone from the log, and no other one in its place', () => {
    fc.assert(fc.property(versions, fc.nat(40), (all, which) => {
      const told: unknown[] = []
      const table = filled(all, (...change) => { told.push(change) })
      table.changes()
      told.length = 0
      const [key, { id }] = all[which % Math.max(1, all.length)] ?? ['a', { id: new Uint8Array(32) }]
      const before = table.get(key)
      const isIt = before?.id === id
      table.forget(key, id)
      expect(told).to.deep.equal(isIt ? [[key, before, undefined]] : [])
      expect(table.get(key)).to.equal(isIt ? undefined : before)
      expect(table.changes()).to.deep.equal(isIt ? [[key, undefined]] : [])
      expect(table.size).to.equal(KEYS.filter(key => table.get(key)?.isDeleted === false).length)
    }))
  })

  it('has the last arrival of an entry that went from the log and came back', () => {
    const table = new Table()
    const row = { time: 1, counter: 0, id: new Uint8Array(32), arrival: 4, isDeleted: false, fields: [] }
    table.restore('a', row)
    table.apply('a', { ...row, arrival: 9 })
    table.apply('a', { ...row, arrival: 7 })
    expect(table.get('a')?.arrival).to.equal(9)
    expect(table.changes()).to.deep.equal([['a', { ...row, arrival: 9 }]])
  })

  it('tells of what changed once, and again what could not be stored', () => {
    const table = filled([['a', { time: 1, counter: 0, id: new Uint8Array(32), arrival: 0, isDeleted: false, fields: [] }]])
    const changes = table.changes()
    expect(changes).to.have.lengthOf(1)
    expect(table.changes()).to.deep.equal([])
    table.keepChanges(changes)
    expect(table.changes()).to.deep.equal(changes)
  })

  it('rows, their records and how far they go are read as they were written', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.option(row, { nil: undefined }))), fc.maxSafeNat(), fc.array(fc.string({ unit: 'grapheme' })), fc.boolean(), (changes, number, form, isCounted) => {
      const head = { next: number, first: 7, end: number, form, ...isCounted && { entries: number % 3 } }
      expect(decodeRows(encodeRows(changes))).to.deep.equal(changes)
      expect(decodeHead(encodeHead(head))).to.deep.equal(head)
      expect(recordOf(nameOf(number))).to.equal(number)
    }))
    expect(decodeRows(encodeRows([['\ufeffa key']]))).to.deep.equal([['\ufeffa key', undefined]])
  })
})

function filled (all: Array<[key: string, row: Row]>, onRow?: OnRow): Table {
  const table = new Table(onRow)
  all.forEach(([key, row]) => { table.apply(key, row) })
  return table
}

function contents (table: Table): Array<Row | undefined> {
  return KEYS.map(key => table.get(key))
}

/** As on a shelf */
function store (table: Table, disk: Uint8Array[]): void {
  disk.push(encodeRows(table.changes()))
}
