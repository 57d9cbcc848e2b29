import { expect } from 'aegir/chai'
import * as wire from '../../src/pubsub/wire.ts'
import { Hand, REFRESH } from '../fixtures/core.ts'

const T = 'topic'

function withNeighbours (...names: string[]): Hand {
  return meeting(new Hand(), ...names)
}

function meeting (hand: Hand, ...names: string[]): Hand {
  names.forEach(name => { hand.up(name) })
  return hand
}

/** On the topic, and settled */
function subscribed (...neighbours: string[]): Hand {
  return subscribing(withNeighbours(...neighbours))
}

/** The same, of one that passes on what it hears */
function subscribedRelay (...neighbours: string[]): Hand {
  return subscribing(meeting(new Hand({ isRelay: true }), ...neighbours))
}

function subscribing (hand: Hand): Hand {
  hand.subscribe(T)
  hand.tick()
  hand.ackAll()
  hand.tick()
  hand.take()
  hand.settled.splice(0)
  return hand
}

describe('the rules of subscriptions', () => {
  it('rule 1: cancelling a second subscribe that still waits leaves the first, live one untouched', () => {
    const hand = withNeighbours('near')
    const first = hand.subscribe(T)
    hand.tick()
    const second = hand.subscribe(T)
    hand.take()
    hand.announce('near', { on: [T] })

    expect(hand.unsubscribe(T)).to.be.true()
    expect(hand.settled).to.deep.equal([[second, 'cancelled']])
    hand.ackAll()
    hand.tick()
    expect(hand.settled).to.deep.equal([[second, 'cancelled'], [first, 'subscribed']])
    expect(hand.core.topics.state(T)).to.equal('subscribed')
    expect(hand.subscribers(T)).to.deep.equal(['near'])
    expect(hand.heardBy()).to.deep.equal({})
  })

  it('rule 2: two pending subscribes and one unsubscribe leave one pending subscribe', () => {
    const hand = withNeighbours('near')
    const first = hand.subscribe(T)
    const second = hand.subscribe(T)
    hand.unsubscribe(T)
    expect(hand.settled).to.deep.equal([[second, 'cancelled']])
    expect(hand.core.topics.state(T)).to.equal('pending')
    hand.tick()
    hand.ackAll()
    expect(hand.heardBy()).to.deep.equal({ near: [`+${T}`] })
    expect(hand.settled.at(-1)).to.deep.equal([first, 'subscribed'])
  })

  for (const [how, settle, outcome] of [
    ['when all neighbours have confirmed it', (hand: Hand) => { hand.ackAll() }, 'subscribed'],
    ['when those who have not are gone', (hand: Hand) => { hand.down('near') }, 'subscribed'],
    ['when the deadline is over', (hand: Hand) => { hand.advance(5000) }, 'subscribed'],
    ['when it is cancelled', (hand: Hand) => { hand.unsubscribe(T) }, 'cancelled'],
    ['when the node stops', (hand: Hand) => { hand.stop() }, 'cancelled']
  ] as const) {
    it(`rule 3: a subscribe settles once, as ${outcome}, ${how}`, () => {
      const hand = withNeighbours('near')
      const call = hand.subscribe(T)
      hand.tick()
      expect(hand.settled).to.deep.equal([])
      settle(hand)
      hand.advance(10_000)
      expect(hand.settled).to.deep.equal([[call, outcome]])
    })
  }

  it('rule 3: with nobody to tell it settles with the flush, and one that is late does not hold up the others', () => {
    const alone = new Hand()
    const call = alone.subscribe(T)
    alone.tick()
    expect(alone.settled).to.deep.equal([[call, 'subscribed']])

    const hand = withNeighbours('near', 'mute')
    hand.subscribe(T)
    hand.tick()
    hand.hear('near', { ack: 100 })
    expect(hand.settled).to.deep.equal([])
    hand.hear('mute', { ack: 100 })
    expect(hand.settled).to.have.lengthOf(1)
  })

  it('rule 4: subscribe, unsubscribe, subscribe within one debounce window ends subscribed, with one announcement', () => {
    const hand = new Hand({ debounce: 100 })
    hand.up('near')
    const first = hand.subscribe(T)
    hand.advance(30)
    hand.unsubscribe(T)
    hand.advance(30)
    const second = hand.subscribe(T)
    hand.advance(200)
    hand.ackAll()
    expect(hand.heardBy()).to.deep.equal({ near: [`+${T}`] })
    expect(hand.settled).to.deep.equal([[first, 'cancelled'], [second, 'subscribed']])
    expect(hand.core.topics.state(T)).to.equal('subscribed')
  })

  for (const [when, between] of [
    ['before its flush', () => {}],
    ['after its flush', (hand: Hand) => { hand.tick() }],
    ['when somebody asked', (hand: Hand, topic: string) => { hand.hear('near', { requests: [{ id: 1, topic }] }) }],
    ['when others are on it, too', (hand: Hand, topic: string) => { hand.announce('near', { on: [topic] }) }]
  ] as Array<[string, (hand: Hand, topic: string) => void]>) {
    it(`rule 5: a thousand topics that are left ${when} leave every table as it was`, () => {
      const hand = withNeighbours('near', 'other')
      const before = hand.core.sizes

      for (let i = 0; i < 1000; i++) {
        const topic = `topic ${i}`
        hand.subscribe(topic)
        between(hand, topic)
        hand.unsubscribe(topic)
        hand.advance(10)
      }
      hand.ackAll()
      hand.advance(REFRESH * 5)

      expect(hand.core.sizes).to.deep.equal(before)
      expect(hand.settled).to.have.lengthOf(1000)
      expect(hand.core.subscribers.sizes.entries).to.equal(0)
    })
  }

  it('rule 6: an unsubscribe that overtakes the subscribe before it leaves no ghost, whichever way each came', () => {
    for (const [first, second] of [['far', 'far'], ['relay', 'relay'], ['relay', 'other'], ['other', 'relay']]) {
      const hand = subscribed(...new Set([first, second]))
      hand.announce('far', { seq: 12, off: [T] }, first)
      hand.announce('far', { seq: 11, on: [T] }, second)
      expect(hand.subscribers(T), `${first}, then ${second}`).to.deep.equal([])
      expect(hand.changes).to.deep.equal([])

      // and the newest counts again
      hand.announce('far', { seq: 13, on: [T] }, second)
      expect(hand.subscribers(T)).to.deep.equal(['far'])
    }
  })

  it('rule 6: what is older than an announcement of everything says nothing any more, also of topics that it does not name', () => {
    const hand = subscribed('far')
    hand.announce('far', { seq: 20, full: true })
    hand.announce('far', { seq: 19, on: [T] })
    expect(hand.subscribers(T)).to.deep.equal([])
    hand.announce('far', { seq: 21, on: [T] })
    hand.announce('far', { seq: 22, full: true })
    expect(hand.changes.map(({ subscribe, reason }) => [subscribe, reason])).to.deep.equal([[true, 'announced'], [false, 'retracted']])
  })

  it('rule 7: a new life replaces what the earlier one announced, with its reason', () => {
    const hand = subscribed('relay')
    hand.subscribe('old topic')
    hand.announce('far', { epoch: 5, on: [T, 'old topic'] }, 'relay')
    hand.announce('far', { epoch: 6, seq: 1, on: [T] }, 'relay')
    expect(hand.subscribers(T)).to.deep.equal(['far'])
    expect(hand.subscribers('old topic')).to.deep.equal([])
    expect(hand.changes.slice(2)).to.deep.equal([
      { peer: 'far', topic: T, subscribe: false, reason: 'restarted' },
      { peer: 'far', topic: 'old topic', subscribe: false, reason: 'restarted' },
      { peer: 'far', topic: T, subscribe: true, reason: 'announced' }
    ])

    // what the earlier life said and comes now is too late
    hand.announce('far', { epoch: 5, seq: 900, on: ['old topic'] }, 'relay')
    expect(hand.subscribers('old topic')).to.deep.equal([])
  })

  it('rule 7: a neighbour says itself in which life it is: one with an older clock is believed', () => {
    const hand = subscribed('near')
    hand.announce('near', { on: [T] })
    hand.up('near', { epoch: 0 })
    expect(hand.changes.at(-1)).to.deep.equal({ peer: 'near', topic: T, subscribe: false, reason: 'restarted' })
    hand.announce('near', { epoch: 0, seq: 1, on: [T] })
    expect(hand.subscribers(T)).to.deep.equal(['near'])
  })

  it('rule 7: a peer that vanishes is gone from every topic once, with one event for each, and its reason', () => {
    const hand = subscribed('near', 'other')
    hand.subscribe('second')
    hand.announce('near', { on: [T, 'second', 'one that nobody here is on'] })
    hand.changes.splice(0)
    hand.down('near')
    hand.down('near')
    expect(hand.changes).to.deep.equal([
      { peer: 'near', topic: T, subscribe: false, reason: 'unreachable' },
      { peer: 'near', topic: 'second', subscribe: false, reason: 'unreachable' }
    ])
  })

  it('rule 7: nobody is told of a peer that only he leads us to: he would take us for a way to it when it has vanished', () => {
    const hand = new Hand({ isRelay: true })
    hand.up('hub', { isRelay: true })
    hand.up('other', { isRelay: true })
    hand.announce('far', { on: [T] }, 'hub')
    hand.advance(1000)
    hand.take()

    // what makes a relay tell what it knows: somebody is new on the topic, or asks for it
    for (const peer of ['hub', 'other']) {
      hand.announce(peer, { on: [T] })
      hand.hear(peer, { requests: [{ id: 1, topic: T }] })
      hand.advance(1000)
    }
    const toldOfFar = hand.take().filter(({ gossip }) => gossip.announcements.some(({ origin }) => origin === 'far')).map(({ to }) => to)
    expect(new Set(toldOfFar)).to.deep.equal(new Set(['other']))
  })

  it('rule 8: a subscriber behind a relay that is not heard of for three refreshes expires; one that is stays', () => {
    const hand = subscribedRelay('relay')
    hand.announce('silent', { on: [T] }, 'relay')

    for (let i = 0; i < 6; i++) {
      hand.announce('lively', { on: [T], full: true }, 'relay')
      hand.advance(REFRESH / 2)
    }

    hand.advance(REFRESH / 2)
    expect(hand.subscribers(T)).to.deep.equal(['lively'])
    expect(hand.changes.at(-1)).to.deep.equal({ peer: 'silent', topic: T, subscribe: false, reason: 'expired' })
  })

  it('rule 8: it stays for two refreshes, and a neighbour stays for ever', () => {
    const hand = subscribedRelay('near', 'relay')
    hand.announce('near', { on: [T] })
    hand.announce('far', { on: [T] }, 'relay')
    hand.advance(REFRESH * 2.4)
    expect(hand.subscribers(T)).to.deep.equal(['near', 'far'])
    hand.advance(REFRESH * 100)
    expect(hand.subscribers(T)).to.deep.equal(['near'])
  })

  it('rule 8: who passes nothing on is told what changes: a relay that is here vouches for the others until it says that they are lost', () => {
    const hand = subscribed('relay')
    hand.announce('far', { on: [T] }, 'relay')
    hand.announce('farther', { on: [T] }, 'relay')
    hand.advance(REFRESH * 100)
    expect(hand.subscribers(T)).to.deep.equal(['far', 'farther'])

    hand.hear('relay', { lost: ['far'] })
    expect(hand.subscribers(T)).to.deep.equal(['farther'])
    expect(hand.changes.at(-1)).to.deep.equal({ peer: 'far', topic: T, subscribe: false, reason: 'unreachable' })
  })

  it('rule 8: a relay whose message did not arrive says so to the only one that leads there now, or two would vouch for each other', () => {
    const hand = new Hand({ isRelay: true })
    const lostBy = (): string[] => {
      hand.advance(REFRESH / 10)
      return hand.take().flatMap(({ to, gossip }) => gossip.lost.map(peer => `${peer} to ${to}`))
    }
    hand.up('one', { isRelay: true })
    hand.up('other', { isRelay: true })
    hand.announce('far', { on: [T], seq: 7, hops: 1 }, 'one')
    hand.announce('far', { on: [T], seq: 7, hops: 2 }, 'other')
    expect(lostBy()).to.deep.equal([])

    hand.core.failed('far', 'one')
    expect(lostBy()).to.deep.equal(['far to other'])
    // that it is lost there, too, is no news to the other one; and if no way is left, a search may find one
    hand.hear('one', { lost: ['far'] })
    hand.core.failed('far', 'other')
    expect(lostBy()).to.deep.equal([])
    expect(hand.core.subscribers.isOn('far', T)).to.be.true()
    hand.hear('other', { lost: ['far'] })
    expect(hand.core.subscribers.isOn('far', T)).to.be.false()
  })

  it('rule 8: when the relay that vouched for them is gone they expire', () => {
    const hand = subscribed('relay')
    hand.announce('far', { on: [T] }, 'relay')
    hand.advance(REFRESH * 100)
    hand.down('relay')
    hand.advance(REFRESH * 4)
    expect(hand.subscribers(T)).to.deep.equal([])
    expect(hand.changes.at(-1)).to.deep.equal({ peer: 'far', topic: T, subscribe: false, reason: 'expired' })
  })

  it('rule 8: who is not spoken of when a session with the relay begins again is lost', () => {
    const hand = subscribed('relay')
    hand.announce('far', { on: [T] }, 'relay')
    hand.announce('left', { on: [T] }, 'relay')
    hand.up('relay')
    hand.announce('far', { on: [T] }, 'relay')
    expect(hand.subscribers(T)).to.deep.equal(['far', 'left'])
    hand.hear('relay', { ack: Number.MAX_SAFE_INTEGER })
    expect(hand.subscribers(T)).to.deep.equal(['far'])
  })

  it('rule 8: we say everything again at each refresh, with jitter, not in step with others', () => {
    const waits = [0, 0.999].map(value => {
      const hand = new Hand({ random: () => value })
      hand.up('near')
      hand.subscribe(T)
      hand.tick()
      hand.take()
      const start = hand.clock.now()
      while (hand.heardBy().near == null) {
        hand.advance(REFRESH / 100)
      }
      return hand.clock.now() - start
    })
    expect(waits[1] - waits[0]).to.be.within(REFRESH * 0.2, REFRESH * 0.5)

    const hand = subscribed('near')
    hand.advance(REFRESH * 1.3)
    expect(hand.heardBy()).to.deep.equal({ near: ['all:', `+${T}`] })
    hand.advance(REFRESH * 10)
    const heard = hand.heardBy().near
    expect(heard.filter(word => word === 'all:')).to.have.length.within(8, 12)
  })

  it('rule 9: past a limit what comes is refused and named, and no table grows', () => {
    const hand = new Hand({ maxTopicsPerPeer: 3, maxSubscribersPerTopic: 2 })
    hand.up('near')
    hand.subscribe(T)
    const topics = Array.from({ length: 10 }, (_, i) => `topic ${i}`)
    topics.forEach(topic => { hand.subscribe(topic) })
    hand.announce('near', { on: topics })
    expect(topics.filter(topic => hand.subscribers(topic).length > 0)).to.deep.equal(topics.slice(0, 3))
    expect(hand.refused).to.include('topics of one peer')

    for (let i = 0; i < 10; i++) {
      hand.announce(`far ${i}`, { on: [T] }, 'near')
    }
    expect(hand.subscribers(T)).to.deep.equal(['far 0', 'far 1'])
    expect(hand.refused).to.include('subscribers of one topic')
    expect(hand.core.sizes).to.include({ origins: 3, interests: 5 })
  })

  it('rule 9: what a relay remembers for others is bounded, too', () => {
    const hand = new Hand({ isRelay: true, maxInterestTopics: 5 })
    hand.up('near')
    hand.announce('near', { on: Array.from({ length: 100 }, (_, i) => `topic ${i}`) })
    expect(hand.core.sizes).to.include({ interestTopics: 5, interests: 5 })
    expect(hand.refused).to.include('topics to remember for others')
  })

  it('rule 9: a topic that is too long does not even parse', () => {
    const announcement = { origin: 'near', epoch: 1, seq: 1, full: false, on: ['x'.repeat(256)], off: [], hops: 0 }
    expect(wire.decodeAnnouncement(wire.encodeAnnouncement(announcement)).on).to.deep.equal(announcement.on)
    announcement.on = ['x'.repeat(257)]
    expect(() => wire.decodeAnnouncement(wire.encodeAnnouncement(announcement))).to.throw().with.property('name', 'MalformedError')
  })
})
