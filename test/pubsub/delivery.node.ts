import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { arrived, eventually, fence, inbox, known, linkOf, meet, numbered, numbersOf, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'
import type { PublishResult } from '../../src/index.ts'
import type { Clock } from '../../src/runtime/clock.ts'

const TOPIC = 'news'
const KIB = 1024

describe('what is published, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it('scenario 20: in a line of three every message comes once to each, and never back', async () => {
    const nodes = await line(3)
    await gather(TOPIC, ...nodes)
    const inboxes = nodes.map(node => inbox(node, TOPIC))

    for (const [i, node] of nodes.entries()) {
      await Promise.all(range(50).map(async n => node.services.pubsub.publish(TOPIC, numbered(i * 100 + n))))
    }

    await Promise.all(inboxes.map(async messages => arrived(messages, 100)))
    await fence(nodes[0], nodes[1])
    await fence(nodes[2], nodes[1])
    for (const [i, messages] of inboxes.entries()) {
      const expected = range(3).filter(from => from !== i).flatMap(from => range(50).map(n => from * 100 + n))
      expect(numbersOf(messages).sort((a, b) => a - b)).to.deep.equal(expected)
    }
  })

  it('scenario 20: over two ways at once a message comes once, in order, also when one of the ways ends', async () => {
    const [a, b, c, d] = await Promise.all(range(4).map(async () => createPeer()))
    await meet(a, b)
    await meet(a, c)
    await meet(b, d)
    await meet(c, d)
    await Promise.all([a, d].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await known(TOPIC, [a, d], [a, d])
    const messages = inbox(d, TOPIC)

    await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i), { ack: 'all' })))
    expect(numbersOf(messages)).to.deep.equal(range(100))

    // whichever relay it took: both are tried
    for (const relay of [b, c]) {
      const published = range(20).map(async i => a.services.pubsub.publish(TOPIC, numbered(100 + i), { ack: 'all' }))
      await a.getConnections(relay.peerId)[0].close()
      const results = await Promise.all(published)
      expect(results.every(({ acked }) => acked.length === 1)).to.be.true()
      expect(numbersOf(messages.splice(0)).filter(i => i >= 100).sort((x, y) => x - y)).to.deep.equal(range(20).map(i => 100 + i))
      await meet(a, relay)
    }
  })

  it('scenario 21: acks say who got it; who left the topic says so', async () => {
    const [b, a, c] = await line(3)
    await gather(TOPIC, a, b, c)
    const all = await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })
    expect(ids(all.acked)).to.deep.equal(ids([b.peerId, c.peerId]))
    expect(all.failed).to.deep.equal([])

    await c.services.pubsub.unsubscribe(TOPIC)
    const some = await a.services.pubsub.publish(TOPIC, numbered(2), { ack: 'all', to: [b.peerId, c.peerId] })
    expect(ids(some.acked)).to.deep.equal(ids([b.peerId]))
    expect(some.failed.map(({ peerId, reason }) => `${peerId} ${reason}`)).to.deep.equal([`${c.peerId} not-subscribed`])

    const one = await settles('publish', a.services.pubsub.publish(TOPIC, numbered(3), { ack: 1, to: [c.peerId] }))
    expect(one).to.have.nested.property('reason.name', 'NotDeliveredError')
    expect(one).to.have.nested.property('reason.result.failed[0].reason', 'not-subscribed')
  })

  it('scenario 21: it rejects when no ack comes in time, and says who failed', async () => {
    const a = await createPeer({ clock: quick(20) })
    const b = await createPeer()
    const cable = await Cable.to(b.getMultiaddrs())
    await meet(a, b, cable.address)
    await gather(TOPIC, a, b)

    cable.freeze()
    const outcome = await settles('publish', a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' }))
    expect(outcome).to.have.nested.property('reason.name', 'NotDeliveredError')
    const { failed } = (outcome as { reason: { result: PublishResult } }).reason.result
    expect(failed.map(({ peerId, reason }) => `${peerId} ${reason}`)).to.deep.equal([`${b.peerId} timeout`])
    expect(a.services.pubsub.diagnostics().sizes.unacked).to.equal(0)
  })

  it('scenario 21: a signal cancels a write that is still queued, and only that', async () => {
    const a = await createPeer({ outboxSize: 256 * KIB })
    const b = await createPeer()
    const cable = await Cable.to(b.getMultiaddrs())
    await meet(a, b, cable.address)
    await gather(TOPIC, a, b)
    const messages = inbox(b, TOPIC)

    cable.freeze()
    const published = range(200).map(async i => a.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB)))
    await eventually('nothing has to wait', () => linkOf(a, b)?.waiting > 0)
    const controller = new AbortController()
    const cancelled = a.services.pubsub.publish(TOPIC, numbered(1000), { signal: controller.signal })
    const waiting = linkOf(a, b)?.waiting
    controller.abort()
    expect(await settles('publish', cancelled)).to.have.nested.property('reason.name', 'AbortError')
    expect(linkOf(a, b)?.waiting).to.equal(waiting - 1)

    cable.thaw()
    await Promise.all(published)
    await fence(a, b)
    await arrived(messages, 200)
    expect(numbersOf(messages)).to.deep.equal(range(200))
  })

  it('scenario 23: a message of 1 MiB arrives; one that is larger is refused by a name that points to transfers', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const messages = inbox(b, TOPIC)

    await a.services.pubsub.publish(TOPIC, numbered(1, KIB * KIB), { ack: 'all' })
    expect(messages.map(({ data }) => data.byteLength)).to.deep.equal([KIB * KIB])

    for (const size of [KIB * KIB + 1, 4 * KIB * KIB, 16 * KIB * KIB]) {
      const refused = await settles('publish', a.services.pubsub.publish(TOPIC, new Uint8Array(size)))
      expect(refused).to.have.nested.property('reason.name', 'PayloadTooLargeError')
      expect(refused).to.have.nested.property('reason.message').that.matches(/transfer/).and.includes(`${size} bytes`)
    }
    await a.services.pubsub.publish(TOPIC, numbered(2), { ack: 'all' })
    expect(numbersOf(messages)).to.deep.equal([1, 2])
  })

  it('scenario 23: with a higher limit 8 MiB arrive, and a peer with a lower one is named as the one that it is too large for', async () => {
    const [a, b] = await Promise.all(range(2).map(async () => createPeer({ maxMessageSize: 8 * KIB * KIB })))
    const small = await createPeer()
    await meet(a, b)
    await meet(a, small)
    await gather(TOPIC, a, b, small)
    const messages = inbox(b, TOPIC)
    const data = new Uint8Array(8 * KIB * KIB).map((_, i) => i * 31)

    const { acked, failed } = await a.services.pubsub.publish(TOPIC, data, { ack: 1 })
    expect(ids(acked)).to.deep.equal(ids([b.peerId]))
    expect(failed.map(({ peerId, reason }) => `${peerId} ${reason}`)).to.deep.equal([`${small.peerId} too-large`])
    expect(messages[0].data).to.deep.equal(data)
  })

  it('scenario 26: the same bytes published twice are two messages', async () => {
    const [a, b, c] = await line(3)
    await gather(TOPIC, a, b, c)
    const inboxes = [inbox(b, TOPIC), inbox(c, TOPIC)]
    const data = numbered(5)
    await a.services.pubsub.publish(TOPIC, data)
    await a.services.pubsub.publish(TOPIC, data, { ack: 'all' })

    for (const messages of inboxes) {
      await arrived(messages, 2)
      expect(numbersOf(messages)).to.deep.equal([5, 5])
      expect(new Set(messages.map(({ sequenceNumber }) => sequenceNumber)).size).to.equal(2)
    }
  })

  it('what is meant for some goes to them only, be they neighbours or behind a relay', async () => {
    const [a, b, c, d] = await line(4)
    await gather(TOPIC, a, b, c, d)
    const inboxes = [b, c, d].map(node => inbox(node, TOPIC))
    const { acked, recipients } = await a.services.pubsub.publish(TOPIC, numbered(1), { to: [b.peerId, d.peerId], ack: 'all' })
    await a.services.pubsub.publish(TOPIC, numbered(2), { ack: 'all' })

    expect(ids(acked)).to.deep.equal(ids([b.peerId, d.peerId]))
    expect(ids(recipients)).to.deep.equal(ids([b.peerId, d.peerId]))
    expect(inboxes.map(numbersOf)).to.deep.equal([[1, 2], [2], [1, 2]])
    expect(await a.services.pubsub.publish(TOPIC, numbered(3), { to: [], ack: 'all' })).to.deep.equal({ recipients: [], acked: [], failed: [] })
  })

  it('nobody listening is an answer, not an error, also where acks are asked for', async () => {
    const [a] = await line(2)
    expect(await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })).to.deep.equal({ recipients: [], acked: [], failed: [] })
    const alone = await createPeer()
    expect(await alone.services.pubsub.publish(TOPIC, numbered(1))).to.deep.equal({ recipients: [], acked: [], failed: [] })
  })
})

/** A clock that runs faster than the one on the wall: for what takes ten seconds */
function quick (times: number): Clock {
  const start = systemClock.now()
  return {
    ...systemClock,
    now: () => start + (systemClock.now() - start) * times,
    after: (ms, fn) => systemClock.after(ms / times, fn)
  }
}

function ids (peers: Array<{ toString(): string }>): string[] {
  return peers.map(String).sort()
}
