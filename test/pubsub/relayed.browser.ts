import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { directSub } from '../../src/index.ts'
import { arrived, changes, eventually, fence, inbox, known, linkOf, numbered, numbersOf, range, stopPeers, track } from '../fixtures/directsub.ts'
import type { Sheaf } from '../fixtures/directsub.ts'

const TOPIC = 'news'
const KIB = 1024
const relay = process.env.RELAY_MULTIADDR

describe('two nodes that can only dial, and a relay between them', function () {
  this.timeout(60_000)
  let a: Sheaf
  let b: Sheaf

  beforeEach(async () => {
    [a, b] = await Promise.all([createDialer(), createDialer()])
  })

  afterEach(stopPeers)

  it('find each other by what they subscribe to', async () => {
    const seen = changes(a)
    await both()
    expect(seen.map(({ peerId, subscriptions, reason }) => [peerId.toString(), subscriptions, reason]))
      .to.deep.equal([[b.peerId.toString(), [{ topic: TOPIC, subscribe: true }], 'announced']])

    await b.services.pubsub.unsubscribe(TOPIC)
    await eventually('b is still taken for a subscriber', () => a.services.pubsub.getSubscribers(TOPIC).length === 0)
  })

  it('publish both ways, signed by who published, with acks', async () => {
    await both()

    for (const [from, to] of [[a, b], [b, a]]) {
      const messages = inbox(to)
      const { acked, failed } = await from.services.pubsub.publish(TOPIC, numbered(7), { ack: 'all' })
      expect(acked.map(String)).to.deep.equal([to.peerId.toString()])
      expect(failed).to.deep.equal([])
      expect(messages.map(({ type, from, topic }) => [type, from.toString(), topic])).to.deep.equal([['signed', from.peerId.toString(), TOPIC]])
      expect(numbersOf(messages)).to.deep.equal([7])
    }
  })

  it('lose none of 100 messages that are published at once after they know each other, and keep their order', async () => {
    await both()
    const messages = inbox(b)
    await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))
    await arrived(messages, 100)
    expect(numbersOf(messages)).to.deep.equal(range(100))
  })

  it('lose none of 100 messages where only one of them is on the topic', async () => {
    await b.services.pubsub.subscribe(TOPIC)
    const messages = inbox(b)
    await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))
    await arrived(messages, 100)
    expect(numbersOf(messages)).to.deep.equal(range(100))
  })

  it('send each other 512 KiB in one message', async () => {
    await both()
    const messages = inbox(b)
    const data = new Uint8Array(512 * KIB).map((_, i) => i * 31)
    await a.services.pubsub.publish(TOPIC, data, { ack: 'all' })
    expect(messages).to.have.lengthOf(1)
    expect(messages[0].data).to.deep.equal(data)
  })

  it('send each other 200 x 64 KiB in one burst, both at the same time, and lose nothing', async () => {
    await both()
    const inboxes = [inbox(a, TOPIC), inbox(b, TOPIC)]
    const results = await Promise.all([a, b].flatMap(node => range(200).map(async i => node.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB)))))
    await Promise.all(inboxes.map(async messages => arrived(messages, 200)))

    expect(results.flatMap(({ failed }) => failed)).to.deep.equal([])
    expect(inboxes.map(numbersOf)).to.deep.equal([range(200), range(200)])
    for (const node of [a, b]) {
      expect(node.services.pubsub.diagnostics().peers).to.have.lengthOf(1)
      expect(node.services.pubsub.diagnostics().peers[0]).to.include({ outbox: 0, waiting: 0, faults: 0, status: 'up' })
    }
  })

  it('hear when the other one stops, and go on after it has started again', async () => {
    await both()
    const seen = changes(a)
    await b.stop()
    await eventually('a was not told', () => seen.length > 0)
    // what it said and that it went are two things, the relay may well pass on the later one only
    expect(seen.map(({ reason }) => reason)[0]).to.be.oneOf(['retracted', 'unreachable'])
    expect(seen).to.have.lengthOf(1)

    await b.start()
    await dialRelay(b)
    await both()
    const messages = inbox(b, TOPIC)
    await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })
    await fence(b, a)
    expect(numbersOf(messages)).to.deep.equal([1])
    expect(linkOf(a, b), 'they are no neighbours').to.equal(undefined)
  })

  async function both (): Promise<void> {
    await Promise.all([a, b].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await known(TOPIC, [a, b], [a, b])
  }
})

async function createDialer (): Promise<Sheaf> {
  const node = track(await createLibp2p({
    addresses: {
      listen: []
    },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: {
      enabled: false
    },
    // browsers are not to dial what is on their own machine: here that is all there is
    connectionGater: {
      denyDialMultiaddr: () => false
    },
    services: {
      identify: identify(),
      pubsub: directSub()
    }
  }) as unknown as Sheaf)
  await dialRelay(node)
  return node
}

async function dialRelay (node: Sheaf): Promise<void> {
  await node.dial(multiaddr(relay))
  await eventually('the relay is no neighbour', () => node.services.pubsub.getPeers().length > 0)
}
