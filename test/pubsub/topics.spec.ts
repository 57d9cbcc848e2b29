import { expect } from 'aegir/chai'
import { Hand } from '../fixtures/core.ts'
import type { Gossip } from '../../src/pubsub/core/types.ts'

const T = 'topic'
/** 'retracting': nobody here holds it, and others have not heard so */
type State = 'absent' | 'pending' | 'subscribed' | 'retracting'

/** A core with two neighbours, whose topic is in this state, with one holder where it has any */
function inState (state: State): Hand {
  const hand = new Hand()
  hand.up('near')
  hand.up('other')

  if (state !== 'absent') {
    hand.subscribe(T)
  }
  if (state === 'subscribed' || state === 'retracting') {
    hand.tick()
    hand.ackAll()
    hand.tick()
  }
  if (state === 'retracting') {
    hand.unsubscribe(T)
  }

  hand.take()
  expect(stateOf(hand)).to.equal(state)
  return hand
}

function stateOf ({ core: { topics } }: Hand): State {
  const state = topics.state(T)
  return state === 'absent' && topics.isAnnounced(T) ? 'retracting' : state
}

/** The topics that a message says we are on */
function saidOn ({ updates }: Gossip): string[] {
  return updates.flatMap(({ announcements }) => announcements.flatMap(({ on }) => on))
}

/** How many times it can be unsubscribed */
function holders (hand: Hand): number {
  let count = 0
  while (hand.unsubscribe(T)) {
    count++
  }
  return count
}

describe('topics table: absent', () => {
  it('topics table: absent × subscribe: pending at once, and nothing is said in this tick', () => {
    const hand = inState('absent')
    const call = hand.subscribe(T)
    expect(hand.core.topics.state(T)).to.equal('pending')
    expect(hand.core.topics.subscribed()).to.deep.equal([T])
    expect(hand.take()).to.deep.equal([])
    expect(hand.settled).to.deep.equal([])
    expect(holders(hand)).to.equal(1)
    expect(hand.settled).to.deep.equal([[call, 'cancelled']])
  })

  it('topics table: absent × flush: nothing is said', () => {
    const hand = inState('absent')
    hand.tick()
    expect(hand.take()).to.deep.equal([])
    expect(hand.core.topics.isDirty).to.be.false()
  })

  it('topics table: absent × unsubscribe or a signal: false, and nothing is said', () => {
    const hand = inState('absent')
    expect(hand.unsubscribe(T)).to.be.false()
    expect(hand.unsubscribe(T, true)).to.be.false()
    hand.abort(T, 1)
    hand.tick()
    expect(hand.core.topics.size).to.equal(0)
    expect(hand.take()).to.deep.equal([])
  })

  it('topics table: absent × remote subscribe arrives: ignored, nothing is tracked', () => {
    const hand = inState('absent')
    const before = hand.core.sizes
    hand.announce('near', { on: [T] })
    expect(hand.subscribers(T)).to.deep.equal([])
    expect(hand.changes).to.deep.equal([])
    expect(hand.core.subscribers.of(T)).to.deep.equal([])
    hand.tick()
    expect(hand.core.sizes).to.deep.equal(before)
  })

  it('topics table: absent × requestSubscribers arrives: answered without it', () => {
    const hand = inState('absent')
    hand.hear('near', { requests: [{ id: 7, topic: T }] })
    hand.tick()
    const said = hand.take()
    expect(said.map(({ to, gossip }) => [to, gossip.answers])).to.deep.equal([['near', [7]]])
    expect(said[0].gossip.updates).to.deep.equal([])
  })

  it('topics table: absent × stop: nothing is said', () => {
    const hand = inState('absent')
    hand.stop()
    expect(hand.take()).to.deep.equal([])
  })
})

