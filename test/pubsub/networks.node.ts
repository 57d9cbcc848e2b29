import { expect } from 'aegir/chai'
import { FLOW_WINDOW } from '../../src/pubsub/constants.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { about, changes, eventually, inbox, known, meet, numbered, numbersOf, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { itLong } from '../fixtures/effort.ts'
import { createPeer, gather, line } from '../fixtures/peers.ts'
import type { Sheaf } from '../fixtures/directsub.ts'

const TOPIC = 'network'
const OTHER = 'another one'
const KIB = 1024
/** Milliseconds in which nobody may be believed in who is gone. From the spec */
const GHOST_BOUND = 5000

/** Is gone from one instant to the next, without a goodbye */
async function crash (node: Sheaf): Promise<void> {
  node.getConnections().forEach(connection => { connection.abort(new Error('it crashed')) })
  // it must not find back
  await node.stop()
}

async function meshed (count: number): Promise<Sheaf[]> {
  const nodes = await Promise.all(range(count).map(async () => createPeer()))

  for (const [i, node] of nodes.entries()) {
    await Promise.all(nodes.slice(i + 1).map(async other => meet(node, other)))
  }

  return nodes
}

async function eventuallyGone (gone: Sheaf, at: Sheaf[]): Promise<void> {
  await eventually('a ghost is believed in', () => at.every(node => node.services.pubsub.getSubscribers(TOPIC).every(peerId => !peerId.equals(gone.peerId))), GHOST_BOUND)
}

