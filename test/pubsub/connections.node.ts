import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { about, arrived, changes, eventually, fence, inbox, isKnown, isNeighbour, known, linkOf, meet, numbered, numbersOf, range, stopPeers, streamsOf } from '../fixtures/directsub.ts'
import { createPeer, gather, keysOfOpenerAndOther, line } from '../fixtures/peers.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { PeerInit } from '../fixtures/peers.ts'
import type { Connection } from '@libp2p/interface'

const TOPIC = 'news'
const DAY = 24 * 3600 * 1000

describe('connections that come and go, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it('scenario 11: an announcement that comes later than a newer one by another way is ignored', async () => {
    // origin - quick - end, and origin - slow - end with the last hop held back
    const [origin, quick, slow, end] = await Promise.all(range(4).map(async () => createPeer()))
    const cable = await Cable.to(end.getMultiaddrs())
    await meet(origin, quick)
    await meet(quick, end)
    await meet(origin, slow)
    await meet(slow, end, cable.address)
    await end.services.pubsub.subscribe(TOPIC)
    const seen = changes(end)
    await fence(origin, slow)

    cable.freeze('dialer')
    await origin.services.pubsub.subscribe(TOPIC)
    await eventually('it came by the quick way', () => isKnown(TOPIC, end, origin))
    await origin.services.pubsub.unsubscribe(TOPIC)
    await eventually('the end of it came by the quick way', () => !isKnown(TOPIC, end, origin))
    cable.thaw()
    await fence(slow, end)

    expect(isKnown(TOPIC, end, origin)).to.be.false()
    expect(about(seen, TOPIC)).to.deep.equal([
      [origin.peerId.toString(), true, 'announced'],
      [origin.peerId.toString(), false, 'retracted']
    ])
  })

  it('scenario 11: a new life with an older clock is believed, by neighbours and beyond a relay', async () => {
    const [, privateKey] = await keysOfOpenerAndOther()
    const ahead = { ...systemClock, now: () => systemClock.now() + DAY }
    const [near, far] = await line(2)
    const first = await createPeer({ privateKey, clock: ahead })
    const cable = await Cable.to(near.getMultiaddrs())
    await meet(first, near, cable.address)
    await gather(TOPIC, near, far, first)

    cable.freeze()
    await crash(first)
    const second = await createPeer({ privateKey })
    expect(second.services.pubsub.diagnostics().epoch).to.be.below(first.services.pubsub.diagnostics().epoch)
    await second.dial(near.getMultiaddrs())
    await second.services.pubsub.subscribe(TOPIC)

    await talk(near, second)
    await talk(second, near)
    await talk(far, second)
    await talk(second, far)
  })

  it('scenario 12: one of two connections drops and nobody notices; the last drops and it is one event with its reason', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    await a.dial(b.getMultiaddrs(), { force: true })
    await eventually('there are no two connections', () => b.getConnections(a.peerId).length === 2)
    const seen = changes(a)

    await a.getConnections(b.peerId)[1].close()
    await eventually('the connection is still there', () => b.getConnections(a.peerId).length === 1)
    await talk(a, b)
    await talk(b, a)
    expect(seen).to.deep.equal([])

    await a.getConnections(b.peerId)[0].close()
    await eventually('the neighbour is still there', () => !isNeighbour(a, b) && !isNeighbour(b, a))
    expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), false, 'unreachable']])
    expect(seen).to.have.lengthOf(1)
  })

  for (const side of ['opener', 'other'] as const) {
    it(`scenario 14: the ${side} of the streams restarts without a clean close, and both directions work again`, async () => {
      const [openerKey, otherKey] = await keysOfOpenerAndOther()
      const [restartingKey, stayingKey] = side === 'opener' ? [openerKey, otherKey] : [otherKey, openerKey]
      const staying = await createPeer({ privateKey: stayingKey })
      const first = await createPeer({ privateKey: restartingKey })
      const cable = await Cable.to(staying.getMultiaddrs())
      await meet(first, staying, cable.address)
      await gather(TOPIC, first, staying)
      await talk(first, staying)
      await talk(staying, first)
      const seen = changes(staying)

      cable.freeze()
      await crash(first)
      expect(staying.getConnections(first.peerId)).to.have.lengthOf(1, 'it noticed: this is not what the test is about')

      const second = await createPeer({ privateKey: restartingKey })
      await second.services.pubsub.subscribe(TOPIC)
      const opened = countOpened(await second.dial(staying.getMultiaddrs()))
      await eventually(() => `it was not told: ${JSON.stringify(about(seen, TOPIC))}`, () => about(seen, TOPIC).length === 2)
      expect(about(seen, TOPIC)).to.deep.equal([
        [second.peerId.toString(), false, 'restarted'],
        [second.peerId.toString(), true, 'announced']
      ])
      await talk(second, staying)
      await talk(staying, second)
      expect(opened(), 'the first streams of the new life were taken for those of the old one').to.equal(side === 'opener' ? 1 : 0)
      expect(linkOf(staying, second)).to.include({ channels: 1, faults: 0 })
    })
  }

  it('scenario 16: of the streams that simultaneous dials leave, both sides keep the same', async () => {
    for (const round of range(5)) {
      const [a, b] = await Promise.all([createPeer(), createPeer()])
      await Promise.all([a.services.pubsub.subscribe(TOPIC), b.services.pubsub.subscribe(TOPIC), a.dial(b.getMultiaddrs()), b.dial(a.getMultiaddrs())])
      await known(TOPIC, [a, b], [a, b])
      await eventually(`round ${round}: there is not one stream at each side`, () => streamsOf(a, b).length === 1 && streamsOf(b, a).length === 1)

      const directions = [[a, b], [b, a]].map(([at, to]) => at.getConnections(to.peerId)
        .filter(({ streams }) => streams.some(({ protocol }) => protocol.startsWith('/libp2p-sheaf')))
        .map(({ direction }) => direction))
      expect(directions.flat().sort(), 'one is on one connection, the other one on another').to.deep.equal(['inbound', 'outbound'])
      await talk(a, b)
      await talk(b, a)
    }
  })

  it('scenario 17: the stream dies and is opened again, at either side, while the connection lives', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const seen = [changes(a), changes(b)]
    const connection = a.getConnections(b.peerId)[0]

    for (const [at, to] of [[a, b], [b, a], [a, b]]) {
      streamsOf(at, to)[0].abort(new Error('cut by a test'))
      await talk(a, b)
      await talk(b, a)
    }

    expect(seen).to.deep.equal([[], []])
    expect(a.getConnections(b.peerId)).to.deep.equal([connection])
    await eventually('old streams are left', () => streamsOf(a, b).length === 1 && streamsOf(b, a).length === 1)
    expect(linkOf(a, b)).to.include({ status: 'up', faults: 0, channels: 1 })
  })

  it('scenario 17: streams that cannot be opened are tried again, with longer and longer waits between', async () => {
    const [opener, other] = await pairOf({}, {})
    await gather(TOPIC, opener, other)
    const connection = opener.getConnections(other.peerId)[0]
    const newStream = connection.newStream.bind(connection)
    const tries: number[] = []
    connection.newStream = async (protocols, options) => {
      if (String(protocols).includes('/direct-sub/')) {
        tries.push(performance.now())
      }
      if (tries.length < 4) {
        throw new Error('no stream today')
      }
      return newStream(protocols, options)
    }

    streamsOf(opener, other)[0].abort(new Error('cut by a test'))
    await talk(opener, other)
    await talk(other, opener)

    const waits = tries.slice(1).map((at, i) => at - tries[i])
    expect(waits).to.have.lengthOf(3)
    // 200, 400 and 800 ms give or take a fifth; a busy machine only makes them longer
    expect(waits.every((wait, i) => wait >= 2 ** i * 150), waits.join()).to.be.true()
    expect(opener.getConnections(other.peerId)).to.deep.equal([connection])
  })

  it('scenario 17: what waits for acks while streams die is sent again, and delivered once', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const messages = inbox(b)
    const published: Array<Promise<unknown>> = []

    for (const i of range(90)) {
      published.push(a.services.pubsub.publish(TOPIC, numbered(i, 10_000), { ack: 'all' }))
      if (i % 30 === 15) {
        // not one that is still being negotiated: libp2p does not notice its end before the time for that is over
        await eventually('there is no stream', () => linkOf(a, b)?.status === 'up' && linkOf(b, a)?.status === 'up')
        streamsOf(a, b)[0].abort(new Error('cut by a test'))
      }
    }

    await Promise.all(published)
    expect(numbersOf(messages).sort((x, y) => x - y)).to.deep.equal(range(90))
  })
})

