import { expect } from 'aegir/chai'
import { AntiEntropy } from '../../src/replication/anti-entropy.ts'
import type { AntiEntropyInit } from '../../src/replication/anti-entropy.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'

/** Time goes on with each look at it, as it does on a machine, and a timer rings when it is told to */
class TickingClock implements Clock {
  static readonly TICK = 0.25
  time = 1_000_000
  readonly timers: Array<{ at: number, fn (): void }> = []

  now (): number {
    this.time += TickingClock.TICK
    return this.time
  }

  after (ms: number, fn: () => void): Timer {
    const timer = { at: this.time + ms, fn }
    this.timers.push(timer)
    return { cancel: () => { this.timers.splice(this.timers.indexOf(timer), 1) } }
  }

  soon (fn: () => void): void {
    this.after(0, fn)
  }

  /** Rings the next timer so many milliseconds before its time; how long it was waited for */
  ring (early = 0): number {
    const [timer] = this.timers.splice(0, 1)
    const began = this.time
    this.time = Math.max(began, timer.at - early)
    timer.fn()
    return this.time - began
  }
}

/** Compares with one that keeps nothing of what we keep: which begins, and is over at once */
function antiEntropyAt (clock: Clock): { antiEntropy: AntiEntropy, begun: string[] } {
  const begun: string[] = []
  const shared = (peer: string): [] => {
    begun.push(peer)
    return []
  }
  const init = {
    context: { clock, random: () => 0.5, randomBytes: (count: number) => new Uint8Array(count), trust: { isSilent: () => false }, resting: (ms: number) => ms },
    shared,
    nudge: () => {},
    onCompared: () => {}
  }
  return { antiEntropy: new AntiEntropy(init as unknown as AntiEntropyInit), begun }
}

describe('when peers are compared with', () => {
  it('is not put off by a second because the timer rang a little early', () => {
    for (let early = 0; early <= 3; early += TickingClock.TICK / 2) {
      const clock = new TickingClock()
      const { antiEntropy, begun } = antiEntropyAt(clock)
      antiEntropy.mark('peer', 100)
      clock.ring(early)
      let waited = 0

      while (begun.length === 0) {
        waited += clock.ring()
      }
      expect(waited, `${early} ms early`).to.be.below(10)
      antiEntropy.stop()
    }
  })
})
