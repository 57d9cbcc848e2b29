import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { fieldOf, Indexes } from '../../src/database/core/indexes.ts'

const value = fc.oneof(fc.constantFrom('1', '', null, true, false, 1, 1n, 0, -0), fc.string())
const document = fc.record({ author: value, year: value, text: value })

describe('indexes of documents', () => {
  it('name at least those that match, whatever was changed and deleted before', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.option(document))), document, (changes, where) => {
      const indexes = new Indexes(['author', 'year'])
      const all = new Map<string, Record<string, unknown>>()

      for (const [key, document] of changes) {
        indexes.delete(key, all.has(key) ? indexes.fieldsOf(all.get(key) as object) : [])
        all.delete(key)

        if (document != null) {
          all.set(key, document)
          indexes.add(key, indexes.fieldsOf(document))
        }
      }

      const matching = (field: string): string[] => [...all].filter(([, document]) => fieldOf(document[field]) === fieldOf((where as Record<string, unknown>)[field])).map(([key]) => key).sort()
      expect([...indexes.candidates({ author: where.author }) ?? []].sort()).to.deep.equal(matching('author'))
      const both = [...indexes.candidates({ author: where.author, year: where.year }) ?? []]
      expect(both).to.include.members(matching('author').filter(key => matching('year').includes(key)))
      expect(both.length).to.equal(Math.min(matching('author').length, matching('year').length))
      expect(indexes.candidates({ text: where.text })).to.equal(undefined)
      expect(indexes.candidates({})).to.equal(undefined)
    }))
  })

  it('tell values of different types apart, and nothing that is no value of a field', () => {
    const values = ['1', 1, 1n, true, 'true', null, 'null', '', NaN, 'NaN', Infinity, -Infinity, '\ud800', '\udfff']
    expect(new Set(values.map(fieldOf)).size).to.equal(values.length)
    expect([undefined, {}, [], () => {}, Symbol('s')].map(fieldOf)).to.deep.equal(['', '', '', '', ''])
    expect(values.map(fieldOf)).to.not.include('')
  })
})
