import { gossipsub as gossipsub14 } from '@chainsafe/libp2p-gossipsub'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p as createLibp2p2 } from 'libp2p-2'
import { identify as identify2 } from 'libp2p-2-identify'
import { multiaddr as multiaddr2 } from 'libp2p-2-multiaddr'
import { noise as noise2 } from 'libp2p-2-noise'
import { tcp as tcp2 } from 'libp2p-2-tcp'
import { yamux as yamux2 } from 'libp2p-2-yamux'
import { eventually, stopPeers } from './fixtures/directsub.ts'
import { text, texts } from './fixtures/logs.ts'
import { allIn, createLogNode, expectSame, openAt } from './fixtures/sharedlogs.ts'
import type { LogNode } from './fixtures/sharedlogs.ts'
import type { GossipSub as GossipSub14 } from '@chainsafe/libp2p-gossipsub'
import type { GossipSub } from '@libp2p/gossipsub'
import type { Libp2p } from '@libp2p/interface'
import type { Libp2p as Libp2p2 } from 'libp2p-2'

type Old = Libp2p2<{ pubsub: ReturnType<ReturnType<typeof gossipsub14>> }>
type New = Libp2p<{ pubsub: GossipSub }>
type Either = Old | New

const TOPIC = 'a topic of two generations'
/** The topic of a log, as docs/protocol.md says */
const LOG = 'a log'
const LOG_TOPIC = `sheaf/log/${LOG}`
/** Larger than one record of noise */
const LARGE = 100_000

/** Those that a test made and nobody has stopped yet */
const old = new Set<Old>()

describe('a node of libp2p 2 with GossipSub 14, and ours of libp2p 3', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await Promise.all([...old].map(async node => node.stop()))
    old.clear()
  })

  for (const [from, to] of [['ours', 'the old one'], ['the old one', 'ours']]) {
    it(`on one topic hear each other, when ${from} dials ${to}`, async () => {
      const [ours, theirs] = await Promise.all([createNew(), createOld()])
      const [a, b]: Either[] = from === 'ours' ? [ours, theirs] : [theirs, ours]
      await dial(a, b)
      await gather(TOPIC, a, b)
      const inboxes = [inbox(a, TOPIC), inbox(b, TOPIC)]
      await a.services.pubsub.publish(TOPIC, text('hello'))
      await a.services.pubsub.publish(TOPIC, new Uint8Array(LARGE))
      await b.services.pubsub.publish(TOPIC, text('hello you'))
      await eventually('not all came', () => inboxes[0].length === 1 && inboxes[1].length === 2)
      expect(inboxes[0]).to.deep.equal([`${b.peerId} hello you`])
      expect(inboxes[1].sort()).to.deep.equal([`${a.peerId} hello`, `${a.peerId} ${LARGE} bytes`].sort())
    })
  }

  it('unsubscribe, lose each other and meet again, and know it of each other', async () => {
    const [ours, theirs] = await Promise.all([createNew(), createOld()])
    await dial(ours, theirs)
    await gather(TOPIC, ours, theirs)
    theirs.services.pubsub.unsubscribe(TOPIC)
    await eventually('it is still there', () => !knows(ours, TOPIC, theirs))
    theirs.services.pubsub.subscribe(TOPIC)
    await eventually('it is not there', () => knows(ours, TOPIC, theirs))
    await hangUp(ours, theirs)
    await eventually('they are still there', () => !knows(ours, TOPIC, theirs) && !knows(theirs, TOPIC, ours))
    await dial(theirs, ours)
    await gather(TOPIC, ours, theirs)
    const seen = inbox(theirs, TOPIC)
    await ours.services.pubsub.publish(TOPIC, text('again'))
    await eventually('it did not come', () => seen.length === 1)
  })

  it('pass on what is of others', async () => {
    const [a, theirs, b] = await Promise.all([createNew(), createOld(), createNew()])
    await Promise.all([dial(a, theirs), dial(b, theirs)])
    await gather(TOPIC, theirs, a, b)
    // knowing of a subscriber is not yet to pass something on to it
    await eventually('they are not in its mesh', () => (theirs.services.pubsub as GossipSub14).getMeshPeers(TOPIC).length === 2)
    const seen = inbox(b, TOPIC)
    await a.services.pubsub.publish(TOPIC, text('by way of the old one'))
    await eventually('it did not come', () => seen.length === 1)
    expect(seen).to.deep.equal([`${a.peerId} by way of the old one`])
  })

  it('an old one on the topic of a log harms nobody, and hears what is for all', async () => {
    const [a, b, theirs] = await Promise.all([createNew(), createNew(), createOld()])
    theirs.services.pubsub.subscribe(LOG_TOPIC)
    const seen = inbox(theirs, LOG_TOPIC)
    await Promise.all([dial(a, theirs), dial(b, theirs), a.dial(b.getMultiaddrs())])
    const logs = await Promise.all([a, b].map(async node => openAt(node, {}, LOG)))
    await allIn(logs, [a, b])
    await Promise.all(logs.map(async (log, i) => log.appendMany(texts(100, `${i} `), { ack: 1 })))
    await expectSame(logs, 200)
    await logs[0].replicate({ factor: 0.5 })
    await eventually('it did not come', () => seen.some(word => word.startsWith(`${a.peerId}`)))
    expect(logs.map(log => log.diagnostics().peers.find(({ peerId }) => `${peerId}` === `${theirs.peerId}`)?.why)).to.deep.equal(new Array(2).fill('it has not said yet what it keeps'))
  })
})

async function createNew (): Promise<LogNode & New> {
  return await createLogNode({ pubsub: 'GossipSub' }) as LogNode & New
}

/** As people have it */
async function createOld (): Promise<Old> {
  const node = await createLibp2p2({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp2()],
    connectionEncrypters: [noise2()],
    streamMuxers: [yamux2()],
    services: { identify: identify2(), pubsub: gossipsub14() }
  })
  old.add(node)
  return node
}

/** Each generation has a class of its own for addresses: as text they are the same */
async function dial (from: Either, to: Either): Promise<void> {
  const address = to.getMultiaddrs()[0].toString()
  await (isOld(from) ? from.dial(multiaddr2(address)) : from.dial(multiaddr(address)))
}

async function hangUp (from: Either, to: Either): Promise<void> {
  await Promise.all(from.getConnections().filter(({ remotePeer }) => `${remotePeer}` === `${to.peerId}`).map(async connection => connection.close()))
}

function isOld (node: Either): node is Old {
  return old.has(node as Old)
}

/** All are on the topic, and the first and each of the others know of each other */
async function gather (topic: string, first: Either, ...others: Either[]): Promise<void> {
  for (const { services: { pubsub } } of [first, ...others]) {
    pubsub.subscribe(topic)
  }
  await eventually('they do not know of each other', () => others.every(other => knows(first, topic, other) && knows(other, topic, first)))
}

function knows (node: Either, topic: string, other: Either): boolean {
  return node.services.pubsub.getSubscribers(topic).some(peerId => `${peerId}` === `${other.peerId}`)
}

/** Who said what, from now on */
function inbox (node: Either, topic: string): string[] {
  const seen: string[] = []
  const pubsub = node.services.pubsub as GossipSub
  pubsub.addEventListener('message', ({ detail }) => {
    if (detail.topic === topic) {
      const said = detail.data.byteLength < 100 ? new TextDecoder().decode(detail.data) : `${detail.data.byteLength} bytes`
      seen.push(`${detail.type === 'signed' ? detail.from : 'somebody'} ${said}`)
    }
  })
  return seen
}
