import { expect } from 'aegir/chai'
import { Flows } from '../../src/pubsub/core/flows.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'

const STOP = 100
const CAPACITY = 300
const MAX = 500

function newFlows (): Flows {
  return new Flows({ stopAt: STOP, capacity: CAPACITY, maxBytes: MAX })
}

describe('what is on its way to each destination', () => {
  it('is held in silence while there is little of it', () => {
    const flows = newFlows()
    expect(flows.hold('far', STOP - 1, 'a')).to.equal('held')
    expect(flows.release('far', STOP - 1)).to.deep.equal([])
    expect([flows.size, flows.bytes]).to.deep.equal([0, 0])
  })

  it('stops each neighbour that brings more, once, and lets all go on when half of it has left', () => {
    const flows = newFlows()
    expect(flows.hold('far', STOP, 'a')).to.equal('stop')
    expect(flows.hold('far', 10, 'a')).to.equal('held')
    expect(flows.hold('far', 10, 'b')).to.equal('stop')
    expect(flows.release('far', 60)).to.deep.equal([])
    expect(flows.release('far', 10)).to.have.members(['a', 'b'])
    expect(flows.release('far', 50)).to.deep.equal([])
    expect(flows.hold('far', STOP, 'a')).to.equal('stop')
  })

  it('is refused past its bound, and holds up nobody else', () => {
    const flows = newFlows()
    flows.hold('slow', CAPACITY, 'a')
    expect(flows.hold('slow', 1, 'a')).to.equal('full')
    expect(flows.hold('other', 50, 'a')).to.equal('held')
  })

  it('is bounded in all, and what is refused leaves no row', () => {
    const flows = newFlows()
    flows.hold('one', CAPACITY, 'a')
    flows.hold('two', MAX - CAPACITY, 'a')
    expect(flows.hold('three', 1, 'a')).to.equal('full')
    expect([flows.size, flows.bytes]).to.deep.equal([2, MAX])
  })

  it('goes by no neighbour that asked to stop, until it says go on or is gone', () => {
    const flows = newFlows()
    flows.flow('far', 'a', false)
    expect([flows.isStopped('far', 'a'), flows.isStopped('far', 'b'), flows.isStopped('near', 'a')]).to.deep.equal([true, false, false])
    flows.flow('far', 'a', true)
    expect([flows.isStopped('far', 'a'), flows.size]).to.deep.equal([false, 0])

    flows.flow('far', 'a', false)
    flows.flow('farther', 'a', false)
    flows.flow('farther', 'b', false)
    expect(flows.down('a')).to.have.members(['far', 'farther'])
    expect([flows.isStopped('farther', 'a'), flows.isStopped('farther', 'b'), flows.size]).to.deep.equal([false, true, 1])
  })

  it('does not ask a neighbour to go on that has gone', () => {
    const flows = newFlows()
    flows.hold('far', STOP, 'a')
    flows.hold('far', 1, 'b')
    expect(flows.down('a')).to.deep.equal([])
    expect(flows.release('far', STOP + 1)).to.deep.equal(['b'])
    expect(flows.size).to.equal(0)
  })

  it('of what is unknown nothing is released', () => {
    const flows = newFlows()
    expect(flows.release('nobody', 10)).to.deep.equal([])
    expect(flows.bytes).to.equal(0)
  })

  it('comes to nothing in whatever order things happen: bytes are as many as are held, each stop has its go', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed)
      const flows = newFlows()
      const held: Array<{ key: string, bytes: number }> = []
      const stopped = new Set<string>()
      const pick = (names: string): string => names[randomInt(random, names.length)]
      const release = (): void => {
        const [{ key, bytes }] = held.splice(randomInt(random, held.length), 1)
        flows.release(key, bytes).forEach(from => { expect(stopped.delete(`${key}${from}`), `seed ${seed}: go without a stop`).to.equal(true) })
      }

      for (let i = 0; i < 200; i++) {
        const [key, from] = [pick('xyz'), pick('abc')]

        if (random() < 0.05) {
          flows.down(from)
          stopped.forEach(name => { name[1] === from && stopped.delete(name) })
        } else if (random() < 0.1) {
          flows.flow(key, from, random() < 0.5)
        } else if (random() < 0.55 || held.length === 0) {
          const bytes = 1 + randomInt(random, 60)
          const outcome = flows.hold(key, bytes, from)
          outcome !== 'full' && held.push({ key, bytes })

          if (outcome === 'stop') {
            expect(stopped.has(`${key}${from}`), `seed ${seed}: stopped twice`).to.equal(false)
            stopped.add(`${key}${from}`)
          }
        } else {
          release()
        }

        expect(flows.bytes).to.equal(held.reduce((sum, { bytes }) => sum + bytes, 0)).and.to.be.at.most(MAX)
      }

      while (held.length > 0) {
        release()
      }

      for (const from of 'abc') {
        flows.down(from)
      }

      expect([stopped.size, flows.bytes, flows.size], `seed ${seed}`).to.deep.equal([0, 0, 0])
    }
  })
})
