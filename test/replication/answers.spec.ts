import { expect } from 'aegir/chai'
import { Answers } from '../../src/replication/answers.ts'
import { turns } from '../fixtures/datastores.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { AnswersInit } from '../../src/replication/answers.ts'

describe('answering what others ask', () => {
  it('does not begin with a question whose time was over while others were dealt with', async () => {
    const clock = new VirtualClock(0)
    const read: Array<() => void> = []
    const answers = new Answers({
      context: contextOf(clock),
      log: {} as unknown as AnswersInit['log'],
      digests: { bytesIn: async () => new Promise<number>(resolve => { read.push(() => { resolve(1) }) }) } as unknown as AnswersInit['digests'],
      kept: () => [],
      removals: () => 0,
      isSynced: () => true
    })
    const asked = Array.from({ length: 10 }, async (_, i) => answers.answer(`peer ${i}`, { kind: 'weight' }, async () => {}))
    const outcomes = Promise.allSettled(asked)
    await turns(4)
    // four at once: the disk takes longer than anybody waits
    expect(read).to.have.lengthOf(4)
    clock.advance(20_000)
    read.forEach(done => { done() })
    await turns(20)
    expect(read).to.have.lengthOf(4)
    expect((await outcomes).map(({ status }) => status)).to.deep.equal(new Array(10).fill('rejected'))
    answers.stop()
  })
})
