import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Reader, Writer } from '../../../src/runtime/codec.ts'
import { MalformedError } from '../../../src/runtime/errors.ts'
import { columnBytes, readColumns, writeColumns } from '../../../src/storage/core/columns.ts'
import type { Rows } from '../../../src/storage/core/rows.ts'

function rowsOf (rows: number[][]): Rows {
  return { bytes: Uint8Array.from(rows.flat()), stride: rows[0].length, size: rows.length }
}

function written (rows: Rows): Uint8Array {
  const writer = new Writer(1)
  writeColumns(writer, rows)
  return writer.finish()
}

function read (bytes: number[], size: number, stride: number): number[] {
  return [...readColumns(new Reader(Uint8Array.from(bytes)), size, stride)]
}

/** Few values, so that many columns are the same in all rows, or repeat others. No two rows are the same */
const anyRows = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 3 })).chain(([stride, values]) => {
  const anyRow = fc.array(fc.nat({ max: values - 1 }), { minLength: stride, maxLength: stride })
  return fc.uniqueArray(anyRow, { selector: row => row.join(), minLength: 1, maxLength: 40 })
})

describe('columns', () => {
  it('are stored in these bytes: columns that differ, one that repeats another one, and those of one value', () => {
    const rows = [[9, 1, 2, 1, 0], [9, 3, 4, 3, 0]]
    const bytes = [255, 9, 3, 2, 3, 255, 0, 2, 1, 4, 3]

    expect([...written(rowsOf(rows))]).to.deep.equal(bytes)
    expect(read(bytes, 2, 5)).to.deep.equal(rows.flat())
  })

  it('come out as they went in, in no more room than was said', () => {
    fc.assert(fc.property(anyRows, some => {
      const rows = rowsOf(some)
      const bytes = written(rows)
      const reader = new Reader(bytes)

      expect(bytes.byteLength).to.be.at.most(columnBytes(rows))
      expect(readColumns(reader, rows.size, rows.stride)).to.deep.equal(rows.bytes)
      expect(reader.left).to.equal(0)
    }), { numRuns: 2_000 })
  })

  it('of one row take no more than two bytes each', () => {
    expect([...written(rowsOf([[7, 7, 8]]))]).to.deep.equal([255, 7, 255, 7, 255, 8])
  })

  it('of a column that repeats one which repeats another one come out', () => {
    expect(read([1, 2, 2, 5, 6], 2, 3)).to.deep.equal([5, 5, 5, 6, 6, 6])
  })

  it('are refused when one repeats an earlier one, or one that there is not, or when bytes are missing', () => {
    for (const bytes of [[0, 0, 1, 2], [0, 2, 1, 2], [0, 254, 1, 2], [0, 1, 1, 2, 3], [0, 1], [255], []]) {
      expect(() => read(bytes, 2, 2), bytes.join()).to.throw(MalformedError)
    }
  })

  it('are refused of more than one row when no column differs: a number would say how much memory is taken', () => {
    expect(read([255, 1, 255, 2], 1, 2)).to.deep.equal([1, 2])
    expect(() => read([255, 1, 255, 2], 2 ** 40, 2)).to.throw(MalformedError, 'without a column in which they differ')
  })
})
