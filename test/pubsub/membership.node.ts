import { expect } from 'aegir/chai'
import { about, arrived, changes, eventually, fence, inbox, isKnown, known, linkOf, meet, numbered, numbersOf, range, settles, stopPeers, streamsOf } from '../fixtures/directsub.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'

const TOPIC = 'news'
/** Milliseconds between subscribe() and its announcement, where a test wants time to do something in between */
const DEBOUNCE = 300

describe('who listens to what, over TCP', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('scenario 1: an announcement that comes while our own subscription is pending is recorded', async () => {
    const a = await createPeer({ subscriptionDebounce: DEBOUNCE })
    const b = await createPeer()
    await meet(a, b)
    const seen = changes(a)

    const pending = a.services.pubsub.subscribe(TOPIC)
    await b.services.pubsub.subscribe(TOPIC)
    // b's subscribe() resolved: a has dealt with it, long before its own flush
    expect(isKnown(TOPIC, a, b)).to.be.true()
    expect(await pending).to.be.true()
    expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), true, 'announced']])
  })

  it('scenario 2: a subscription that is still pending shows to a peer that asks', async () => {
    const a = await createPeer({ subscriptionDebounce: 60_000 })
    const b = await createPeer()
    await meet(a, b)

    const pending = a.services.pubsub.subscribe(TOPIC)
    expect((await b.services.pubsub.requestSubscribers(TOPIC)).map(String)).to.deep.equal([a.peerId.toString()])

    // its flush would come in a minute; what was told counts now
    const messages = inbox(a)
    await b.services.pubsub.publish(TOPIC, numbered(7))
    await arrived(messages, 1)
    await a.services.pubsub.unsubscribe(TOPIC)
    expect(await pending).to.be.false()
  })

  it('scenario 3: who was told of a pending subscription is untold when it is cancelled', async () => {
    const a = await createPeer({ subscriptionDebounce: 4 * DEBOUNCE })
    const b = await createPeer()
    await meet(a, b)
    const seen = changes(b)

    const pending = a.services.pubsub.subscribe(TOPIC)
    await b.services.pubsub.requestSubscribers(TOPIC)
    expect(isKnown(TOPIC, b, a)).to.be.true()
    expect(await a.services.pubsub.unsubscribe(TOPIC)).to.be.true()
    expect(await pending).to.be.false()
    await eventually('b still takes a for a subscriber', () => !isKnown(TOPIC, b, a))
    expect(about(seen, TOPIC)).to.deep.equal([
      [a.peerId.toString(), true, 'announced'],
      [a.peerId.toString(), false, 'retracted']
    ])
  })

  it('scenario 4: a thousand subscriptions that are cancelled before their flush leave nothing, on either side', async () => {
    const [a, b] = await line(2)
    await fence(a, b)
    await fence(b, a)
    const sizes = (): unknown => [a, b].map(node => node.services.pubsub.diagnostics().sizes)
    const before = sizes()

    const pending = range(1000).map(async () => {
      const topic = `topic ${Math.random()}`
      const subscribed = a.services.pubsub.subscribe(topic)
      expect(await a.services.pubsub.unsubscribe(topic)).to.be.true()
      return subscribed
    })
    expect((await Promise.all(pending)).filter(Boolean)).to.deep.equal([])
    await fence(b, a)
    await eventually(() => `before ${JSON.stringify(before)}, now ${JSON.stringify(sizes())}`, () => JSON.stringify(sizes()) === JSON.stringify(before))
  })

  it('scenario 5: cancelling a second subscription leaves the first one, and who is known, as they are', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const seen = changes(b)
    const messages = inbox(a)

    const second = a.services.pubsub.subscribe(TOPIC)
    expect(await a.services.pubsub.unsubscribe(TOPIC)).to.be.true()
    expect(await second).to.be.true()
    await fence(a, b)

    expect(a.services.pubsub.getTopics()).to.deep.equal([TOPIC])
    expect(isKnown(TOPIC, a, b)).to.be.true()
    expect(about(seen, TOPIC)).to.deep.equal([])
    await b.services.pubsub.publish(TOPIC, numbered(1))
    await arrived(messages, 1)
  })

  it('scenario 6: of two pending subscriptions one is left when one is cancelled', async () => {
    const a = await createPeer({ subscriptionDebounce: DEBOUNCE })
    const b = await createPeer()
    await meet(a, b)

    const first = a.services.pubsub.subscribe(TOPIC)
    const second = a.services.pubsub.subscribe(TOPIC)
    expect(await a.services.pubsub.unsubscribe(TOPIC)).to.be.true()
    expect(await second).to.be.false()
    expect(await first).to.be.true()
    await b.services.pubsub.requestSubscribers(TOPIC)
    expect(isKnown(TOPIC, b, a)).to.be.true()
    expect(await a.services.pubsub.unsubscribe(TOPIC)).to.be.true()
    expect(await a.services.pubsub.unsubscribe(TOPIC)).to.be.false()
    await eventually('b still takes a for a subscriber', () => !isKnown(TOPIC, b, a))
  })

  it('scenario 7: a cancelled subscribe resolves false, an aborted one rejects with the reason, a stopped one resolves', async () => {
    const node = await createPeer({ subscriptionDebounce: 60_000 })
    const { pubsub } = node.services
    const cancelled = pubsub.subscribe('cancelled')
    await pubsub.unsubscribe('cancelled')
    expect(await cancelled).to.be.false()

    const controller = new AbortController()
    const aborted = settles('an aborted subscribe', pubsub.subscribe('aborted', { signal: controller.signal }))
    controller.abort()
    expect(await aborted).to.have.nested.property('reason.name', 'AbortError')
    expect(pubsub.getTopics()).to.deep.equal([])

    const stopped = settles('a subscribe on a node that stops', pubsub.subscribe('stopped'))
    await node.stop()
    expect(await stopped).to.deep.equal({ status: 'fulfilled', value: false })
  })

  it('scenario 8: a node that asked for nothing keeps nothing of what it hears', async () => {
    const a = await createPeer({ canRelay: false })
    const b = await createPeer()
    await meet(a, b)
    const seen = changes(a)

    await b.services.pubsub.subscribe(TOPIC)
    await fence(a, b)
    expect(seen).to.deep.equal([])
    expect(a.services.pubsub.getSubscribers(TOPIC)).to.deep.equal([])
    expect(a.services.pubsub.getTopics()).to.deep.equal([])
    expect(a.services.pubsub.diagnostics().sizes).to.include({ interests: 0, interestTopics: 0, topics: 0 })
  })

  it('scenario 8: what a relay keeps for others it shows to nobody', async () => {
    const [a, b] = await line(2)
    const seen = changes(a)
    await b.services.pubsub.subscribe(TOPIC)

    expect(a.services.pubsub.diagnostics().sizes.interests).to.equal(1)
    expect(a.services.pubsub.getSubscribers(TOPIC)).to.deep.equal([])
    expect(a.services.pubsub.getTopics()).to.deep.equal([])
    expect(seen).to.deep.equal([])
  })

  it('scenario 9: subscribing again makes no second event elsewhere', async () => {
    const [a, b] = await line(2)
    const seen = changes(a)
    await gather(TOPIC, a, b)
    await b.services.pubsub.subscribe(TOPIC)
    await fence(b, a)
    expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), true, 'announced']])
  })

  it('scenario 10: connect then subscribe, subscribe then connect, and both at once come to the same', async () => {
    const orders = [['connect', 'subscribe'], ['subscribe', 'connect'], ['at once']]

    for (const order of orders) {
      const [a, b] = await Promise.all([createPeer(), createPeer()])
      const act = {
        connect: async () => { await meet(a, b) },
        subscribe: async () => { await Promise.all([a, b].map(async node => node.services.pubsub.subscribe(TOPIC))) }
      }

      if (order.length === 1) {
        await Promise.all([act.connect(), act.subscribe()])
      } else {
        for (const step of order as Array<keyof typeof act>) {
          await act[step]()
        }
      }

      await known(TOPIC, [a, b], [a, b])
      const messages = inbox(b)
      await a.services.pubsub.publish(TOPIC, numbered(3))
      await arrived(messages, 1)
    }
  })

  it('scenario 13: 100 of 100 messages published in the tick after a subscribe arrive', async () => {
    const [a, b] = await line(2)
    const messages = inbox(b)
    await a.services.pubsub.subscribe(TOPIC)
    await b.services.pubsub.subscribe(TOPIC)
    const results = await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))

    await arrived(messages, 100)
    expect(numbersOf(messages)).to.deep.equal(range(100))
    expect(results.every(({ recipients, failed }) => recipients.length === 1 && failed.length === 0)).to.be.true()
  })

  it('scenario 13: they arrive also from a publisher that is not on the topic', async () => {
    const [a, b] = await line(2)
    const messages = inbox(b)
    await b.services.pubsub.subscribe(TOPIC)
    await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))
    await arrived(messages, 100)
    expect(numbersOf(messages)).to.deep.equal(range(100))
  })

  it('scenario 13: 100 of 100 messages published in the tick after waitForSubscribers arrive over a relay', async () => {
    const [a, , c] = await line(3)
    const messages = inbox(c)
    await Promise.all([a, c].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await a.services.pubsub.waitForSubscribers(TOPIC, { peers: [c.peerId] })
    await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))

    await arrived(messages, 100)
    expect(numbersOf(messages)).to.deep.equal(range(100))
    expect(messages.every(({ type, from }) => type === 'signed' && from.equals(a.peerId))).to.be.true()
  })

  it('scenario 13: what is published the moment a peer is a neighbour arrives', async () => {
    const [a, b] = await Promise.all([createPeer(), createPeer()])
    await b.services.pubsub.subscribe(TOPIC)
    const messages = inbox(b)
    await a.dial(b.getMultiaddrs())
    await eventually('a has no neighbour', () => a.services.pubsub.getPeers().length > 0)
    await Promise.all(range(100).map(async i => a.services.pubsub.publish(TOPIC, numbered(i))))
    await arrived(messages, 100)
    expect(numbersOf(messages)).to.deep.equal(range(100))
    expect(linkOf(a, b)?.status).to.equal('up')
    expect(streamsOf(a, b)).to.have.lengthOf(1)
  })
})
