import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { decodeOperation, encodeOperation, groupOf } from '../../src/database/core/operation.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import type { Operation } from '../../src/database/core/operation.ts'

const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 }).filter(key => key.isWellFormed())
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, value: fc.uint8Array() }),
  fc.record({ type: fc.constant('delete' as const), key })
)

describe('operations of a database', () => {
  it('are read as they were written', () => {
    fc.assert(fc.property(operation, operation => {
      const read = decodeOperation({ data: encodeOperation(operation), group: groupOf(operation.key) })
      expect({ ...read, value: read.type === 'put' ? [...read.value] : undefined })
        .to.deep.equal({ ...operation, value: operation.type === 'put' ? [...operation.value] : undefined })
    }))
  })

  it('are these bytes', () => {
    expect([...encodeOperation({ type: 'put', key: 'ab', value: Uint8Array.of(7, 8) })]).to.deep.equal([1, 2, 97, 98, 7, 8])
    expect([...encodeOperation({ type: 'delete', key: 'ab' })]).to.deep.equal([2, 2, 97, 98])
  })

  it('are nothing else: whatever others append is either one of them or malformed', () => {
    fc.assert(fc.property(fc.uint8Array(), fc.uint8Array(), (data, group) => {
      try {
        const read = decodeOperation({ data, group })
        expect(group).to.deep.equal(groupOf(read.key))
      } catch (err) {
        expect(err).to.be.instanceOf(MalformedError)
      }
    }))
  })

  it('are malformed without a key, at another place than that of their key, with bytes behind a delete, and of an unknown type', () => {
    const group = groupOf('a')

    for (const [data, at] of [[[1, 0], new Uint8Array(0)], [[1, 1, 97], groupOf('b')], [[2, 1, 97, 0], group], [[3, 1, 97], group], [[], group]] as Array<[number[], Uint8Array]>) {
      expect(() => decodeOperation({ data: Uint8Array.from(data), group: at })).to.throw(MalformedError)
    }
  })

  it('have a group of at most 64 bytes, which is the key where that is not longer, and another one for another end of a long key', () => {
    expect(groupOf('ä')).to.deep.equal(new TextEncoder().encode('ä'))
    expect(groupOf('k'.repeat(64))).to.have.lengthOf(64)
    const groups = ['one', 'two', 'three'].map(end => `${groupOf(`${'a long path/'.repeat(20)}${end}`)}`)
    expect(new Set(groups).size).to.equal(3)
    groups.forEach(group => { expect(group.split(',')).to.have.lengthOf(64) })
  })
})
