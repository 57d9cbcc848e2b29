import { expect } from 'aegir/chai'
import * as limits from '../../src/pubsub/constants.ts'
import { NO_WAY } from '../../src/pubsub/core/routing.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { Hand } from '../fixtures/core.ts'

const T = 'topic'
const HOUR = 3_600_000

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

/** The same, of a relay among relays */
function subscribedRelay (...relays: string[]): Hand {
  const hand = new Hand({ isRelay: true })
  relays.forEach(name => { hand.up(name, { isRelay: true }) })
  return subscribing(hand)
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

        // what a peer is on is its own to leave
        if (hand.core.subscribers.isOn('near', topic)) {
          hand.announce('near', { off: [topic] })
        }
        if (i % 100 === 0) {
          hand.announce('near', { full: true })
        }
      }
      hand.ackAll()
      hand.advance(HOUR)

      expect(hand.core.sizes).to.deep.equal(before)
      expect(hand.settled).to.have.lengthOf(1000)
      expect(hand.core.subscribers.sizes.entries).to.equal(0)
    })
  }

  it('rule 5: retracted topics are retracted at every neighbour, also when one of them holds a newline between two others', () => {
    const hand = withNeighbours('near', 'other')
    const topics = ['a', 'b', 'a\nb']
    topics.forEach(topic => { hand.subscribe(topic) })
    hand.tick()
    hand.ackAll()
    hand.take()
    topics.forEach(topic => { hand.unsubscribe(topic) })
    hand.tick()
    const { near, other } = hand.heardBy()
    expect(near).to.have.members(['-a', '-b', '-a\nb'])
    expect(other).to.have.members(['-a', '-b', '-a\nb'])
    expect(hand.core.topics.announced).to.deep.equal([])
  })

  it('rule 6: an unsubscribe that comes before the subscribe it follows leaves no ghost, whichever way each came', () => {
    for (const [first, second] of [['far', 'far'], ['relay', 'relay'], ['relay', 'other'], ['other', 'relay']]) {
      const hand = subscribed(...new Set([first, second]))
      const hops = first === 'far' ? 0 : 1
      hand.announce('far', { seq: 10, epoch: 1, full: true }, first)
      const announcement = { origin: 'far', epoch: 1, full: false, on: [], off: [] }
      const [on, off] = [{ ...announcement, seq: 11, on: [T] }, { ...announcement, seq: 12, off: [T] }]

      // a neighbour says all that we lack, in order: the other one comes too late to say anything
      hand.tell(first, { origin: 'far', epoch: 1, seq: 12, hops, announcements: [on, off] })
      const changed = hand.changes.length
      hand.tell(second, { origin: 'far', epoch: 1, seq: 11, hops, announcements: [on] })
      expect(hand.subscribers(T), `${first}, then ${second}`).to.deep.equal([])
      expect(hand.changes).to.have.lengthOf(changed)

      // and the newest counts again
      hand.tell(second, { origin: 'far', epoch: 1, seq: 13, hops, announcements: [{ ...on, seq: 13 }] })
      expect(hand.subscribers(T)).to.deep.equal(['far'])
    }
  })

  it('rule 6: an announcement whose predecessor is missing says nothing, and no way is taken by its number', () => {
    const hand = subscribed('far', 'relay')
    hand.announce('far', { off: [T] })
    hand.announce('far', { seq: 3, on: [T] })
    expect(hand.subscribers(T)).to.deep.equal([])
    expect(hand.core.subscribers.versionOf('far')).to.include({ epoch: 1, seq: 1 })
    hand.announce('far', { seq: 4, full: true, on: [T] })
    expect(hand.subscribers(T)).to.deep.equal(['far'])
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
    hand.announce('far', { epoch: 6, on: [T] }, 'relay')
    expect(hand.subscribers(T)).to.deep.equal(['far'])
    expect(hand.subscribers('old topic')).to.deep.equal([])
    expect(hand.changes.slice(2)).to.deep.equal([
      { peer: 'far', topic: T, subscribe: false, reason: 'restarted' },
      { peer: 'far', topic: 'old topic', subscribe: false, reason: 'restarted' },
      { peer: 'far', topic: T, subscribe: true, reason: 'announced' }
    ])

    // what the earlier life said and comes now is too late
    hand.announce('far', { epoch: 5, seq: 900, full: true, on: ['old topic'] }, 'relay')
    expect(hand.subscribers('old topic')).to.deep.equal([])
  })

  it('rule 7: a neighbour says itself in which life it is: one with an older clock is believed', () => {
    const hand = subscribed('near')
    hand.announce('near', { on: [T] })
    hand.greet('near', { epoch: 0 })
    expect(hand.changes.at(-1)).to.deep.equal({ peer: 'near', topic: T, subscribe: false, reason: 'restarted' })
    hand.announce('near', { epoch: 0, on: [T] })
    expect(hand.subscribers(T)).to.deep.equal(['near'])
  })

  it('rule 7: a neighbour with an older clock is shown what it said in its later life, so that it outlives that', () => {
    const hand = new Hand({ isRelay: true })
    hand.up('near', { epoch: 5 })
    hand.core.up('near', { epoch: 3, isRelay: false }, hand.clock.now())
    hand.tick()
    const shown = hand.take().flatMap(({ to, gossip }) => to === 'near' ? gossip.updates.filter(({ origin }) => origin === 'near') : [])
    expect(shown.map(({ epoch, hops }) => [epoch, hops])).to.deep.equal([[5, NO_WAY]])
  })

  it('rule 7: who is shown that others believe in a later life of its own begins one that is later still', () => {
    const hand = subscribed('near')
    const announcement = { origin: 'self', epoch: 9, seq: 4, full: true, on: [T], off: [] }
    hand.tell('near', { origin: 'self', epoch: 9, seq: 4, hops: NO_WAY, announcements: [announcement] })
    expect(hand.outlived).to.deep.equal([9])

    // its own present life, and what nobody signed, is no reason
    hand.tell('near', { origin: 'self', epoch: 1, seq: 4, hops: 1, announcements: [{ ...announcement, epoch: 1 }] })
    hand.tell('near', { origin: 'self', epoch: 99, seq: 4, hops: 1, announcements: [] })
    // nor is an epoch that a neighbour puts on what was signed in an earlier life: it could make ours as large as there are numbers
    hand.tell('near', { origin: 'self', epoch: 2 ** 52, seq: 4, hops: 1, announcements: [{ ...announcement, epoch: 1 }] })
    expect(hand.outlived).to.deep.equal([9])
  })

  it('rule 7: a new life of our own says everything again, and its calls settle once', () => {
    const hand = withNeighbours('near')
    const call = hand.subscribe(T)
    hand.tick()
    hand.core.epoch = 10
    hand.up('near')
    hand.ackAll()
    hand.take()
    hand.tick()
    hand.ackAll()
    expect(hand.core.greeting.epoch).to.equal(10)
    expect(hand.core.topics.announced).to.deep.equal([T])
    expect(hand.settled).to.deep.equal([[call, 'subscribed']])
  })

  it('rule 7: who claims a way to an earlier life hears of the later one', () => {
    const hand = new Hand({ isRelay: true })
    hand.up('old', { isRelay: true })
    hand.up('new', { isRelay: true })
    hand.announce('far', { epoch: 5 }, 'old')
    hand.advance(1000)
    hand.take()
    // no way comes with it, only the word that the earlier life is over
    const announcement = { origin: 'far', epoch: 6, seq: 0, full: true, on: [], off: [] }
    hand.tell('new', { origin: 'far', epoch: 6, seq: 0, hops: NO_WAY, announcements: [announcement] })
    hand.tick()
    const told = hand.take().filter(({ to }) => to === 'old').flatMap(({ gossip }) => gossip.updates).filter(({ origin }) => origin === 'far')
    expect(told.map(({ epoch, hops, announcements }) => [epoch, hops, announcements.length])).to.deep.equal([[6, NO_WAY, 1]])
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

  it('rule 7: no relay is told of a peer that only itself leads us to: it would take us for a way to it when it has vanished', () => {
    const hand = new Hand({ isRelay: true })
    hand.up('hub', { isRelay: true })
    hand.up('other', { isRelay: true })
    hand.announce('far', { on: [T] }, 'hub')
    hand.advance(1000)
    const first = hand.toldOf('far')

    // what makes a relay tell what it knows: somebody is new on the topic, or asks for it
    for (const peer of ['hub', 'other']) {
      hand.announce(peer, { on: [T] })
      hand.hear(peer, { requests: [{ id: 1, topic: T }] })
      hand.advance(1000)
    }
    expect(first).to.deep.equal({ other: [2] })
    expect(hand.toldOf('far')).to.not.have.property('hub')
  })

  it('rule 8: a subscriber behind a relay stays for as long as there is a way to it, with nothing said in between', () => {
    for (const hand of [subscribed('near', 'relay'), subscribedRelay('near', 'relay')]) {
      hand.announce('near', { on: [T] })
      hand.announce('far', { on: [T] }, 'relay')
      hand.advance(1000)
      hand.take()
      hand.advance(HOUR * 10)
      expect(hand.subscribers(T)).to.deep.equal(['near', 'far'])
      expect(hand.take()).to.deep.equal([])
    }
  })

  it('rule 8: it is gone at once when the relay says that it is lost, with its reason; the others stay', () => {
    for (const hand of [subscribed('relay'), subscribedRelay('relay')]) {
      hand.announce('far', { on: [T] }, 'relay')
      hand.announce('farther', { on: [T] }, 'relay')
      hand.lose('far', 'relay')
      expect(hand.subscribers(T)).to.deep.equal(['farther'])
      expect(hand.changes.at(-1)).to.deep.equal({ peer: 'far', topic: T, subscribe: false, reason: 'unreachable' })
    }
  })

  it('rule 8: when the relay that led there goes, it is gone at once, and all who were told of it hear so at once, in one message', () => {
    const hand = subscribedRelay('relay', 'one', 'other')
    hand.announce('far', { on: [T] }, 'relay')
    hand.announce('farther', { on: [T] }, 'relay')
    hand.advance(1000)
    hand.take()
    hand.down('relay')
    expect(hand.subscribers(T)).to.deep.equal([])
    hand.tick()
    const said = hand.take()
    expect(said.map(({ to }) => to)).to.have.members(['one', 'other'])
    said.forEach(({ gossip }) => { expect(gossip.lost).to.have.members(['relay', 'far', 'farther']) })
  })

  it('rule 8: another way is taken at once if it is shorter than what others were told; else its origin is asked to say itself again', () => {
    const hand = subscribedRelay('one', 'other', 'third')
    hand.announce('far', { on: [T], hops: 1 }, 'one')
    hand.lead('other', 'far', 1)
    hand.lead('third', 'far', 3)
    hand.advance(1000)
    hand.take()
    hand.lose('far', 'one')
    expect(hand.core.routing.next('far')).to.equal('other')

    // 'third' says 3, and others were told 2: its way may lead through us
    hand.lose('far', 'other')
    expect(hand.core.routing.next('far')).to.equal(undefined)
    expect(hand.subscribers(T)).to.deep.equal([])
    hand.tick()
    expect(hand.toldOf('far')).to.deep.equal({ other: ['lost'], third: ['lost', '? 1'] })

    // said again, the way by 'third' is no circle
    hand.announce('far', { full: true, on: [T], hops: 3 }, 'third')
    expect(hand.core.routing.next('far')).to.equal('third')
    expect(hand.subscribers(T)).to.deep.equal(['far'])
  })

  it('rule 8: a leaf may take any way that is left, since it tells nobody', () => {
    const hand = subscribed('one', 'other')
    hand.announce('far', { on: [T], hops: 1 }, 'one')
    hand.lead('other', 'far', 7)
    hand.lose('far', 'one')
    expect(hand.subscribers(T)).to.deep.equal(['far'])
    expect(hand.core.routing.next('far')).to.equal('other')
  })

  it('rule 8: who is asked to say itself again takes one step, however large the number is, and the asker hears it at once', () => {
    const hand = subscribedRelay('near', 'other')
    const { epoch } = hand.core
    const seq = 1
    hand.hear('near', { wanted: [{ origin: 'self', epoch, seq: 1_000_000, hops: 9 }] })
    hand.tick()
    expect(hand.take().map(({ to, gossip }) => [to, ...gossip.updates.map(({ seq, announcements }) => [seq, announcements.at(-1)?.full])])).to.deep.equal([['near', [seq + 1, true]]])

    // what is not newer than what it has said is told again, and no step is taken
    hand.hear('other', { wanted: [{ origin: 'self', epoch, seq: seq + 1, hops: 9 }] })
    hand.hear('other', { wanted: [{ origin: 'self', epoch: epoch - 1, seq: 50, hops: 9 }] })
    hand.tick()
    expect(hand.take().map(({ to, gossip }) => [to, ...gossip.updates.map(({ seq }) => seq)])).to.deep.equal([['other', seq + 1]])
  })

  it('rule 8: a way whose message did not arrive is passed over for another one; when all fail, how far they are is told to nobody', () => {
    const hand = subscribedRelay('one', 'other')
    hand.announce('far', { on: [T], hops: 1 }, 'one')
    hand.lead('other', 'far', 1)
    hand.advance(1000)
    hand.take()
    expect(hand.core.routing.next('far')).to.equal('one')
    hand.acked('far', 'one', false)
    expect(hand.core.routing.next('far')).to.equal('other')
    hand.advance(1000)
    hand.take()
    hand.acked('far', 'other', false)
    hand.acked('far', 'other', false)
    expect(hand.core.routing.next('far')).to.equal('one')
    hand.tick()
    const words = Object.values(hand.toldOf('far')).flat()
    expect(words.filter(word => typeof word === 'number')).to.deep.equal([])
    expect(hand.subscribers(T)).to.deep.equal(['far'])
  })

  it('rule 8: a peer that acks by no way is doubted: it stays if it says itself again within five seconds', () => {
    const hand = subscribedRelay('one', 'other')
    hand.announce('far', { on: [T], hops: 1 }, 'one')
    hand.lead('other', 'far', 4)
    hand.advance(1000)
    hand.take()
    hand.doubt('far')
    hand.tick()
    expect(hand.toldOf('far')).to.deep.equal({ one: ['? 1'], other: ['? 1'] })
    hand.advance(limits.DOUBT_TIMEOUT - 1)
    hand.announce('far', { full: true, on: [T], hops: 1 }, 'one')
    hand.advance(limits.DOUBT_TIMEOUT)
    expect(hand.subscribers(T)).to.deep.equal(['far'])
    expect(hand.changes.filter(({ subscribe }) => !subscribe)).to.deep.equal([])
  })

  it('rule 8: and is not believed to be there if it does not, however many lead to it, until it does', () => {
    const hand = subscribedRelay('one', 'other')
    hand.announce('far', { on: [T], hops: 1 }, 'one')
    hand.lead('other', 'far', 4)
    hand.advance(1000)
    hand.doubt('far')
    // what is claimed again by the old number does not count
    hand.advance(limits.DOUBT_TIMEOUT - 1)
    hand.lead('other', 'far', 1)
    hand.advance(1)
    expect(hand.subscribers(T)).to.deep.equal([])
    expect(hand.changes.at(-1)).to.deep.equal({ peer: 'far', topic: T, subscribe: false, reason: 'unreachable' })
    hand.lead('one', 'far', 1)
    hand.lead('other', 'far', 1)
    expect(hand.subscribers(T)).to.deep.equal([])

    hand.announce('far', { full: true, on: [T] }, 'other')
    expect(hand.subscribers(T)).to.deep.equal(['far'])
  })

  it('rule 8: an ack that comes meanwhile ends the doubt, and nobody doubts a neighbour', () => {
    const hand = subscribedRelay('near', 'relay')
    hand.announce('near', { on: [T] })
    hand.announce('far', { on: [T] }, 'relay')
    hand.doubt('near')
    hand.doubt('far')
    hand.acked('far', 'relay', true)
    hand.advance(limits.DOUBT_TIMEOUT * 2)
    expect(hand.subscribers(T)).to.have.members(['near', 'far'])
  })

  it('rule 8: a neighbour that said lost is believed again only with a newer number', () => {
    const hand = subscribedRelay('relay')
    hand.announce('far', { on: [T] }, 'relay')
    hand.lose('far', 'relay')
    hand.lead('relay', 'far', 1)
    expect(hand.subscribers(T)).to.deep.equal([])
    hand.announce('far', { full: true, on: [T] }, 'relay')
    expect(hand.subscribers(T)).to.deep.equal(['far'])
  })

  it('rule 8: who is not spoken of when a session with the relay begins again is lost', () => {
    const hand = subscribed('relay')
    hand.announce('far', { on: [T] }, 'relay')
    hand.announce('left', { on: [T] }, 'relay')
    hand.up('relay')
    hand.lead('relay', 'far', 1)
    expect(hand.subscribers(T)).to.deep.equal(['far'])
  })

  it('rule 8: what was lost is forgotten in the end', () => {
    const hand = subscribedRelay('relay')
    const before = hand.core.sizes
    hand.announce('far', { on: [T, 'second'] }, 'relay')
    hand.down('relay')
    hand.advance(limits.LOST_MEMORY / 2)
    expect(hand.core.sizes).to.include({ origins: 2, routes: 2 })
    hand.advance(limits.LOST_MEMORY)
    expect(hand.core.sizes).to.deep.equal({ ...before, neighbours: 0, origins: 0, routes: 0 })
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
    expect(hand.subscribers(T)).to.have.lengthOf(2)
    expect(hand.refused).to.include('subscribers of one topic')
    expect(hand.core.sizes).to.include({ interests: 5 })
  })

  it('rule 9: a topic that one neighbour has filled still takes whom another one brings, and what a neighbour says of itself', () => {
    const hand = new Hand({ maxSubscribersPerTopic: 10 })
    hand.up('liar')
    hand.up('relay')
    hand.subscribe(T)

    for (let i = 0; i < 100; i++) {
      hand.announce(`nobody ${i}`, { on: [T] }, 'liar')
    }
    hand.announce('far', { on: [T] }, 'relay')
    hand.announce('relay', { on: [T] })
    for (let i = 100; i < 200; i++) {
      hand.announce(`nobody ${i}`, { on: [T] }, 'liar')
    }
    expect(hand.subscribers(T)).to.include.members(['far', 'relay'])
    expect(hand.subscribers(T)).to.have.length.within(10, 11)
  })

  it('rule 9: what a relay remembers for others is bounded, too, and who brings much displaces only its own', () => {
    const hand = new Hand({ isRelay: true, maxDirectoryBytes: 20_000 })
    hand.up('liar', { isRelay: true })
    hand.up('relay', { isRelay: true })
    hand.announce('far', { on: ['topic of far'] }, 'relay')

    for (let i = 0; i < 1000; i++) {
      hand.announce(`nobody ${i}`, { on: [`topic ${i}`] }, 'liar')
    }
    expect(hand.core.sizes.origins).to.be.within(10, 100)
    expect(hand.core.sizes.routes).to.equal(hand.core.sizes.origins)
    expect(hand.core.sizes.interestTopics).to.be.below(100)
    expect(hand.core.subscribers.of('topic of far')).to.deep.equal(['far'])
  })

  it('rule 9: of whom there is no room for, those who were told hear that there is no way to it by us', () => {
    const hand = new Hand({ isRelay: true, maxDirectoryBytes: 20_000 })
    hand.up('hub', { isRelay: true })
    hand.up('other', { isRelay: true })
    hand.announce('far', { on: [T] }, 'hub')
    hand.advance(1000)
    expect(hand.toldOf('far')).to.deep.equal({ other: [2] })

    for (let i = 0; i < 1000; i++) {
      hand.announce(`nobody ${i}`, { on: [T] }, 'hub')
    }
    hand.advance(1000)
    expect(hand.core.routing.next('far')).to.equal(undefined)
    expect(hand.toldOf('far')).to.deep.equal({ other: ['lost'] })
  })

  it('rule 9: a peer that announces on and on without saying all again is not followed past a limit', () => {
    const hand = subscribed('near')

    for (let i = 0; i < limits.MAX_HISTORY * 2; i++) {
      hand.announce('near', { on: [`topic ${i}`] })
    }
    expect(hand.core.subscribers.history('near')).to.have.lengthOf(limits.MAX_HISTORY)
    hand.announce('near', { full: true, on: [T] })
    expect(hand.subscribers(T)).to.deep.equal(['near'])
    expect(hand.core.subscribers.history('near')).to.have.lengthOf(1)
  })

  it('rule 9: we say all again before that, so that nobody has to hear more than about twice of what we are on', () => {
    const hand = withNeighbours('near')
    let most = 0

    for (let i = 0; i < 500; i++) {
      hand.subscribe(`topic ${i % 7}`)
      hand.tick()
      hand.unsubscribe(`topic ${i % 7}`)
      hand.tick()
      hand.greet(`late ${i}`)
      hand.down(`late ${i}`)
      // what somebody is told who comes now
      hand.core.up('probe', { epoch: 1, isRelay: true }, hand.clock.now())
      hand.tick()
      const said = hand.take().filter(({ to }) => to === 'probe').flatMap(({ gossip }) => gossip.updates.flatMap(({ announcements }) => announcements))
      expect(said[0].full).to.equal(true)
      most = Math.max(most, said.length)
      hand.down('probe')
    }
    expect(most).to.be.within(2, limits.MIN_HISTORY)
  })

  it('rule 9: a leaf that asks again and again for a full topic is told all again at a rate, each answer after what it speaks of', () => {
    const PEERS = 300
    const hand = new Hand({ isRelay: true })
    let told = 0
    const ask = (id: number): number[] => {
      hand.hear('leaf', { requests: [{ id, topic: T }] })
      hand.advance(20)
      const said = hand.take().filter(({ to }) => to === 'leaf').map(({ gossip }) => gossip)
      told += said.reduce((sum, { updates }) => sum + updates.length, 0)
      return said.flatMap(({ answers }) => answers)
    }
    hand.up('relay', { isRelay: true })
    hand.up('leaf')
    Array.from({ length: PEERS }, (_, i) => `far ${i}`).forEach(key => { hand.announce(key, { on: [T] }, 'relay') })

    // the first time, and again a little later, without delay
    expect([ask(1), told, ask(2), told]).to.deep.equal([[1], PEERS, [2], 2 * PEERS])

    for (let id = 3; id <= 100; id++) {
      ask(id)
    }
    expect(told).to.be.below(25 * PEERS)

    // it is told in the end, by the last answer: what it asks for meanwhile is one and the same
    const before = told
    hand.hear('leaf', { requests: [{ id: 101, topic: 'a topic of nobody' }] })
    hand.advance(5000)
    const last = hand.take().filter(({ to }) => to === 'leaf').map(({ gossip }) => gossip)
    expect(last.flatMap(({ answers }) => answers)).to.deep.equal([100, 101])
    expect(last.reduce((sum, { updates }) => sum + updates.length, 0)).to.equal(PEERS)
    expect(told).to.equal(before)
    expect(hand.core.sizes.updates).to.equal(0)

    // what is new is told at once, and what it did not hear before costs it nothing
    hand.announce('new', { on: [T] }, 'relay')
    hand.advance(20)
    expect(hand.take().filter(({ to }) => to === 'leaf').flatMap(({ gossip }) => gossip.updates.map(({ origin }) => origin))).to.deep.equal(['new'])
    hand.advance(60_000)
    expect(ask(102)).to.deep.equal([102])
  })

  it('rule 9: who asks again and again for our own announcement is told it at a rate', () => {
    const hand = subscribedRelay('relay')
    const { epoch } = hand.core
    let told = 0
    Array.from({ length: 50 }, (_, i) => `topic ${i}`).forEach(topic => { hand.subscribe(topic) })

    for (let seq = 0; seq < 1000; seq++) {
      hand.hear('relay', { wanted: [{ origin: 'self', epoch, seq, hops: 9 }] })
      hand.tick()
      told += hand.take().length
    }
    expect(told).to.be.within(100, 300)
    hand.advance(20_000)
    expect(hand.take().flatMap(({ gossip }) => gossip.updates.map(({ announcements }) => announcements.at(-1)?.full))).to.deep.equal([true])
  })

  it('rule 9: a topic that is too long does not even parse', () => {
    const announcement = { origin: 'near', epoch: 1, seq: 1, full: false, on: ['x'.repeat(256)], off: [] }
    expect(wire.decodeAnnouncement(wire.encodeAnnouncement(announcement)).on).to.deep.equal(announcement.on)
    announcement.on = ['x'.repeat(257)]
    expect(() => wire.decodeAnnouncement(wire.encodeAnnouncement(announcement))).to.throw().with.property('name', 'MalformedError')
  })
})

