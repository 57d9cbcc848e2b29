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
})
