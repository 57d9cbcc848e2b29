import { expect } from 'aegir/chai'
import { Inbox, includes, pubsub } from './setting.ts'
import type { PubSubNode, Row, Setting } from './setting.ts'

const TOPIC = 'a topic'
const OTHER = 'another topic'
const KIB = 1024

/**
 * What comes of a publish
 */
export const delivery: Record<string, Row> = {
  'reaches every subscriber once, and neither the publisher nor anyone else': async (setting) => {
    const [hub, a, b, outsider] = await setting.star(3)
    await setting.gather(TOPIC, hub, a, b)
    const [atHub, atA, atB, outside] = [hub, a, b, outsider].map(node => new Inbox(node))

    await pubsub(hub).publish(TOPIC, new Uint8Array([1]))
    await Promise.all([setting.arrived(atA, 1), setting.arrived(atB, 1)])
    await Promise.all([a, b, outsider].map(async node => setting.fence(hub, node)))

    expect(atA.numbers).to.deep.equal([1])
    expect(atB.numbers).to.deep.equal([1])
    expect(atHub.numbers).to.deep.equal([])
    expect(outside.numbers).to.deep.equal([])
  },

  'comes to reach a subscriber behind another one, with each message once': async (setting) => {
    const [middle, a, b] = await setting.star(2)
    await setting.gather(TOPIC, middle, a, b)
    const atB = new Inbox(b)
    let published = 0

    // how long the nodes take to find the way is not the matter here, so publish until one arrives
    await setting.until(() => {
      if (atB.messages.length === 0 && published < 250) {
        void pubsub(a).publish(TOPIC, new Uint8Array([published++]))
      }

      return atB.messages.length > 0
    }, 'a message from the other end of the line')
    await setting.fence(middle, b)

    expect(new Set(atB.numbers)).to.have.property('size', atB.messages.length)
    expect(atB.messages.every(({ from }) => from?.equals(a.peerId))).to.be.true()
  },

  'tells of a message with its topic, its data and its origin': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)
    const data = Uint8Array.from({ length: 300 }, (_, i) => i)

    await pubsub(a).publish(TOPIC, data)
    await setting.arrived(inbox, 1)

    const [message] = inbox.messages
    expect(message.type).to.be.oneOf(['signed', 'unsigned'])
    expect(message.topic).to.equal(TOPIC)
    expect(message.data).to.be.an.instanceOf(Uint8Array)
    expect(message.data).to.equalBytes(data)
    expect(message.from?.equals(a.peerId)).to.be.true()
  },

  'answers a publish with the recipients': async (setting) => {
    const [a, b] = await joined(setting)
    const { recipients } = await pubsub(a).publish(TOPIC, new Uint8Array([1]))

    expect(recipients.map(String)).to.deep.equal([b.peerId.toString()])
  },

  'answers a publish that has no subscriber': async (setting) => {
    const [a] = await setting.pair()
    await pubsub(a).subscribe(TOPIC)

    expect((await pubsub(a).publish(TOPIC, new Uint8Array([1]))).recipients).to.deep.equal([])
    expect((await pubsub(a).publish(OTHER, new Uint8Array([1]))).recipients).to.deep.equal([])
  },

  'publishes to a topic that it is not subscribed to': async (setting) => {
    const [a, b] = await setting.pair()
    await pubsub(b).subscribe(TOPIC)
    // told after the topic, over the same stream: whoever knows of this one has heard of that one
    await setting.gather(OTHER, a, b)
    const inbox = new Inbox(b)

    await pubsub(a).publish(TOPIC, new Uint8Array([1]))
    await setting.arrived(inbox, 1)

    expect(inbox.numbers).to.deep.equal([1])
    expect(pubsub(a).getTopics()).to.not.include(TOPIC)
  },

  'delivers all that is published in the tick after a subscribe: ready means delivered': async (setting) => {
    const [a, b] = await setting.pair()
    await pubsub(a).subscribe(TOPIC)
    const inbox = new Inbox(b)

    await pubsub(b).subscribe(TOPIC)
    await publishAtOnce(a, 100)
    await setting.arrived(inbox, 100)

    expect(sorted(inbox.numbers)).to.deep.equal(range(100))
  },

  'delivers nothing after an unsubscribe': async (setting) => {
    const [hub, a, b] = await setting.star(2)
    await setting.gather(TOPIC, hub, a, b)
    const [atA, atB] = [new Inbox(a), new Inbox(b)]

    await pubsub(b).unsubscribe(TOPIC)
    await setting.until(() => !includes(pubsub(hub).getSubscribers(TOPIC), b), 'the end of the subscription')
    await pubsub(hub).publish(TOPIC, new Uint8Array([1]))
    await setting.arrived(atA, 1)
    await setting.fence(hub, b)

    expect(atB.numbers).to.deep.equal([])
  },

  'delivers once to a node that subscribed twice': async (setting) => {
    const [a, b] = await joined(setting)
    await pubsub(b).subscribe(TOPIC)
    const inbox = new Inbox(b)

    await pubsub(a).publish(TOPIC, new Uint8Array([1]))
    await setting.fence(a, b)

    expect(inbox.numbers).to.deep.equal([1])
  },

  'does not mix two topics': async (setting) => {
    const [a, b] = await joined(setting)
    await setting.gather(OTHER, a, b)
    const [one, two] = [new Inbox(b, TOPIC), new Inbox(b, OTHER)]

    for (let i = 0; i < 20; i++) {
      await pubsub(a).publish(i % 2 === 0 ? TOPIC : OTHER, new Uint8Array([i]))
    }
    await Promise.all([setting.arrived(one, 10), setting.arrived(two, 10)])

    expect(one.numbers).to.deep.equal(range(20).filter(i => i % 2 === 0))
    expect(two.numbers).to.deep.equal(range(20).filter(i => i % 2 === 1))
  },

  'keeps the order of what is published one after the other': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)

    for (let i = 0; i < 200; i++) {
      await pubsub(a).publish(TOPIC, new Uint8Array([i]))
    }
    await setting.arrived(inbox, 200)

    expect(inbox.numbers).to.deep.equal(range(200))
  },

  'keeps the order of what is published in one tick': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)

    // a large one before every small one: whatever takes longer for more bytes shows
    await publishAtOnce(a, 200, i => i % 2 === 0 ? 64 * KIB : 1)
    await setting.arrived(inbox, 200)

    expect(inbox.numbers).to.deep.equal(range(200))
  },

  'delivers a message without a payload': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)

    await pubsub(a).publish(TOPIC, new Uint8Array())
    await setting.arrived(inbox, 1)

    expect(inbox.messages[0].data).to.be.an.instanceOf(Uint8Array)
    expect(inbox.messages[0].data).to.have.lengthOf(0)
  },

  'delivers a message of 64 KiB': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)
    const data = Uint8Array.from({ length: 64 * KIB }, (_, i) => i * 31)

    await pubsub(a).publish(TOPIC, data)
    await setting.arrived(inbox, 1)

    expect(inbox.messages[0].data).to.equalBytes(data)
  },

  'delivers the same bytes twice when they are published twice': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)
    const data = new Uint8Array([1, 2, 3])

    await Promise.all([pubsub(a).publish(TOPIC, data), pubsub(a).publish(TOPIC, data)])
    await pubsub(a).publish(TOPIC, data)
    await setting.arrived(inbox, 3)
    await setting.fence(a, b)

    expect(inbox.numbers).to.deep.equal([1, 1, 1])
  },

  'delivers every one of 200 messages of 64 KiB at once': async (setting) => {
    const [a, b] = await joined(setting)
    const inbox = new Inbox(b)

    await publishAtOnce(a, 200, () => 64 * KIB)
    await setting.arrived(inbox, 200)
    await setting.fence(a, b)

    expect(sorted(inbox.numbers)).to.deep.equal(range(200))
  },

  'delivers only what a topic\'s validator accepts': async (setting) => {
    const [a, b] = await joined(setting)
    await setting.gather(OTHER, a, b)
    const inbox = new Inbox(b)
    const verdicts = ['accept', 'ignore', 'reject']
    const asked: Array<[string, string]> = []
    pubsub(b).topicValidators.set(TOPIC, async (peer: { toString(): string }, message: { topic: string, data: Uint8Array }) => {
      asked.push([peer.toString(), message.topic])
      return verdicts[message.data[0]]
    })

    for (const number of [1, 2, 0]) {
      await pubsub(a).publish(TOPIC, new Uint8Array([number]))
      await pubsub(a).publish(OTHER, new Uint8Array([number]))
    }
    await setting.arrived(inbox, 4)
    await setting.fence(a, b)

    expect(inbox.messages.filter(({ topic }) => topic === TOPIC).map(({ data }) => data[0])).to.deep.equal([0])
    expect(inbox.messages.filter(({ topic }) => topic === OTHER)).to.have.lengthOf(3)
    expect(asked).to.deep.equal(range(3).map(() => [a.peerId.toString(), TOPIC]))
  }
}

/**
 * Two nodes on one topic that know of each other
 */
async function joined (setting: Setting): Promise<[PubSubNode, PubSubNode]> {
  const [a, b] = await setting.pair()
  await setting.gather(TOPIC, a, b)

  return [a, b]
}

/**
 * All in one tick, numbered in their first byte
 */
async function publishAtOnce (node: PubSubNode, count: number, size: (i: number) => number = () => 1): Promise<void> {
  await Promise.all(range(count).map(async i => {
    const data = new Uint8Array(size(i))
    data[0] = i

    return pubsub(node).publish(TOPIC, data)
  }))
}

function range (count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function sorted (numbers: number[]): number[] {
  return [...numbers].sort((a, b) => a - b)
}
