import { expect } from 'aegir/chai'
import { Dedup, DEDUP_LIMITS } from '../../src/pubsub/core/dedup.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import type { Arrival, DedupLimits } from '../../src/pubsub/core/dedup.ts'
import type { Verdict } from '../../src/pubsub/core/verdicts.ts'

const STEPS = 4000
const VERDICTS: Verdict[] = ['accepted', 'rejected', 'ignored']

function newDedup (limits: Partial<DedupLimits> = {}): Dedup {
  return new Dedup({ ...DEDUP_LIMITS, ...limits })
}

/** All of one topic of an origin that is a neighbour */
function acceptAll (dedup: Dedup, seqs: number[], now = 0, origin = 'a', by = origin): Arrival[] {
  return seqs.map(seq => dedup.accept(origin, 1, 't', seq, now, by))
}

function range (first: number, end: number, step = 1): number[] {
  return Array.from({ length: Math.ceil((end - first) / step) }, (_, i) => first + i * step)
}

/** Random messages of few origins, epochs, topics and numbers, judged by a plain map of all that came */
class World {
  readonly dedup: Dedup
  readonly states = new Map<string, 'undecided' | Verdict>()
  readonly #open: Array<Parameters<Dedup['decide']>> = []
  readonly #random: () => number
  #now = 0

  constructor (seed: number, limits: Partial<DedupLimits>) {
    this.#random = seededRandom(seed)
    this.dedup = newDedup(limits)
  }

