import { expect } from 'aegir/chai'
import { EntryId } from '../../src/log/entry-id.ts'
import { Push } from '../../src/replication/push.ts'
import { Outcome } from '../../src/replication/wire.ts'
import { Bell } from '../../src/runtime/bell.ts'
import { turns } from '../fixtures/datastores.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Entry } from '../../src/index.ts'
import type { Message } from '../../src/replication/wire.ts'

/** Bytes of an entry, and entries: twice as much as may be awaited at once */
const LARGE = 1_000_000
const COUNT = 130

describe('pushing entries to those who keep them', () => {
  const { rung } = Bell.prototype

  afterEach(() => {
    Bell.prototype.rung = rung
  })

  it('lets appends that wait for others go on in their order, and wakes each of them once', async () => {
    const clock = new VirtualClock(0)
    const [bytes, proof] = [new Uint8Array(LARGE), new Uint8Array(0)]
    const entries = Array.from({ length: COUNT }, (_, i) => ({ id: new EntryId(new Uint8Array(32).fill(i)), bytes, proof }) as unknown as Entry)
    const sent: number[] = []
    let woken = 0
    Bell.prototype.rung = async function (this: Bell, options) {
      woken++
      return rung.call(this, options)
    }
    const push = new Push({
      context: contextOf(clock),
      send: async (_, message: Message) => { message.type === 'entries' && sent.push(message.number) },
      isBusy: () => false,
      reach: () => 1
    })
    const acked: number[] = []
    const all = Promise.all(Array.from({ length: COUNT }, async (_, i) => {
      await push.acked(entries[i], ['peer'], { leaders: ['peer'], wants: () => false })
      acked.push(i)
    }))

    while (acked.length < COUNT) {
      clock.advance(1)
      await turns(4)
      sent.splice(0).forEach(number => { push.answered('peer', number, [Outcome.STORED]) })
    }
    await all
    expect(acked).to.deep.equal(Array.from({ length: COUNT }, (_, i) => i))
    expect(woken).to.be.at.most(2 * COUNT)
    push.stop()
  })
})
