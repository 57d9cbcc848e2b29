import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Flight } from '../../src/link/core/flight.ts'
import type { Standing } from '../../src/link/core/flight.ts'

let lives = 0
const newFlight = (window: number): Flight => new Flight({ window, newLife: () => ++lives })

/** Two sides that have said hello to each other */
function pair (window: number): [opener: Flight, other: Flight] {
  const [opener, other] = [newFlight(window), newFlight(window)]
  meet(opener, other, window)
  return [opener, other]
}

/** A channel begins: what each side makes of it */
function meet (opener: Flight, other: Flight, window: number): string[] {
  const hello = { ...opener.standing, from: 0 }
  const atOther = other.meet(hello, window, false)
  return [opener.meet(other.standing, window, true), atOther]
}

function send (flight: Flight, ...sizes: number[]): void {
  sizes.forEach(size => { flight.push([new Uint8Array(size)], size) })
}

function again (flight: Flight): number[] {
  const sizes: number[] = []
  for (let parts = flight.takeAgain(); parts != null; parts = flight.takeAgain()) {
    sizes.push(parts.reduce((sum, part) => sum + part.byteLength, 0))
  }
  flight.check()
  return sizes
}

describe('credit', () => {
  it('starts with the window and shrinks by what is sent', () => {
    const [flight] = pair(100)
    send(flight, 30)

    expect([flight.left, flight.inFlight]).to.deep.equal([70, 30])
  })

  it('is not changed by a grant that is late or comes twice', () => {
    const [flight] = pair(100)
    send(flight, 90)
    expect(flight.onGrant(60)).to.equal('more')

    for (const late of [60, 20, 0]) {
      expect(flight.onGrant(late)).to.equal('same')
      expect(flight.left).to.equal(70)
    }
  })

  it('is not believed when it is for more than was sent', () => {
    const [flight] = pair(100)
    send(flight, 10)

    expect(flight.onGrant(11)).to.equal('lie')
    expect(flight.left).to.equal(90)
    expect(flight.onGrant(10)).to.equal('more')
  })

  it('is for no more than the own window, whatever the other side says: so much is kept for another channel', () => {
    const flight = newFlight(100)
    flight.meet({ life: 1e9, of: 0, received: 0, from: 0 }, 1e15, false)

    expect(flight.left).to.equal(100)
  })

  it('tells when the other side sends past it', () => {
    const flight = newFlight(100)

    expect(flight.onReceive(60)).to.equal(true)
    expect(flight.grant()).to.equal(60)
    expect(flight.onReceive(100)).to.equal(true)
    expect(flight.onReceive(1)).to.equal(false)
  })

  it('is worth a frame from a quarter of the window on, and otherwise after a while', () => {
    const flight = newFlight(100)
    flight.onReceive(24)
    expect([flight.isWorthAGrant, flight.ungranted]).to.deep.equal([false, 24])
    flight.onReceive(1)
    expect(flight.isWorthAGrant).to.equal(true)

    expect(flight.grant()).to.equal(25)
    expect([flight.isWorthAGrant, flight.ungranted]).to.deep.equal([false, 0])
  })

  it('is kept back for what is kept, and released once', () => {
    const flight = newFlight(100)
    flight.onReceive(80)
    const [release, releaseMore] = [flight.keep(10), flight.keep(50)]
    expect(flight.ungranted).to.equal(20)
    release()
    release()
    expect(flight.grant()).to.equal(30)
    releaseMore()

    expect(flight.grant()).to.equal(80)
    expect(flight.kept).to.equal(0)
  })

  it('never shrinks when something is kept that was granted already', () => {
    const flight = newFlight(100)
    flight.onReceive(80)
    flight.grant()
    flight.keep(50)

    expect(flight.ungranted).to.be.below(0)
    expect(flight.grant()).to.equal(80)
  })

  it('is not released into another pairing', () => {
    const [opener, other] = pair(100)
    other.onReceive(50)
    const release = other.keep(50)
    opener.renew()
    meet(opener, other, 100)
    release()

    expect([other.kept, other.ungranted]).to.deep.equal([0, 0])
  })

  it('never lets an honest sender be taken for another, never shrinks, and never runs dry for good', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('send' as const), bytes: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ do: fc.constantFrom('receive' as const, 'hear' as const, 'keep' as const, 'release' as const) })
    )

    fc.assert(fc.property(fc.integer({ min: 80, max: 300 }), fc.array(step, { maxLength: 200 }), (window, steps) => {
      const [sender, receiver] = pair(window)
      const wire: number[] = []
      const grants: number[] = []
      const kept: Array<() => void> = []
      let lastGrant = 0

      const grant = (): void => {
        if (receiver.isWorthAGrant) {
          const granted = receiver.grant()
          expect(granted).to.be.above(lastGrant)
          lastGrant = granted
          grants.push(granted)
        }
      }
      const receive = (): void => {
        expect(receiver.onReceive(wire.shift() ?? 0)).to.equal(true)
        grant()
      }
      const release = (): void => {
        kept.shift()?.()
        grant()
      }
      const hear = (): void => { expect(sender.onGrant(grants.shift() ?? 0)).to.not.equal('lie') }

      for (const step of steps) {
        if (step.do === 'send' && step.bytes <= sender.left) {
          send(sender, step.bytes)
          wire.push(step.bytes)
        } else if (step.do === 'receive') {
          receive()
        } else if (step.do === 'hear') {
          hear()
        } else if (step.do === 'release') {
          release()
        } else if (step.do === 'keep' && wire.length > 0) {
          // kept while it is dealt with, before it is granted
          kept.push(receiver.keep(wire[0]))
          receive()
        }

        expect(sender.left).to.be.within(0, window)
        sender.check()
        receiver.check()
      }

      while (wire.length > 0) {
        receive()
      }
      while (kept.length > 0) {
        release()
      }
      while (grants.length > 0) {
        hear()
      }
      expect(sender.left).to.be.above(window * 3 / 4 - 1)
    }))
  })
})