  /** What it was, and what the answer is now */
  step (): { answer: Arrival, before: 'undecided' | Verdict | undefined } | undefined {
    const { dedup, states } = this
    this.#now += this.#below(20)
    const [origin, topic, by] = [`origin ${this.#below(4)}`, `topic ${this.#below(3)}`, `neighbour ${this.#below(3)}`]
    const seq = this.#below(10) + Math.floor(this.#now / 1000) * 5

    if (this.#below(3) === 0 && this.#open.length > 0) {
      const [message] = this.#open.splice(this.#below(this.#open.length), 1)
      const verdict = VERDICTS[this.#below(3)]
      expect(dedup.decide(message[0], message[1], message[2], message[3], verdict, this.#now)).to.equal(true)
      expect(dedup.decide(message[0], message[1], message[2], message[3], 'accepted', this.#now)).to.equal(false)
      states.set(message.slice(0, 4).join(), verdict)
      return
    }
    if (this.#below(200) === 0) {
      dedup.gone(by)
      return
    }

    const name = [origin, 1, topic, seq].join()
    const before = states.get(name)

    if (this.#below(2) === 0) {
      const answer = dedup.accept(origin, 1, topic, seq, this.#now, by)
      answer === 'new' && states.set(name, 'accepted')
      return { answer, before }
    }

    const answer = dedup.receive(origin, 1, topic, seq, by)

    if (answer === 'new') {
      states.set(name, 'undecided')
      this.#open.push([origin, 1, topic, seq, 'accepted', 0])
    }

    return { answer, before }
  }

  #below (most: number): number {
    return randomInt(this.#random, most)
  }
}

describe('duplicates', () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`are what a map of all that came says, while nothing is past a bound (seed ${seed})`, () => {
      const world = new World(seed, { gapTtl: Infinity })

      for (let i = 0; i < STEPS; i++) {
        const outcome = world.step()
        world.dedup.check()
        expect(outcome?.answer, `step ${i}`).to.equal(outcome == null ? undefined : outcome.before ?? 'new')
      }
    })

    it(`are never new again nor acked wrongly, whatever is past its bound (seed ${seed})`, () => {
      const world = new World(seed, { maxRanges: 6, minRanges: 2, gapTtl: 300, maxUndecided: 3, maxUndecidedBy: 5 })
      const answers = new Set<Arrival>()

      for (let i = 0; i < STEPS; i++) {
        const outcome = world.step()
        world.dedup.check()

        if (outcome != null) {
          const { answer, before } = outcome
          answers.add(answer)
          const allowed = before == null ? ['new', 'too-late', 'congested'] : [before, 'too-late']
          expect(allowed.slice(0, before === 'undecided' ? 1 : undefined), `step ${i}`).to.include(answer)
        }
      }

      expect([...answers]).to.include.members(['new', 'undecided', ...VERDICTS, 'too-late', 'congested'])
    })
  }

  it('are known by their origin, epoch, topic and number, all four', () => {
    const dedup = newDedup()
    const messages: Array<[string, number, string, number]> = [['a', 1, 't', 5], ['b', 1, 't', 5], ['a', 1, 'u', 5], ['a', 1, 't', 6], ['a', 2, 't', 5]]

    for (const [origin, epoch, topic, seq] of messages) {
      expect(dedup.accept(origin, epoch, topic, seq, 0, 'r')).to.equal('new')
      expect(dedup.accept(origin, epoch, topic, seq, 0, 'r')).to.equal('accepted')
    }
  })

  it('are told up to the largest number that there is', () => {
    const dedup = newDedup()
    const seqs = [0, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]

    expect(new Set(acceptAll(dedup, seqs))).to.deep.equal(new Set(['new']))
    expect(new Set(acceptAll(dedup, seqs))).to.deep.equal(new Set(['accepted']))
    expect(acceptAll(dedup, [7])).to.deep.equal(['new'])
  })
})

describe('messages that were overtaken', () => {
  it('are not lost, however many one urgent message overtakes (defect 02)', () => {
    for (const count of [100, 100_000]) {
      const dedup = newDedup()
      expect(acceptAll(dedup, [count])).to.deep.equal(['new'])
      expect(new Set(acceptAll(dedup, range(0, count)))).to.deep.equal(new Set(['new']))
      expect(acceptAll(dedup, [0, count])).to.deep.equal(['accepted', 'accepted'])
      dedup.check()
    }
  })

  it('are not lost when each is overtaken by one of another priority', () => {
    const dedup = newDedup()
    expect(new Set(acceptAll(dedup, [...range(1, 8000, 2), ...range(0, 8000, 2)]))).to.deep.equal(new Set(['new']))
    dedup.check()
  })

  it('are not lost while others that were overtaken still come', () => {
    const dedup = newDedup()
    acceptAll(dedup, [1000])

    for (const seq of range(0, 1000)) {
      // something new comes far above, too, so that the window looks at its gaps
      expect(acceptAll(dedup, [seq, 2000 + 2 * seq], seq * 30_000)).to.deep.equal(['new', 'new'])
    }
  })

  it('are too late when nothing filled their gap for long, and are not acked', () => {
    const dedup = newDedup()
    acceptAll(dedup, [0, 10])
    // from here on everything up to 20 is watched
    acceptAll(dedup, [20], 60_000)
    expect(acceptAll(dedup, [5], 119_999)).to.deep.equal(['new'])
    acceptAll(dedup, [30], 179_000)
    expect(acceptAll(dedup, [6], 179_998)).to.deep.equal(['new'])
    acceptAll(dedup, [40], 239_998)

    expect(acceptAll(dedup, [7, 15, 20, 30, 40], 239_998)).to.deep.equal(['too-late', 'too-late', 'too-late', 'accepted', 'accepted'])
    expect(acceptAll(dedup, [21, 39], 239_998)).to.deep.equal(['new', 'new'])
  })

  it('cost a bounded number of ranges, and the lowest gaps are closed first', () => {
    const dedup = newDedup({ maxRanges: 100 })
    expect(new Set(acceptAll(dedup, range(0, 100_000, 2)))).to.deep.equal(new Set(['new']))
    dedup.check()

    // a sixteenth of them at once
    expect(acceptAll(dedup, [1, 99_795, 99_815, 99_998])).to.deep.equal(['too-late', 'too-late', 'new', 'accepted'])
  })

  it('of one topic have room, however many gaps another topic of their origin has', () => {
    const dedup = newDedup({ maxRanges: 100, minRanges: 16 })
    acceptAll(dedup, range(0, 1000, 2))
    range(0, 32, 2).forEach(seq => { dedup.accept('a', 1, 'u', seq, 0, 'a') })

    expect(dedup.accept('a', 1, 'u', 1, 0, 'a')).to.equal('new')
    dedup.check()
  })
})

describe('verdicts', () => {
  it('of a validator that said no are remembered: a resend is never acked (defect 01)', () => {
    const dedup = newDedup()
    expect(dedup.receive('a', 1, 't', 0, 'a')).to.equal('new')
    expect(dedup.receive('a', 1, 't', 0, 'a')).to.equal('undecided')
    expect(dedup.accept('a', 1, 't', 0, 0, 'a')).to.equal('undecided')
    expect(dedup.decide('a', 1, 't', 0, 'rejected', 0)).to.equal(true)
    expect(dedup.receive('a', 1, 't', 0, 'a')).to.equal('rejected')
  })

  it('that are alike cost one range, and those that are forgotten become too late', () => {
    const dedup = newDedup({ maxRanges: 10, minRanges: 2 })

    for (const seq of range(0, 1000)) {
      dedup.receive('a', 1, 't', seq, 'a')
      dedup.decide('a', 1, 't', seq, 'rejected', 0)
    }
    expect(dedup.receive('a', 1, 't', 0, 'a')).to.equal('rejected')

    for (const seq of range(1000, 1100)) {
      dedup.receive('a', 1, 't', seq, 'a')
      dedup.decide('a', 1, 't', seq, seq % 2 === 0 ? 'accepted' : 'rejected', 0)
    }
    expect([0, 1001, 1098, 1099].map(seq => dedup.receive('a', 1, 't', seq, 'a'))).to.deep.equal(['too-late', 'too-late', 'accepted', 'rejected'])
  })

  it('are waited for of a bounded number of messages: more is congested, and is new later (defect 12)', () => {
    const dedup = newDedup({ maxUndecided: 3, maxUndecidedBy: 5 })
    const receive = (origin: string, seq: number, by = 'r'): Arrival => dedup.receive(origin, 1, 't', seq, by)

    expect(range(0, 4).map(seq => receive('a', seq))).to.deep.equal(['new', 'new', 'new', 'congested'])
    expect(range(0, 3).map(seq => receive('b', seq))).to.deep.equal(['new', 'new', 'congested'])
    expect(receive('c', 0, 'another neighbour')).to.equal('new')
    dedup.decide('a', 1, 't', 1, 'accepted', 0)
    expect([receive('a', 3), receive('a', 1)]).to.deep.equal(['new', 'accepted'])
    dedup.check()
  })

  it('are waited for however many rows are evicted meanwhile', () => {
    const dedup = newDedup({ capacity: 30 })
    dedup.receive('a', 1, 't', 0, 'r')
    range(0, 100).forEach(i => { dedup.accept(`origin ${i}`, 1, 't', 0, 0, 'r') })

    expect(dedup.receive('a', 1, 't', 0, 'r')).to.equal('undecided')
    dedup.gone('r')
    expect(dedup.decide('a', 1, 't', 0, 'ignored', 0)).to.equal(true)
    expect(dedup.receive('a', 1, 't', 0, 's')).to.equal('ignored')
    dedup.check()
  })

  it('on what began in an earlier life are told once, and change nothing in the next', () => {
    const dedup = newDedup()
    dedup.receive('a', 1, 't', 0, 'a')
    expect(dedup.accept('a', 2, 't', 0, 0, 'a')).to.equal('new')
    expect(dedup.decide('a', 1, 't', 0, 'rejected', 0)).to.equal(true)

    expect(dedup.receive('a', 1, 't', 0, 'a')).to.equal('past-life')
    expect(dedup.receive('a', 2, 't', 0, 'a')).to.equal('accepted')
    dedup.check()
  })
})

describe('messages of past lives', () => {
  it('are not delivered and not acked, however long their origin is silent (defects 14 and 26)', () => {
    const dedup = newDedup()
    const year = 365 * 24 * 3_600_000
    acceptAll(dedup, [7])
    expect(acceptAll(dedup, [7], year)).to.deep.equal(['accepted'])
    expect(dedup.accept('a', 2, 't', 0, year, 'a')).to.equal('new')
    expect(acceptAll(dedup, [7, 8], 2 * year)).to.deep.equal(['past-life', 'past-life'])
  })

  it('are those before a restart with an older clock, too, also when the neighbour is gone', () => {
    const dedup = newDedup()
    dedup.accept('a', 5, 't', 1, 0, 'a')
    dedup.restart('a', 5)
    expect(dedup.accept('a', 5, 't', 1, 0, 'a')).to.equal('accepted')
    dedup.restart('a', 3)
    expect(dedup.accept('a', 3, 't', 1, 0, 'a')).to.equal('new')
    dedup.gone('a')

    expect([4, 5, 3, 6].map(epoch => dedup.accept('a', epoch, 't', 1, 0, 'r'))).to.deep.equal(['past-life', 'past-life', 'accepted', 'new'])
    dedup.restart('nobody', 1)
    expect(dedup.size).to.equal(1)
  })
})

describe('rows about origins', () => {
  /** An origin in order on one topic weighs 3 */
  const capacity = 300

  function flood (dedup: Dedup, by: string, count = 1000): void {
    range(0, count).forEach(i => {
      dedup.accept(`${by}'s ${i}`, 1, 't', 0, 0, by)
      dedup.check()
    })
  }

  it('are not evicted by a flood through another neighbour', () => {
    const dedup = newDedup({ capacity })
    const mine = range(0, 45).map(i => `honest ${i}`)
    mine.forEach(origin => { acceptAll(dedup, [0], 0, origin, 'relay') })
    acceptAll(dedup, [0], 0, 'neighbour', 'neighbour')
    flood(dedup, 'attacker')

    expect(dedup.size).to.be.at.most(101)
    expect(new Set(mine.flatMap(origin => acceptAll(dedup, [0], 0, origin, 'relay')))).to.deep.equal(new Set(['accepted']))
    expect(acceptAll(dedup, [0], 0, 'neighbour', 'attacker')).to.deep.equal(['accepted'])
  })

  it('are as many for each neighbour, when all bring too many', () => {
    const dedup = newDedup({ capacity: 640 })
    range(0, 3).forEach(i => { flood(dedup, `neighbour ${i}`, 71) })
    flood(dedup, 'neighbour 0', 200)

    // its new rows displaced its own
    expect(dedup.size).to.equal(3 * 71)
  })

  it('are evicted least recently used first', () => {
    const dedup = newDedup({ capacity })

    for (let i = 0; i < 1000; i++) {
      acceptAll(dedup, [0], 0, `origin ${i}`, 'relay')
      expect(acceptAll(dedup, [0], 0, 'origin 0', 'relay')).to.deep.equal(['accepted'])
    }
  })

  it('of a neighbour are never evicted while it is there', () => {
    const dedup = newDedup({ capacity })
    // it was behind a relay at first
    acceptAll(dedup, [0], 0, 'a', 'relay')
    acceptAll(dedup, [1], 0, 'a', 'a')
    flood(dedup, 'relay')
    flood(dedup, 'a')
    expect(acceptAll(dedup, [0], 0, 'a', 'relay')).to.deep.equal(['accepted'])

    dedup.gone('a')
    dedup.check()
    flood(dedup, 'relay')
    // what is left of what came by it is in a share of its own
    expect(acceptAll(dedup, [0], 0, 'a', 'relay')).to.deep.equal(['accepted'])
  })

  it('of all that left have one share together, so new names by turns gain nothing', () => {
    const dedup = newDedup({ capacity })
    const mine = range(0, 40).map(i => `honest ${i}`)
    mine.forEach(origin => { acceptAll(dedup, [0], 0, origin, 'relay') })

    for (let i = 0; i < 100; i++) {
      flood(dedup, `attacker ${i}`, 20)
      dedup.gone(`attacker ${i}`)
    }
    expect(new Set(mine.flatMap(origin => acceptAll(dedup, [0], 0, origin, 'relay')))).to.deep.equal(new Set(['accepted']))
  })

  it('pass from a neighbour that left to the one that brings something new, not something old', () => {
    const dedup = newDedup({ capacity })
    acceptAll(dedup, [0], 0, 'a', 'relay')
    acceptAll(dedup, [0], 0, 'b', 'relay')
    dedup.gone('relay')
    acceptAll(dedup, [0], 0, 'a', 'attacker')
    acceptAll(dedup, [1], 0, 'b', 'another relay')

    for (const name of ['one', 'two', 'three']) {
      flood(dedup, 'attacker', 100)
      flood(dedup, name, 100)
      dedup.gone(name)
    }

    expect(acceptAll(dedup, [0], 0, 'b', 'attacker')).to.deep.equal(['accepted'])
    expect(acceptAll(dedup, [0], 0, 'a', 'attacker')).to.deep.equal(['new'])
  })

  it('weigh as much as they have gaps and topics, and keep a bounded number of topics', () => {
    const dedup = newDedup({ capacity, maxTopics: 10 })
    acceptAll(dedup, [0], 0, 'honest', 'relay')

    for (let i = 0; i < 100; i++) {
      range(0, 100, 2).forEach(seq => { dedup.accept(`origin ${i}`, 1, `topic ${i * seq}`, seq, 0, 'attacker') })
      dedup.check()
    }
    expect(acceptAll(dedup, [0], 0, 'honest', 'relay')).to.deep.equal(['accepted'])
  })
})
