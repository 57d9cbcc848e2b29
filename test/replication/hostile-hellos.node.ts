import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as limits from '../../src/replication/constants.ts'
import { RING } from '../../src/replication/core/ring.ts'
import { Author, hashOf } from '../../src/replication/documents.ts'
import { Roster } from '../../src/replication/roster.ts'
import { Counters } from '../../src/runtime/counters.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Message } from '../../src/replication/wire.ts'
import type { PrivateKey } from '@libp2p/interface'

const WHOLE = [{ from: 0, width: RING }]
const EPOCH = 1_700_000_000_000
const SECOND = 1_000
/** Replicators of a large log */
const MANY = 1_000

type Hello = Extract<Message, { type: 'hello' }>

interface Peer {
  key: string
  document: Uint8Array
  author: Author
}

/** One log with many peers, of whom any may be hostile */
class Bench {
  readonly clock = new VirtualClock(EPOCH)
  readonly counters = new Counters()
  readonly sent: Array<{ to: string, message: Hello }> = []
  /** Those that take nothing any more */
  readonly stopped = new Set<string>()
  readonly joined: string[] = []
  readonly roster: Roster

  constructor (self: PrivateKey, logHash: Uint8Array) {
    this.roster = new Roster({
      self: keyOf(peerIdFromPrivateKey(self)),
      logHash,
      signer: new Signer(self),
      epoch: EPOCH,
      clock: this.clock,
      random: () => 0.5,
      log: defaultLogger().forComponent('hostile-hellos'),
      counters: this.counters,
      datastore: new MemoryDatastore(),
      maturity: SECOND,
      grace: 15 * SECOND,
      replicas: 2,
      resting: ms => ms,
      send: async (to, message) => {
        message.type === 'hello' && this.sent.push({ to, message })
        await (this.stopped.has(to) ? new Promise(() => {}) : undefined)
      },
      broadcast: () => {},
      onShare: () => {},
      onMature: () => {},
      onTransition: ({ type, peer }) => { type === 'join' && this.joined.push(peer) }
    })
  }

  get dropped (): Record<string, number> {
    return this.counters.toJSON()
  }

  get bytesSent (): number {
    return this.sent.flatMap(({ message }) => message.documents).reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  hear (from: string, documents: Uint8Array[], isAsking = false): void {
    this.roster.heard(from, { type: 'hello', isAsking, documents })
  }

  /** Lets time go by, and all that follows happen */
  async advance (ms: number): Promise<void> {
    const until = this.clock.now() + ms
    await settled()
    while (this.clock.step(until)) {
      await settled()
    }
    this.clock.advance(Math.max(0, until - this.clock.now()))
  }

  /** Until nothing waits to be verified */
  async verified (): Promise<void> {
    do {
      await this.advance(1)
    } while (this.roster.sizes.unread > 0)
  }
}

async function settled (): Promise<void> {
  await new Promise<void>(resolve => { setImmediate(resolve) })
}

async function createPeer (logHash: Uint8Array, segments = WHOLE): Promise<Peer> {
  const privateKey = await generateKeyPair('Ed25519')
  const author = new Author(new Signer(privateKey), logHash, EPOCH)
  const document = await author.say(segments) as Uint8Array
  return { key: keyOf(peerIdFromPrivateKey(privateKey)), document, author }
}

/** Well-formed documents of owners who never signed them: each names another key */
function forge (document: Uint8Array, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const forged = Uint8Array.from(document)
    // the key stands behind the length of the id and the six bytes before every Ed25519 key
    new DataView(forged.buffer).setUint32(1 + 6 + 4, i)
    return forged
  })
}

