import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { isNewer } from '../../src/replication/core/info.ts'

describe('which of two documents of one owner is newer', () => {
  it('is said by the life, then by the number in the life', () => {
    expect(isNewer({ epoch: 2, sequence: 1 }, { epoch: 1, sequence: 9 })).to.equal(true)
    expect(isNewer({ epoch: 1, sequence: 9 }, { epoch: 2, sequence: 1 })).to.equal(false)
    expect(isNewer({ epoch: 1, sequence: 2 }, { epoch: 1, sequence: 1 })).to.equal(true)
    expect(isNewer({ epoch: 1, sequence: 1 }, { epoch: 1, sequence: 1 })).to.equal(false)
    // epochs are times in milliseconds, and more than 32 bits
    expect(isNewer({ epoch: 2 ** 53 - 1, sequence: 0 }, { epoch: 2 ** 53 - 2, sequence: 2 ** 32 })).to.equal(true)
  })

  it('is one order of all: of any some, in whatever order they come, the same one is kept', () => {
    const version = fc.record({ epoch: fc.nat(3), sequence: fc.nat(3) })

    fc.assert(fc.property(fc.array(version, { minLength: 1, maxLength: 12 }), versions => {
      const keep = (all: typeof versions): string => {
        const { epoch, sequence } = all.reduce((kept, other) => isNewer(other, kept) ? other : kept)
        return `${epoch}.${sequence}`
      }

      expect(keep([...versions].reverse())).to.equal(keep(versions))
      expect(keep([...versions, ...versions])).to.equal(keep(versions))
    }))
  })
})
