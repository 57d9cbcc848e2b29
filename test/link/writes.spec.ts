import { expect } from 'aegir/chai'
import { encodeFrame, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/core/outbox.ts'
import { FULL, Reads, Writes } from '../../src/link/core/writes.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import { Wires } from './wires.ts'

/** What comes in one piece over WebRTC */
const PIECE = 16_384
const GRANT_AFTER = 250
const TURN = 1

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** One end of a line that loses nothing, and brings all in order, at times long after it was sent */
class End {
  readonly writes = new Writes()
  readonly reads: Reads
  readonly #clock: VirtualClock
  readonly #delay: () => number
  #arrives = 0
  #waiting = 0
  #isPaused = false
  #isGrantDue = false
  #isGranting = false
  other?: End
  isRefused = false
  sent = 0

  constructor (clock: VirtualClock, delay: () => number) {
    this.#clock = clock
    this.#delay = delay
    this.reads = new Reads(clock.now())
  }

  /** As the stream does: what is short may have to wait for more */
  say (bytes: number): void {
    this.#waiting += bytes
    this.#pump()
  }

  #pump (): void {
    const wait = this.writes.waitFor(this.#waiting)

    if (this.#waiting > 0 && wait === 0) {
      this.writes.wrote(this.#waiting)
      this.#send(this.#waiting, false)
      this.#waiting = 0
    } else if (wait > 0 && !this.#isPaused) {
      this.#isPaused = true
      this.#clock.after(wait, () => {
        this.#isPaused = false
        this.writes.waited()
        this.#pump()
      })
    }
  }

  #send (bytes: number, isGrant: boolean): void {
    this.sent++
    this.#arrives = Math.max(this.#arrives, this.#clock.now() + this.#delay())

    for (let left = bytes; left > 0; left -= PIECE) {
      this.#clock.after(this.#arrives - this.#clock.now(), () => { this.other?.hear(Math.min(left, PIECE), isGrant) })
    }
  }

  hear (bytes: number, isGrant: boolean): void {
    isGrant && this.writes.granted()
    this.isRefused ||= !this.reads.came(bytes, this.#clock.now())

    // what comes in one turn is granted at its end
    if (this.reads.isWorthAGrant && !this.#isGranting) {
      this.#isGranting = true
      this.#clock.after(TURN, () => {
        this.#isGranting = false
        this.#grant()
      })
    } else if (!this.#isGrantDue && !isGrant) {
      this.#isGrantDue = true
      this.#clock.after(GRANT_AFTER, () => {
        this.#isGrantDue = false
        this.#grant()
      })
    }

    this.#pump()
  }

  #grant (): void {
    this.reads.granted(this.#clock.now())
    this.writes.wrote(5)
    this.#send(5, true)
  }
}

describe('how often a side writes', () => {
  it('is as often as it likes while the other side grants', () => {
    const writes = new Writes()

    for (let i = 0; i < 1000; i++) {
      expect(writes.waitFor(10)).to.equal(0)
      writes.wrote(10)
      i % 50 === 0 && writes.granted()
    }
  })

  it('is seldom when nothing is granted: each short write waits longer, up to a fifth of a second, but a long one goes', () => {
    const writes = new Writes()
    const waits = range(80).map(() => {
      const wait = writes.waitFor(10)
      wait > 0 && writes.waited()
      expect(writes.waitFor(10)).to.equal(0)
      writes.wrote(10)
      return wait
    })

    expect(waits.slice(0, 64)).to.deep.equal(range(64).map(() => 0))
    expect(waits.slice(64)).to.deep.equal([2, 4, 8, 16, 32, 64, 128, ...range(9).map(() => 200)])
    expect(writes.waitFor(FULL)).to.equal(0)
    // as much as two full ones pays for one that is short
    writes.wrote(2 * FULL)
    expect(writes.waitFor(10)).to.equal(0)
  })

  it('is never too often for the other side, however late what it says comes, all at once, and in pieces', () => {
    for (const seed of range(200)) {
      const random = seededRandom(seed)
      const clock = new VirtualClock()
      const pause = (most: number): number => random() < 0.002 ? random() * most : random() * 5
      const stall = 20_000 * random()
      const [a, b] = range(2).map(() => new End(clock, () => pause(stall)))
      a.other = b
      b.other = a
      const every = 0.1 + random() * 3
      const size = 10 ** (1 + random() * 4)
      const answers = random()
      let now = 0

      for (let i = 0; i < 3000; i++) {
        now += random() * every
        clock.after(now, () => {
          a.say(Math.ceil(random() * size))
          random() < answers && b.say(100)
        })
      }

      clock.advance(60_000)
      expect([a.isRefused, b.isRefused], `seed ${seed}`).to.deep.equal([false, false])
    }
  })

  it('is refused where nobody bundles: soon, but not after a pause of our own', () => {
    const reads = new Reads(0)
    const count = range(10_000).findIndex(() => !reads.came(30, 100))
    expect(count).to.be.within(500, 600)

    const wide = new Reads(0)
    expect(range(10_000).every(() => wide.came(FULL, 100))).to.equal(true)
  })
})

describe('a neighbour whose writes are short', function () {
  this.timeout(20_000)
  const small = encodeFrame(20, 4, () => {}, new Uint8Array(10))

  it('bundles what it says in many turns, and all of it comes', async () => {
    const wires = await Wires.create()
    const [{ streams }] = [wires.connect()]
    await wires.clock.run(50)
    let written = 0
    streams[0].onSent = () => { written++ }

    for (let i = 0; i < 2000; i++) {
      wires.opener.neighbour.send({ frame: small, lane: Lane.DATA })
      await wires.clock.run(0.001)
    }

    await wires.clock.run(500)
    expect(wires.other.frames).to.have.lengthOf(2000)
    expect(wires.other.neighbour.faults).to.equal(0)
    expect(written).to.be.below(1000)
  })

  it('grants what comes one way without end as fast as it comes, though it hears nothing but grants', async () => {
    const wires = await Wires.create()
    wires.rate = 50_000_000
    wires.connect()
    await wires.clock.run(50)
    const began = wires.clock.now()
    const bulk = encodeFrame(20, 4, () => {}, new Uint8Array(50_000))

    for (let i = 0; i < 1000; i++) {
      wires.opener.neighbour.send({ frame: bulk, lane: Lane.DATA })
    }
    while (wires.other.frames.length < 1000 && wires.clock.now() < began + 10_000) {
      await wires.clock.run(10)
    }

    expect(wires.other.frames).to.have.lengthOf(1000)
    expect(wires.clock.now() - began).to.be.below(1500)
  })

  it('is disconnected when it writes each by itself, and let be', async () => {
    const wires = await Wires.create()
    const { streams } = wires.connect()
    await wires.clock.run(50)
    const [stream] = streams.filter(({ direction }) => direction === 'outbound')

    for (let i = 0; i < 2000 && stream.writeStatus === 'writable'; i++) {
      stream.send(frameOf(Kind.FIRST_FREE + 9, new Uint8Array(4)).head)
    }

    await wires.clock.run(50)
    expect(wires.connections).to.have.lengthOf(0)
    expect(wires.other.neighbour.isBlocked).to.equal(true)
    expect(wires.other.frames.length).to.be.below(1000)
  })
})
