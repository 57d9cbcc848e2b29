import { expect } from 'aegir/chai'
import { describe as nameOf } from './action.ts'
import { after } from './explore.ts'
import { setups, wild } from './setups.ts'
import { World } from './world.ts'
import type { Action, Setup } from './action.ts'

/** What is wrong after these steps, as a walk tells them */
function judged (setup: Setup, trail: string): string {
  const steps = trail.split('; ')
  return after(setup, actionsOf(setup, steps)) ?? 'nothing is wrong'
}

/** By their names: an action that is not possible any more is left out */
function actionsOf (setup: Setup, names: string[]): Action[] {
  const world = new World(setup)
  const actions: Action[] = []

  for (const name of names) {
    const action = world.actions().find(action => nameOf(action) === name)

    if (action != null) {
      world.do(action)
      actions.push(action)
    }
  }

  return actions
}

/** All that is on its way arrives, but messages: they wait */
function gossip (world: World): void {
  for (;;) {
    const [next] = world.actions().filter(({ type }) => type === 'deliver' || type === 'wake' || type === 'notice')

    if (next == null) {
      return
    }

    world.do(next)
  }
}

/** The leaf e sends to a by d, c and b; while it is on its way from c to b, d becomes the way of b */
function turn (setup: Setup): string[] {
  const world = new World(setup)
  const [BD, AD] = [3, 4]
  // a leaf knows those who share its topics
  world.do({ type: 'subscribe', peer: 'a', topic: 't' })
  world.do({ type: 'subscribe', peer: 'e', topic: 't' })
  gossip(world)
  world.do({ type: 'send', peer: 'e', to: 'a' })
  world.do({ type: 'carry', from: 'e', to: 'd' })
  world.do({ type: 'carry', from: 'd', to: 'c' })
  world.do({ type: 'mend', wire: BD })
  world.do({ type: 'mend', wire: AD })
  gossip(world)
  world.do({ type: 'cut', wire: 0 })
  gossip(world)
  expect(world.node('b').core.routing.next('a')).to.equal('d')
  world.calm()
  return world.violations
}

describe('what the model has found', () => {
  it('subscribes no second time before a neighbour that came in between has heard of the first', () => {
    expect(judged(setups['two peers that crash and come back younger'],
      'b subscribe t; restart a, newer epoch; a -> b; a subscribe t; wake a; b -> a; a subscribe t'
    )).to.equal('nothing is wrong')
  })

  it('hears of subscribers behind a relay when the session breaks before the relay has told of them', () => {
    expect(judged(setups['a line whose sessions break'],
      'a subscribe t; wake a; c subscribe t; wake c; c -> b; break wire 1'
    )).to.equal('nothing is wrong')
  })

  it('hears of a subscriber over the relay that it has told of it, when its own way there is cut', () => {
    expect(judged(setups['a triangle of which one side is cut'],
      'a subscribe t; wake a; c subscribe t; wake c; c -> a; wake a; wake a; cut wire 2'
    )).to.equal('nothing is wrong')
  })

  it('does not believe what a peer behind a relay said in a life that ended unnoticed', () => {
    const world = new World(setups['a line of which somebody is not missed'])
    const a = world.node('a')
    const names = ['a subscribe t', 'wake a', 'c subscribe t', 'wake c']
    names.forEach(name => { world.do(world.actions().find(action => nameOf(action) === name) as Action) })
    world.calm()
    expect(a.core.subscribers.of('t')).to.deep.equal(['c'])

    world.do({ type: 'restart', peer: 'c', epoch: 'newer', unnoticed: true })
    world.calm()
    expect(a.core.subscribers.of('t')).to.deep.equal([])
  })

  it('knows who subscribes again before anybody has heard that it left', () => {
    expect(judged(setups['two peers that wait a while before they announce'],
      'a subscribe t; wake a; a -> b; a unsubscribe t; b request t; wake b; b -> a; a subscribe t'
    )).to.equal('nothing is wrong')
  })

  it('forgets who leaves a topic while a relay is about to tell of it', () => {
    expect(judged(wild['leaves on two relays'],
      'd subscribe t; c request t; wake c; c -> a; wake d; c subscribe t; d unsubscribe t; d -> a; wake a; wake c; wake d'
    )).to.equal('nothing is wrong')
  })

  it('hears that a peer is gone which had left all topics before', () => {
    expect(judged(setups['a line whose end retracts, and crashes'],
      'a subscribe t; wake a; a -> b; c subscribe t; wake c; c -> b; wake b; c unsubscribe t; wake c; c -> b; wake b; wake b; crash c'
    )).to.equal('nothing is wrong')
  })

  it('does not ask a neighbour with an older clock for a number of its later life again and again', () => {
    expect(judged(wild['five relays, everything'],
      'restart b, older epoch; a -> b; b -> a; cut wire 0; mend wire 0'
    )).to.equal('nothing is wrong')
  })

  it('does not tell its neighbours of a later life of somebody again and again', () => {
    expect(judged(wild['five relays, everything'], 'restart a, older epoch')).to.equal('nothing is wrong')
  })

  it('brings no message to a relay that it has passed, when the ways turn while it travels: that is what its trace is for', () => {
    const setup = setups['five of which the ways turn while the message of a leaf is on its way']
    expect(turn(setup)).to.deep.equal([])
    expect(turn({ ...setup, isTraceless: true })).to.deep.equal(['a message came back to d, which it had passed'])
  })
})
