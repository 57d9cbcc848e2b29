import { identify } from '@libp2p/identify'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs } from '../../src/index.ts'
import { encodeFrame } from '../../src/link/core/frames.ts'
import { MAX_BROADCAST, MAX_INBOUND_STREAMS, MAX_WAITING_BYTES, SEND_PROTOCOL } from '../../src/replication/constants.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { eventually, numbered, range, settles } from '../fixtures/directsub.ts'
import { text } from '../fixtures/logs.ts'
import { connect, stopNodes } from '../fixtures/nodes.ts'
import { acquainted, createPortNode, disconnect, isSeen, short, sit, TOPIC } from '../fixtures/ports.ts'
import type { PortNode, Seat } from '../fixtures/ports.ts'
import type { GossipSub, GossipsubOpts } from '@libp2p/gossipsub'
import type { Stream } from '@libp2p/interface'

/** What ports.node.ts does not ask of both pubsubs */
describe('what replication needs of a pubsub: GossipSub alone', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopNodes()
  })

  const settings: Record<string, Partial<GossipsubOpts>> = {
    'tells messages apart by their bytes': { msgIdFn: ({ data }) => data.slice(0, 64) },
    'signs nothing': { globalSignaturePolicy: 'StrictNoSign' },
    'hears its own messages, too': { emitSelf: true },
    'publishes to its mesh alone': { floodPublish: false }
  }

  Object.entries(settings).forEach(([what, init]) => {
    it(`where it ${what}, broadcasts arrive as often as they are sent, from whom they are`, async () => {
      const { ports: [a, b], seats } = await pair(init)
      range(3).forEach(() => { seats[0].topic.broadcast(text('again')) })
      seats[1].topic.broadcast(text('again'))
      await eventually('not all came', () => seats[1].got.length === 3 && seats[0].got.length === 1)
      expect(words(seats[1])).to.deep.equal(['again', 'again', 'again'])
      expect(seats[1].got.every(({ from }) => from.equals(a.node.peerId))).to.be.true()
      expect(seats[0].got[0].from.equals(b.node.peerId)).to.be.true()
    })
  })

  it('what nobody has signed is of nobody', async () => {
    const { ports: [a, b], seats } = await pair({ globalSignaturePolicy: 'StrictNoSign' })
    const raw: Uint8Array[] = []
    gossipOf(b).addEventListener('message', ({ detail }) => { raw.push(detail.data) })
    await gossipOf(a).publish(TOPIC, text('as if it were somebody'))
    await eventually('it did not come', () => raw.length === 1)
    expect(seats[1].got).to.deep.equal([])
  })

  it('a broadcast that is too large for GossipSub arrives all the same', async () => {
    const { seats } = await pair()
    seats[0].topic.broadcast(numbered(7, MAX_BROADCAST + 1))
    await eventually('it did not come', () => seats[1].got.length === 1)
    expect(seats[1].got[0].data.byteLength).to.equal(MAX_BROADCAST + 1)
  })

  it('there is one stream each way, however much goes over it, and none when the port is stopped', async () => {
    const { ports, seats } = await pair()
    await Promise.all(range(100).flatMap(i => ports.map(async ({ node }, to) => seats[1 - to].topic.send(node.peerId, numbered(i)))))
    await eventually('not all came', () => seats.every(({ got }) => got.length === 100))
    expect(ports.map(port => streamsOf(port).map(({ direction }) => direction).sort())).to.deep.equal([['inbound', 'outbound'], ['inbound', 'outbound']])
    await ports[0].port.stop?.()
    await eventually('there are streams', () => ports.every(port => streamsOf(port).length === 0))
    expect(ports.map(({ node }) => node.getProtocols().includes(SEND_PROTOCOL))).to.deep.equal([false, true])
  })

  it('sends to a subscriber that has no shared logs are rejected; when it has them they arrive', async () => {
    const { ports: [a, b], seats } = await pair()
    await b.port.stop?.()
    expect((await settles('send', seats[0].topic.send(b.node.peerId, text('nobody')))).status).to.equal('rejected')
    await b.port.start?.()

    // it is not tried at once again
    while (seats[1].got.length === 0) {
      await seats[0].topic.send(b.node.peerId, text('somebody')).catch(() => {})
      await new Promise<void>(resolve => { setImmediate(resolve) })
    }

    expect(a.node.getConnections()).to.have.lengthOf(1)
    expect(words(seats[1])[0]).to.equal('somebody')
  })

  it('more than may wait for one peer is refused, and what waits is rejected when that is lost', async () => {
    const ports = await nodes()
    const [a, b] = ports
    const cable = await Cable.to(b.node.getMultiaddrs())
    await a.node.dial(cable.address)
    const seats = await Promise.all(ports.map(async port => sit(port)))
    await acquainted(ports, seats)
    cable.freeze()
    const size = 1024 * 1024
    const outcomes: string[] = []
    const sent = range(2 * MAX_WAITING_BYTES / size).map(async i => seats[0].topic.send(b.node.peerId, numbered(i, size)).then(() => { outcomes.push('sent') }, err => { outcomes.push(err.message) }))
    await eventually('nothing is refused', () => outcomes.length > 0)
    expect(new Set(outcomes)).to.deep.equal(new Set(['more waits for this peer than it takes in']))
    expect(outcomes.length).to.be.within(sent.length / 2, sent.length / 2 + 1)
    cable.cut()
    await Promise.all(sent)
    expect(outcomes.at(-1)).to.equal('the last connection to it is gone')
  })

  it('what comes over a stream and cannot be read ends that stream; kinds and topics that are not known are passed over', async () => {
    const { ports: [a, b], seats } = await pair()
    const good = [encodeFrame(9, 0, () => {}, text('a kind of later')).head, message('another topic', 'for others'), message(TOPIC, 'for us')]
    const bad: Record<string, Uint8Array> = { 'a frame that is too long': Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f), 'a topic that is too long': message('t'.repeat(300), 'x'), 'no topic': Uint8Array.of(1, 0) }

    for (const [what, bytes] of Object.entries(bad)) {
      const stream = await b.node.getConnections(a.node.peerId)[0].newStream(SEND_PROTOCOL)
      good.forEach(bytes => { stream.send(bytes) })
      stream.send(bytes)
      await eventually(`the stream goes on after ${what}`, () => stream.status !== 'open')
    }

    await seats[1].topic.send(a.node.peerId, text('still here'))
    await eventually('it did not come', () => words(seats[0]).includes('still here'))
    expect(words(seats[0])).to.deep.equal(['for us', 'for us', 'for us', 'still here'])
  })

  it('nobody can open streams without end', async () => {
    const { ports: [a, b] } = await pair()
    const [connection] = b.node.getConnections(a.node.peerId)
    await Promise.allSettled(range(3 * MAX_INBOUND_STREAMS).map(async () => connection.newStream(SEND_PROTOCOL)))
    await eventually('there are too many', () => streamsOf(a).length <= MAX_INBOUND_STREAMS)
  })

  it('whom GossipSub has lost sight of while the connection lives is lost, and here again with a new one', async () => {
    const { ports, seats } = await pair()
    const [a, b] = ports
    a.node.getConnections().flatMap(({ streams }) => streams).filter(({ protocol, direction }) => protocol.startsWith('/meshsub/') && direction === 'inbound').forEach(stream => { stream.abort(new Error('a stream dies')) })
    await eventually('it is still there', () => !isSeen(seats[0], b))
    expect(a.node.getConnections()).to.have.lengthOf(1)
    await disconnect(a, b)
    await connect(a.node, b.node)
    await acquainted(ports, seats)
    expect(seats[0].seen).to.deep.equal(['here', 'lost', 'here'].map(word => `${word} ${short(b.node.peerId)}`))
  })

  it('who says goodbye stays gone until it subscribes again', async () => {
    const { ports: [a, b], seats } = await pair()
    await seats[1].topic.send(a.node.peerId, text('first'))
    await b.port.stop?.()
    await eventually('it is still there', () => !isSeen(seats[0], b))
    // GossipSub knows it still, and looks once a second
    let beats = 0
    gossipOf(a).addEventListener('gossipsub:heartbeat', () => { beats++ })
    await eventually('its heart does not beat', () => beats === 2)
    expect(seats[0].seen).to.deep.equal([`here ${short(b.node.peerId)}`, `gone ${short(b.node.peerId)}`])
    await b.port.start?.()
    await seats[1].topic.leave()
    const again = await sit(b)
    await eventually('it is not here', () => isSeen(seats[0], b))
    await again.topic.leave()
  })

  it('a node with neither pubsub does not start, and says what is missing', async () => {
    for (const name of ['identify', 'another name']) {
      const starting = createLibp2p({ services: { identify: identify(), pubsub: directSub(), logs: sharedLogs({ pubsub: name }) } })
      const outcome = await settles('start', starting)
      expect(outcome.status === 'rejected' && outcome.reason.name).to.equal('InvalidParametersError')
      expect(outcome.status === 'rejected' && outcome.reason.message).to.include(`'${name}' is neither DirectSub nor GossipSub`)
    }
  })
})

