import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { bootstrap } from '@libp2p/bootstrap'
import { identify } from '@libp2p/identify'
import { kadDHT, removePublicAddressesMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { directSub, sharedLogs } from '../../src/index.ts'
import { isNeighbour, stopPeers, track } from '../fixtures/directsub.ts'
import { texts } from '../fixtures/logs.ts'
import { expectSame } from '../fixtures/sharedlogs.ts'
import type { SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'
import type { Libp2p } from '@libp2p/interface'

const LOG = 'notes'

/** docs/network.md has the same composition */
describe('recipe: peers are found in a DHT', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('by who knows one address, of a node that has no logs, and has never dialled who keeps the log', async () => {
    const entrance = await createEntrance()
    const known = `${entrance.getMultiaddrs()[0]}`
    const keepers = await Promise.all([createNode(known), createNode(known)])
    const logs: SharedLog[] = []

    for (const node of keepers) {
      logs.push(await node.services.logs.open(LOG))
      await announce(node, LOG)
      await meetReplicators(node, logs[logs.length - 1], logs.length)
    }

    await logs[0].appendMany(texts(100), { ack: 'leaders' })
    const late = await createNode(known)
    const log = await late.services.logs.open(LOG)
    await meetReplicators(late, log, 3)
    await expectSame([...logs, log], 100)
    expect(keepers.every(node => isNeighbour(late, node)), 'somebody is not dialled').to.be.true()
  })
})

/** Where others come in: it runs the DHT, and nothing of ours */
async function createEntrance (): Promise<Libp2p> {
  return track(await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping(), dht: dht() }
  }))
}

async function createNode (known: string): Promise<LogNode> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    peerDiscovery: [bootstrap({ list: [known], timeout: 0 })],
    services: { identify: identify(), ping: ping(), dht: dht(), pubsub: directSub(), logs: sharedLogs() }
  })

  return track(node as unknown as LogNode)
}

/** One of our own, with addresses of this machine */
function dht (): ReturnType<typeof kadDHT> {
  return kadDHT({ protocol: '/notes/kad/1.0.0', clientMode: false, peerInfoMapper: removePublicAddressesMapper })
}

async function announce (node: Libp2p<any>, log: string): Promise<void> {
  await node.contentRouting.provide(await cidOf(log))
}

/** Dials those who say that they keep the log, until there are enough */
async function meetReplicators (node: Libp2p<any>, log: SharedLog, count: number): Promise<void> {
  const cid = await cidOf(log.id)

  while (log.replicators().length < count) {
    for await (const { id, multiaddrs } of node.contentRouting.findProviders(cid)) {
      if (!id.equals(node.peerId)) {
        // it may be gone
        await node.dial(multiaddrs).catch(() => {})
      }
    }

    await log.waitForReplicators({ count, signal: AbortSignal.timeout(1_000) }).catch(() => {})
  }
}

/** The name of a log in the DHT */
async function cidOf (log: string): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(`sheaf/log/${log}`)))
}
