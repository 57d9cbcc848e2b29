import { expect } from 'aegir/chai'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { arrived, changes, eventually, fence, inbox, isNeighbour, known, linkOf, meet, numbered, numbersOf, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'
import type { Sheaf } from '../fixtures/directsub.ts'

const TOPIC = 'news'
const KIB = 1024

describe('beginnings and ends, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it('scenario 24: after 24 peers came and went, each its own way, every table is as empty as before', async () => {
    const hub = await createPeer()
    const witness = await createPeer()
    await meet(witness, hub)
    await gather(TOPIC, hub, witness)
    await fence(hub, witness)
    await eventually('the fence is still there', () => witness.services.pubsub.diagnostics().sizes.topics === 1)
    // how far away those were that are lost is remembered for three minutes: the simulator looks at what is left then
    const tables = ['topics', 'asked', 'requests', 'neighbours', 'updates', 'unacked', 'unannounced', 'missed', 'flows', 'flowBytes', 'lines', 'channels', 'waitingCalls', 'watchers', 'busyMailboxes']
    const sizes = (node: Sheaf): Record<string, number> => {
      const all = node.services.pubsub.diagnostics().sizes
      return Object.fromEntries(tables.map(name => [name, all[name]]))
    }
    const before = [sizes(hub), sizes(witness)]
    const messages = inbox(hub, TOPIC)

    for (const wave of range(3)) {
      await Promise.all(range(8).map(async i => {
        const node = await createPeer({ canRelay: i % 2 === 0 })
        await meet(node, hub)
        await node.services.pubsub.subscribe(TOPIC)
        await node.services.pubsub.subscribe(`topic ${wave} ${i}`)
        await node.services.pubsub.publish(TOPIC, numbered(i), { ack: 1 })
        if (i % 3 === 0) {
          node.getConnections().forEach(connection => { connection.abort(new Error('gone')) })
        }
        await node.stop()
      }))
    }

    await eventually(() => JSON.stringify([before, sizes(hub), sizes(witness)]), () => {
      return [hub, witness].every(node => node.services.pubsub.getSubscribers(TOPIC).length === 1) &&
        [hub, witness].every((node, i) => Object.entries(sizes(node)).every(([name, size]) => size <= before[i][name]))
    })
    expect(messages).to.have.lengthOf(24)
    expect(hub.services.pubsub.diagnostics().peers).to.have.lengthOf(1)
  })

  it('scenario 25: stop() settles all that waits, whatever it waits for, and start() again works', async () => {
    const [a, b] = await Promise.all([createPeer({ outboxSize: 64 * KIB }), createPeer()])
    const cable = await Cable.to(b.getMultiaddrs())
    await meet(a, b, cable.address)
    await gather(TOPIC, a, b)
    cable.freeze()

    const { pubsub } = a.services
    const waiting: Record<string, Promise<unknown>> = {
      'a subscribe that nobody confirms': pubsub.subscribe('another topic'),
      'a request that nobody answers': pubsub.requestSubscribers('a third topic'),
      'a request to one that does not answer': pubsub.requestSubscribers('a fourth topic', { from: b.peerId }),
      'a wait for subscribers that do not come': pubsub.waitForSubscribers('a fifth topic'),
      'a publish to who must be asked for first': pubsub.publish('a sixth topic', numbered(1)),
      'a publish that waits for acks': pubsub.publish(TOPIC, numbered(2), { ack: 'all' }),
      'a publish for one that nobody has a way to': pubsub.publish(TOPIC, numbered(3), { to: [(await createPeer()).peerId], ack: 'all' })
    }
    for (const i of range(200)) {
      waiting[`publish ${i} to a neighbour that does not read`] = pubsub.publish(TOPIC, numbered(i, 64 * KIB))
    }
    const outcomes = Object.entries(waiting).map(async ([what, work]) => [what, await settles(what, work)] as const)
    await eventually('nothing has to wait', () => linkOf(a, b)?.waiting > 0)
    cable.cut()
    const stopped = await settles('stop', Promise.resolve(a.stop()))

    expect(stopped.status).to.equal('fulfilled')
    for (const [what, outcome] of await Promise.all(outcomes)) {
      if (outcome.status === 'rejected') {
        expect(outcome.reason.name, what).to.be.oneOf(['NotStartedError', 'NotDeliveredError'])
      }
    }
    expect(pubsub.getTopics()).to.deep.equal([])
    expect(pubsub.getPeers()).to.deep.equal([])

    cable.thaw()
    await a.start()
    await meet(a, b)
    await gather(TOPIC, a, b)
    const messages = inbox(b, TOPIC)
    await pubsub.publish(TOPIC, numbered(7), { ack: 'all' })
    expect(numbersOf(messages)).to.deep.equal([7])
  })

  it('scenario 25: stopping in the middle of connecting, subscribing and publishing leaves nothing hanging', async () => {
    const b = await createPeer()
    await b.services.pubsub.subscribe(TOPIC)

    for (const step of range(12)) {
      const a = await createPeer()
      const { pubsub } = a.services
      const started: Array<Promise<unknown>> = [
        a.dial(b.getMultiaddrs()),
        pubsub.subscribe(TOPIC),
        pubsub.waitForSubscribers(TOPIC),
        pubsub.publish(TOPIC, numbered(step))
      ]
      const work = started.map(async work => settles('what was called', work))

      // each round gets a little further before it is stopped
      for (let i = 0; i < step * 3; i++) {
        await new Promise<void>(resolve => { setImmediate(resolve) })
      }
      expect((await settles('stop', Promise.resolve(a.stop()))).status).to.equal('fulfilled')
      await Promise.all(work)
    }

    await eventually('somebody is left', () => b.services.pubsub.getPeers().length === 0)
    expect(b.services.pubsub.getSubscribers(TOPIC)).to.deep.equal([])
  })

  it('scenario 25: a stop tells those who listen to us, and calls before a start say that it has not started', async () => {
    const [a, b] = await line(2)
    await gather(TOPIC, a, b)
    const seen = changes(b)
    await a.stop()
    await eventually('b was not told', () => seen.length > 0)
    expect(seen.map(({ reason }) => reason)).to.deep.equal(['retracted'])
    await eventually('a is still a neighbour', () => !isNeighbour(b, a))
    expect(seen).to.have.lengthOf(1)

    const { pubsub } = a.services
    const calls: Array<() => Promise<unknown>> = [
      async () => pubsub.subscribe(TOPIC),
      async () => pubsub.publish(TOPIC, numbered(1)),
      async () => pubsub.requestSubscribers(TOPIC),
      async () => pubsub.waitForSubscribers(TOPIC)
    ]
    for (const call of calls) {
      expect(await settles('a call', call())).to.have.nested.property('reason.name', 'NotStartedError')
    }
    expect(await pubsub.unsubscribe(TOPIC)).to.be.false()
    await a.stop()
  })

  it('every method that waits takes a signal, also one that is aborted already', async () => {
    const a = await createPeer({ subscriptionDebounce: 60_000 })
    const b = await createPeer()
    const cable = await Cable.to(b.getMultiaddrs())
    await meet(a, b, cable.address)
    await gather('open', b)
    cable.freeze()
    const { pubsub } = a.services
    const calls: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      subscribe: async signal => pubsub.subscribe(TOPIC, { signal }),
      'publish to who must be asked for': async signal => pubsub.publish('elsewhere', numbered(1), { signal }),
      'publish with acks': async signal => pubsub.publish(TOPIC, numbered(1), { signal, to: [b.peerId], ack: 'all' }),
      requestSubscribers: async signal => pubsub.requestSubscribers('one', { signal }),
      'requestSubscribers of one': async signal => pubsub.requestSubscribers('two', { signal, from: b.peerId }),
      waitForSubscribers: async signal => pubsub.waitForSubscribers('three', { signal })
    }

    for (const [what, call] of Object.entries(calls)) {
      const controller = new AbortController()
      const outcome = settles(what, call(controller.signal))
      await new Promise<void>(resolve => { setImmediate(resolve) })
      controller.abort(new Error('enough'))
      expect(await outcome, what).to.have.nested.property('reason.message', 'enough')
      expect(await settles(what, call(controller.signal)), what).to.have.nested.property('reason.message', 'enough')
    }

    const { sizes } = pubsub.diagnostics()
    expect(sizes).to.include({ topics: 0, unacked: 0, watchers: 0 })
    expect(pubsub.getTopics()).to.deep.equal([])
  })

  it('listeners and validators that throw harm nobody', async () => {
    const [a, b] = await line(2)
    b.services.pubsub.addEventListener('message', () => { throw new Error('a listener that throws') })
    b.services.pubsub.addEventListener('message', async () => { throw new Error('one that rejects') })
    b.services.pubsub.addEventListener('subscription-change', () => { throw new Error('another') })
    b.services.pubsub.topicValidators.set('validated', async () => { throw new Error('a validator that rejects') })
    await gather(TOPIC, a, b)
    await gather('validated', a, b)
    const messages = inbox(b)

    await Promise.all(range(10).map(async i => a.services.pubsub.publish('validated', numbered(100 + i))))
    await Promise.all(range(10).map(async i => a.services.pubsub.publish(TOPIC, numbered(i), { ack: 'all' })))
    await arrived(messages, 10)
    expect(numbersOf(messages)).to.deep.equal(range(10))
    expect(linkOf(b, a)).to.include({ status: 'up', faults: 0 })
    await known(TOPIC, [a, b], [a, b])
  })
})