/** As a process that is killed: nothing is said any more */
async function crash (node: Sheaf): Promise<void> {
  node.getConnections().forEach(connection => { connection.abort(new Error('crashed')) })
  await node.stop()
}

/** A message arrives: with acks, so that one that goes into streams which are just ending is sent again */
async function talk (from: Sheaf, to: Sheaf): Promise<void> {
  const messages = inbox(to)
  const name = Math.floor(Math.random() * 2 ** 32)
  await eventually('one does not know that the other listens', () => isKnown(TOPIC, from, to))
  await from.services.pubsub.publish(TOPIC, numbered(name), { to: [to.peerId], ack: 'all' })
  await arrived(messages, 1)
  expect(numbersOf(messages)).to.deep.equal([name])
}

/** How often one side opens a stream from now on */
function countOpened (connection: Connection): () => number {
  const newStream = connection.newStream.bind(connection)
  let count = 0
  connection.newStream = async (protocols, options) => {
    count += String(protocols).includes('/direct-sub/') ? 1 : 0
    return newStream(protocols, options)
  }
  return () => count
}

/** Two neighbours, the first of which opens the streams */
async function pairOf (opener: PeerInit, other: PeerInit): Promise<[Sheaf, Sheaf]> {
  const [openerKey, otherKey] = await keysOfOpenerAndOther()
  const pair: [Sheaf, Sheaf] = [await createPeer({ ...opener, privateKey: openerKey }), await createPeer({ ...other, privateKey: otherKey })]
  await meet(...pair)
  return pair
}
