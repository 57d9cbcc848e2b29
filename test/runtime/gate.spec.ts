import { expect } from 'aegir/chai'
import { Gate } from '../../src/runtime/gate.ts'

describe('a gate', () => {
  it('lets so many pieces of work go on at once, in the order in which they came, also where one fails', async () => {
    const gate = new Gate(2)
    const begun: number[] = []
    const ends: Array<PromiseWithResolvers<void>> = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
    const done = ends.map(async ({ promise }, i) => gate.run(async () => {
      begun.push(i)
      await promise
      return i
    }))

    await Promise.resolve()
    expect(begun).to.deep.equal([0, 1])
    ends[1].resolve()
    expect(await done[1]).to.equal(1)
    expect(begun).to.deep.equal([0, 1, 2])
    ends[0].reject(new RangeError('failed'))
    expect(await done[0].catch(err => err.name)).to.equal('RangeError')
    expect(begun).to.deep.equal([0, 1, 2, 3])
    ends.forEach(({ resolve }) => { resolve() })
    expect(await Promise.all(done.slice(2))).to.deep.equal([2, 3, 4])
    expect(await gate.run(() => 5)).to.equal(5)
  })
})
