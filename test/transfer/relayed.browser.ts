import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { compare } from 'uint8arrays/compare'
import { directSub, sessions, sharedLogs, transfers } from '../../src/index.ts'
import { eventually, stopPeers, track } from '../fixtures/directsub.ts'
import { bytesOf, nextOffer, rests } from '../fixtures/transfers.ts'
import type { SharedLogs } from '../../src/index.ts'
import type { TransferNode } from '../fixtures/transfers.ts'
import type { Libp2p } from '@libp2p/interface'

const KIB = 1024
const MIB = KIB * KIB
/** The largest entry that there may be takes its time: in a worker, one above a window of 4 MiB will do */
const LARGEST = typeof document === 'undefined' ? 5 * MIB : 16 * MIB

type Node = TransferNode & Libp2p<{ logs: SharedLogs }>

/** A node that can only dial, with the relay as its neighbour */
async function createDialer (): Promise<Node> {
  const node = await createLibp2p({
    transports: [webSockets()],
    // browsers are not to dial what is on their own machine: here that is all there is
    connectionGater: { denyDialMultiaddr: () => false },
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify(), pubsub: directSub(), sessions: sessions(), transfers: transfers(), logs: sharedLogs() }
  }) as unknown as Node
  track(node)
  await node.dial(multiaddr(process.env.RELAY_MULTIADDR))
  await eventually('the relay is no neighbour', () => node.services.pubsub.getPeers().length > 0)
  return node
}

describe('transfers between two nodes that can only dial, and a relay between them', function () {
  this.timeout(120_000)
  afterEach(stopPeers)

  for (const confidential of [false, true]) {
    it(`bring what is sent, ${confidential ? 'sealed' : 'in the clear'}`, async () => {
      const [a, b] = await Promise.all([createDialer(), createDialer()])

      for (const [i, size] of [0, 1, 64 * KIB, 64 * KIB + 1, 5 * MIB].entries()) {
        const payload = bytesOf(size, i + 1)
        const offered = nextOffer(b)
        const sent = a.services.transfers.send(b.peerId, payload, { confidential })
        const offer = await offered
        expect(offer.isConfidential).to.equal(confidential)
        expect(compare(await offer.accept().bytes(size), payload)).to.equal(0)
        await sent.done
      }

      await rests(a, b)
    })

    it(`bring the large entries of a log to a late joiner, ${confidential ? 'sealed' : 'in the clear'}`, async () => {
      const id = `large entries, ${confidential}, ${Math.random()}`
      const [a, late] = await Promise.all([createDialer(), createDialer()])
      const log = await a.services.logs.open(id, { confidential })
      const entries = await log.appendMany([0, 64 * KIB - 1, 64 * KIB, MIB, LARGEST].map((size, i) => bytesOf(size, i + 1)))
      const copy = await late.services.logs.open(id, { confidential })
      await eventually(() => `${copy.length} of ${entries.length} came`, () => copy.length === entries.length, 60_000)

      for (const { id, data } of entries) {
        expect(compare((await copy.get(id))?.data ?? new Uint8Array(1), data)).to.equal(0)
      }
    })
  }
})
