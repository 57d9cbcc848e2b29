import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { Pacer } from '../../src/runtime/pacer.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

/** Nothing else ran if it takes that long */
const TOO_LONG_MS = 2000
/** The machine may be busy: that the best of a few rounds is good shows that the work does not hold the loop */
const ROUNDS = 5

function hold (ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end) {
    // what a program computes
  }
}

/** How long a timer of 0 ms waits for loops of microtasks, each of which works in steps of a tenth of a millisecond */
async function lateness (pacers: Pacer[]): Promise<number> {
  const start = performance.now()
  const timer = { firedAt: Infinity }
  setTimeout(() => { timer.firedAt = performance.now() }, 0)

  await Promise.all(pacers.map(async pacer => {
    while (timer.firedAt === Infinity && performance.now() - start < TOO_LONG_MS) {
      hold(0.1)
      await Promise.resolve()
      await pacer.pause()
    }
  }))

  return timer.firedAt - start
}

async function best (newPacers: () => Pacer[]): Promise<number> {
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    rounds.push(await lateness(newPacers()))
  }
  return Math.min(...rounds)
}

describe('a pacer', () => {
  it('lets a timer fire while a loop of microtasks works', async () => {
    expect(await best(() => [new Pacer(systemClock)])).to.be.below(20)
  })

  it('lets a timer fire while many such loops work, whether they share a pacer or not', async () => {
    const shared = new Pacer(systemClock)

    expect(await best(() => Array.from({ length: 50 }, () => shared))).to.be.below(40)
    expect(await best(() => Array.from({ length: 50 }, () => new Pacer(systemClock)))).to.be.below(100)
  })

  it('does not pause before the budget is used up', async () => {
    const clock = new VirtualClock()
    const pacer = new Pacer(clock, Infinity)
    hold(5)
    expect(pacer.isDue).to.equal(false)
    await pacer.pause()

    expect(clock.step()).to.equal(false)
  })

  it('measures anew after its own yields, and when it is told that the loop was free', async () => {
    const pacer = new Pacer(systemClock, 50)
    hold(50)
    expect(pacer.isDue).to.equal(true)
    await pacer.yield()
    expect(pacer.isDue).to.equal(false)
    hold(50)
    expect(pacer.isDue).to.equal(true)
    pacer.wasFree()

    expect(pacer.isDue).to.equal(false)
  })

  it('yields by its clock, one of those who wait for each turn of the loop, in their order', async () => {
    const clock = new VirtualClock()
    const order: number[] = []
    const yields = [1, 2, 3].map(async i => {
      await new Pacer(clock, 0).yield()
      order.push(i)
    })

    for (let turn = 1; turn <= 3; turn++) {
      await settled()
      expect(clock.step()).to.equal(true)
      expect(clock.step()).to.equal(false)
      await settled()
      expect(order).to.have.lengthOf(turn)
    }

    await Promise.all(yields)
    expect(order).to.deep.equal([1, 2, 3])
  })
})

/** All microtasks have run */
async function settled (): Promise<void> {
  return new Promise(resolve => { systemClock.soon(resolve) })
}
