import { expect } from 'aegir/chai'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { HELD_BYTES, MAX_WAITING_BYTES, MAX_REQUESTS, WINDOW_BYTES } from '../../src/tabs/constants.ts'
import { Outbox } from '../../src/tabs/core/outbox.ts'
import { Requests } from '../../src/tabs/core/requests.ts'

function bytesOf (items: Array<{ bytes: number }>): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0)
}

describe('what a tab has asked for', () => {
  it('waits for a leader, and is asked of each new one again, in order', () => {
    const requests = new Requests()
    expect(requests.handle({ type: 'call', bytes: 1 })).to.deep.equal([])
    requests.handle({ type: 'call', bytes: 1 })
    expect(requests.handle({ type: 'leader' })).to.deep.equal([
      { type: 'send', number: 1, isRepeat: false }, { type: 'send', number: 2, isRepeat: false }
    ])
    expect(requests.handle({ type: 'answered', number: 1 })).to.deep.equal([{ type: 'settle', number: 1 }])
    requests.handle({ type: 'none' })
    expect(requests.handle({ type: 'call', bytes: 1 })).to.deep.equal([])
    expect(requests.handle({ type: 'leader' })).to.deep.equal([
      { type: 'send', number: 2, isRepeat: true }, { type: 'send', number: 3, isRepeat: false }
    ])
  })

  it('is settled once, and forgotten when it is aborted', () => {
    const requests = new Requests()
    requests.handle({ type: 'leader' })
    requests.handle({ type: 'call', bytes: 5 })
    requests.handle({ type: 'call', bytes: 5 })
    expect(requests.handle({ type: 'aborted', number: 1 })).to.deep.equal([{ type: 'cancel', number: 1 }])
    expect(requests.handle({ type: 'answered', number: 1 })).to.deep.equal([])
    requests.handle({ type: 'answered', number: 2 })
    expect(requests.handle({ type: 'answered', number: 2 })).to.deep.equal([])
    expect([requests.size, requests.bytes]).to.deep.equal([0, 0])
  })

  it('is bounded in number and in bytes, but for one that is larger', () => {
    const requests = new Requests()
    expect(requests.handle({ type: 'call', bytes: 2 * MAX_WAITING_BYTES })).to.deep.equal([])
    expect(requests.handle({ type: 'call', bytes: 1 })).to.deep.equal([{ type: 'refuse' }])
    requests.handle({ type: 'aborted', number: 1 })

    for (let i = 0; i < MAX_REQUESTS; i++) {
      expect(requests.handle({ type: 'call', bytes: 1 })).to.deep.equal([])
    }
    expect(requests.handle({ type: 'call', bytes: 1 })).to.deep.equal([{ type: 'refuse' }])
  })
})

describe('what a tab is told', () => {
  it('keeps O1 to O3, however fast the tab reads', () => {
    const random = seededRandom(3)

    for (let run = 0; run < 100; run++) {
      const outbox = new Outbox<number>()
      const posted: Array<{ value: number, bytes: number, log?: string }> = []
      const behind = new Set<string>()
      let [unacked, largest] = [0, 0]

      for (let i = 0; i < 400; i++) {
        const isAck = random() < 0.4
        const bytes = 1 + randomInt(random, 100_000)
        const log = random() < 0.5 ? 'a' : undefined
        const acked = Math.min(unacked, randomInt(random, 300_000))
        const posting = isAck ? outbox.acked(acked) : outbox.push({ value: i, bytes, log })
        unacked -= isAck ? acked : 0
        largest = Math.max(largest, bytes)

        // an entry is posted, or the tab is told later that there is more
        if (!isAck && log != null && posting.items.length === 0) {
          behind.add(log)
        }
        posting.behind.forEach(name => { expect(behind.delete(name)).to.equal(true) })
        posted.push(...posting.items)
        unacked += bytesOf(posting.items)
        expect(outbox.unacked).to.equal(unacked)
        expect(unacked, 'O1').to.be.below(WINDOW_BYTES + largest)
      }

      const values = posted.map(({ value }) => value)
      expect(values, 'O3').to.deep.equal([...values].sort((a, b) => a - b))

      while (unacked > 0) {
        const { items, behind: told } = outbox.acked(unacked)
        unacked = bytesOf(items)
        told.forEach(name => { behind.delete(name) })
      }
      expect([outbox.held, [...behind]]).to.deep.equal([0, []])
    }
  })

  it('is bounded in what waits for one that does not read, which is told how much it lost', () => {
    const outbox = new Outbox<number>()
    const bytes = 64 * 1024
    const count = (WINDOW_BYTES + HELD_BYTES) / bytes

    for (let i = 0; i < count + 5; i++) {
      outbox.push({ value: i, bytes })
    }

    expect([outbox.unacked, outbox.held * bytes, outbox.takeLost()]).to.deep.equal([WINDOW_BYTES, HELD_BYTES, 5])
  })
})