describe('what is on its way', () => {
  it('goes on, on another channel, where the other side stands, be it within what was taken together', () => {
    const [opener, other] = pair(100)
    opener.push([new Uint8Array(10), new Uint8Array(10), new Uint8Array(10)], 30)
    send(opener, 20, 5)
    other.onReceive(15)

    expect(meet(opener, other, 100)).to.deep.equal(['resumed', 'resumed'])
    expect(again(opener)).to.deep.equal([15, 20, 5])
    other.onReceive(40)
    meet(opener, other, 100)
    expect(opener.hasAgain).to.equal(false)
  })

  it('is kept until it is dealt with, and no longer', () => {
    const [opener, other] = pair(100)
    send(opener, 20, 20, 20)
    opener.onGrant(40)
    other.onReceive(40)
    meet(opener, other, 100)

    expect(again(opener)).to.deep.equal([20])
  })

  it('begins where the answer says, when it was granted on an earlier channel after the hello', () => {
    const [opener, other] = pair(100)
    send(other, 10, 10, 10)
    opener.onReceive(10)
    const hello: Standing = { ...opener.standing, from: 0 }
    opener.onReceive(10)
    other.onGrant(20)

    expect(other.meet(hello, 100, false)).to.equal('resumed')
    expect(other.standing.from).to.equal(20)
    expect(opener.meet(other.standing, 100, true)).to.equal('resumed')
    expect(again(other)).to.deep.equal([10])
  })

  it('is for one life of the other side: another one is met anew', () => {
    const [opener, other] = pair(100)
    send(opener, 20)
    send(other, 30)
    const anew = newFlight(100)

    expect(meet(opener, anew, 100)).to.deep.equal(['other-life', 'paired'])
    expect([opener.inFlight, opener.hasAgain]).to.deep.equal([0, false])
    expect(meet(newFlight(100), other, 100)).to.deep.equal(['paired', 'other-life'])
    expect(other.inFlight).to.equal(0)
  })

  it('is not lost when the answer to the first hello is', () => {
    const [opener, other] = [newFlight(100), newFlight(100)]
    expect(other.meet(opener.standing, 100, false)).to.equal('paired')
    send(other, 10)

    expect(meet(opener, other, 100)).to.deep.equal(['paired', 'resumed'])
    expect(again(other)).to.deep.equal([10])
  })

  it('can not be where a liar says', () => {
    const [opener, other] = pair(100)
    send(other, 10)
    opener.onReceive(10)
    const { life, of } = opener.standing

    expect(other.meet({ life, of, received: 11, from: 0 }, 100, false)).to.equal('lie')
    expect(other.meet({ life, of, received: 10, from: 1 }, 100, false)).to.equal('lie')
    expect(other.meet({ life: 1e9, of, received: 0, from: 1 }, 100, false)).to.equal('lie')
    expect(other.meet({ life, of, received: 10, from: 0 }, 100, false)).to.equal('resumed')
  })
})