describe('topics table: pending', () => {
  it('topics table: pending × subscribe: one holder more', () => {
    const hand = inState('pending')
    hand.subscribe(T)
    expect(hand.core.topics.state(T)).to.equal('pending')
    expect(holders(hand)).to.equal(2)
  })

  it('topics table: pending × flush: subscribed, with one announcement of all topics to each neighbour', () => {
    const hand = inState('pending')
    hand.subscribe('second')
    hand.subscribe('third')
    hand.tick()
    const said = hand.take()
    expect(said.map(({ to }) => to)).to.deep.equal(['near', 'other'])
    const announced = said.map(({ gossip }) => gossip.updates.flatMap(({ announcements }) => announcements))
    expect(announced.every(announcements => announcements.length === 1 && announcements[0].on.join() === `${T},second,third`)).to.be.true()
    expect(announced[0][0]).to.equal(announced[1][0], 'made, and so signed, twice')
    expect(hand.core.topics.state(T)).to.equal('subscribed')
  })

  it('topics table: pending × unsubscribe: one holder less, and with the last every trace is gone and nobody hears of it', () => {
    const hand = inState('pending')
    const before = inState('absent').core.sizes
    hand.subscribe(T)
    expect(hand.unsubscribe(T)).to.be.true()
    expect(hand.core.topics.state(T)).to.equal('pending')
    expect(hand.unsubscribe(T)).to.be.true()
    expect(hand.core.topics.state(T)).to.equal('absent')
    hand.tick()
    expect(hand.take()).to.deep.equal([])
    expect(hand.core.sizes).to.deep.equal(before)
    expect(hand.settled).to.deep.equal([[2, 'cancelled'], [1, 'cancelled']])
  })

  it('topics table: pending × unsubscribe: those who were told meanwhile hear that it is over', () => {
    const hand = inState('pending')
    hand.hear('near', { requests: [{ id: 1, topic: T }] })
    hand.unsubscribe(T)
    hand.tick()
    // a leaf that asks may have forgotten what it was told: it is told all again
    expect(hand.heardBy()).to.deep.equal({ near: ['all:', `+${T}`, `-${T}`], other: [`+${T}`, `-${T}`] })
    expect(stateOf(hand)).to.equal('absent')
  })

  it('topics table: pending × signal aborts: the hold of that call is gone, and it is not settled twice', () => {
    const hand = inState('pending')
    const second = hand.subscribe(T)
    hand.abort(T, second)
    expect(hand.core.topics.state(T)).to.equal('pending')
    hand.abort(T, second)
    expect(hand.core.topics.state(T)).to.equal('pending')
    hand.abort(T, 1)
    expect(hand.core.topics.state(T)).to.equal('absent')
    expect(hand.settled).to.deep.equal([])
  })

  it('topics table: pending × remote subscribe arrives: recorded', () => {
    const hand = inState('pending')
    hand.announce('near', { on: [T] })
    expect(hand.subscribers(T)).to.deep.equal(['near'])
    expect(hand.changes).to.deep.equal([{ peer: 'near', topic: T, subscribe: true, reason: 'announced' }])
  })

  it('topics table: pending × requestSubscribers arrives: answered at once, all hear of it, and it is not said again with the flush', () => {
    const hand = new Hand({ debounce: 1000 })
    hand.up('near')
    hand.up('other')
    hand.take()
    hand.subscribe(T)
    hand.hear('near', { requests: [{ id: 7, topic: T }] })
    hand.tick()
    const said = hand.take()
    expect(said.map(({ to, gossip }) => [to, gossip.answers, saidOn(gossip)])).to.have.deep.members([['near', [7], [T]], ['other', [], [T]]])
    expect(stateOf(hand)).to.equal('pending')
    expect(hand.core.topics.isAnnounced(T)).to.be.true()

    hand.advance(1000)
    hand.ackAll()
    expect(hand.heardBy()).to.deep.equal({})
    expect(hand.settled).to.deep.equal([[1, 'subscribed']])
  })

  it('topics table: pending × stop: its calls settle, the trace is gone, and nobody hears of it', () => {
    const hand = inState('pending')
    hand.stop()
    expect(hand.settled).to.deep.equal([[1, 'cancelled']])
    expect(hand.core.topics.size).to.equal(0)
    expect(hand.heardBy()).to.deep.equal({})
  })

  it('topics table: pending × stop: those who were told meanwhile hear that it is over', () => {
    const hand = inState('pending')
    hand.hear('near', { requests: [{ id: 1, topic: T }] })
    hand.tick()
    hand.take()
    hand.stop()
    expect(hand.settled).to.deep.equal([[1, 'cancelled']])
    expect(hand.heardBy()).to.deep.equal({ near: [`-${T}`], other: [`-${T}`] })
  })
})

