import { expect } from 'aegir/chai'
import { FORGET_AFTER, MAX_MET, RETRY_CAP } from '../../src/connect/constants.ts'
import { Candidates } from '../../src/connect/core/candidates.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { range } from '../fixtures/directsub.ts'

describe('whom to dial next', () => {
  function candidates (): Candidates {
    return new Candidates('self', seededRandom(1))
  }

  it('is who the program named, however many are connected, and others only while some are wanted', () => {
    const list = candidates()
    list.know('address', undefined, 0)
    list.met('a', 0)
    list.met('b', 0)
    expect(list.next(1, 0)?.name).to.equal('address')
    expect(list.next(1, 0)?.name).to.equal('a')
    expect(list.next(1, 0)).to.equal(undefined)
    list.connectedTo('known', 'address')
    list.connectedTo('a')
    expect([list.connected, list.next(2, 0), list.nextAt(2)]).to.deep.equal([2, undefined, Infinity])
    expect(list.next(3, 0)?.name).to.equal('b')
  })

  it('waits twice as long after each failure, up to a cap, and never for a peer that came by itself', () => {
    const list = candidates()
    list.know('address', 'peer', 0)
    let now = 0
    const waits = range(20).map(() => {
      list.next(1, now)
      list.failed('address', now)
      const wait = list.nextAt(1) - now
      now += wait
      return wait
    })
    expect(waits[1] / waits[0]).to.be.within(1.3, 3)
    expect(Math.max(...waits)).to.be.at.most(RETRY_CAP * 1.2)
    list.connectedTo('peer')
    expect(list.nextAt(1)).to.equal(Infinity)
    list.disconnected('peer', now)
    expect(list.nextAt(1) - now).to.be.below(1000)
  })

  it('forgets those whom others named when they are never there, and has room for so many', () => {
    const list = candidates()
    list.met('dead', 0)
    range(FORGET_AFTER).forEach(i => {
      const now = i * 10 * RETRY_CAP
      expect(list.next(1, now)?.name).to.equal('dead')
      list.failed('dead', now)
    })
    expect(list.list).to.deep.equal([])
    range(MAX_MET * 2).forEach(i => { list.met(`${i}`, 0) })
    expect(list.list).to.have.lengthOf(MAX_MET)
    list.met('self', 0)
    expect(list.list.some(({ name }) => name === 'self')).to.equal(false)
  })

  it('is due at once when the network is back', () => {
    const list = candidates()
    list.know('address', undefined, 0)
    range(10).forEach(() => {
      list.next(0, Infinity)
      list.failed('address', 0)
    })
    expect(list.next(0, 5)).to.equal(undefined)
    list.wake(5)
    expect(list.next(0, 5)?.name).to.equal('address')
  })
})
