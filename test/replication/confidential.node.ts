import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { directSub, sessions, sharedLogs } from '../../src/index.ts'
import { eventually, meet, range, stopPeers, track } from '../fixtures/directsub.ts'
import { collect } from '../fixtures/logs.ts'
import type { DirectSub, Sessions, SharedLog, SharedLogs } from '../../src/index.ts'
import type { ConnectionEncrypter, Libp2p } from '@libp2p/interface'

type Node = Libp2p<{ pubsub: DirectSub, sessions: Sessions, logs: SharedLogs }>
type Encrypt = (components: any) => ConnectionEncrypter

const SECRET = 'a payload that no relay may read'

/** Noise, and all that it had opened: what the node itself can read of its connections, and nothing less */
function listening (seen: Uint8Array[]): Encrypt {
  return components => {
    const encrypter = noise()(components)
    const watch = (secured: any): any => {
      const { connection } = secured
      const { addEventListener } = connection
      // not before somebody else listens: until then a connection keeps what comes
      connection.addEventListener = (type: string, ...rest: unknown[]) => {
        if (type === 'message') {
          connection.addEventListener = addEventListener
          connection.addEventListener(type, ({ data }: any) => { seen.push(Uint8Array.from(data.subarray())) })
        }

        addEventListener.call(connection, type, ...rest)
      }
      return secured
    }
    return {
      protocol: encrypter.protocol,
      secureInbound: async (...args) => watch(await encrypter.secureInbound(...args)),
      secureOutbound: async (...args) => watch(await encrypter.secureOutbound(...args))
    }
  }
}

async function createNode (seen?: Uint8Array[]): Promise<Node> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [seen == null ? noise() : listening(seen)],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    connectionManager: { inboundConnectionThreshold: 1000 },
    services: { identify: identify(), pubsub: directSub(), sessions: sessions(), logs: sharedLogs() }
  })
  return track(node as unknown as Node)
}

async function textsIn (log: SharedLog): Promise<string[]> {
  return (await collect(log.entries())).map(({ data }) => toString(data).slice(SECRET.length))
}

/** What a relay saw while two peers behind it came to have the same log */
async function seenByRelay (confidential: boolean): Promise<string> {
  const seen: Uint8Array[] = []
  const [a, relay, b] = [await createNode(), await createNode(seen), await createNode()]
  await meet(a, relay)
  await meet(b, relay)
  const atA = await a.services.logs.open('our plans', { confidential })
  // some to be fetched by who comes later, and some to be pushed to it
  await atA.appendMany(range(50).map(i => fromString(`${SECRET} ${i}`)))
  const atB = await b.services.logs.open('our plans', { confidential })
  await eventually('entries do not come', () => atB.length === 50)
  await atB.append(fromString(`${SECRET} 50`))
  await atA.append(fromString(`${SECRET} 51`), { ack: 1 })
  await eventually('entries do not come', () => atA.length === 52 && atB.length === 52)
  expect(await textsIn(atA)).to.deep.equal(await textsIn(atB))
  expect(relay.services.sessions.diagnostics().peers).to.deep.equal([])
  return Buffer.concat(seen).toString('latin1')
}

describe('confidential logs', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('a relay reads no payload of a confidential log in any byte that it saw, nor the name of the log', async () => {
    const seen = await seenByRelay(true)
    expect(seen.length).to.be.greaterThan(50 * SECRET.length)
    expect(seen.includes(SECRET.slice(0, 12))).to.equal(false)
    expect(seen.includes('our plans')).to.equal(false)
  })

  it('and reads both of one that is not: the test above looks in the right place', async () => {
    const seen = await seenByRelay(false)
    expect(seen.includes(SECRET)).to.equal(true)
    expect(seen.includes('our plans')).to.equal(true)
  })

  it('a node without sessions() says what it lacks', async () => {
    const node = await createLibp2p({
      addresses: { listen: [] }, services: { identify: identify(), pubsub: directSub(), logs: sharedLogs() }
    })
    track(node as unknown as Node)
    const opening = node.services.logs.open('our plans', { confidential: true })
    await expect(opening).to.eventually.be.rejectedWith('sessions()')
  })
})
