import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { ReceiveCredit, SendCredit } from '../../src/link/core/credit.ts'

describe('credit', () => {
  it('starts with the window and shrinks by what is sent', () => {
    const credit = new SendCredit(100)
    credit.onSend(30)

    expect(credit.left).to.equal(70)
    expect(credit.inFlight).to.equal(30)
  })

  it('is not changed by a grant that is late or comes twice', () => {
    const credit = new SendCredit(100)
    credit.onSend(90)
    expect(credit.onGrant(60)).to.equal(true)
    expect(credit.left).to.equal(70)

    for (const late of [60, 20, 0]) {
      expect(credit.onGrant(late)).to.equal(true)
      expect(credit.left).to.equal(70)
    }
  })

  it('is not believed when it is for more than was sent', () => {
    const credit = new SendCredit(100)
    credit.onSend(10)

    expect(credit.onGrant(11)).to.equal(false)
    expect(credit.left).to.equal(90)
    expect(credit.onGrant(10)).to.equal(true)
  })

  it('tells when the other side sends past it', () => {
    const credit = new ReceiveCredit(100)

    expect(credit.onReceive(60)).to.equal(true)
    expect(credit.grant()).to.equal(60)
    expect(credit.onReceive(100)).to.equal(true)
    expect(credit.onReceive(1)).to.equal(false)
  })

  it('is not worth a frame below a quarter of the window', () => {
    const credit = new ReceiveCredit(100)
    credit.onReceive(24)
    expect(credit.grant()).to.equal(undefined)
    credit.onReceive(1)

    expect(credit.grant()).to.equal(25)
    expect(credit.grant()).to.equal(undefined)
  })

  it('is kept back for what is kept', () => {
    const credit = new ReceiveCredit(100)
    credit.onReceive(80)
    credit.keep(60)
    expect(credit.grant()).to.equal(undefined)
    credit.release(10)
    expect(credit.grant()).to.equal(30)
    credit.release(50)

    expect(credit.grant()).to.equal(80)
    expect(credit.kept).to.equal(0)
  })

  it('never lets an honest sender be taken for another, never shrinks, and never runs dry for good', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('send' as const), bytes: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ do: fc.constantFrom('receive' as const, 'hear' as const, 'keep' as const, 'release' as const) })
    )

    fc.assert(fc.property(fc.integer({ min: 80, max: 300 }), fc.array(step, { maxLength: 200 }), (window, steps) => {
      const sender = new SendCredit(window)
      const receiver = new ReceiveCredit(window)
      const wire: number[] = []
      const grants: number[] = []
      const kept: number[] = []
      let last = 0
      let lastGrant = 0

      const grant = (): void => {
        const granted = receiver.grant()
        if (granted != null) {
          expect(granted).to.be.above(lastGrant)
          lastGrant = granted
          grants.push(granted)
        }
      }
      const receive = (): void => {
        last = wire.shift() ?? 0
        expect(receiver.onReceive(last)).to.equal(true)
        grant()
      }
      const release = (): void => {
        receiver.release(kept.shift() ?? 0)
        grant()
      }
      const hear = (): void => { expect(sender.onGrant(grants.shift() ?? 0)).to.equal(true) }

      for (const step of steps) {
        if (step.do === 'send' && step.bytes <= sender.left) {
          sender.onSend(step.bytes)
          wire.push(step.bytes)
        } else if (step.do === 'receive') {
          receive()
        } else if (step.do === 'hear') {
          hear()
        } else if (step.do === 'release') {
          release()
        } else if (step.do === 'keep' && wire.length > 0) {
          // kept while it is dealt with, before it is granted
          const bytes = wire[0]
          receiver.keep(bytes)
          kept.push(bytes)
          receive()
        }

        expect(sender.left).to.be.within(0, window)
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
