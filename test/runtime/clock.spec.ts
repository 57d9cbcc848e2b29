import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { systemClock, VirtualClock } from '../../src/runtime/clock.ts'

describe('the virtual clock', () => {
  it('stands still until it is told to move', () => {
    const clock = new VirtualClock(5)
    let rang = false
    clock.after(0, () => { rang = true })

    expect(clock.now()).to.equal(5)
    expect(rang).to.equal(false)
  })

  it('rings alarms by their time, and in the order in which they were set when their time is the same', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 60 }), waits => {
      const clock = new VirtualClock(0)
      const rang: Array<[number, number]> = []
      for (const [i, wait] of waits.entries()) {
        clock.after(wait, () => { rang.push([clock.now(), i]) })
      }
      clock.advance(20)

      expect(rang).to.deep.equal(waits.map((wait, i): [number, number] => [wait, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]))
    }))
  })

  it('does not ring what was cancelled, be it by an alarm of the same instant', () => {
    const clock = new VirtualClock()
    const rang: string[] = []
    const first = clock.after(1, () => { rang.push('first') })
    clock.after(2, () => { third.cancel() })
    const third = clock.after(2, () => { rang.push('third') })
    first.cancel()
    clock.advance(10)

    expect(rang).to.deep.equal([])
  })

  it('rings alarms that are set by alarms, if their time comes in the same advance', () => {
    const clock = new VirtualClock(0)
    const rang: number[] = []
    clock.after(3, () => {
      rang.push(clock.now())
      clock.soon(() => { rang.push(clock.now()) })
      clock.after(4, () => { rang.push(clock.now()) })
      clock.after(100, () => { rang.push(clock.now()) })
    })
    clock.advance(10)

    expect(rang).to.deep.equal([3, 3, 7])
    expect(clock.now()).to.equal(10)
  })

  it('takes a time in the past for now', () => {
    const clock = new VirtualClock(7)
    let at = 0
    clock.after(-5, () => { at = clock.now() })
    clock.advance(0)

    expect(at).to.equal(7)
  })

  it('steps from alarm to alarm, and not past the end that it is given', () => {
    const clock = new VirtualClock(0)
    const rang: number[] = []
    clock.after(1, () => { rang.push(1) })
    clock.after(2, () => { rang.push(2) }).cancel()
    clock.after(3, () => { rang.push(3) })

    expect(clock.step()).to.equal(true)
    expect(clock.step(2)).to.equal(false)
    expect(rang).to.deep.equal([1])
    expect(clock.step(3)).to.equal(true)
    expect(clock.step()).to.equal(false)
    expect(rang).to.deep.equal([1, 3])
  })
})

describe('the clock of the machine', () => {
  it('never runs backwards and is near to Unix time', () => {
    const first = systemClock.now()

    expect(systemClock.now()).to.be.at.least(first)
    expect(Math.abs(first - Date.now())).to.be.below(60_000)
  })

  it('calls soon after the microtasks of this tick, in order', async () => {
    const order: string[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    systemClock.soon(() => { order.push('soon') })
    systemClock.soon(() => {
      order.push('sooner or later')
      resolve()
    })
    queueMicrotask(() => { order.push('microtask') })
    await promise

    expect(order).to.deep.equal(['microtask', 'soon', 'sooner or later'])
  })

  it('does not call what was cancelled', async () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    systemClock.after(1, () => { resolve('cancelled') }).cancel()
    systemClock.after(5, () => { resolve('kept') })

    expect(await promise).to.equal('kept')
  })
})
