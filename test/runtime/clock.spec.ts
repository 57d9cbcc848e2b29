import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { newSystemClock, systemClock } from '../../src/runtime/clock.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Clock } from '../../src/runtime/clock.ts'

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

const START = Date.UTC(2030, 0)
const HOUR = 3_600_000

/** A machine whose wall clock somebody sets */
class Machine {
  /** What the wall clock shows, and the fraction that it leaves out */
  wall: number
  #elapsed = 777
  readonly clock: Clock

  constructor (wall = START) {
    this.wall = wall
    this.clock = newSystemClock(() => Math.floor(this.wall), () => this.#elapsed)
  }

  pass (ms: number): void {
    this.#elapsed += ms
    this.wall += ms
  }
}

describe('the clock of the machine', () => {
  it('never runs backwards and is near to Unix time', () => {
    const first = systemClock.now()

    expect(systemClock.now()).to.be.at.least(first)
    expect(Math.abs(first - Date.now())).to.be.below(60_000)
  })

  it('follows a wall clock that jumps forwards, as after sleep', () => {
    const machine = new Machine()
    machine.pass(10)
    machine.wall += 8 * HOUR

    expect(machine.clock.now()).to.equal(START + 10 + 8 * HOUR)
    machine.pass(10)
    expect(machine.clock.now()).to.equal(START + 20 + 8 * HOUR)
  })

  it('runs on evenly while the wall clock is set back', () => {
    const machine = new Machine()
    machine.pass(10)
    machine.wall -= HOUR

    expect(machine.clock.now()).to.equal(START + 10)
    machine.pass(10)
    expect(machine.clock.now()).to.equal(START + 20)
    machine.pass(2 * HOUR)
    expect(machine.clock.now()).to.equal(START + 20 + 2 * HOUR)
  })

  it('follows a wall clock again that was repaired', () => {
    const behind = new Machine()
    behind.wall -= HOUR
    behind.clock.now()
    behind.wall += HOUR
    behind.pass(10)
    expect(behind.clock.now()).to.equal(START + 10)
    behind.wall += HOUR
    expect(behind.clock.now()).to.equal(START + 10 + HOUR)

    const ahead = new Machine()
    ahead.wall += HOUR
    ahead.clock.now()
    ahead.wall -= HOUR
    expect(ahead.clock.now()).to.equal(START + HOUR)
    // it is behind for as long as the mistake was large
    ahead.pass(10)
    ahead.wall += 3 * HOUR
    expect(ahead.clock.now()).to.equal(START + 10 + 3 * HOUR)
  })

  it('does not jump for the fractions that a wall clock of whole milliseconds leaves out', () => {
    const machine = new Machine(START + 0.9)
    const first = machine.clock.now()
    const lags: number[] = []

    for (let i = 1; i <= 1000; i++) {
      machine.pass(0.25)
      lags.push(machine.clock.now() - first - i / 4)
    }

    expect(lags.every(lag => Math.abs(lag) < 0.001)).to.equal(true)
  })

  it('never runs backwards, whatever the wall clock does', () => {
    const anyStep = fc.tuple(fc.double({ min: 0, max: 50, noNaN: true }), fc.integer({ min: -60, max: 60 }))

    fc.assert(fc.property(fc.array(anyStep), steps => {
      const machine = new Machine()
      let last = machine.clock.now()

      for (const [elapsed, jump] of steps) {
        machine.pass(elapsed)
        machine.wall += jump
        const now = machine.clock.now()
        expect(now).to.be.at.least(last)
        expect(now - Math.floor(machine.wall)).to.be.at.least(-5)
        last = now
      }
    }))
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
