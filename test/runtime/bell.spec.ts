import { expect } from 'aegir/chai'
import { Bell } from '../../src/runtime/bell.ts'

describe('a bell', () => {
  it('wakes all who wait, and those who wait from then on the next time', async () => {
    const bell = new Bell()
    const woken: string[] = []
    const wait = async (name: string): Promise<void> => {
      await bell.rung()
      woken.push(name)
    }
    const first = [wait('a'), wait('b')]
    expect(bell.waiting).to.equal(2)
    bell.ring()
    const second = wait('c')
    expect(bell.waiting).to.equal(1)
    await Promise.all(first)
    expect(woken).to.deep.equal(['a', 'b'])
    bell.ring()
    await second
    expect(bell.waiting).to.equal(0)
  })

  it('is not waited for by whom a signal has told to stop', async () => {
    const bell = new Bell()
    const controller = new AbortController()
    const reason = new Error('enough')
    const waits = [bell.rung({ signal: controller.signal }), bell.rung({ signal: controller.signal })]
    controller.abort(reason)
    bell.ring()
    expect((await Promise.allSettled(waits)).map(settled => settled.status === 'rejected' && settled.reason)).to.deep.equal([reason, reason])
    expect(bell.waiting).to.equal(0)
    await expect(bell.rung({ signal: controller.signal })).to.eventually.be.rejectedWith('enough')
    expect(bell.waiting).to.equal(0)
  })
})
