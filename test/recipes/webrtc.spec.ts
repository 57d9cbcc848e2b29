import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs } from '../../src/index.ts'
import { IS_NODE } from '../fixtures/datastores.ts'
import { eventually, isNeighbour, stopPeers, track } from '../fixtures/directsub.ts'
import { texts } from '../fixtures/logs.ts'
import { startRelay } from '../fixtures/relay.ts'
import { allIn, expectSame } from '../fixtures/sharedlogs.ts'
import type { SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

// web workers have none
if (IS_NODE || globalThis.RTCPeerConnection != null) {
  /** docs/network.md has the same composition */
  describe('recipe: two that cannot be dialled meet at a relay', function () {
    this.timeout(60_000)
    let relay: string
    let stopRelay = async (): Promise<void> => {}

    before(async () => {
      if (IS_NODE) {
        const { address, stop } = await startRelay()
        relay = address
        stopRelay = stop
      } else {
        // who listens has to run in Node
        relay = process.env.RELAY_MULTIADDR as string
      }
    })

    after(async () => { await stopRelay() })
    afterEach(stopPeers)

    it('and then talk directly, also when the relay lets go of them', async () => {
      const nodes = await Promise.all([createNode(relay), createNode(relay)])
      const id = `a log of ${nodes[0].peerId}`
      const logs = await Promise.all(nodes.map(async node => node.services.logs.open(id)))
      nodes.forEach((node, i) => { dialDirectly(node, logs[i], relay) })
      await allIn(logs, nodes)
      await eventually('they are no neighbours', () => isNeighbour(nodes[0], nodes[1]) && isNeighbour(nodes[1], nodes[0]))
      expect(nodes[0].getConnections(nodes[1].peerId).filter(({ limits }) => limits == null).map(({ remoteAddr }) => remoteAddr.toString().includes('/webrtc'))).to.deep.equal([true])

      const relayId = multiaddr(relay).getComponents().at(-1)?.value
      await Promise.all(nodes.flatMap(node => node.getConnections()).filter(({ remotePeer }) => `${remotePeer}` === relayId).map(async connection => connection.close()))
      await Promise.all(logs.map(async (log, i) => log.appendMany(texts(50, `${i} `), { ack: 'leaders' })))
      await expectSame(logs, 100)
    })
  })
}

async function createNode (relay: string): Promise<LogNode> {
  const node = await createLibp2p({
    addresses: { listen: [`${relay}/p2p-circuit`, '/webrtc'] },
    transports: [
      webSockets(),
      circuitRelayTransport(),
      // nobody outside is asked which address we have: all are on this machine
      webRTC({ rtcConfiguration: { iceServers: [] } })
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // browsers are not to dial what is on their own machine: here that is all there is
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), pubsub: directSub(), logs: sharedLogs() }
  })

  return track(node as unknown as LogNode)
}

/** The relay tells us who is there. One of the two dials */
function dialDirectly (node: LogNode, log: SharedLog, relay: string): void {
  log.addEventListener('replicator:join', async ({ detail: { peerId } }) => {
    // now and then one fails; where all do, everything goes on over the relay
    for (let tries = 0; tries < 3 && node.peerId.toString() < peerId.toString(); tries++) {
      try {
        await node.dial(multiaddr(`${relay}/p2p-circuit/webrtc/p2p/${peerId}`))
        return
      } catch (err) {
        node.logger.forComponent('notes')('no direct way to %p - %e', peerId, err)
      }
    }
  })
}
