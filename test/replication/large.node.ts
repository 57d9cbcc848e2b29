import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { directSub, EntryTooLargeError, sessions, sharedLogs, transfers } from '../../src/index.ts'
import { eventually, meet, stopPeers, track } from '../fixtures/directsub.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import type { DirectSub, Sessions, SharedLogs, Transfers } from '../../src/index.ts'
import type { Libp2p } from '@libp2p/interface'

const KIB = 1024
const MIB = KIB * KIB
const SIZES = [0, 64 * KIB - 1, 64 * KIB, MIB, 16 * MIB]

type Node = Libp2p<{ pubsub: DirectSub, sessions: Sessions, transfers: Transfers, logs: SharedLogs }>

async function createNode (): Promise<Node> {
  return track(await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify(), pubsub: directSub(), sessions: sessions(), transfers: transfers(), logs: sharedLogs() }
  }) as unknown as Node)
}

describe('entries with large payloads', function () {
  this.timeout(120_000)
  afterEach(stopPeers)

  for (const confidential of [false, true]) {
    it(`come to who was there, and to a late joiner behind a relay, ${confidential ? 'sealed' : 'in the clear'}`, async () => {
      const [a, b, late] = await Promise.all([createNode(), createNode(), createNode()])
      await meet(a, b)
      const logA = await a.services.logs.open('large', { confidential })
      const logB = await b.services.logs.open('large', { confidential })
      await logA.waitForReplicators({ count: 2 })
      const entries = []

      for (const [i, size] of SIZES.entries()) {
        entries.push(await logA.append(bytesOf(size, i + 1), { ack: 1 }))
      }

      for (const { id, data } of entries) {
        expect(Buffer.compare((await logB.get(id))?.data ?? new Uint8Array(1), data)).to.equal(0)
      }

      await meet(late, b)
      const logLate = await late.services.logs.open('large', { confidential })
      await eventually(() => `the late joiner has ${logLate.length}`, () => logLate.length === SIZES.length, 60_000)

      for (const { id, data } of entries) {
        expect(Buffer.compare((await logLate.get(id))?.data ?? new Uint8Array(1), data)).to.equal(0)
      }
    })
  }

  it('are refused by name past 16 MiB', async () => {
    const node = await createNode()
    const log = await node.services.logs.open('large')
    await expect(log.append(new Uint8Array(16 * MIB + 1))).to.be.rejectedWith(EntryTooLargeError)
  })
})
