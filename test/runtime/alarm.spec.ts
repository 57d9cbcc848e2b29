import { expect } from 'aegir/chai'
import { Alarm } from '../../src/runtime/alarm.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

describe('an alarm', () => {
  function setting (): { clock: VirtualClock, alarm: Alarm, rang: number[] } {
    const clock = new VirtualClock(0)
    const rang: number[] = []
    return { clock, rang, alarm: new Alarm(clock, () => { rang.push(clock.now()) }) }
  }

  it('rings once, at the last time that was set', () => {
    const { clock, alarm, rang } = setting()
    alarm.set(50)
    alarm.set(10)
    alarm.set(30)
    clock.advance(100)

    expect(rang).to.deep.equal([30])
  })

  it('rings once when the tick is over if the time is past, however often it is set', () => {
    const { clock, alarm, rang } = setting()
    alarm.set(-1)
    alarm.set(0)
    alarm.set(-7)

    expect(rang).to.deep.equal([])
    clock.advance(0)
    expect(rang).to.deep.equal([0])
    clock.advance(100)
    expect(rang).to.deep.equal([0])
  })

  it('does not ring when it was taken back', () => {
    const { clock, alarm, rang } = setting()
    alarm.set(10)
    alarm.set(Infinity)
    clock.advance(100)
    alarm.set(clock.now())
    alarm.set(Infinity)
    clock.advance(100)

    expect(rang).to.deep.equal([])
  })

  it('rings at a later time that was set after one that is past', () => {
    const { clock, alarm, rang } = setting()
    alarm.set(0)
    alarm.set(20)
    clock.advance(100)

    expect(rang).to.deep.equal([20])
  })

  it('may be set by the one whom it rings', () => {
    const clock = new VirtualClock(0)
    const rang: number[] = []
    const alarm = new Alarm(clock, () => {
      rang.push(clock.now())
      if (rang.length < 4) {
        alarm.set(rang.length === 2 ? clock.now() : clock.now() + 5)
      }
    })
    alarm.set(5)
    clock.advance(100)

    expect(rang).to.deep.equal([5, 10, 10, 15])
  })

  it('rings again at the same time when it was set again after it rang', () => {
    const { clock, alarm, rang } = setting()
    alarm.set(0)
    clock.advance(0)
    alarm.set(0)
    clock.advance(0)

    expect(rang).to.deep.equal([0, 0])
  })
})
