import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compareMoments } from '../../src/log/core/hybrid-clock.ts'
import { IMPATIENCE, Spans } from '../../src/replication/core/spans.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import type { Moment } from '../../src/log/core/hybrid-clock.ts'

/** Entries in one answer */
const PIECE = 10

/** Peers that have the same entries, made at these times, and tell them to one who has none */
class Telling {
  readonly spans = new Spans()
  readonly #times: number[]
  /** How often each was told */
  readonly told: number[]
  /** Pieces that each peer told */
  readonly pieces = new Map<string, number>()
  /** Milliseconds that have gone by */
  passed = 0
  readonly #asked = new Map<string, { from: Moment, to: Moment }>()

  constructor (times: number[]) {
    this.#times = times.toSorted((a, b) => a - b)
    this.told = this.#times.map(() => 0)
  }

  get now (): number {
    return (this.#times.at(-1) ?? 0) + this.passed
  }

  /** False: there is nothing for it to tell */
  ask (peer: string): boolean {
    const window = this.#asked.has(peer) ? undefined : this.spans.next(peer, this.now)

    if (window != null) {
      expect(compareMoments(window.from, window.to)).to.be.below(0)
      this.#asked.set(peer, { ...window })
    }
    return window != null
  }

  /** What it was asked for is here: some more than it was, by now, to tell */
  answer (peer: string): boolean {
    const window = this.#asked.get(peer)

    if (window == null) {
      return false
    }

    let next = window.to
    let count = 0

    for (const [i, time] of this.#times.entries()) {
      const at = { time, counter: i }

      if (compareMoments(at, window.from) >= 0 && compareMoments(at, window.to) < 0) {
        if (count++ === PIECE) {
          next = at
          break
        }
        this.told[i]++
      }
    }

    this.#asked.delete(peer)
    this.pieces.set(peer, (this.pieces.get(peer) ?? 0) + 1)
    this.spans.told(window, next)
    return true
  }

  /** Whatever it was asked for does not come */
  leave (peer: string): void {
    this.#asked.delete(peer)
    this.spans.leave(peer)
  }
}

/** So many, one in each millisecond */
function steady (count: number): number[] {
  return Array.from({ length: count }, (_, i) => 1_700_000_000_000 + i)
}

/** Rounds in which each peer does what it is told to do, until nothing is left */
function run (telling: Telling, peers: Record<string, (round: number) => boolean>): number {
  for (let round = 0; ; round++) {
    for (const [peer, isFast] of Object.entries(peers)) {
      if (isFast(round)) {
        telling.answer(peer)
        telling.ask(peer)
      }
    }
    if (telling.spans.isDone) {
      return round
    }
    telling.passed += 1
    if (round > 10_000) {
      throw new Error('it does not come to an end')
    }
  }
}

const always = (): boolean => true

describe('what is told by several at once', () => {
  it('is told once, in order, by one who is alone', () => {
    const telling = new Telling(steady(1000))
    const rounds = run(telling, { a: always })
    expect(rounds).to.equal(100)
    expect(telling.told.every(times => times === 1)).to.equal(true)
  })

  it('is told by all that are there, by each about as much as by the others', () => {
    const telling = new Telling(steady(4000))
    const rounds = run(telling, { a: always, b: always, c: always, d: always })
    expect(rounds).to.be.below(120)
    expect(telling.told.reduce((sum, times) => sum + times, 0)).to.be.within(4000, 4000 + 10 * PIECE)
    expect([...telling.pieces.values()].every(pieces => pieces > 80)).to.equal(true)
  })

  it('is told by the fast ones where one is slow', () => {
    const slow = new Telling(steady(4000))
    expect(run(slow, { slow: round => round % 50 === 0, fast: always })).to.be.at.most(550)
    expect(slow.pieces.get('slow')).to.be.below(12)
  })

  it('is told by the others where one says nothing any more', () => {
    const telling = new Telling(steady(4000))
    telling.ask('silent')
    expect(telling.ask('fast')).to.equal(false)
    telling.answer('silent')
    telling.ask('silent')
    // all but its piece: after a while that, too
    for (let i = 0; i < 500 && (telling.ask('fast') || telling.answer('fast')); i++) {
      telling.answer('fast')
    }
    expect(telling.told.filter(times => times === 0).length).to.be.within(1, 3 * PIECE)
    telling.passed = IMPATIENCE
    run(telling, { fast: always })
    expect(telling.told.every(times => times >= 1)).to.equal(true)

    // and what it says at last is no news
    telling.answer('silent')
    expect(telling.spans.isDone).to.equal(true)
  })

  it('is told in few more pieces where most of it is of one day in a year', () => {
    const times = [...Array.from({ length: 10 }, (_, i) => 1_700_000_000_000 + i * 3_000_000_000), ...steady(2000).map(time => time + 30_000_000_000)]
    const telling = new Telling(times)
    const rounds = run(telling, { a: always, b: always })
    expect(rounds).to.be.below(150)
  })

  it('is all told, whoever comes, goes, hurries and dawdles', () => {
    fc.assert(fc.property(fc.integer(), fc.nat(800), fc.boolean(), (seed, count, isSteady) => {
      const random = seededRandom(seed)
      const telling = new Telling(isSteady ? steady(count) : Array.from({ length: count }, () => Math.floor(2 ** (40 * random()))))
      const peers = ['a', 'b', 'c']

      for (let step = 0; step < 300 && !telling.spans.isDone; step++) {
        const peer = peers[randomInt(random, 3)]
        const action = randomInt(random, 10)

        if (action === 0) {
          telling.leave(peer)
        } else if (action === 9) {
          telling.passed += IMPATIENCE / 2
        } else if (action < 6) {
          telling.answer(peer)
        } else {
          telling.ask(peer)
        }
      }
      peers.slice(1).forEach(peer => { telling.leave(peer) })
      run(telling, { a: always })

      expect(telling.told.every(times => times >= 1)).to.equal(true)
      expect(telling.spans.tellers).to.deep.equal([])
    }), { numRuns: 300 })
  })
})
