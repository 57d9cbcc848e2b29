import { expect } from 'aegir/chai'
import { directSub } from '../../src/index.ts'
import { eventually, inbox, meet, numbered, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { PeerId } from '@libp2p/interface'

const TOPIC = 'answers'

function ids (peers: PeerId[]): string[] {
  return peers.map(String).sort()
}

/** Why each peer failed, of a publish that was to be acked */
async function failuresOf (work: Promise<unknown>): Promise<string[]> {
  const outcome: any = await settles('publish', work)
  const { failed } = outcome.value ?? outcome.reason.result
  return failed.map(({ reason }: { reason: string }) => reason)
}

describe('what publish() says became of a message, over TCP', function () {
  this.timeout(60_000)

  afterEach(async () => {
    await stopPeers()
  })

  for (const [verdict, reason] of [['reject', 'rejected'], ['ignore', 'ignored']] as const) {
    it(`defect 01: what a validator says to ${verdict} is ${reason} for good, straight and over a relay, and no copy is acked`, async () => {
      const [a, b, c] = await line(3)
      await gather(TOPIC, a, b, c)
      const inboxes = [b, c].map(node => inbox(node, TOPIC))
      // the relay has none: it passes on what the one behind it does not take
      c.services.pubsub.topicValidators.set(TOPIC, () => verdict)
      expect(await failuresOf(a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' }))).to.deep.equal([reason])
      expect(await failuresOf(b.services.pubsub.publish(TOPIC, numbered(2), { ack: 'all', to: [c.peerId] }))).to.deep.equal([reason])
      expect(inboxes[1]).to.deep.equal([])
    })
  }

  it('defect 01: a slow validator is waited for, and its verdict is the answer', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const verdict = Promise.withResolvers<'accept' | 'reject'>()
    b.services.pubsub.topicValidators.set(TOPIC, async () => verdict.promise)
    const messages = inbox(b, TOPIC)
    const published = a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })
    // a second copy must not be taken for an answer
    void a.services.pubsub.publish(TOPIC, numbered(2), { ack: 'all' })
    await eventually('the validator was not asked', () => Number(b.services.pubsub.diagnostics().peers[0].kept) > 0)
    expect(messages).to.deep.equal([])
    verdict.resolve('accept')
    expect(ids((await published).acked)).to.deep.equal(ids([b.peerId]))
    expect(messages[0].data).to.deep.equal(numbered(1))
  })

  it('a relay that validates passes nothing on that it rejects, and the one who published it pays for it', async () => {
    const [a, b, c] = await line(3)
    await gather(TOPIC, a, b, c)
    const messages = inbox(c, TOPIC)
    b.services.pubsub.topicValidators.set(TOPIC, async (_from, { data }) => data[0] === 1 ? 'reject' : 'accept')
    await a.services.pubsub.publish(TOPIC, new Uint8Array([1]))
    await a.services.pubsub.publish(TOPIC, new Uint8Array([2]), { ack: 'all' })
    expect(messages.map(({ data }) => data[0])).to.deep.equal([2])
    await eventually('it costs nothing', () => Number(b.services.pubsub.diagnostics().peers.find(({ peerId }) => peerId.equals(a.peerId))?.faults) > 0)
  })

  it('defect 12: of 20,000 messages for a validator that takes its time none is dropped', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const messages = inbox(b, TOPIC)
    b.services.pubsub.topicValidators.set(TOPIC, async () => new Promise(resolve => { setTimeout(() => { resolve('accept') }, 20) }))
    await Promise.all(range(20_000).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))
    await eventually(() => `${messages.length} came`, () => messages.length === 20_000)
  })

  it('defect 24: a leaf that subscribes and does not wait reaches who is there', async () => {
    const [a, b] = await Promise.all([createPeer({ canRelay: false }), createPeer()])
    await meet(a, b)
    await b.services.pubsub.subscribe(TOPIC)
    const messages = inbox(b, TOPIC)
    void a.services.pubsub.subscribe(TOPIC)
    expect(ids((await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })).acked)).to.deep.equal(ids([b.peerId]))
    expect(messages).to.have.lengthOf(1)
  })

  it('a message says in which life of its sender it was published', async () => {
    const [a, b, c] = await line(3)
    await gather(TOPIC, a, b, c)
    const inboxes = [b, c].map(node => inbox(node, TOPIC))
    const { epoch } = a.services.pubsub.diagnostics()
    await a.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' })
    expect(inboxes.map(messages => messages[0].epoch)).to.deep.equal([epoch, epoch])
    expect(inboxes.map(messages => messages[0].type)).to.deep.equal(['unsigned', 'signed'])
  })
})

