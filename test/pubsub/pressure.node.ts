import { expect } from 'aegir/chai'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { about, arrived, changes, eventually, fence, inbox, isKnown, linkOf, meet, numbered, numbersOf, range, settles, stopPeers, streamsOf } from '../fixtures/directsub.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { PeerInit } from '../fixtures/peers.ts'

const TOPIC = 'news'
const KIB = 1024
const OUTBOX = 1024 * KIB

describe('more than a neighbour takes in, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it('scenario 18: 200 x 64 KiB in one burst all arrive, in order, with a bounded outbox', async () => {
    const [a, b] = await line(2, { outboxSize: OUTBOX })
    await gather(TOPIC, a, b)
    const messages = inbox(b)
    const published = Promise.all(range(200).map(async i => a.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB))))
    let largest = 0

    await eventually(() => `${messages.length} of 200 came`, () => {
      largest = Math.max(largest, linkOf(a, b)?.outbox)
      return messages.length === 200
    })

    expect((await published).every(({ recipients, failed }) => recipients.length === 1 && failed.length === 0)).to.be.true()
    expect(numbersOf(messages)).to.deep.equal(range(200))
    expect(messages.every(({ data }) => data.byteLength === 64 * KIB)).to.be.true()
    expect(largest).to.be.above(0).and.at.most(OUTBOX)
    expect(linkOf(a, b)).to.include({ outbox: 0, waiting: 0, faults: 0, status: 'up' })
  })

  it('scenario 18: a burst over a relay arrives, too, and the relay holds no more than its neighbours may send', async () => {
    const [a, relay, c] = await line(3)
    await Promise.all([a, c].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await a.services.pubsub.waitForSubscribers(TOPIC, { peers: [c.peerId] })
    const messages = inbox(c)
    const published = Promise.all(range(200).map(async i => a.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB))))
    let largest = 0

    await eventually(() => `${messages.length} of 200 came`, () => {
      largest = Math.max(largest, linkOf(relay, c)?.outbox + linkOf(relay, a)?.kept)
      return messages.length === 200
    })

    expect((await published).every(({ failed }) => failed.length === 0)).to.be.true()
    expect(numbersOf(messages)).to.deep.equal(range(200))
    expect(largest, 'twice the window of 4 MiB at most').to.be.at.most(8 * KIB * KIB)
    expect(linkOf(relay, c)).to.include({ outbox: 0, waiting: 0 })
    await eventually('the relay keeps something', () => linkOf(relay, a)?.kept === 0)
  })

  it('scenario 19: a neighbour that does not read costs a bounded outbox, and slows down nobody else', async () => {
    const [hub, slow, cable] = await behindCable({ outboxSize: OUTBOX })
    const quick = await createPeer()
    await meet(quick, hub)
    await gather(TOPIC, hub, slow, quick)
    const atSlow = inbox(slow)
    const atQuick = inbox(quick)

    cable.freeze()
    // 25 MiB: sockets, muxer and window swallow a few of them
    const published = range(400).map(async i => hub.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB)))
    await arrived(atQuick, 400)

    expect(numbersOf(atQuick)).to.deep.equal(range(400))
    expect(linkOf(hub, slow)?.outbox).to.be.above(OUTBOX / 2).and.at.most(OUTBOX)
    expect(linkOf(hub, slow)?.inFlight).to.be.at.most(4 * KIB * KIB)
    expect(linkOf(hub, quick)).to.include({ outbox: 0, waiting: 0 })

    cable.thaw()
    // what found no room for two seconds is said to have failed, and all else comes
    const congested = (await Promise.all(published)).flatMap(({ failed }, i) => failed.map(({ peerId, reason }) => [i, peerId.equals(slow.peerId), reason]))
    expect(congested).to.deep.equal(congested.map(([i]) => [i, true, 'congested']))
    await arrived(atSlow, 400 - congested.length)
    const numbers = congested.map(([i]) => i)
    expect(numbersOf(atSlow)).to.deep.equal(range(400).filter(i => !numbers.includes(i)))
  })

  it('scenario 19: one that reads nothing for too long is disconnected, and whoever waited for it is told', async () => {
    const [hub, slow, cable] = await behindCable({ outboxSize: OUTBOX, slowPeerTimeout: 1000 })
    await gather(TOPIC, hub, slow)
    const seen = changes(hub)

    cable.freeze()
    const results = await Promise.all(range(300).map(async i => hub.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB))))
    const failed = results.flatMap(({ failed }) => failed)

    expect(failed.length).to.be.above(100)
    expect(new Set(failed.map(({ reason, peerId }) => `${reason} ${peerId}`))).to.deep.equal(new Set([`unreachable ${slow.peerId}`]))
    await eventually('it is still connected', () => hub.getConnections(slow.peerId).length === 0)
    expect(about(seen, TOPIC)).to.deep.equal([[slow.peerId.toString(), false, 'unreachable']])
    expect(hub.services.pubsub.diagnostics().peers).to.deep.equal([])
  })

  it('control waits neither for data nor for bulk, and data does not wait for bulk', async () => {
    const [hub, slow, cable] = await behindCable({ outboxSize: 64 * KIB * KIB })
    await gather(TOPIC, hub, slow)
    const messages = inbox(slow, TOPIC)

    cable.freeze()
    const published = range(300).map(async i => hub.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB), { priority: 'bulk' }))
    // as much as goes into sockets and windows has gone
    let before = -1
    await eventually('it still sends', () => before === (before = linkOf(hub, slow)?.outbox) && before > 0)
    published.push(hub.services.pubsub.publish(TOPIC, numbered(1000), { priority: 'data' }))
    published.push(hub.services.pubsub.publish(TOPIC, numbered(2000), { priority: 'control' }))
    cable.thaw()
    await arrived(messages, 302)
    await Promise.all(published)

    const numbers = numbersOf(messages)
    const behind = (number: number): number => numbers.slice(numbers.indexOf(number)).filter(i => i < 300).length
    expect(behind(2000), 'bulk that came after control').to.be.above(100)
    expect(behind(1000), 'bulk that came after data').to.be.above(100)
    expect(numbers.filter(i => i < 300)).to.deep.equal(range(300))
  })

  it('scenario 22: a write to the stream that throws kills nothing: what was to be written goes by another one', async () => {
    const [a, b] = await line(2)
    await gather('before', a, b)
    await b.services.pubsub.subscribe(TOPIC)
    let thrown = 0
    streamsOf(a, b)[0].send = () => {
      thrown++
      throw new Error('a flush that fails')
    }

    const messages = inbox(b, TOPIC)
    const subscribed = await settles('subscribe', a.services.pubsub.subscribe(TOPIC))
    expect(subscribed).to.deep.equal({ status: 'fulfilled', value: true })
    const { acked } = await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })

    expect(acked.map(String)).to.deep.equal([b.peerId.toString()])
    expect(thrown).to.equal(1)
    await eventually('b does not know that a listens', () => isKnown(TOPIC, b, a))
    await fence(b, a)
    expect(numbersOf(messages)).to.deep.equal([1])
  })
})

/** A hub, a neighbour, and the cable between them */
async function behindCable (hubInit: PeerInit): Promise<[hub: Sheaf, slow: Sheaf, cable: Cable]> {
  const hub = await createPeer(hubInit)
  const slow = await createPeer()
  const cable = await Cable.to(hub.getMultiaddrs())
  await meet(slow, hub, cable.address)
  return [hub, slow, cable]
}