describe('what was forgotten for want of room', () => {
  const ALL = { origin: 'self', epoch: 0, seq: 0, hops: 0 }

  it('is asked for again when there is room, of those who told it, at a rate', () => {
    const hand = new Hand({ isRelay: true, maxDirectoryBytes: 4000 })
    hand.up('relay', { isRelay: true })
    hand.up('other', { isRelay: true })

    for (let i = 0; i < 20; i++) {
      hand.announce(`far ${i}`, { on: ['topic'] }, 'relay')
    }
    const wanted = (): unknown[] => hand.take().flatMap(({ to, gossip }) => gossip.wanted.filter(({ origin }) => origin === 'self').map(wanted => [to, wanted]))
    hand.advance(limits.SWEEP_INTERVAL * 4)
    expect(wanted()).to.deep.equal([])
    hand.hear('relay', { lost: Array.from({ length: 20 }, (_, i) => `far ${i}`) })
    hand.advance(limits.LOST_MEMORY_SHORT + limits.SWEEP_INTERVAL)
    expect(wanted()).to.deep.equal([['relay', ALL]])
    hand.advance(limits.SWEEP_INTERVAL * 4)
    expect(wanted()).to.deep.equal([])
  })

  it('is told again, with all that the neighbour was told, once in a while', () => {
    const hand = new Hand({ isRelay: true })
    hand.up('relay', { isRelay: true })
    hand.announce('far', { on: ['topic'] }, 'relay')
    hand.up('asker', { isRelay: true })
    hand.advance(1000)
    hand.take()
    const told = (): string[] => hand.take().flatMap(({ to, gossip }) => gossip.updates.filter(({ announcements }) => announcements.length > 0).map(({ origin }) => `${to}: ${origin}`))

    for (const expected of [['asker: self', 'asker: relay', 'asker: far'], []]) {
      hand.hear('asker', { wanted: [{ ...ALL, origin: 'asker' }] })
      hand.advance(1000)
      expect(told()).to.have.members(expected)
    }
  })
})
