import { expect } from 'aegir/chai'
import { Searches } from '../../src/pubsub/core/searches.ts'
import type { Search } from '../../src/pubsub/core/searches.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

const HOP_LIMIT = 3

function searches (self: Key, isRelay = true, maxSeen = 100): Searches {
  return new Searches({ self, isRelay, timeout: 100, hopLimit: HOP_LIMIT, maxSeen })
}

function search (fields: Partial<Search> = {}): Search {
  return { origin: 'origin', epoch: 1, id: 1, target: 'target', hops: 0, ...fields }
}

const nobody = (): boolean => false

describe('a search for a peer', () => {
  it('goes to all relays, once for all who wait for it', () => {
    const mine = searches('me')

    expect(mine.start('target', 1, 5, ['r', 's'], 0)).to.deep.equal([
      { type: 'search', to: ['r', 's'], search: { origin: 'me', epoch: 5, id: 1, target: 'target', hops: 0 } }
    ])
    expect(mine.start('target', 2, 5, ['r', 's'], 0)).to.deep.equal([])
    expect(mine.size).to.equal(1)
    expect(mine.found('target')).to.deep.equal([{ type: 'search-settled', call: 1 }, { type: 'search-settled', call: 2 }])
    expect(mine.found('target')).to.deep.equal([])
    expect(mine.size).to.equal(0)
  })

  it('is over at once where there is no relay to ask', () => {
    const mine = searches('me')

    expect(mine.start('target', 1, 5, [], 0)).to.deep.equal([{ type: 'search-settled', call: 1 }])
    expect(mine.size).to.equal(0)
  })

  it('has another number each time', () => {
    const mine = searches('me')
    const ids = ['a', 'b', 'a'].map((target, call) => {
      const [effect] = mine.start(target, call, 5, ['r'], 0)
      mine.found(target)
      return effect.type === 'search' ? effect.search.id : undefined
    })

    expect(ids).to.deep.equal([1, 2, 3])
  })

  it('is given up when time is over', () => {
    const mine = searches('me')
    mine.start('target', 1, 5, ['r'], 0)
    mine.start('other', 2, 5, ['r'], 50)

    expect(mine.nextAt()).to.equal(100)
    expect(mine.wake(99)).to.deep.equal([])
    expect(mine.wake(100)).to.deep.equal([{ type: 'search-settled', call: 1 }])
    expect(mine.stop()).to.deep.equal([{ type: 'search-settled', call: 2 }])
    expect(mine.nextAt()).to.equal(Infinity)
  })

  it('is passed on once by each relay, to all but whom it came from', () => {
    const relay = searches('relay')

    expect(relay.receive('r', search(), nobody, ['r', 's', 't', 'origin'])).to.deep.equal([{ type: 'search', to: ['s', 't'], search: search({ hops: 1 }) }])
    expect(relay.receive('s', search({ hops: 1 }), nobody, ['r', 's', 't'])).to.deep.equal([])
    expect(relay.receive('r', search({ id: 2 }), nobody, ['r', 's'])).to.have.lengthOf(1)
    expect(relay.receive('r', search({ epoch: 2 }), nobody, ['r', 's'])).to.have.lengthOf(1)
    expect(relay.receive('r', search({ origin: 'another' }), nobody, ['r', 's'])).to.have.lengthOf(1)
  })

  it('goes to nobody else where its target is a neighbour', () => {
    expect(searches('relay').receive('r', search(), key => key === 'target', ['r', 's'])).to.deep.equal([
      { type: 'search', to: ['target'], search: search({ hops: 1 }) }
    ])
  })

  it('goes no further than its hops allow, however it counts them', () => {
    expect(searches('relay').receive('r', search({ hops: HOP_LIMIT - 1 }), nobody, ['s'])).to.have.lengthOf(1)
    expect(searches('relay').receive('r', search({ hops: HOP_LIMIT }), nobody, ['s'])).to.deep.equal([])
    expect(searches('relay').receive('r', search({ hops: 255 }), nobody, ['s'])).to.deep.equal([])
  })

  it('is answered by its target, once, and by nobody who is not a relay passed on', () => {
    const target = searches('target', false)

    expect(target.receive('r', search({ hops: HOP_LIMIT }), nobody, [])).to.deep.equal([{ type: 'found', search: search({ hops: HOP_LIMIT }) }])
    expect(target.receive('s', search({ hops: 1 }), nobody, [])).to.deep.equal([])
    expect(target.receive('r', search({ target: 'another', id: 2 }), nobody, ['s'])).to.deep.equal([])
  })

  it('is not looked at when it comes back to who began it', () => {
    expect(searches('origin').receive('r', search({ target: 'origin' }), nobody, ['s'])).to.deep.equal([])
  })

  it('ends in a net of relays, whichever it is, and finds who is there', () => {
    const names = Array.from({ length: 12 }, (_, i) => `n${i}`)
    const links = names.flatMap((name, i) => [1, 3, 5].map(step => [name, names[(i + step) % 12]]))
    const of = (name: Key): Key[] => links.filter(link => link.includes(name)).flatMap(link => link.filter(other => other !== name))
    const nodes = new Map(names.map(name => [name, searches(name)]))
    const wire: Array<{ from: Key, to: Key, search: Search }> = []
    let frames = 0
    let isFound = false

    for (const effect of nodes.get('n0')?.start('n9', 1, 1, of('n0'), 0) ?? []) {
      if (effect.type === 'search') {
        wire.push(...effect.to.map(to => ({ from: 'n0', to, search: effect.search })))
      }
    }
    for (let next = wire.shift(); next != null; next = wire.shift()) {
      const { from, to, search } = next
      frames++
      for (const effect of nodes.get(to)?.receive(from, search, key => of(to).includes(key), of(to)) ?? []) {
        isFound ||= effect.type === 'found'
        if (effect.type === 'search') {
          wire.push(...effect.to.map(next => ({ from: to, to: next, search: effect.search })))
        }
      }
    }

    expect(isFound).to.equal(true)
    expect(frames).to.be.at.most(links.length * 2)
  })
})
