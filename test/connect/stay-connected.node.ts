import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { InvalidOptionsError, stayConnected } from '../../src/index.ts'
import { Writer } from '../../src/runtime/codec.ts'
import { eventually, range, stopPeers, track } from '../fixtures/directsub.ts'
import type { StayConnected, StayConnectedInit } from '../../src/index.ts'
import type { Libp2p, PrivateKey } from '@libp2p/interface'

type Node = Libp2p<{ connected: StayConnected }>

const PEERS = '/libp2p-sheaf/peers/1.0.0'

async function createNode (init: StayConnectedInit = {}, { listen = '/ip4/127.0.0.1/tcp/0', privateKey }: { listen?: string, privateKey?: PrivateKey } = {}): Promise<Node> {
  return track(await createLibp2p({
    privateKey,
    addresses: { listen: [listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1000 },
    services: { identify: identify(), connected: stayConnected(init) }
  }) as unknown as Node)
}

function addressOf (node: Node): string {
  return node.getMultiaddrs()[0].toString()
}

function areConnected (a: Node, b: Node): boolean {
  return a.getConnections(b.peerId).length > 0 && b.getConnections(a.peerId).length > 0
}

describe('staying connected, over TCP', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('peers that one hub leads to each other stay connected when it is gone, and to it when it is back', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    let hub = await createNode({}, { privateKey })
    const address = addressOf(hub)
    const others = await Promise.all(range(3).map(async () => createNode({ known: [address] })))
    const all = (): boolean => others.every((a, i) => others.every((b, j) => i <= j || areConnected(a, b)))
    await eventually('they have not met', all, 20_000)
    await hub.stop()
    expect(all()).to.equal(true)
    hub = await createNode({}, { privateKey, listen: address.replace(/\/p2p\/.*/, '') })
    await eventually('the hub is alone', () => others.every(other => areConnected(hub, other)), 20_000)
  })

  it('a peer that was off at first is found when it is there, and one of two relays that is dead is not dialled all the time', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const probe = await createNode({}, { privateKey })
    const address = addressOf(probe)
    await probe.stop()
    const alive = await createNode()
    const node = await createNode({ known: [address, addressOf(alive)] })
    await eventually('it did not try', () => node.services.connected.diagnostics().peers.some(({ failures }) => failures > 1))
    expect(areConnected(node, alive)).to.equal(true)
    const back = await createNode({}, { privateKey, listen: address.replace(/\/p2p\/.*/, '') })
    await eventually('it is not found again', () => areConnected(node, back), 20_000)
    expect(node.services.connected.diagnostics().peers.every(({ failures }) => failures === 0)).to.equal(true)
  })

  it('a connection that is closed is made again, and one that is removed is not', async () => {
    const [a, b] = [await createNode({ min: 0 }), await createNode({ min: 0 })]
    const node = await createNode({ known: [addressOf(a), addressOf(b)], min: 0 })
    await eventually('they are not connected', () => areConnected(node, a) && areConnected(node, b))
    await node.hangUp(a.peerId)
    await eventually('it was not dialled again', () => areConnected(node, a))
    node.services.connected.remove(addressOf(b))
    await node.hangUp(b.peerId)
    await node.hangUp(a.peerId)
    await eventually('it was not dialled again', () => areConnected(node, a))
    expect(areConnected(node, b)).to.equal(false)
    node.services.connected.add(addressOf(b))
    await eventually('it was not dialled', () => areConnected(node, b))
    node.services.connected.add(addressOf(node))
    expect(node.services.connected.diagnostics().peers).to.have.lengthOf(2)
  })

  it('a peer that names what it did not sign, too many, or says nothing, makes nobody dial', async () => {
    const victim = await createNode({ min: 8 })
    const liar = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] }, transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()], services: { identify: identify() }
    })
    track(liar as any)
    const stranger = await createNode()
    let asked = 0
    await liar.handle(PEERS, async stream => {
      const { peerRecordEnvelope = new Uint8Array(100) } = await liar.peerStore.get(victim.peerId)
      const writer = new Writer()
      const entries = asked++ % 2 === 0 ? range(16) : range(10_000)
      // the record of one under the name of another
      writer.list(entries, () => writer.bytes(stranger.peerId.toMultihash().bytes).bytes(peerRecordEnvelope))
      stream.send(new Writer().bytes(writer.finish()).finish())
      await stream.close()
    })
    await liar.dial(victim.getMultiaddrs())
    await eventually('it was not asked', () => asked > 0, 20_000)
    const { peers } = victim.services.connected.diagnostics()
    expect(peers.map(({ name }) => name)).to.deep.equal([liar.peerId.toString()])
  })

  it('what is no address, and what is no option, is refused by name', async () => {
    expect(() => stayConnected({ known: ['relay.example.org'] })({ peerId: {} } as any)).to.throw()
    const node = await createNode()
    expect(() => { node.services.connected.add('relay.example.org') }).to.throw(InvalidOptionsError, '/dns4/')
    await expect(createNode({ max: 4 } as any)).to.be.rejectedWith(InvalidOptionsError, 'there are known, min')
  })
})
