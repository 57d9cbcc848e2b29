import { expect } from 'aegir/chai'
import { Lane } from '../../src/link/index.ts'
import { FLOW_WINDOW } from '../../src/pubsub/constants.ts'
import { EnvelopeType } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { arrived, eventually, inbox, linkOf, meet, numbered, numbersOf, range, stopPeers, streamsOf } from '../fixtures/directsub.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'
import { Attacker, keysInOrder } from '../fuzz/attacker.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { PeerInit } from '../fixtures/peers.ts'

const TOPIC = 'news'

describe('neighbours, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  for (const closes of [false, true]) {
    it(`lose and reorder nothing when a better connection replaces a slow one${closes ? ', which is closed at once' : ''}`, async () => {
      const [a, b, cable] = await overCable({})
      await gather(TOPIC, a, b)
      const messages = [inbox(a), inbox(b)]
      const [old] = b.getConnections(a.peerId)
      let count = 0
      const publish = (size: number): void => {
        [a, b].forEach(node => { void node.services.pubsub.publish(TOPIC, numbered(count, size), { to: [(node === a ? b : a).peerId] }) })
        count++
      }

      cable.rate = 500_000
      range(30).forEach(() => { publish(30_000) })
      await eventually('nothing has come', () => messages.every(({ length }) => length > 0))
      await b.dial(a.getMultiaddrs(), { force: true })
      range(10).forEach(() => { publish(100) })

      if (closes) {
        await eventually('the new one is not in use', () => old.streams.every(({ protocol }) => !protocol.includes('direct-sub')))
        old.abort(new Error('cut by a test'))
      }
      for (let i = 0; i < 50; i++) {
        publish(100)
        await new Promise<void>(resolve => { setImmediate(resolve) })
      }
      await eventually('not all came', () => messages.every(({ length }) => length >= count))

      expect(messages.map(numbersOf)).to.deep.equal([range(count), range(count)])
    })
  }

  it('hear what was said with priority control while their stream is opened again', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const messages = inbox(b)
    streamsOf(a, b)[0].abort(new Error('cut by a test'))
    const results = await Promise.all(range(10).map(async i => a.services.pubsub.publish(TOPIC, numbered(i), { priority: 'control' })))
    await arrived(messages, 10)

    expect(numbersOf(messages)).to.deep.equal(range(10))
    expect(results.every(({ recipients, failed }) => recipients.length === 1 && failed.length === 0)).to.equal(true)
  })

  it('are not cut off by a burst of control, and get all of it', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const messages = inbox(b)
    await Promise.all(range(300).map(async i => a.services.pubsub.publish(TOPIC, numbered(i, 64 * 1024), { priority: 'control' })))
    await arrived(messages, 300)

    expect(numbersOf(messages)).to.deep.equal(range(300))
    expect(a.getConnections(b.peerId)).to.have.lengthOf(1)
  })

  it('can not make a relay hold more for a frozen peer than its bound, whatever they call it', async () => {
    const [attackerKey, relayKey] = await keysInOrder(2)
    const [relay, frozen] = await Promise.all([createPeer({ privateKey: relayKey }), createPeer()])
    const cable = await Cable.to(relay.getMultiaddrs())
    await meet(frozen, relay, cable.address)
    cable.freeze()
    const attacker = await Attacker.create(attackerKey)
    const session = await attacker.open(relay)
    const envelope = await attacker.signer.sign(1, EnvelopeType.BUNDLE, new Uint8Array(60_000))
    const parcel = wire.encodeParcel({ trace: [], lane: Lane.CONTROL, destinations: [keyOf(frozen.peerId)], envelope })

    for (let i = 0; i < 1000 && session.isOpen(); i++) {
      attacker.send(session, parcel)
      await new Promise<void>(resolve => { setImmediate(resolve) })
    }

    const { control, waiting, inFlight } = linkOf(relay, frozen) as Record<string, number>
    // what is held for one destination, and a window of what was passed on, however much was sent
    expect(control + waiting * 60_500 + inFlight).to.be.at.most(FLOW_WINDOW + 4.5 * 1024 * 1024)
    await attacker.stop()
  })

  it('are slow but not cut off when it takes longer to carry a quarter of the window than they may take nothing in', async () => {
    const [a, b, cable] = await overCable({ slowPeerTimeout: 1000 })
    await gather(TOPIC, a, b)
    const messages = inbox(b)
    cable.rate = 700_000
    const count = 36
    const published = range(count).map(async i => a.services.pubsub.publish(TOPIC, numbered(i, 64_000)))
    await arrived(messages, count)

    expect(numbersOf(messages)).to.deep.equal(range(count))
    expect((await Promise.all(published)).every(({ failed }) => failed.length === 0)).to.equal(true)
  })

  it('that are frozen do not keep a node from stopping', async () => {
    const [a, b, cable] = await overCable({})
    await gather(TOPIC, a, b)
    cable.freeze()
    range(200).forEach(i => { a.services.pubsub.publish(TOPIC, numbered(i, 60_000)).catch(() => {}) })
    const before = performance.now()
    await a.services.pubsub.stop()

    expect(performance.now() - before).to.be.below(3000)
  })

  it('leave no trace when they come and go, however fast', async () => {
    const hub = await createPeer()
    await Promise.all(range(12).map(async i => {
      const node = await createPeer({ listen: [] })
      const connection = await node.dial(hub.getMultiaddrs())
      // at another moment of the handshakes each
      for (let turns = 0; turns < i * 3; turns++) {
        await new Promise<void>(resolve => { setImmediate(resolve) })
      }
      connection.abort(new Error('gone'))
      await node.stop()
    }))
    await eventually('connections are left', () => hub.getConnections().length === 0)

    await eventually('neighbours are left', () => hub.services.pubsub.diagnostics().sizes.channels === 0)
  })

  it('get a small message of one topic between the large ones of another', async () => {
    const [a, b, cable] = await overCable({})
    await gather('flood', a, b)
    await gather('chat', a, b)
    const [flood, chat] = [inbox(b, 'flood'), inbox(b, 'chat')]
    cable.rate = 8_000_000
    range(200).forEach(i => { void a.services.pubsub.publish('flood', numbered(i, 60_000)) })
    void a.services.pubsub.publish('chat', numbered(1))
    await arrived(chat, 1)

    // what has left cannot be overtaken: a window of 4 MiB
    expect(flood.length).to.be.below(100)
    await arrived(flood, 200)
    expect(numbersOf(flood)).to.deep.equal(range(200))
  })
})

/** Two neighbours, and the cable between them */
async function overCable (init: PeerInit): Promise<[listener: Sheaf, dialler: Sheaf, cable: Cable]> {
  const [a, b] = await Promise.all([createPeer(init), createPeer()])
  const cable = await Cable.to(a.getMultiaddrs())
  await meet(b, a, cable.address)
  return [a, b, cable]
}
