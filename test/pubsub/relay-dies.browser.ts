import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { directSub } from '../../src/index.ts'
import { changes, about, eventually, inbox, known, numbered, numbersOf, range, stopPeers, track } from '../fixtures/directsub.ts'
import type { PublishResult } from '../../src/index.ts'
import type { Sheaf } from '../fixtures/directsub.ts'

const TOPIC = 'a topic behind a relay'
/** Milliseconds in which nobody may be believed in who is gone. From the spec */
const GHOST_BOUND = 5000
/** Messages that each says at a time */
const SOME = 20

interface Relay {
  peerId: string
  address: string
}

/** What one side said, and the other side heard */
interface Way {
  from: Sheaf
  to: Sheaf
  heard: ReturnType<typeof inbox>
  outcomes: Array<Promise<PublishResult>>
}

async function ask (what: string): Promise<Relay> {
  const response = await fetch(`${process.env.RELAY_CONTROL}/${what}`, { method: 'POST' })

  if (!response.ok) {
    throw new Error(await response.text())
  }

  return response.json()
}

describe('two nodes of a page, and a relay in a process that dies between them', function () {
  this.timeout(120_000)

  afterEach(stopPeers)

  for (const isSame of [true, false]) {
    it(`go on when ${isSame ? 'it is there again, at the same address' : 'another one takes its place'}: what is acked has arrived, nothing comes twice`, async () => {
      const first = await ask('start')
      const [a, b] = await Promise.all([createDialer(first), createDialer(first)])
      await Promise.all([a, b].map(async node => node.services.pubsub.subscribe(TOPIC)))
      await known(TOPIC, [a, b], [a, b])
      const ways = [[a, b], [b, a]].map(([from, to]): Way => ({ from, to, heard: inbox(to, TOPIC), outcomes: [] }))
      const seen = changes(a)

      await say(ways)
      await Promise.all(ways.flatMap(({ outcomes }) => outcomes))
      // what is on its way when it dies, and what is said when nobody knows it yet
      const lastWords = say(ways)
      await Promise.all([lastWords, ask(`kill?id=${first.peerId}`)])
      await say(ways)
      await eventually('they believe in each other', () => [a, b].every(node => node.services.pubsub.getSubscribers(TOPIC).length === 0), GHOST_BOUND)
      expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), false, 'unreachable']])

      const second = await ask(isSame ? `start?as=${first.peerId}` : 'start')
      expect([second.peerId === first.peerId, second.address === first.address]).to.deep.equal([isSame, isSame])
      await Promise.all([a, b].map(async node => dial(node, second)))
      await known(TOPIC, [a, b], [a, b])
      const before = ways[0].outcomes.length
      await say(ways)
      expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), false, 'unreachable'], [b.peerId.toString(), true, 'announced']])

      for (const { to, heard, outcomes } of ways) {
        const settled = await Promise.all(outcomes)
        const numbers = numbersOf(heard)
        const acked = settled.flatMap(({ acked }, i) => acked.some(peerId => peerId.equals(to.peerId)) ? [i] : [])
        const silent = settled.flatMap(({ acked, failed, recipients }, i) => recipients.length > 0 && acked.length + failed.length === 0 ? [i] : [])
        expect(numbers, 'something came twice').to.have.lengthOf(new Set(numbers).size)
        expect(acked.filter(i => !numbers.includes(i)), 'acked, and did not come').to.deep.equal([])
        expect(silent, 'nobody said what became of it').to.deep.equal([])
        expect(acked, 'not all was acked before and after').to.include.members([...range(SOME), ...range(SOME).map(i => before + i)])
      }

      await ask(`kill?id=${second.peerId}`)
    })
  }
})

/** Each says some to the other one, and wants acks */
async function say (ways: Way[]): Promise<void> {
  for (const { from, outcomes } of ways) {
    for (let i = 0; i < SOME; i++) {
      const outcome = from.services.pubsub.publish(TOPIC, numbered(outcomes.length), { ack: 'all' })
      // where nobody acked it the error has the same to say
      outcomes.push(outcome.catch(err => {
        if (err.result == null) {
          throw err
        }
        return err.result
      }))
    }
  }
}

async function createDialer (relay: Relay): Promise<Sheaf> {
  const node = track(await createLibp2p({
    addresses: { listen: [] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    // browsers are not to dial what is on their own machine: here that is all there is
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), pubsub: directSub() }
  }) as unknown as Sheaf)
  await dial(node, relay)
  return node
}

async function dial (node: Sheaf, { peerId, address }: Relay): Promise<void> {
  await node.dial(multiaddr(address))
  await eventually('the relay is no neighbour', () => node.services.pubsub.getPeers().some(other => other.toString() === peerId))
}
