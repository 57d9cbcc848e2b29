import { expect } from 'aegir/chai'
import { DuplicateFragmentError, FlightTracker, OwnerDroppedError } from '../../src/transfer/core/flight.ts'
import { mutants } from './model/mutants.ts'
import { runAll, runSequences } from './model/scenarios.ts'
import { Real } from './model/subject.ts'

const IS_NODE = typeof process !== 'undefined' && process.versions?.node != null
/** Events of the sequences that are all looked at: 371,293 in Node */
const LENGTH = IS_NODE ? 5 : 3
const LINK = 'link'

function tracker (): FlightTracker<string, string, string> {
  return new FlightTracker()
}

/** Fragments a0, a1, ... of `owner`, of 10 bytes each */
function filled (flight: FlightTracker<string, string, string>, owner: string, count: number): string[] {
  const ids = Array.from({ length: count }, (_, i) => `${owner}${i}`)
  ids.forEach(id => { flight.register(id, owner, 10, LINK, 0) })
  return ids
}

describe('what is in flight', function () {
  this.timeout(60_000)

  describe('in whatever order things happen, each byte is counted from register to its release, and released once', () => {
    it('in all interleavings of transfers that send, send again, are acked, fail, lose their link and end', () => {
      const { schedules, wrong, first } = runAll(() => new Real())
      // eslint-disable-next-line no-console
      console.info(`      ${schedules} schedules`)
      expect(first ?? 'nothing is wrong').to.equal('nothing is wrong')
      expect([wrong, schedules > 10_000]).to.deep.equal([0, true])
    })

    it(`in every sequence of ${LENGTH} events, whether it makes sense or not`, () => {
      const { first } = runSequences(() => new Real(), LENGTH)
      expect(first ?? 'nothing is wrong').to.equal('nothing is wrong')
    })
  })

  describe('the checker finds a fragment that is, on purpose,', () => {
    for (const [name, create] of Object.entries(mutants)) {
      it(name, () => {
        const { wrong, schedules, first } = runAll(create)
        // eslint-disable-next-line no-console
        console.info(`        ${wrong} of ${schedules} schedules: ${first}`)
        expect(wrong).to.be.above(0)
      })
    }
  })

  it('is in the tracker if and only if its bytes are counted: also while it is sent again', () => {
    const flight = tracker()
    filled(flight, 'a', 3)
    flight.beginResend('a1')

    expect([flight.bytes, flight.size]).to.deep.equal([30, 3])
    expect(flight.dropStream('a')).to.equal(30)
    expect([flight.bytes, flight.size]).to.deep.equal([0, 0])
    flight.check()
  })

  it('is released by the end of its stream while it is out to be sent again', () => {
    const flight = tracker()
    filled(flight, 'a', 1)
    const ticket = flight.beginResend('a0')

    expect(ticket).to.be.ok()
    expect(flight.dropStream('a')).to.equal(10)
    expect(flight.bytes).to.equal(0)
  })

  it('does not come back when a resend ends after the end of its stream: a late ack, or giving up, releases nothing', () => {
    const flight = tracker()
    filled(flight, 'a', 1)
    const ticket = flight.beginResend('a0')
    flight.dropStream('a')

    expect(flight.commitResend(ticket as any, LINK, 1)).to.equal(false)
    expect([flight.size, flight.ack('a0'), flight.abandon('a0'), flight.dropStream('a'), flight.bytes]).to.deep.equal([0, 0, 0, 0, 0])
    flight.check()
  })

  it('cannot be put in flight by a ticket: that has neither bytes nor an owner', () => {
    const flight = tracker()
    filled(flight, 'a', 1)
    expect(flight.beginResend('a0')).to.have.all.keys('id', 'entry')
    expect(flight.commitResend({ id: 'never', entry: {} }, LINK, 1)).to.equal(false)
    expect(flight.commitResend({ id: 'a0', entry: { bytes: 99 } }, LINK, 1)).to.equal(false)
    expect([flight.size, flight.bytes]).to.deep.equal([1, 10])
  })

  it('is not refreshed by the ticket of an earlier one with the same id', () => {
    const flight = tracker()
    filled(flight, 'a', 1)
    const ticket = flight.beginResend('a0') as any
    flight.ack('a0')
    flight.register('a0', 'b', 7, 'another link', 5)

    expect(flight.commitResend(ticket, LINK, 9)).to.equal(false)
    expect(flight.get('a0')).to.include({ owner: 'b', bytes: 7, link: 'another link', sentAt: 5 })
  })

  it('is refused twice, and when its owner has ended: nobody would release it', () => {
    const flight = tracker()
    filled(flight, 'a', 1)
    expect(() => { flight.register('a0', 'b', 10, LINK, 0) }).to.throw(DuplicateFragmentError)
    flight.dropStream('a')
    expect(() => { flight.register('a1', 'a', 10, LINK, 0) }).to.throw(OwnerDroppedError)
    flight.dropStream('never seen')
    expect(() => { flight.register('n0', 'never seen', 10, LINK, 0) }).to.throw(OwnerDroppedError)
    expect([flight.size, flight.bytes]).to.deep.equal([0, 0])
  })

  it('of other streams, and of none, is left alone by the end of one', () => {
    const flight = tracker()
    filled(flight, 'control', 2)
    filled(flight, 'a', 500)
    const [b0, b1] = filled(flight, 'b', 2)
    flight.register('empty', 'a', 0, LINK, 0)

    expect(flight.dropStream('a')).to.equal(5000)
    expect([flight.bytes, flight.sizeOf('b'), flight.sizeOf('control'), flight.bytesOn(LINK)]).to.deep.equal([40, 2, 2, 40])
    expect([flight.ack(b0), flight.ack(b1), flight.ack(b1)]).to.deep.equal([10, 10, 0])
    flight.check()
  })

  it('of an unknown, or drained, stream is none: zero, and nothing happens, however often', () => {
    const flight = tracker()
    const [a0] = filled(flight, 'a', 1)
    flight.ack(a0)
    expect([flight.dropStream('a'), flight.dropStream('a'), flight.dropStream('unknown')]).to.deep.equal([0, 0, 0])
  })

  // the six places where the seed's transfers gave up: each has a resend out, and one fragment that was acked
  const sites: Record<string, (flight: FlightTracker<string, string, string>) => void> = {
    'waiting for the window': () => {},
    'waiting for the window, as a relay that has more from upstream': flight => { flight.register('upstream', 'a', 10, LINK, 0) },
    'waiting for a producer that says nothing': () => {},
    'a producer that failed': () => {},
    'a send that threw': flight => {
      flight.register('failed', 'a', 1000, LINK, 0)
      expect(flight.abandon('failed')).to.equal(1000)
    },
    'a send that threw, as a relay, after another way out had released it': flight => {
      flight.register('failed', 'a', 1000, 'dead', 0)
      flight.dropLink('dead')
      expect(flight.abandon('failed')).to.equal(0)
    }
  }

  for (const [site, before] of Object.entries(sites)) {
    it(`is zero at once when a transfer gives up at: ${site}`, () => {
      const flight = tracker()
      const ids = filled(flight, 'a', 4)
      const ticket = flight.beginResend(ids[2]) as any
      flight.ack(ids[0])
      before(flight)
      const released = flight.dropStream('a')

      expect(released).to.equal(site.includes('upstream') ? 40 : 30)
      expect([flight.bytes, flight.size, flight.bytesOn(LINK), flight.bytesOn('dead')]).to.deep.equal([0, 0, 0, 0])
      expect([flight.commitResend(ticket, LINK, 1), flight.bytes]).to.deep.equal([false, 0])
      filled(flight, 'the next', 1)
      expect(flight.bytes).to.equal(10)
      flight.check()
    })
  }

  it('moves to another link when it is sent again by that, and then survives the death of the first', () => {
    const flight = tracker()
    filled(flight, 'a', 2)
    expect(flight.commitResend(flight.beginResend('a0') as any, 'another', 3)).to.equal(true)

    expect(flight.dropLink(LINK).map(({ id, bytes }) => [id, bytes])).to.deep.equal([['a1', 10]])
    expect([flight.bytes, flight.bytesOn('another'), flight.bytesOn(LINK)]).to.deep.equal([10, 10, 0])
    flight.check()
  })

  it('has no owner that ended, among the last 4,096 of them', () => {
    const flight = tracker()
    for (let i = 0; i < 5000; i++) {
      flight.dropStream(`${i}`)
    }
    expect(() => { flight.register('x', '4999', 1, LINK, 0) }).to.throw(OwnerDroppedError)
    expect(() => { flight.register('x', '904', 1, LINK, 0) }).to.throw(OwnerDroppedError)
  })
})
