import { expect } from 'aegir/chai'
import { TransferNet } from '../fixtures/transfer-net.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import { LEAF } from './hostile-world.ts'
import type { IncomingTransfer, TransferSource } from '../../src/transfer/index.ts'
import type { Message } from '../../src/transfer/wire.ts'
import type { NetNode } from '../fixtures/transfer-net.ts'

/** All of it fits into the first window */
const SIZE = 12 * LEAF
/** Milliseconds until nothing is left of anything that was heard of */
const REST = 70_000

/** A name and, where it has one, a reason */
function nameOf (err: any): string {
  return `${err.name}${err.reason == null ? '' : ` ${err.reason}`}`
}

describe('why a transfer ended', function () {
  this.timeout(30_000)

  const LATE: Record<string, { source(payload: Uint8Array): TransferSource, restarts?: boolean, sender: string, receiver: string }> = {
    'a source that has fewer bytes than when it was offered': {
      source: payload => {
        let opened = 0
        return from => [payload.subarray(from, opened++ === 0 ? SIZE : SIZE - LEAF - 5)]
      },
      sender: 'SourceFailedError',
      receiver: 'TransferFailedError source'
    },
    'a source that has other bytes than when it was offered': {
      source: payload => {
        let opened = 0
        return from => [opened++ === 0 ? payload.subarray(from) : payload.slice(from).fill(1, SIZE / 2)]
      },
      sender: 'TransferFailedError mismatch',
      receiver: 'TransferFailedError mismatch'
    },
    'a receiver that lives anew, of a source that can be read once': {
      source: payload => [payload], restarts: true, sender: 'TransferFailedError forgotten', receiver: 'TransferFailedError node-stopped'
    }
  }

  for (const [name, { source, restarts = false, sender, receiver }] of Object.entries(LATE)) {
    it(`is told by: ${name}`, async () => {
      const net = new TransferNet()
      const [a, b] = [await net.node(), await net.node()]
      net.rate = 1000
      const sent = a.transfers.send(b.peerId, source(bytesOf(SIZE)))
      let taken: string | undefined
      ;(await b.offer()).accept().bytes(1e9).then(() => { taken = 'all' }, err => { taken = nameOf(err) })
      let atEnd: number | undefined
      sent.done.catch(() => { atEnd = a.sizes.inFlightBytes })
      await net.run(100)

      if (restarts) {
        b.crash()
        await b.start()
      }

      const outcome = await net.outcome(sent.done)
      await net.until(() => taken != null)
      expect([nameOf((outcome as PromiseRejectedResult).reason), taken, atEnd]).to.deep.equal([sender, receiver, 0])
      await net.run(REST)
      expect(a.sizes).to.include({ outbound: 0, inFlight: 0, destinations: 0 })
      expect(b.sizes).to.include({ inbound: 0, keptBytes: 0, budgetBytes: 0 })
    })
  }

  it('is told by a receiver that has no room for one more, and the next one runs when there is', async () => {
    const net = new TransferNet()
    const [a, b] = [await net.node(), await net.node()]
    const unread: IncomingTransfer[] = []

    for (let i = 0; i < 64; i++) {
      a.transfers.send(b.peerId, bytesOf(2 * LEAF, i))
      unread.push((await b.offer()).accept())
    }

    const sent = a.transfers.send(b.peerId, bytesOf(5 * LEAF))
    const offer = await b.offer()
    expect(() => offer.accept()).to.throw('As many transfers')
    expect(nameOf(((await net.outcome(sent.done)) as PromiseRejectedResult).reason)).to.equal('TransferRejectedError busy')
    unread.forEach(incoming => { incoming.abort() })
    await net.run(100)
    expect(a.sizes).to.include({ outbound: 0, inFlight: 0 })
    expect(b.sizes).to.include({ inbound: 0, budgetBytes: 0 })
    const next = a.transfers.send(b.peerId, bytesOf(5 * LEAF))
    void (await b.offer()).accept().bytes(1e9)
    expect((await net.outcome(next.done)).status).to.equal('fulfilled')
  })

  it('is told by the side that heard nothing of the other one: both say that, and not that nothing moved', async () => {
    for (const mute of [0, 1]) {
      const net = new TransferNet()
      const nodes: NetNode[] = [await net.node(), await net.node()]
      const [a, b] = nodes
      const sent = a.transfers.send(b.peerId, bytesOf(SIZE))
      const offer = await b.offer()
      // one direction is gone until the other side gives up
      net.judge = (from: NetNode, _: NetNode, { type }: Message) => from === nodes[mute] && type !== 'end' ? 'lose' : undefined
      const got = offer.accept().bytes(1e9)
      got.catch(() => {})
      const outcome = await net.outcome(sent.done)
      expect(nameOf((outcome as PromiseRejectedResult).reason)).to.equal('TransferFailedError silent')
      expect(nameOf(((await net.outcome(got)) as PromiseRejectedResult).reason)).to.equal('TransferFailedError silent')
    }
  })

  it('is not that the sender began anew, where the sender offers it again in time: only the rest is sent', async () => {
    const net = new TransferNet()
    const [a, b] = [await net.node(), await net.node()]
    net.rate = 1000
    // all but the last leaf, until it is offered again
    let isAnew = false
    net.judge = (_from: NetNode, _to: NetNode, message: Message) => {
      return !isAnew && message.type === 'data' && message.offset > SIZE - LEAF ? 'lose' : undefined
    }
    const payload = bytesOf(SIZE)
    a.transfers.send(b.peerId, payload)
    const got = (await b.offer()).accept().bytes(1e9)
    await net.run(50)
    a.crash()
    await a.start()
    await net.until(() => net.log.some(({ message }) => message.type === 'end'), 'nobody says that it knows nothing')
    await net.run(20_000)
    isAnew = true
    const before = net.log.length
    const sent = a.transfers.send(b.peerId, payload)
    expect(await net.outcome(sent.done)).to.deep.equal({ status: 'fulfilled', value: undefined })
    expect(Buffer.compare(await got, payload)).to.equal(0)
    const again = net.log.slice(before).flatMap(({ message }) => message.type === 'data' ? message.bytes.byteLength : [])
    expect(again.reduce((sum, bytes) => sum + bytes, 0)).to.be.within(1, 2 * LEAF)
  })

  it('is that the sender knows nothing of it any more, where the sender began anew', async () => {
    const net = new TransferNet()
    const [a, b] = [await net.node(), await net.node()]
    net.rate = 1000
    net.judge = (_from: NetNode, _to: NetNode, message: Message) => message.type === 'data' && message.offset > SIZE - LEAF ? 'lose' : undefined
    a.transfers.send(b.peerId, bytesOf(SIZE))
    const got = (await b.offer()).accept().bytes(1e9)
    got.catch(() => {})
    await net.run(50)
    a.crash()
    // what was on its way arrives, and is answered
    await a.start()
    expect(nameOf(((await net.outcome(got)) as PromiseRejectedResult).reason)).to.equal('TransferFailedError forgotten')
  })
})
