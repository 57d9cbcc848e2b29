import { expect } from 'aegir/chai'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { eventually, numbered, range, settles } from '../fixtures/directsub.ts'
import { text } from '../fixtures/logs.ts'
import { connect, stopNodes } from '../fixtures/nodes.ts'
import { acquainted, createPortNode, disconnect, isSeen, short, sit, TOPIC } from '../fixtures/ports.ts'
import { PUBSUBS } from '../fixtures/sharedlogs.ts'
import type { PortNode, Seat } from '../fixtures/ports.ts'
import type { Stream } from '@libp2p/interface'
import type { TypedEventEmitter } from 'main-event'

/** Bytes of a message of which few are on their way at once */
const LARGE = 256 * 1024

for (const name of PUBSUBS) {
  describe(`what replication needs of a pubsub: ${name}`, function () {
    this.timeout(60_000)
    afterEach(async () => {
      removeCables()
      await stopNodes()
    })

    async function nodes (count: number): Promise<PortNode[]> {
      return Promise.all(range(count).map(async () => createPortNode(name)))
    }

    /** Connected, and on the topic */
    async function pair (): Promise<{ ports: PortNode[], seats: Seat[] }> {
      const ports = await nodes(2)
      await connect(ports[0].node, ports[1].node)
      const seats = await Promise.all(ports.map(async port => sit(port)))
      await acquainted(ports, seats)
      return { ports, seats }
    }

    /** Connected by a cable, on the topic, and one message has come from the first to the second */
    async function cabled (): Promise<{ ports: PortNode[], seats: Seat[], cable: Cable }> {
      const ports = await nodes(2)
      const cable = await Cable.to(ports[1].node.getMultiaddrs())
      await ports[0].node.dial(cable.address)
      const seats = await Promise.all(ports.map(async port => sit(port)))
      await acquainted(ports, seats)
      await seats[0].topic.send(ports[1].node.peerId, text('first'))
      await eventually('it did not come', () => seats[1].got.length === 1)
      return { ports, seats, cable }
    }

    it('listens for messages once, however many topics there are, and tells each topic of its own alone', async () => {
      const ports = await nodes(2)
      await connect(ports[0].node, ports[1].node)
      const pubsub = ports[1].node.services.pubsub as unknown as TypedEventEmitter<any>
      const before = pubsub.listenerCount('message')
      const seats = await Promise.all(range(20).map(async i => sit(ports[1], `topic ${i}`)))
      expect(pubsub.listenerCount('message') - before).to.be.at.most(1)
      const others = await Promise.all(range(20).map(async i => sit(ports[0], `topic ${i}`)))
      await eventually('somebody is missing', () => others.every(({ seen }) => seen.length === 1) && seats.every(({ seen }) => seen.length === 1))
      await Promise.all(seats.slice(0, 10).map(async ({ topic }) => topic.leave()))
      others.forEach(({ topic }, i) => { topic.broadcast(numbered(i, 12)) })
      await eventually('it did not come', () => seats.slice(10).every(({ got }) => got.length === 1))
      expect(seats.map(({ got }) => got.length)).to.deep.equal(range(20).map(i => i < 10 ? 0 : 1))
    })

    it('says once who is on the topic: who was there first, who comes later, and who connects later', async () => {
      const ports = await nodes(3)
      const [a, b, c] = ports
      await connect(a.node, b.node)
      const seats = [await sit(a)]
      seats.push(await sit(b), await sit(c))
      await acquainted([a, b], seats.slice(0, 2))
      await connect(a.node, c.node)
      await connect(b.node, c.node)
      await acquainted(ports, seats)
      seats.forEach(({ seen }, i) => {
        expect(seen.sort()).to.deep.equal(ports.filter((_, j) => j !== i).map(({ node }) => `here ${short(node.peerId)}`).sort())
      })
    })

    it('says who is not any more: who left said so, who is lost did not, and both may come again', async () => {
      const { ports: [a, b], seats } = await pair()
      const peer = short(b.node.peerId)
      await seats[1].topic.leave()
      await eventually('it is still there', () => !isSeen(seats[0], b))
      expect(seats[0].seen).to.deep.equal([`here ${peer}`, `gone ${peer}`])

      const again = await sit(b)
      await acquainted([a, b], [seats[0], again])
      await disconnect(a, b)
      await eventually('it is still there', () => !isSeen(seats[0], b) && !isSeen(again, a))
      expect(seats[0].seen.slice(2)).to.deep.equal([`here ${peer}`, `lost ${peer}`])

      await connect(b.node, a.node)
      await acquainted([a, b], [seats[0], again])
      expect(seats[0].seen.slice(4)).to.deep.equal([`here ${peer}`])
    })

    it('says that one is gone whose node stops in order, if that one had anything to say before', async () => {
      for (let i = 0; i < 5; i++) {
        const { ports: [a, b], seats } = await pair()
        await seats[1].topic.send(a.node.peerId, text('something'))
        // in this order shared logs do it
        await seats[1].topic.leave()
        await b.port.stop?.()
        await b.node.stop()
        await eventually('it is still there', () => seats[0].seen.length > 1)
        expect(seats[0].seen).to.deep.equal([`here ${short(b.node.peerId)}`, `gone ${short(b.node.peerId)}`])
      }
    })

    it('broadcasts to all that are on the topic and to nobody else, the same bytes as often as they are sent', async () => {
      const ports = await nodes(3)
      const [a, b, c] = ports
      await Promise.all([connect(a.node, b.node), connect(a.node, c.node), connect(b.node, c.node)])
      const seats = await Promise.all(ports.map(async port => sit(port)))
      const other = await sit(c, 'another topic')
      await acquainted(ports, seats)
      range(3).forEach(() => { seats[0].topic.broadcast(text('again')) })
      seats[1].topic.broadcast(text('again'))
      await eventually('not all came', () => seats.map(({ got }) => got.length).join() === '1,3,4')
      await seats[2].topic.leave()
      await eventually('it is still there', () => !isSeen(seats[0], c))
      seats[0].topic.broadcast(text('later'))
      await eventually('it did not come', () => seats[1].got.length === 4)

      expect(seats[1].got.map(({ from, data }) => `${from} ${new TextDecoder().decode(data)}`)).to.deep.equal([...range(3).map(() => `${a.node.peerId} again`), `${a.node.peerId} later`])
      expect([seats[0].got.length, seats[2].got.length, other.got.length]).to.deep.equal([1, 4, 0])
    })

    it('sends to one alone, in order, both ways at once, also what is as large as it may be', async () => {
      const ports = await nodes(3)
      const [a, b, c] = ports
      await Promise.all([connect(a.node, b.node), connect(a.node, c.node), connect(b.node, c.node)])
      const seats = await Promise.all(ports.map(async port => sit(port)))
      await acquainted(ports, seats)
      const sizes = range(1_000).map(i => i === 500 ? a.port.maxMessageSize : 4 + i)
      await Promise.all(sizes.flatMap((size, i) => [
        seats[0].topic.send(b.node.peerId, numbered(i, size)),
        seats[1].topic.send(a.node.peerId, numbered(i, size))
      ]))
      await eventually(() => `${seats[0].got.length} and ${seats[1].got.length} came`, () => seats[0].got.length + seats[1].got.length === 2_000)

      for (const [at, from] of [[0, b], [1, a]] as const) {
        expect(seats[at].got.map(({ data }) => new DataView(data.buffer).getUint32(0))).to.deep.equal(range(1_000))
        expect(seats[at].got.map(({ data }) => data.byteLength)).to.deep.equal(sizes)
        expect(seats[at].got.every(message => message.from.equals(from.node.peerId))).to.be.true()
      }
      expect(seats[2].got).to.deep.equal([])
      const tooLarge = await settles('send', seats[0].topic.send(b.node.peerId, new Uint8Array(a.port.maxMessageSize + 1)))
      expect(tooLarge.status).to.equal('rejected')
    })

    it('rejects what is sent to one that is gone, while it waits and after, and sends again when it is back', async () => {
      const { ports, seats, cable } = await cabled()
      const [a, b] = ports
      cable.freeze()
      const sent = await sendUntilItWaits(seats[0], b)
      cable.cut()
      expect((await settles('what waits', sent[sent.length - 1])).status).to.equal('rejected')
      await eventually('it is still there', () => !isSeen(seats[0], b))
      expect((await settles('send', seats[0].topic.send(b.node.peerId, text('nobody')))).status).to.equal('rejected')

      cable.thaw()
      await a.node.dial(cable.address)
      await acquainted(ports, seats)
      await seats[0].topic.send(b.node.peerId, text('back'))
      await eventually('it did not come', () => seats[1].got.some(({ data }) => new TextDecoder().decode(data) === 'back'))
    })

    it('waits while one is too slow, with bounded memory; who gives up waiting sends nothing; all the rest arrives in order', async () => {
      const { ports: [, b], seats, cable } = await cabled()
      cable.freeze()
      const sent = await sendUntilItWaits(seats[0], b)
      const before = sent.length
      const controller = new AbortController()
      const aborted = seats[0].topic.send(b.node.peerId, numbered(77_777, 100), { signal: controller.signal })
      const last = seats[0].topic.send(b.node.peerId, numbered(before, 100))
      controller.abort(new Error('no patience'))
      const outcome = await settles('the one that was aborted', aborted)
      expect(outcome.status === 'rejected' && outcome.reason.message).to.equal('no patience')
      expect(seats[1].got).to.have.lengthOf(1)

      cable.thaw()
      await Promise.all([...sent, last])
      await eventually(() => `${seats[1].got.length} of ${before + 2} came`, () => seats[1].got.length === before + 2)
      expect(seats[1].got.slice(1).map(({ data }) => new DataView(data.buffer).getUint32(0))).to.deep.equal(range(before + 1))
    })

    it('sends over streams that are opened again when they die, while the connection lives', async () => {
      const { ports: [a, b], seats } = await pair()
      await seats[0].topic.send(b.node.peerId, text('first'))
      await eventually('it did not come', () => seats[1].got.length === 1)

      for (const at of [a, b, a, b]) {
        const { got } = seats[1]
        const before = got.length
        const streams = (): Stream[] => at.node.getConnections().flatMap(({ streams }) => streams.filter(({ protocol }) => protocol.startsWith('/libp2p-sheaf/')))
        await eventually('there are no streams', () => streams().length > 0)
        streams().forEach(stream => { stream.abort(new Error('a stream dies')) })
        // what was under way is lost
        for (let i = 0; got.length === before; i++) {
          await seats[0].topic.send(b.node.peerId, numbered(i)).catch(() => {})
          await new Promise<void>(resolve => { setImmediate(resolve) })
        }
      }

      expect(a.node.getConnections()).to.have.lengthOf(1)
    })

    it('tells nothing after leave() was called, and of a topic only what is of it', async () => {
      const { ports: [a, b], seats } = await pair()
      const others = await Promise.all([a, b].map(async port => sit(port, 'another topic')))
      await acquainted([a, b], others)
      const leaving = seats[1].topic.leave()
      const [messages, events] = [seats[1].got.length, seats[1].seen.length]
      range(20).forEach(i => {
        seats[0].topic.broadcast(text(`${i}`))
        seats[0].topic.send(b.node.peerId, text(`${i}`)).catch(() => {})
        others[0].topic.send(b.node.peerId, text(`${i}`)).catch(() => {})
      })
      await leaving
      await eventually('the others did not come', () => others[1].got.length === 20)
      await disconnect(a, b)
      await eventually('it is still there', () => !isSeen(others[1], a))
      expect([seats[1].got.length, seats[1].seen.length]).to.deep.equal([messages, events])
      expect(others[1].seen).to.deep.equal([`here ${short(a.node.peerId)}`, `lost ${short(a.node.peerId)}`])
      expect(others[0].got).to.deep.equal([])
    })

    it('joins again a topic that was left, in the same tick', async () => {
      const { ports, seats } = await pair()
      const leaving = seats[1].topic.leave()
      const again = await sit(ports[1], TOPIC)
      await leaving
      await acquainted(ports, [seats[0], again])
      seats[0].topic.broadcast(text('hello'))
      await seats[0].topic.send(ports[1].node.peerId, text('you'))
      await eventually('they did not come', () => again.got.length === 2)
    })
  })
}

/** Sends numbered ones until one of them has to wait: all of them, that one is the last */
async function sendUntilItWaits ({ topic }: Seat, { node }: PortNode): Promise<Array<Promise<void>>> {
  const sent: Array<Promise<void>> = []
  const waiting = new Set<Promise<void>>()

  while (waiting.size === 0) {
    const sending = topic.send(node.peerId, numbered(sent.length, LARGE))
    waiting.add(sending)
    sending.then(() => { waiting.delete(sending) }, () => {})
    sent.push(sending)
    await turns()
    expect(sent.length * LARGE, 'nothing holds it up').to.be.below(64 * 1024 * 1024)
  }

  return sent
}

/** Within so many, what does not have to wait is taken */
async function turns (): Promise<void> {
  for (let i = 0; i < 50; i++) {
    await new Promise<void>(resolve => { setImmediate(resolve) })
  }
}
