import { expect } from 'aegir/chai'
import { MAX_FLIGHT, NODE_FLIGHT } from '../../src/transfer/constants.ts'
import { FlightTracker } from '../../src/transfer/core/flight.ts'
import { Destination } from '../../src/transfer/destination.ts'
import { range } from '../fixtures/directsub.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Context } from '../../src/transfer/context.ts'
import type { Fragment } from '../../src/transfer/core/outgoing.ts'
import type { Outbound } from '../../src/transfer/outbound.ts'

const PIECE = 65_536

describe('peers that transfers go to', () => {
  it('have so many bytes in flight together, however many they are, and each of them one piece', () => {
    const flight = new FlightTracker<Fragment, number, string>()
    const context = { clock: new VirtualClock(0), flight, arm: () => {} } as unknown as Context
    const many = NODE_FLIGHT / MAX_FLIGHT * 80
    const destinations = range(many).map(i => {
      const key = `peer ${i}`
      const destination = new Destination({ key, peer: key, context, random: () => 0.5 } as any)
      // it always has more, and no answer comes
      const next = (): Fragment => ({ from: 0, to: PIECE, message: new Uint8Array(0) })
      destination.add({
        peek: next,
        send: (fragment: Fragment) => { flight.register(fragment, i, PIECE, key, 0) },
        tellEnd: () => {}
      } as unknown as Outbound)
      destination.pump()
      return destination
    })

    expect(destinations.every(({ key }) => flight.bytesOn(key) >= PIECE)).to.equal(true)
    expect(flight.bytes).to.be.at.most(NODE_FLIGHT + many * PIECE)
    flight.check()
  })

  it('get nothing but questions when something did not reach them, until they are heard', () => {
    const clock = new VirtualClock(0)
    const flight = new FlightTracker<Fragment, number, string>()
    const context = { clock, flight, arm: () => {} } as unknown as Context
    const destination = new Destination({ key: 'peer', peer: 'peer', context, random: () => 0.5 } as any)
    let sent = 0
    let asked = 0
    destination.add({
      peek: (): Fragment => ({ from: 0, to: PIECE, message: new Uint8Array(0) }),
      send: (fragment: Fragment) => {
        sent++
        flight.register(fragment, 1, PIECE, 'peer', 0)
      },
      ask: () => { asked++ },
      owns: () => true,
      lost: () => {},
      tellEnd: () => {}
    } as unknown as Outbound)
    destination.failed()
    destination.present()
    expect([sent, asked]).to.deep.equal([0, 1])

    for (let i = 0; i < 20; i++) {
      clock.advance(1_000)
      destination.pump()
    }

    expect(sent).to.equal(0)
    expect(asked).to.be.within(4, 12)
    destination.heard()
    destination.pump()
    expect(sent).to.be.greaterThan(0)
    const before = sent
    destination.absent()
    destination.pump()
    expect(sent).to.equal(before)
  })
})
