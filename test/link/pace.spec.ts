import { expect } from 'aegir/chai'
import { Pace } from '../../src/link/core/pace.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const CHUNK = 65_536

/** A sender that always has more, over a line with a bottleneck: what is granted comes back `delay` ms later */
class Line {
  readonly clock = new VirtualClock()
  readonly pace = new Pace()
  /** Milliseconds for both ways, and bytes a millisecond */
  delay: number
  rate: number
  sent = 0
  granted = 0
  /** How long what was granted last had been on its way */
  took = 0
  #freeAt = 0
  most = Infinity

  constructor (delay: number, rate: number) {
    this.delay = delay
    this.rate = rate
  }

  run (ms: number): number {
    const before = this.granted
    this.#fill()
    this.clock.advance(ms)
    return (this.granted - before) / ms
  }

  #fill (): void {
    while (this.sent - this.granted + CHUNK <= Math.min(this.most, this.pace.window)) {
      const now = this.clock.now()
      this.sent += CHUNK
      const end = this.sent
      this.#freeAt = Math.max(now, this.#freeAt) + CHUNK / this.rate
      this.pace.sent(end, this.granted, now)
      this.clock.after(this.#freeAt - now + this.delay, () => {
        this.granted = end
        this.took = this.clock.now() - now
        this.pace.granted(end, this.clock.now())
        this.#fill()
      })
    }
    if (this.most === Infinity) {
      this.pace.limited(this.sent)
    }
  }
}

describe('how much is on its way', () => {
  for (const [delay, rate] of [[1, 200_000], [1, 20_000], [50, 50_000], [5, 5000], [200, 1000]]) {
    it(`fills a line of ${rate / 1000} MB/s and ${delay} ms, and queues little there`, () => {
      const line = new Line(delay, rate)
      line.run(3000)

      expect(line.run(5000)).to.be.above(rate * 0.9)
      // what always may be on its way takes longer on a slow line
      expect(line.took).to.be.below(Math.max(delay + 20, 4 * CHUNK / rate + delay))
    })
  }

  it('follows a line that becomes slower within seconds, and one that becomes faster', () => {
    const line = new Line(2, 100_000)
    line.run(3000)
    line.rate = 5000
    line.run(4000)
    expect(line.took).to.be.below(60)
    line.rate = 100_000
    line.run(3000)
    expect(line.run(2000)).to.be.above(90_000)
  })

  it('follows a way that becomes longer, when it has been looked for anew', () => {
    const line = new Line(2, 20_000)
    line.run(3000)
    line.delay = 60
    line.run(60_000)
    expect(line.run(5000)).to.be.above(18_000)
  })

  it('is not less for a while in which there was little to send', () => {
    const line = new Line(20, 50_000)
    line.run(3000)
    const { window } = line.pace
    line.most = 2 * CHUNK
    line.run(5000)
    expect(line.pace.window).to.be.at.least(window * 0.9)
  })
})
