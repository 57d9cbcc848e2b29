import { expect } from 'aegir/chai'
import { randomInt } from '../../src/runtime/random.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { checkAtRest } from './checks.ts'
import { Crowd } from './crowd.ts'
import { SimNetwork } from './network.ts'

const PEERS = IS_LONG ? 10_000 : 2000
/** Peers that are there at the same time */
const AT_ONCE = 20
const TOPICS = 1000
const TIMEOUT = 180_000
/** Milliseconds until nothing is left of peers that are gone */
const FORGETTING = 4 * 60_000

describe('churn', function () {
  this.timeout(TIMEOUT)

  it(`of ${PEERS} peers leaves every map of the relays that they came to empty`, () => {
    const network = new SimNetwork({ seed: 1, delay: [1, 10], detection: 100, isChecked: false })
    const relays = [network.start('relay 1', true), network.start('relay 2', true)]
    network.connect(relays[0], relays[1])

    for (let i = 0; i < PEERS; i++) {
      const key = `peer ${i}`
      const peer = network.start(key, false)
      network.connect(peer, relays[i % 2])
      peer.subscribe(`topic ${randomInt(network.random, TOPICS)}`)
      network.clock.after(AT_ONCE * 50, () => {
        i % 3 === 0 ? peer.crash() : peer.stop()
        network.nodes.delete(key)
      })
      network.advance(50)
    }

    expect(Math.max(...relays.map(({ core }) => core.sizes.interests))).to.be.greaterThan(0)
    network.advance(FORGETTING)
    expect(network.violations).to.deep.equal([])
    expect(checkAtRest(network)).to.deep.equal([])
    relays.forEach(({ core }) => { expect(core.sizes).to.include({ neighbours: 1, origins: 1, interests: 0, routes: 1 }) })
  })

  it('of a crowd leaves no ghost and loses nobody, and its burst costs a leaf few messages', () => {
    const crowd = new Crowd({ nodes: 60, seed: 2, relays: 6, minutes: 3, topics: 2 })
    crowd.gather()
    const { traffic, converged } = crowd.subscribe()
    expect(converged).to.be.lessThan(3000)
    expect(traffic.leaf.sent.max).to.be.at.most(23)
    expect(traffic.leaf.received.max).to.be.at.most(23)

    for (let minute = 0; minute < 3; minute++) {
      crowd.churn(minute)
    }

    crowd.settle()
    expect(crowd.check()).to.deep.equal([])
    expect(crowd.empty()).to.deep.equal([])
  })
})
