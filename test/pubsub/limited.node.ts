import { expect } from 'aegir/chai'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { arrived, eventually, inbox, isNeighbour, known, meet, numbered, numbersOf, range, stopPeers } from '../fixtures/directsub.ts'
import { createPeer, gather, keysOfOpenerAndOther } from '../fixtures/peers.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { PeerInit } from '../fixtures/peers.ts'
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

const TOPIC = 'news'

describe('connections that are better than others, and those over a circuit relay, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it('scenario 15: a limited connection is not used unless it is asked for', async () => {
    const [a, b, circuit] = await overCircuit({})
    await a.dial(circuit)
    await eventually('a does not know what b speaks', () => a.getConnections(b.peerId).length > 0)
    await untilIdentified(a, b)
    await untilIdentified(b, a)

    expect(carriers(a, b)).to.deep.equal([])
    expect(isNeighbour(a, b) || isNeighbour(b, a)).to.be.false()

    // and the direct one that comes then is
    await meet(a, b, direct(b))
    expect(carriers(a, b).map(isLimited)).to.deep.equal([false])
  })

  it('scenario 15: traffic moves to a direct connection that replaces a relayed one, and nothing is lost or comes twice', async () => {
    const [a, b, circuit] = await overCircuit({ runOnLimitedConnection: true })
    await meet(a, b, circuit)
    expect(carriers(a, b).map(isLimited)).to.deep.equal([true])
    await Promise.all([a, b].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await known(TOPIC, [a, b], [a, b])
    const atA = inbox(a, TOPIC)
    const atB = inbox(b, TOPIC)
    let published = 0
    const publish = (): void => {
      void a.services.pubsub.publish(TOPIC, numbered(published))
      void b.services.pubsub.publish(TOPIC, numbered(published++))
    }

    publish()
    await a.dial(direct(b), { force: true })
    await eventually('traffic did not move', () => {
      publish()
      return [carriers(a, b), carriers(b, a)].every(all => all.length === 1 && !isLimited(all[0]))
    })
    publish()

    await arrived(atA, published)
    await arrived(atB, published)
    expect(numbersOf(atA).sort((x, y) => x - y)).to.deep.equal(range(published))
    expect(numbersOf(atB).sort((x, y) => x - y)).to.deep.equal(range(published))
  })

  it('scenario 15: the old streams end before the new ones are ready, and nothing is lost', async () => {
    // the hello of the new streams comes by the slow way, the end of the old ones by the quick one
    const [openerKey, otherKey] = await keysOfOpenerAndOther()
    const opener = await createPeer({ privateKey: openerKey })
    const other = await createPeer({ privateKey: otherKey })
    const cable = await Cable.to(other.getMultiaddrs())
    cable.latency = 30
    await meet(opener, other)
    await gather(TOPIC, opener, other)
    const messages = inbox(opener)
    let published = 0

    const newer = await opener.dial(cable.address, { force: true })
    await eventually('traffic did not move', () => {
      void other.services.pubsub.publish(TOPIC, numbered(published++))
      return [carriers(opener, other), carriers(other, opener)].every(all => all.length === 1) && carriers(opener, other)[0] === newer
    })
    await other.services.pubsub.publish(TOPIC, numbered(published++))

    await arrived(messages, published)
    expect(numbersOf(messages).sort((x, y) => x - y)).to.deep.equal(range(published))
  })

  for (const how of ['closes', 'breaks'] as const) {
    it(`scenario 15: when the better of two connections ${how}, traffic moves to the other one`, async () => {
      const [a, b, circuit] = await overCircuit({ runOnLimitedConnection: true })
      await meet(a, b, circuit)
      await Promise.all([a, b].map(async node => node.services.pubsub.subscribe(TOPIC)))
      const better = await a.dial(direct(b), { force: true })
      await eventually('traffic did not move', () => [carriers(a, b), carriers(b, a)].every(all => all.length === 1 && !isLimited(all[0])))
      const atA = inbox(a, TOPIC)
      const atB = inbox(b, TOPIC)
      const events: unknown[] = []
      a.services.pubsub.addEventListener('subscription-change', ({ detail }) => { events.push(detail) })

      if (how === 'closes') {
        await better.close()
      } else {
        better.abort(new Error('broken by a test'))
      }

      await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })
      await b.services.pubsub.publish(TOPIC, numbered(2), { ack: 'all' })
      expect(carriers(a, b).map(isLimited)).to.deep.equal([true])
      expect([numbersOf(atA), numbersOf(atB)]).to.deep.equal([[2], [1]])
      expect(events).to.deep.equal([])
    })
  }
})

/** Two nodes, and an address by which the first reaches the second over a third, which only lends its circuits */
async function overCircuit (init: PeerInit): Promise<[Sheaf, Sheaf, Multiaddr]> {
  const relay = await createPeer({ circuit: 'server', canRelay: false })
  const relayed = `${relay.getMultiaddrs()[0]}/p2p-circuit`
  const a = await createPeer({ ...init, circuit: 'client' })
  const b = await createPeer({ ...init, circuit: 'client', listen: ['/ip4/127.0.0.1/tcp/0', relayed] })
  const circuit = (): Multiaddr | undefined => b.getMultiaddrs().find(address => address.toString().includes('p2p-circuit'))
  await eventually('there is no reservation', () => circuit() != null)
  return [a, b, circuit() as Multiaddr]
}

function direct (node: Sheaf): Multiaddr[] {
  return node.getMultiaddrs().filter(address => !address.toString().includes('p2p-circuit'))
}

/** The connections that the protocol's streams are on */
function carriers (at: Sheaf, to: Sheaf): Connection[] {
  return at.getConnections(to.peerId).filter(({ streams }) => streams.some(({ protocol }) => protocol.startsWith('/libp2p-sheaf')))
}

function isLimited ({ limits }: Connection): boolean {
  return limits != null
}

/** From then on it is known what protocols the other one speaks: had it mattered, streams would be on their way */
async function untilIdentified (at: Sheaf, other: Sheaf): Promise<void> {
  let protocols: string[] = []
  await eventually('it is not identified', () => {
    void at.peerStore.get(other.peerId).then(peer => { protocols = peer.protocols }, () => {})
    return protocols.length > 0
  })
}