describe('topics table: subscribed', () => {
  it('topics table: subscribed × subscribe: one holder more, true at once, nothing announced', () => {
    const hand = inState('subscribed')
    const call = hand.subscribe(T)
    expect(hand.settled.at(-1)).to.deep.equal([call, 'subscribed'])
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({})
    expect(holders(hand)).to.equal(2)
  })

  it('topics table: subscribed × flush: nothing is said again', () => {
    const hand = inState('subscribed')
    hand.subscribe('second')
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({ near: ['+second'], other: ['+second'] })
  })

  it('topics table: subscribed × unsubscribe: one holder less, and with the last it is retracted at everyone who was told', () => {
    const hand = inState('subscribed')
    hand.subscribe(T)
    hand.unsubscribe(T)
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({})
    hand.unsubscribe(T)
    expect(hand.core.topics.subscribed()).to.deep.equal([])
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({ near: [`-${T}`], other: [`-${T}`] })
    expect(hand.core.topics.size).to.equal(0)
  })

  it('topics table: subscribed × unsubscribe: also while its announcement is still on its way', () => {
    const hand = inState('pending')
    hand.tick()
    hand.unsubscribe(T)
    expect(hand.settled).to.deep.equal([[1, 'cancelled']])
    hand.ackAll()
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({ near: [`+${T}`, `-${T}`], other: [`+${T}`, `-${T}`] })
    expect(hand.settled).to.have.lengthOf(1)
  })

  it('topics table: subscribed × signal aborts: a call that waits gives its hold up, one that was settled keeps it', () => {
    const hand = inState('subscribed')
    hand.abort(T, 1)
    expect(hand.core.topics.state(T)).to.equal('subscribed')

    const waiting = inState('pending')
    waiting.tick()
    waiting.abort(T, 1)
    expect(stateOf(waiting)).to.equal('retracting')
  })

  it('topics table: subscribed × remote subscribe arrives: recorded', () => {
    const hand = inState('subscribed')
    hand.announce('near', { on: [T] })
    expect(hand.subscribers(T)).to.deep.equal(['near'])
  })

  it('topics table: subscribed × requestSubscribers arrives: answered', () => {
    const hand = inState('subscribed')
    hand.hear('other', { requests: [{ id: 3, topic: T }] })
    hand.tick()
    expect(hand.take().map(({ to, gossip }) => [to, gossip.answers, saidOn(gossip)])).to.deep.equal([['other', [3], [T]]])
  })

  it('topics table: subscribed × stop: retracted at everyone, then gone', () => {
    const hand = inState('subscribed')
    hand.stop()
    expect(hand.heardBy()).to.deep.equal({ near: [`-${T}`], other: [`-${T}`] })
    expect(hand.core.topics.size).to.equal(0)
  })
})

describe('topics table: retracting', () => {
  it('topics table: retracting × subscribe: pending again, and nobody hears that it was gone, nor that it is back', () => {
    const hand = inState('retracting')
    const call = hand.subscribe(T)
    expect(stateOf(hand)).to.equal('pending')
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({})
    expect(stateOf(hand)).to.equal('subscribed')
    expect(hand.settled.at(-1)).to.deep.equal([call, 'subscribed'])
  })

  it('topics table: retracting × subscribe: who has not confirmed that it was there is waited for', () => {
    const hand = inState('pending')
    hand.tick()
    hand.unsubscribe(T)
    const call = hand.subscribe(T)
    hand.tick()
    expect(hand.settled).to.deep.equal([[1, 'cancelled']])
    hand.ackAll()
    expect(hand.settled.at(-1)).to.deep.equal([call, 'subscribed'])
  })

  it('topics table: retracting × flush: absent', () => {
    const hand = inState('retracting')
    hand.tick()
    expect(hand.heardBy()).to.deep.equal({ near: [`-${T}`], other: [`-${T}`] })
    expect(stateOf(hand)).to.equal('absent')
  })

  it('topics table: retracting × unsubscribe or a signal: nothing is left to undo', () => {
    const hand = inState('retracting')
    expect(hand.unsubscribe(T)).to.be.false()
    hand.abort(T, 1)
    expect(stateOf(hand)).to.equal('retracting')
  })

  it('topics table: retracting × remote subscribe arrives: no event, and nothing is left of it when others have heard', () => {
    const hand = inState('retracting')
    const before = inState('absent').core.sizes
    hand.announce('near', { on: [T] })
    expect(hand.changes).to.deep.equal([])
    expect(hand.subscribers(T)).to.deep.equal([])
    hand.tick()
    expect(hand.core.subscribers.of(T)).to.deep.equal([])
    expect(hand.core.sizes).to.deep.equal(before)
  })

  it('topics table: retracting × remote subscribe arrives, then subscribe: recorded, since it is not said again', () => {
    const hand = inState('retracting')
    hand.announce('near', { on: [T] })
    hand.subscribe(T)
    hand.tick()
    expect(hand.subscribers(T)).to.deep.equal(['near'])
    expect(hand.changes).to.deep.equal([{ peer: 'near', topic: T, subscribe: true, reason: 'announced' }])
  })

  it('topics table: retracting × requestSubscribers arrives: what the asker hears last is that it is over', () => {
    const hand = inState('retracting')
    hand.hear('near', { requests: [{ id: 3, topic: T }] })
    hand.tick()
    const { near, other } = hand.heardBy()
    expect([near.at(-1), other]).to.deep.equal([`-${T}`, [`-${T}`]])
  })

  it('topics table: retracting × requestSubscribers arrives, then subscribe: the asker hears of it, though it is not announced again', () => {
    const hand = inState('retracting')
    hand.hear('near', { requests: [{ id: 3, topic: T }] })
    hand.subscribe(T)
    hand.tick()
    expect(hand.heardBy().near).to.include(`+${T}`)
  })

  it('topics table: retracting × stop: still retracted', () => {
    const hand = inState('retracting')
    hand.stop()
    expect(hand.heardBy()).to.deep.equal({ near: [`-${T}`], other: [`-${T}`] })
    expect(hand.core.topics.size).to.equal(0)
  })
})
