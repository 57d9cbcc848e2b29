import { expect } from 'aegir/chai'
import { NoAnswerError } from '../../src/replication/errors.ts'
import { Questions } from '../../src/replication/questions.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

describe('questions to other peers', () => {
  it('leave nothing behind when they are called off before they are asked', async () => {
    const clock = new VirtualClock(0)
    let sent = 0
    const questions = new Questions({ isBusy: () => false, context: contextOf(clock), send: async () => { sent++ } })
    const reason = new Error('called off')
    await expect(questions.ask('a peer', { kind: 'weight' }, { signal: AbortSignal.abort(reason) })).to.be.rejectedWith(reason)
    // a timer would reject what nobody waits for: that ends a process
    expect([sent, questions.size, clock.step()]).to.deep.equal([0, 0, false])
  })

  it('are given up when nobody answers', async () => {
    const clock = new VirtualClock(0)
    const questions = new Questions({ isBusy: () => false, context: contextOf(clock), send: async () => {} })
    const asked = questions.ask('a peer', { kind: 'weight' })
    expect(questions.size).to.equal(1)
    clock.advance(20_000)
    await expect(asked).to.be.rejectedWith(NoAnswerError)
    expect(questions.size).to.equal(0)
  })
})