describe('hostile hellos', function () {
  this.timeout(60_000)

  let logHash: Uint8Array
  let bench: Bench

  beforeEach(async () => {
    logHash = await hashOf('a log')
    bench = new Bench(await generateKeyPair('Ed25519'), logHash)
    await bench.roster.open(WHOLE)
  })

  afterEach(async () => {
    await bench.roster.close()
  })

  it('of a flood of forged documents few are verified, the rest is dropped unread, and little waits', async () => {
    const mallory = await createPeer(logHash)
    bench.roster.cameIn(mallory.key)

    for (let i = 0; i < 20; i++) {
      const documents = forge(mallory.document, 4_096)
      bench.hear(mallory.key, documents)
      expect(bench.roster.sizes.unread).to.be.at.most(limits.MAX_UNREAD)
      await bench.verified()
    }

    const { 'documents: forged': forged, 'documents: over budget': unread } = bench.dropped
    expect(forged).to.be.within(1, limits.DOCUMENT_BURST / limits.FORGED_COST)
    expect(unread).to.be.above(20 * 4_096 - 4_096)
    expect(bench.roster.size).to.equal(1)
  })

  it('forged documents in credit are verified slowly from then on, at the sender\'s cost', async () => {
    const mallory = await createPeer(logHash)
    const documents = forge(mallory.document, 2_000)
    bench.roster.cameIn(mallory.key)

    for (let i = 0; i < 600; i++) {
      bench.hear(mallory.key, documents.slice(2 * i, 2 * i + 2))
      await bench.advance(100)
    }

    const most = (limits.DOCUMENT_BURST + 60 * limits.DOCUMENT_RATE) / limits.FORGED_COST
    expect(bench.dropped['documents: forged']).to.be.within(1, most + 1)
  })

  it('a malformed document costs its sender as much as a forged one', async () => {
    const mallory = await createPeer(logHash)
    const most = limits.DOCUMENT_BURST / limits.FORGED_COST + 1
    let malformed = 0

    for (let i = 0; i < 100; i++) {
      try {
        bench.hear(mallory.key, [Uint8Array.of(1, 2, 3)])
      } catch (err: any) {
        expect(err.name).to.equal('MalformedError')
        malformed++
      }
    }

    expect(malformed).to.equal(most - 1)
    expect(bench.dropped['documents: over budget']).to.equal(100 - malformed)
  })

  it('an honest peer is in at once while another one floods with forged documents of the same owner', async () => {
    const [mallory, alice] = await Promise.all([createPeer(logHash), createPeer(logHash)])
    const newer = await alice.author.say([{ from: 0, width: 100 }]) as Uint8Array
    const forged = Array.from({ length: 4_000 }, (_, i) => {
      const bytes = Uint8Array.from(newer)
      // another S of the same R, or another R
      new DataView(bytes.buffer).setUint32(bytes.length - 40, i)
      return bytes
    })
    bench.roster.cameIn(mallory.key)
    bench.roster.cameIn(alice.key)
    bench.hear(mallory.key, forged)
    bench.hear(alice.key, [newer])
    await bench.advance(0)

    expect(bench.joined).to.include(alice.key)
    expect(bench.roster.infoOf(alice.key)?.bytes).to.deep.equal(newer)
  })

  it('a true document that waits behind forged ones of one sender is not lost when another one sent it, too', async () => {
    const [mallory, alice] = await Promise.all([createPeer(logHash), createPeer(logHash)])
    bench.roster.cameIn(alice.key)
    bench.hear(mallory.key, [...forge(mallory.document, 1_999), alice.document])
    bench.hear(alice.key, [alice.document])
    await bench.verified()
    expect(bench.joined).to.deep.equal([alice.key])
  })

  it('an honest replicator whose document was dropped unread is asked for it again', async () => {
    const alice = await createPeer(logHash)
    bench.roster.cameIn(alice.key)
    await bench.advance(20 * SECOND)
    // as if a broken disk had made its documents of others forged ones
    bench.hear(alice.key, forge(alice.document, 2_000))
    await bench.verified()
    bench.hear(alice.key, [alice.document])
    expect(bench.joined).to.deep.equal([])
    bench.sent.length = 0

    await bench.advance(2 * limits.DOCUMENT_BURST / limits.DOCUMENT_RATE * SECOND)
    const asked = bench.sent.filter(({ to, message }) => to === alice.key && message.isAsking)
    expect(asked.length).to.be.at.least(1)
    bench.hear(alice.key, [alice.document])
    await bench.verified()
    expect(bench.joined).to.deep.equal([alice.key])
  })

  it('a log with a thousand honest replicators converges: each document is verified once, and none is dropped', async () => {
    const peers = await Promise.all(Array.from({ length: MANY }, async () => createPeer(logHash)))
    const all = peers.map(({ document }) => document)
    peers.forEach(({ key }) => { bench.roster.cameIn(key) })
    // all at once, each with all that it knows
    peers.slice(0, 50).forEach(({ key, document }) => { bench.hear(key, [document, ...all]) })
    await bench.verified()

    expect(bench.joined.length).to.equal(MANY)
    expect(bench.dropped).to.deep.equal({})
    // known ones cost nothing: the same again and again
    const again = peers.slice(50, 60).flatMap(({ key }) => Array.from({ length: 10 }, () => key))
    again.forEach(key => { bench.hear(key, all) })
    await bench.verified()
    expect(bench.dropped).to.deep.equal({})
  })

  it('a flood of hellos that ask is answered with few hellos, and third parties are told of once', async () => {
    const [mallory, ...others] = await Promise.all(Array.from({ length: 100 }, async () => createPeer(logHash)))
    others.forEach(({ key, document }) => {
      bench.roster.cameIn(key)
      bench.hear(key, [document])
    })
    await bench.verified()
    bench.roster.cameIn(mallory.key)
    bench.sent.length = 0

    for (let i = 0; i < 12_000; i++) {
      bench.hear(mallory.key, [], true)
      i % 1_000 === 0 && await bench.advance(1)
    }

    await bench.advance(10 * SECOND)
    const answers = bench.sent.filter(({ to }) => to === mallory.key)
    expect(answers.length).to.be.within(2, limits.HELLO_BURST + 11 * limits.HELLO_RATE)
    expect(answers.filter(({ message }) => message.documents.length > 1)).to.have.lengthOf(1)

    bench.hear(mallory.key, [], true)
    await bench.advance(limits.REFRESH_INTERVAL)
    bench.hear(mallory.key, [], true)
    await bench.advance(SECOND)
    const again = bench.sent.filter(({ to, message }) => to === mallory.key && message.documents.length > 1)
    expect(again).to.have.lengthOf(2)
  })

  it('a peer that takes nothing is sent one hello, however it asks, comes and goes', async () => {
    const mallory = await createPeer(logHash)
    bench.stopped.add(mallory.key)

    for (let i = 0; i < 100; i++) {
      bench.roster.cameIn(mallory.key)
      bench.hear(mallory.key, [], true)
      await bench.advance(SECOND)
      bench.roster.wentOut(mallory.key, true)
    }

    expect(bench.sent.filter(({ to }) => to === mallory.key)).to.have.lengthOf(1)
    expect(bench.bytesSent).to.be.below(1024)
  })

  it('a peer that comes is told at once what we keep, and asked at once what it keeps', async () => {
    const alice = await createPeer(logHash)
    bench.roster.cameIn(alice.key)
    const [{ to, message }, ...others] = bench.sent
    expect([to, message.isAsking, message.documents.length, others.length]).to.deep.equal([alice.key, true, 1, 0])
    bench.hear(alice.key, [alice.document], true)
    await bench.advance(0)
    expect(bench.joined).to.deep.equal([alice.key])
    expect(bench.sent).to.have.lengthOf(2)
  })

  it('of those who sent or asked something nothing is remembered in the end', async () => {
    const peers = await Promise.all(Array.from({ length: 20 }, async () => createPeer(logHash)))

    for (const { key, document } of peers) {
      bench.roster.cameIn(key)
      bench.hear(key, [document], true)
    }

    await bench.verified()
    peers.forEach(({ key }) => { bench.roster.wentOut(key, true) })
    await bench.advance(10 * limits.REFRESH_CAP)
    expect(bench.roster.sizes).to.deep.equal({ hellos: 0, senders: 0, unread: 0 })
    expect(bench.roster.size).to.equal(0)
  })
})
