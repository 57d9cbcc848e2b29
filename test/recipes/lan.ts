/**
 * Two nodes that know nothing of each other, on a network of their own: ends well when both have what either appended. It is run by
 * mdns.node.ts, where multicast does not leave the machine; docs/network.md has the same composition.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { mdns } from '@libp2p/mdns'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs } from '../../src/index.ts'
import { stopPeers, track } from '../fixtures/directsub.ts'
import { texts } from '../fixtures/logs.ts'
import { expectSame, openAt } from '../fixtures/sharedlogs.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

async function createNode (): Promise<LogNode> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    peerDiscovery: [mdns({ serviceTag: '_notes._udp.local', interval: 1_000 })],
    services: { identify: identify(), pubsub: directSub(), logs: sharedLogs() }
  })

  node.addEventListener('peer:discovery', ({ detail: { id } }) => {
    // it may be gone already: it is found again
    node.dial(id).catch(() => {})
  })

  return track(node as unknown as LogNode)
}

const nodes = await Promise.all([createNode(), createNode()])
const logs = await Promise.all(nodes.map(async node => openAt(node)))
await Promise.all(logs.map(async log => log.appendMany(texts(10))))
await expectSame(logs, 20)
await stopPeers()