async function nodes (init?: Partial<GossipsubOpts>): Promise<PortNode[]> {
  return Promise.all(range(2).map(async () => createPortNode('GossipSub', init)))
}

/** Connected, and on the topic */
async function pair (init?: Partial<GossipsubOpts>): Promise<{ ports: PortNode[], seats: Seat[] }> {
  const ports = await nodes(init)
  await connect(ports[0].node, ports[1].node)
  const seats = await Promise.all(ports.map(async port => sit(port)))
  await acquainted(ports, seats)
  return { ports, seats }
}

function gossipOf ({ node }: PortNode): GossipSub {
  return node.services.pubsub as GossipSub
}

function words ({ got }: Seat): string[] {
  return got.map(({ data }) => new TextDecoder().decode(data))
}

function streamsOf ({ node }: PortNode): Stream[] {
  return node.getConnections().flatMap(({ streams }) => streams.filter(({ protocol }) => protocol === SEND_PROTOCOL))
}

/** As docs/protocol.md says */
function message (topic: string, data: string): Uint8Array {
  const name = text(topic)
  const length = name.byteLength < 128 ? [name.byteLength] : [(name.byteLength & 0x7f) | 0x80, name.byteLength >> 7]
  return encodeFrame(0, length.length + name.byteLength, (target, offset) => { target.set([...length, ...name], offset) }, text(data)).head
}
