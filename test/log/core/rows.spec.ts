import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { MAX_COUNTER, MAX_TIME } from '../../../src/log/core/entry.ts'
import { compareMoments } from '../../../src/log/core/hybrid-clock.ts'
import * as rows from '../../../src/log/core/rows.ts'

/** Numbers of so many bytes, most of them near to where a byte begins or ends */
function anyNumber (bytes: number): fc.Arbitrary<number> {
  const max = 2 ** (8 * bytes) - 1
  const edges = Array.from({ length: bytes }, (_, i) => [2 ** (8 * i) - 1, 2 ** (8 * i), 2 ** (8 * i + 7)]).flat()
  return fc.oneof(fc.constantFrom(0, max, ...edges), fc.maxSafeInteger().map(n => Math.abs(n) % (max + 1)))
}

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 })
const anyPlace = fc.record({ seq: anyNumber(5), slot: anyNumber(1) })
const anyMoment = fc.record({ time: anyNumber(6), counter: anyNumber(2) })
const anyRing = fc.record({ position: anyNumber(4), id: anyId, seq: anyNumber(5), slot: anyNumber(1), size: anyNumber(3) })
const anyAuthor = fc.record({
  hash: fc.uint8Array({ minLength: rows.AUTHOR_HASH, maxLength: rows.AUTHOR_HASH }),
  time: anyNumber(6),
  counter: anyNumber(2),
  id: anyId,
  previous: fc.option(anyId, { nil: undefined }),
  isNamed: fc.boolean(),
  isHere: fc.boolean()
})

/** Bytes are in the order of what they stand for */
function expectOrder (bytes: Uint8Array, others: Uint8Array, order: number): void {
  expect(Math.sign(compare(bytes, others))).to.equal(Math.sign(order))
}

function comparePlaces (a: rows.Place, b: rows.Place): number {
  return a.seq - b.seq || a.slot - b.slot
}

describe('rows', () => {
  it('of the ring come out as they went in, and lie in the order of positions, then of ids', () => {
    fc.assert(fc.property(anyRing, anyRing, (a, b) => {
      const row = rows.ringRow(a)
      expect(rows.readRingRow(row)).to.deep.equal(a)
      expect(rows.placeIn('ring', row)).to.deep.equal({ seq: a.seq, slot: a.slot })
      expect(row.byteLength).to.equal(rows.SPECS.ring.width)
      expectOrder(row, rows.ringRow(b), a.position - b.position || compare(a.id, b.id) || comparePlaces(a, b) || a.size - b.size)
      expect(compare(row.subarray(0, 36), rows.ringPrefix(a.position, a.id))).to.equal(0)
      expect(compare(row.subarray(0, 4), rows.ringPrefix(a.position))).to.equal(0)
    }), { seed: 1, numRuns: 500 })
  })

  it('of the order lie in the order of moments, and say where an entry lies', () => {
    fc.assert(fc.property(anyMoment, anyMoment, anyId, anyPlace, (a, b, id, place) => {
      const row = rows.orderRow(a, id, place)
      expect(rows.placeIn('order', row)).to.deep.equal(place)
      expect(row.byteLength).to.equal(rows.SPECS.order.width)
      expectOrder(rows.orderPrefix(a), rows.orderPrefix(b), compareMoments(a, b))
      expect(compare(row.subarray(0, 8), rows.orderPrefix(a))).to.equal(0)
    }), { seed: 2, numRuns: 500 })
  })

  it('of groups begin with the id, and say where its group lies', () => {
    fc.assert(fc.property(anyId, anyNumber(4), anyPlace, (id, position, place) => {
      const row = rows.groupRow(id, position, place)
      expect(rows.positionInGroup(row)).to.equal(position)
      expect(rows.placeIn('groups', row)).to.deep.equal(place)
      expect(compare(row.subarray(0, 8), rows.groupPrefix(id))).to.equal(0)
      expect(row.byteLength).to.equal(rows.SPECS.groups.width)
    }), { seed: 3, numRuns: 200 })
  })

  it('of the dead lie in the order of records, then of slots', () => {
    fc.assert(fc.property(anyPlace, anyPlace, (a, b) => {
      expect(rows.placeIn('dead', rows.deadRow(a))).to.deep.equal(a)
      expectOrder(rows.deadRow(a), rows.deadRow(b), comparePlaces(a, b))
      expect(compare(rows.deadRow(a).subarray(0, 5), rows.seqPrefix(a.seq))).to.equal(0)
    }), { seed: 4, numRuns: 500 })
  })

  it('of authors and heads come out as they went in', () => {
    fc.assert(fc.property(anyAuthor, author => {
      const row = rows.authorRow(author)
      expect(rows.readAuthorRow(row)).to.deep.equal(author)
      expect(row.byteLength).to.equal(rows.SPECS.authors.width)
      const head = rows.headRow(author)
      // only what is here, and nobody stands on, is a head
      expect(head && rows.readHeadRow(head)).to.deep.equal(author.isHere && !author.isNamed ? { id: author.id, hash: author.hash } : undefined)
      expect(head?.byteLength ?? rows.SPECS.heads.width).to.equal(rows.SPECS.heads.width)
    }), { seed: 5, numRuns: 200 })
  })

  it('are of tables that each have a number and a name of their own', () => {
    expect(rows.TABLES.map((name, id) => rows.SPECS[name].id === id && rows.SPECS[name].name === name)).to.not.include(false)
    expect(rows.forTables((name, id) => `${id} ${name}`)).to.deep.equal(Object.fromEntries(rows.TABLES.map((name, id) => [name, `${id} ${name}`])))
  })

  it('take the highest numbers that an entry can have', () => {
    const row = rows.orderRow({ time: MAX_TIME, counter: MAX_COUNTER }, new Uint8Array(32), { seq: 2 ** 40 - 1, slot: 255 })

    expect(rows.placeIn('order', row)).to.deep.equal({ seq: 2 ** 40 - 1, slot: 255 })
    expect(compare(row.subarray(0, 8), new Uint8Array(8).fill(0xff))).to.equal(0)
    expect(rows.positionOf(new Uint8Array(32).fill(0xff))).to.equal(2 ** 32 - 1)
  })
})