describe('options of DirectSub', () => {
  afterEach(async () => {
    await stopPeers()
  })

  it('are refused by name when they are unknown or of another type', async () => {
    const components: any = {}

    for (const init of [{ refreshInterval: 1 }, { canRelay: 'yes' }, { maxMessageSize: -1 }, { maxMessageSize: Number.MAX_SAFE_INTEGER }, { slowPeerTimeout: NaN }, { outboxSize: Infinity }, { allowedTopics: 7 }, { maxTopicsPerPeer: 100_000 }]) {
      expect(() => directSub(init as any)(components)).to.throw(new RegExp(Object.keys(init)[0])).with.property('name', 'InvalidOptionsError')
    }

    const a: Sheaf = await createPeer()

    for (const options of [{ acks: 'all' }, { ack: 'some' }, { ack: -1 }, { priority: 'urgent' }, { ack: NaN }, { to: 'somebody' }, { to: ['somebody'] }, { to: new Array(4097).fill(a.peerId) }, { signal: {} }]) {
      await expect(a.services.pubsub.publish(TOPIC, numbered(1), options as any)).to.eventually.be.rejectedWith(new RegExp(Object.keys(options)[0])).with.property('name', 'InvalidOptionsError')
    }

    const { pubsub } = a.services
    const calls: Record<string, (options: any) => Promise<unknown>> = {
      subscribe: async options => pubsub.subscribe(TOPIC, options),
      unsubscribe: async options => pubsub.unsubscribe(TOPIC, options),
      requestSubscribers: async options => pubsub.requestSubscribers(TOPIC, options),
      waitForSubscribers: async options => pubsub.waitForSubscribers(TOPIC, options)
    }
    for (const [call, wrong] of Object.entries({
      subscribe: [{ signal: 1 }, { all: true }, null],
      unsubscribe: [{ all: 'yes' }, { signal: 1 }],
      requestSubscribers: [{ from: 'somebody' }, { to: a.peerId }],
      // one that is no number is never reached
      waitForSubscribers: [{ count: NaN }, { count: -1 }, { count: Infinity }, { peers: 'all' }, { peers: ['somebody'] }]
    })) {
      for (const options of wrong) {
        await expect(calls[call](options), `${call} ${JSON.stringify(options)}`).to.eventually.be.rejected.with.property('name', 'InvalidOptionsError')
      }
    }
    for (const data of ['text', null, undefined, 7, [1, 2]]) {
      await expect(pubsub.publish(TOPIC, data as any)).to.eventually.be.rejected.with.property('name', 'InvalidParametersError')
    }
    expect(pubsub.getTopics()).to.deep.equal([])
    expect(pubsub.diagnostics().sizes).to.include({ topics: 0, asked: 0, requests: 0, watchers: 0 })
  })

  it('keep a node to the topics that it may use', async () => {
    const a = await createPeer({ allowedTopics: ['one', 'two'] })
    await a.services.pubsub.subscribe('one')
    await expect(a.services.pubsub.subscribe('three')).to.eventually.be.rejected.with.property('name', 'TopicNotAllowedError')
    await expect(a.services.pubsub.publish('three', numbered(1))).to.eventually.be.rejected.with.property('name', 'TopicNotAllowedError')
    expect(a.services.pubsub.getTopics()).to.deep.equal(['one'])
  })
})
