import { start, stop } from '@libp2p/interface'
import { expect } from 'aegir/chai'
import { Inbox, changes, includes, pubsub } from './setting.ts'
import type { PubSubNode, Row, SubscriptionChange } from './setting.ts'

const TOPIC = 'a topic'
const OTHER = 'another topic'

/**
 * Who listens to what
 */
export const membership: Record<string, Row> = {
  'lists the topics that it is subscribed to': async (setting) => {
    const [node] = await setting.nodes(1)
    expect(pubsub(node).getTopics()).to.deep.equal([])

    await pubsub(node).subscribe(TOPIC)
    await pubsub(node).subscribe(OTHER)
    expect(pubsub(node).getTopics()).to.have.members([TOPIC, OTHER])

    await pubsub(node).unsubscribe(TOPIC)
    expect(pubsub(node).getTopics()).to.deep.equal([OTHER])
  },

  'lists the peers that speak its protocol': async (setting) => {
    const [a, b, c] = await setting.nodes(3)
    expect(pubsub(a).getPeers()).to.deep.equal([])

    await setting.meet(a, b)
    expect(ids(pubsub(a).getPeers())).to.deep.equal(ids([b.peerId]))
    expect(includes(pubsub(a).getPeers(), c)).to.be.false()
  },

  'knows the subscribers of a topic, and not those of another': async (setting) => {
    const [hub, a, b] = await setting.star(2)
    await setting.gather(TOPIC, hub, a)
    await setting.gather(OTHER, hub, b)

    expect(ids(pubsub(hub).getSubscribers(TOPIC))).to.deep.equal(ids([a.peerId]))
    expect(ids(pubsub(hub).getSubscribers(OTHER))).to.deep.equal(ids([b.peerId]))
    expect(pubsub(hub).getSubscribers('a topic that nobody is on')).to.deep.equal([])
  },

  'knows a subscriber that subscribed before it connected': async (setting) => {
    const [a, b] = await setting.nodes(2)
    await pubsub(a).subscribe(TOPIC)
    await pubsub(b).subscribe(TOPIC)
    await setting.meet(a, b)

    await setting.known(TOPIC, a, b)
    await setting.known(TOPIC, b, a)
    await expectDelivery(setting, a, b)
  },

  'knows a subscriber that connected before it subscribed': async (setting) => {
    const [a, b] = await setting.pair()
    await setting.gather(TOPIC, a, b)
    await expectDelivery(setting, a, b)
  },

  'tells of a subscription': async (setting) => {
    const [a, b] = await setting.pair()
    await pubsub(a).subscribe(TOPIC)
    await pubsub(a).subscribe(OTHER)
    const seen = changes(a)

    await pubsub(b).subscribe(TOPIC)
    await pubsub(b).subscribe(OTHER)
    await setting.until(() => about(seen, OTHER).length > 0, 'the second subscription')

    expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), true]])
    expect(about(seen, OTHER)).to.deep.equal([[b.peerId.toString(), true]])
  },

  'tells when a subscription ends, and forgets the subscriber': async (setting) => {
    const [a, b] = await setting.pair()
    await setting.gather(TOPIC, a, b)
    const seen = changes(a)

    await pubsub(b).unsubscribe(TOPIC)
    await setting.until(() => about(seen, TOPIC).length > 0, 'the end of the subscription')

    expect(about(seen, TOPIC)).to.deep.equal([[b.peerId.toString(), false]])
    expect(includes(pubsub(a).getSubscribers(TOPIC), b)).to.be.false()
    expect(includes(pubsub(a).getPeers(), b)).to.be.true()
  },

  'forgets a peer that left': async (setting) => {
    const [hub, a, b] = await setting.star(2)
    await setting.gather(TOPIC, hub, a, b)

    await b.stop()
    await setting.until(() => !includes(pubsub(hub).getSubscribers(TOPIC), b), 'a peer that left to be forgotten')
    await setting.until(() => !includes(pubsub(hub).getPeers(), b), 'a peer that left to be no peer any more')

    expect(includes(pubsub(hub).getSubscribers(TOPIC), a)).to.be.true()
  },

  'forgets everything when it is stopped': async (setting) => {
    const [a, b] = await setting.pair()
    await setting.gather(TOPIC, a, b)

    await stop(pubsub(b))
    expect(pubsub(b).getTopics()).to.deep.equal([])
    expect(pubsub(b).getPeers()).to.deep.equal([])
    await setting.until(() => !includes(pubsub(a).getSubscribers(TOPIC), b), 'the stopped service to be forgotten by the other')
  },

  'works again on the same connections after a stop and a start': async (setting) => {
    const [a, b] = await setting.pair()
    await setting.gather(TOPIC, a, b)

    await stop(pubsub(b))
    await start(pubsub(b))
    await pubsub(b).subscribe(TOPIC)

    // what the restarted one knows is new for sure, the other one may remember its earlier life
    await setting.known(TOPIC, b, a)
    await setting.known(TOPIC, a, b)
    await expectDelivery(setting, a, b)
    await expectDelivery(setting, b, a)
  },

  'works again after its node was stopped and started': async (setting) => {
    const [a, b] = await setting.pair()
    await setting.gather(TOPIC, a, b)

    await b.stop()
    await setting.until(() => !includes(pubsub(a).getSubscribers(TOPIC), b), 'the stopped node to be forgotten')
    await b.start()
    await pubsub(b).subscribe(TOPIC)
    await setting.meet(a, b)

    await setting.known(TOPIC, a, b)
    await setting.known(TOPIC, b, a)
    await expectDelivery(setting, a, b)
    await expectDelivery(setting, b, a)
  }
}

async function expectDelivery (setting: Parameters<Row>[0], from: PubSubNode, to: PubSubNode): Promise<void> {
  const inbox = new Inbox(to, TOPIC)
  await pubsub(from).publish(TOPIC, new Uint8Array([7]))
  await setting.arrived(inbox, 1)

  expect(inbox.numbers).to.deep.equal([7])
}

/**
 * What was told of one topic, as it is easy to compare
 */
function about (seen: SubscriptionChange[], topic: string): Array<[string, boolean]> {
  return seen.flatMap(({ peerId, subscriptions }) => subscriptions
    .filter(subscription => subscription.topic === topic)
    .map(({ subscribe }): [string, boolean] => [peerId.toString(), subscribe])
  )
}

function ids (peers: Array<{ toString(): string }>): string[] {
  return peers.map(peerId => peerId.toString()).sort()
}
