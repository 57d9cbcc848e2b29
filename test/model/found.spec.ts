import { expect } from 'aegir/chai'
import { judge } from './judge.ts'
import { setups } from './setups.ts'
import { World } from './world.ts'
import type { Action, Setup } from './action.ts'

function deliver (from: string, to: string): Action {
  return { type: 'deliver', from, to, again: false }
}

function subscribe (peer: string): Action[] {
  return [{ type: 'subscribe', peer, topic: 't' }, { type: 'wake', peer }]
}

/** What is wrong after these steps */
function after (setup: Setup, ...steps: Action[]): string | undefined {
  const world = new World(setup)
  steps.forEach(step => { world.do(step) })
  return judge(world)
}

describe('what the model has found', () => {
  it('subscribes no second time before a neighbour that came in between has heard of the first', () => {
    expect(after(setups['two peers that crash and come back younger'],
      { type: 'subscribe', peer: 'b', topic: 't' },
      { type: 'restart', peer: 'a', epoch: 'newer', unnoticed: false },
      deliver('a', 'b'), ...subscribe('a'), deliver('b', 'a'), { type: 'subscribe', peer: 'a', topic: 't' }
    )).to.be.undefined()
  })

  it('hears of subscribers behind a relay when the session breaks before the relay has told of them', () => {
    expect(after(setups['a line whose sessions break'],
      ...subscribe('a'), ...subscribe('c'), deliver('c', 'b'), { type: 'break', wire: 1 }
    )).to.be.undefined()
  })

  it('hears of a subscriber over the relay that it has told of it, when its own way there is cut', () => {
    expect(after(setups['a triangle of which one side is cut'],
      ...subscribe('a'), ...subscribe('c'), deliver('c', 'a'), { type: 'wake', peer: 'a' }, { type: 'wake', peer: 'a' }, { type: 'cut', wire: 2 }
    )).to.be.undefined()
  })

  it('does not believe what a peer behind a relay said in a life that ended unnoticed', () => {
    const world = new World(setups['a line of which somebody is not missed'])
    const a = world.node('a')
    subscribe('a').forEach(step => { world.do(step) })
    subscribe('c').forEach(step => { world.do(step) })
    world.calm()
    expect(a.core.subscribers.of('t')).to.deep.equal(['c'])

    world.do({ type: 'restart', peer: 'c', epoch: 'newer', unnoticed: true })
    world.calm()
    expect(a.core.subscribers.of('t')).to.deep.equal([])
  })
})