describe('networks whose parts crash, freeze and are slow, over TCP', function () {
  this.timeout(120_000)

  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it('defect 37: a leaf that crashes is gone for all within 5 s, behind one, two and three relays that mesh', async () => {
    for (const count of [1, 2, 3]) {
      const relays = await meshed(count)
      const [leaf, witness] = await Promise.all([createPeer({ canRelay: false }), createPeer({ canRelay: false })])
      await Promise.all(relays.flatMap(relay => [meet(leaf, relay), meet(witness, relay)]))
      await gather(TOPIC, leaf, witness, ...relays)
      const seen = changes(witness)
      await crash(leaf)
      await eventuallyGone(leaf, [witness, ...relays])
      expect(about(seen, TOPIC)).to.deep.equal([[leaf.peerId.toString(), false, 'unreachable']])
      await stopPeers()
    }
  })

  it('relays crash, and all that is acked arrives once, by other ways', async () => {
    // two ends, and three relays between them: each end is connected to all of them
    const relays = await Promise.all(range(3).map(async () => createPeer()))
    const [a, b] = await Promise.all([createPeer({ canRelay: false }), createPeer({ canRelay: false })])
    await Promise.all(relays.flatMap(relay => [meet(a, relay), meet(b, relay)]))
    await gather(TOPIC, a, b)
    const messages = inbox(b, TOPIC)

    for (const [round, relay] of relays.slice(0, 2).entries()) {
      const published = range(20).map(async i => a.services.pubsub.publish(TOPIC, numbered(round * 20 + i), { ack: 'all' }))
      await crash(relay)
      const outcomes = await Promise.all(published.map(async work => settles('publish', work)))
      expect(outcomes.every(({ status }) => status === 'fulfilled'), 'some were not acked').to.equal(true)
    }

    expect(numbersOf(messages).sort((x, y) => x - y)).to.deep.equal(range(40))
  })

  it('parts and meets again, in a line of four, and each half is right about the other within 5 s', async () => {
    const [a, b, c, d] = await Promise.all(range(4).map(async () => createPeer()))
    const cable = await Cable.to(c.getMultiaddrs())
    await meet(a, b)
    await meet(c, d)
    await meet(b, c, cable.address)
    await gather(TOPIC, a, b, c, d)

    for (const round of range(3)) {
      cable.cut()
      await eventually(`round ${round}: the halves believe in each other`, () => [a, b, c, d].every(node => node.services.pubsub.getSubscribers(TOPIC).length === 1), GHOST_BOUND)
      await meet(b, c, cable.address)
      await known(TOPIC, [a, b, c, d], [a, b, c, d])
    }
  })

  itLong('defect 15: a subscriber that reads nothing holds up no other topic behind its relay, and nobody hears that it was delivered', async () => {
    const [relay, publisher, good, frozen] = await Promise.all(range(4).map(async i => createPeer({ canRelay: i === 0 })))
    const cable = await Cable.to(relay.getMultiaddrs())
    await meet(publisher, relay)
    await meet(good, relay)
    await meet(frozen, relay, cable.address)
    await gather(TOPIC, publisher, frozen)
    await gather(OTHER, publisher, good)
    const messages = inbox(good, OTHER)
    cable.freeze()

    const lost = range(400).map(async i => settles('publish', publisher.services.pubsub.publish(TOPIC, numbered(i, 60_000), { ack: 'all' })))
    const began = performance.now()
    await Promise.all(range(20).map(async i => publisher.services.pubsub.publish(OTHER, numbered(i), { ack: 'all' })))
    expect(performance.now() - began, 'a healthy topic waited').to.be.below(3000)
    expect(numbersOf(messages)).to.deep.equal(range(20))

    const outcomes = await Promise.all(lost)
    const reasons = new Set(outcomes.flatMap(({ reason }: any) => reason.result.failed.map(({ reason }: any) => reason)))
    expect([...reasons]).to.not.be.empty()
    expect(['timeout', 'congested', 'unreachable']).to.include.members([...reasons])
    const { sizes } = relay.services.pubsub.diagnostics()
    expect(sizes.flowBytes).to.be.at.most(FLOW_WINDOW)
  })

  it('one slow subscriber delays neither the others of its topic nor who publishes to it', async () => {
    const publisher = await createPeer({ outboxSize: 64 * KIB })
    const [fast, slow] = await Promise.all([createPeer(), createPeer()])
    const cable = await Cable.to(slow.getMultiaddrs())
    await meet(publisher, fast)
    await meet(publisher, slow, cable.address)
    await gather(TOPIC, publisher, fast, slow)
    const messages = inbox(fast, TOPIC)
    cable.freeze()
    const began = performance.now()
    let congested = 0

    for (const i of range(300)) {
      const { failed } = await publisher.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB))
      congested += failed.filter(({ reason }) => reason === 'congested').length
    }

    await eventually('not all came', () => messages.length === 300)
    expect(performance.now() - began).to.be.below(10_000)
    expect(congested).to.be.above(100)
  })

  it('what publish said was sent no relay drops, however slow the destination: it waits where it was published', async () => {
    const [publisher, near, far] = await line(3)
    const slow = await createPeer()
    const cable = await Cable.to(slow.getMultiaddrs())
    await meet(far, slow, cable.address)
    await Promise.all([publisher, slow].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await publisher.services.pubsub.waitForSubscribers(TOPIC, { peers: [slow.peerId] })
    const messages = inbox(slow, TOPIC)
    cable.rate = 10_000_000
    let [underWay, held] = [0, 0]

    const publish = async (i: number): Promise<void> => {
      underWay++
      const { failed } = await publisher.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB))
      underWay--
      expect(failed).to.deep.equal([])
    }
    const hasFewUnderWay = (): boolean => underWay < 300

    for (const i of range(400)) {
      void publish(i)
      held = Math.max(held, ...[near, far].map(({ services }) => services.pubsub.diagnostics().sizes.flowBytes))
      await eventually('none is handed over', hasFewUnderWay)
    }

    await eventually(() => `${messages.length} of 400 came`, () => messages.length === 400)
    expect(numbersOf(messages)).to.deep.equal(range(400))
    expect(held).to.be.at.most(FLOW_WINDOW)
  })

  it('what waits for a destination by a relay that passes nothing on goes by another one', async () => {
    const [publisher, far] = await Promise.all([createPeer(), createPeer()])
    const relays = await Promise.all(range(2).map(async () => createPeer()))
    const cables = await Promise.all(relays.map(async () => Cable.to(far.getMultiaddrs())))
    await Promise.all(relays.map(async (relay, i) => {
      await meet(publisher, relay)
      await meet(relay, far, cables[i].address)
    }))
    await Promise.all([publisher, far].map(async node => node.services.pubsub.subscribe(TOPIC)))
    await publisher.services.pubsub.waitForSubscribers(TOPIC, { peers: [far.peerId] })
    const messages = inbox(far, TOPIC)
    await publisher.services.pubsub.publish(TOPIC, numbered(0, 64 * KIB))
    await eventually('it did not come', () => messages.length === 1)
    // whichever relay the first one crossed
    const way = cables.findIndex(({ carried }) => carried > 64 * KIB)
    cables[way].freeze()
    range(600).forEach(i => { publisher.services.pubsub.publish(TOPIC, numbered(1 + i, 64 * KIB)).catch(() => {}) })

    await eventually(() => `${messages.length} came`, () => messages.length > 300)
  })

  itLong('acks have their deadline also where a frozen neighbour has no room', async () => {
    const publisher = await createPeer({ outboxSize: 64 * KIB })
    const frozen = await createPeer()
    const cable = await Cable.to(frozen.getMultiaddrs())
    await meet(publisher, frozen, cable.address)
    await gather(TOPIC, publisher, frozen)
    cable.freeze()
    const full = range(400).map(async i => settles('publish', publisher.services.pubsub.publish(TOPIC, numbered(i, 64 * KIB)), 60_000))
    const began = performance.now()
    const outcome: any = await settles('publish', publisher.services.pubsub.publish(TOPIC, numbered(1), { ack: 'all' }), 60_000)
    expect(outcome.reason.result.failed[0].reason).to.equal('timeout')
    expect(performance.now() - began).to.be.below(15_000)
    await publisher.stop()
    await Promise.all(full)
  })

  itLong('what a leaf publishes for somebody of whom it knows nothing is brought there by its relay, or fails by name', async () => {
    const [relay, other, target] = await Promise.all(range(3).map(async () => createPeer()))
    const leaf = await createPeer({ canRelay: false })
    const stranger = await createPeer()
    await meet(leaf, relay)
    await meet(relay, other)
    await meet(other, target)
    await target.services.pubsub.subscribe(TOPIC)
    await known(TOPIC, [target], [target])
    await eventually('the relay does not know it', () => Number(relay.services.pubsub.diagnostics().sizes.routes) === 3)
    const { acked } = await leaf.services.pubsub.publish(TOPIC, numbered(1), { to: [target.peerId], ack: 'all' })
    expect(acked.map(String)).to.deep.equal([target.peerId.toString()])
    const nobody: any = await settles('publish', leaf.services.pubsub.publish(TOPIC, numbered(2), { to: [stranger.peerId], ack: 'all' }))
    expect(nobody.reason.result.failed[0].reason).to.equal('unreachable')
  })
})
