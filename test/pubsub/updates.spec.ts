import { expect } from 'aegir/chai'
import { Updates } from '../../src/pubsub/core/updates.ts'
import type { Gossip, Update } from '../../src/pubsub/core/types.ts'

const FIRST = 10
const CAP = 80
const MAX_ITEMS = 3

/** What is said to neighbours, on a bench: of each origin one thing, until it is told */
class Bench {
  readonly updates: Updates
  readonly told: string[] = []
  readonly lost = new Set<string>()
  readonly known = new Set<string>()
  readonly again: string[] = []

  constructor (...neighbours: string[]) {
    this.updates = new Updates({
      intervalFirst: FIRST,
      intervalCap: CAP,
      maxItems: MAX_ITEMS,
      maxAsked: 2,
      tell: (to, origin) => {
        this.told.push(`${origin} to ${to}`)
        const told = this.lost.has(origin) ? 'lost' : update(origin)
        return this.known.has(origin) ? undefined : told
      },
      tellAgain: (_, topic = '') => {
        this.again.push(topic)
        return 1000
      }
    })
    neighbours.forEach(key => { this.updates.up(key, true) })
  }

  take (now: number): Gossip[] {
    return this.updates.take(now).map(({ gossip }) => gossip)
  }
}

function update (origin: string): Update {
  return { origin, epoch: 1, seq: 1, hops: 1, announcements: [] }
}

function originsOf (messages: Gossip[]): string[] {
  return messages.flatMap(({ updates }) => updates.map(({ origin }) => origin))
}

describe('what is said to neighbours', () => {
  it('nothing, while there is nothing', () => {
    const { updates } = new Bench('near')
    expect(updates.nextAt()).to.equal(Infinity)
    expect(updates.take(1000)).to.deep.equal([])
  })

  it('is worked out when it leaves: what changes ten times is said once, and what a neighbour knows is not said', () => {
    const bench = new Bench('near')
    bench.known.add('known')

    for (let i = 0; i < 10; i++) {
      bench.updates.mark('near', 'far', false)
      bench.updates.mark('near', 'known', false)
    }
    bench.lost.add('far')
    expect(bench.told).to.deep.equal([])
    const [message, ...more] = bench.take(0)
    expect([message.updates, message.lost, more.length]).to.deep.equal([[], ['far'], 0])
    expect(bench.told).to.deep.equal(['far to near', 'known to near'])
    bench.updates.mark('near', 'known', true)
    expect(bench.take(0)).to.deep.equal([])
    expect(bench.updates.queued).to.equal(0)
  })

  it('in batches that are further and further apart while more keeps coming, and soon again after a while of quiet', () => {
    const bench = new Bench('near')
    const times: number[] = []
    let now = 0

    for (; now < 600; now++) {
      bench.updates.mark('near', `peer ${now}`, false)
      bench.take(now).length > 0 && times.push(now)
    }
    const gaps = times.slice(1).map((time, i) => time - times[i])
    expect(gaps.slice(0, 4)).to.deep.equal([...gaps.slice(0, 4)].sort((a, b) => a - b))
    expect([gaps[0] <= 2 * FIRST, Math.max(...gaps)]).to.deep.equal([true, CAP])

    now += 10 * CAP
    bench.take(now)
    now += 10 * CAP
    bench.updates.mark('near', 'one', false)
    expect(originsOf(bench.take(now))).to.deep.equal(['one'])
    bench.updates.mark('near', 'another', false)
    expect(bench.take(now + FIRST - 1)).to.deep.equal([])
    expect(bench.updates.nextAt()).to.equal(now + FIRST)
    expect(originsOf(bench.take(now + FIRST))).to.deep.equal(['another'])
  })

  for (const [what, say] of [
    ['a loss', updates => { updates.mark('near', 'lost', true) }],
    ['a request for a number', updates => { updates.want('near', 'far', { epoch: 1, seq: 2, hops: 3 }) }],
    ['a request for subscribers', updates => { updates.request('near', 1, 'topic') }],
    ['an answer', updates => { updates.answer('near', 1) }],
    ['an ack', updates => { updates.heard('near', 4) }]
  ] as Array<[string, (updates: Updates) => void]>) {
    it(`${what} at once, with all else that waits`, () => {
      const bench = new Bench('near')
      bench.lost.add('lost')
      bench.updates.mark('near', 'first', false)
      bench.take(0)
      bench.updates.mark('near', 'waits', false)
      expect(bench.updates.nextAt()).to.be.above(0)
      expect(bench.take(1)).to.deep.equal([])

      say(bench.updates)
      expect(bench.updates.nextAt()).to.be.at.most(1)
      expect(originsOf(bench.take(1))).to.deep.equal(['waits'])
      expect(bench.updates.nextAt()).to.equal(Infinity)
    })
  }

  it('each neighbour for itself: what one waits for does not hurry the others', () => {
    const bench = new Bench('near', 'other')
    bench.updates.mark('other', 'first', false)
    bench.take(0)
    bench.updates.mark('near', 'far', true)
    bench.updates.mark('other', 'far', false)
    expect(bench.updates.take(1).map(({ to }) => to)).to.deep.equal(['near'])
  })

  it('in as few messages as it fits in', () => {
    const bench = new Bench('near')
    const origins = Array.from({ length: 2 * MAX_ITEMS + 1 }, (_, i) => `peer ${i}`)
    origins.forEach(origin => { bench.updates.mark('near', origin, false) })
    const messages = bench.take(0)
    expect(messages.map(({ updates }) => updates.length)).to.deep.equal([MAX_ITEMS, MAX_ITEMS, 1])
    expect(originsOf(messages)).to.deep.equal(origins)
  })

  it('acks and answers with the last message, when all that they speak of was said', () => {
    const bench = new Bench('near')
    bench.updates.heard('near', 7)
    bench.updates.answer('near', 1)
    bench.updates.answer('near', 2)
    Array.from({ length: 2 * MAX_ITEMS }, (_, i) => `peer ${i}`).forEach(origin => { bench.updates.mark('near', origin, false) })
    const messages = bench.take(0)
    expect(messages.map(({ ack, answers }) => [ack, answers])).to.deep.equal([[-1, []], [7, [1, 2]]])
  })

  it('more answers than fit in one message all, in order, the last of them with the last message', () => {
    const bench = new Bench('near')
    const ids = Array.from({ length: MAX_ITEMS + 1 }, (_, i) => i)
    ids.forEach(id => { bench.updates.answer('near', id) })
    bench.updates.mark('near', 'far', false)
    const messages = bench.take(0)
    expect(messages.flatMap(({ answers }) => answers)).to.deep.equal(ids)
    expect(originsOf(messages.slice(0, 1))).to.deep.equal(['far'])
    expect(messages.every(({ answers }) => answers.length <= MAX_ITEMS)).to.equal(true)
  })

  it('losses and requests are split, too, and none is lost', () => {
    const bench = new Bench('near')
    const names = Array.from({ length: MAX_ITEMS + 2 }, (_, i) => `peer ${i}`)
    names.forEach((name, i) => {
      bench.lost.add(name)
      bench.updates.mark('near', name, true)
      bench.updates.want('near', name, { epoch: 1, seq: i, hops: 9 })
      bench.updates.request('near', i, name)
    })
    const messages = bench.take(0)
    expect(messages).to.have.lengthOf(2)
    expect(messages.flatMap(({ lost }) => lost)).to.deep.equal(names)
    expect(messages.flatMap(({ wanted }) => wanted.map(({ origin }) => origin))).to.deep.equal(names)
    expect(messages.flatMap(({ requests }) => requests.map(({ topic }) => topic))).to.deep.equal(names)
  })

  it('an ack once, and only what is newer than the last one', () => {
    const bench = new Bench('near')
    bench.updates.heard('near', 5)
    expect(bench.take(0).map(({ ack }) => ack)).to.deep.equal([5])
    bench.updates.heard('near', 5)
    bench.updates.heard('near', 3)
    expect(bench.take(0)).to.deep.equal([])
    bench.updates.heard('near', 6)
    expect(bench.take(0).map(({ ack }) => ack)).to.deep.equal([6])
  })

  it('the newest request for a number, once', () => {
    const bench = new Bench('near')
    bench.updates.want('near', 'far', { epoch: 1, seq: 2, hops: 3 })
    bench.updates.want('near', 'far', { epoch: 1, seq: 4, hops: 3 })
    expect(bench.take(0)[0].wanted).to.deep.equal([{ origin: 'far', epoch: 1, seq: 4, hops: 3 }])
  })

  it('again what it was told before, at a rate: one topic after the other, each once however often it is asked for', () => {
    const bench = new Bench('near', 'other')
    const asked = Array.from({ length: 15 }, (_, i) => `topic ${i}`)
    asked.slice(0, 11).forEach(topic => { bench.updates.sayAgain('near', topic, 1, 0) })
    expect(bench.again).to.deep.equal(asked.slice(0, 11))

    for (let i = 0; i < 10; i++) {
      bench.updates.sayAgain('near', 'one', i, 0)
      bench.updates.sayAgain('near', 'two', i, 0)
      bench.updates.sayAgain('near', 'three', i, 0)
      bench.updates.sayAgain('near', 'too many', i, 0)
    }
    expect([bench.again.length, bench.updates.queued, bench.updates.nextAt()]).to.deep.equal([11, 3, 1000])
    bench.take(999)
    bench.updates.sayAgain('other', 'one', 1, 999)
    expect(bench.again.slice(11)).to.deep.equal(['one'])
    bench.take(1000)
    bench.take(1001)
    expect([bench.again.slice(12), bench.updates.nextAt()]).to.deep.equal([['one'], 2000])
    bench.take(3000)
    expect([bench.again.slice(13), bench.updates.nextAt()]).to.deep.equal([['two', 'three'], Infinity])
    bench.updates.sayAgain('near', 'one', 1, 3000)
    bench.updates.down('near')
    bench.take(9000)
    expect([bench.again.length, bench.updates.queued]).to.deep.equal([15, 0])
  })

  it('nothing to one that is gone, and to one that comes again nothing that the earlier one was to hear', () => {
    const bench = new Bench('near')
    bench.updates.mark('near', 'far', true)
    bench.updates.heard('near', 5)
    bench.updates.down('near')
    expect(bench.updates.nextAt()).to.equal(Infinity)
    bench.updates.mark('near', 'far', true)
    expect(bench.take(0)).to.deep.equal([])
    bench.updates.up('near', false)
    expect(bench.take(0)).to.deep.equal([])
    expect([bench.updates.isRelay('near'), bench.updates.relays]).to.deep.equal([false, []])
  })
})

describe('what is known of neighbours', () => {
  it('each says for the first time once what it is on', () => {
    const { updates } = new Bench('near')
    expect([updates.introduces('near'), updates.introduces('near'), updates.introduces('nobody')]).to.deep.equal([true, false, false])
    updates.up('near', true)
    expect(updates.introduces('near')).to.equal(true)
  })

  it('which topics each has asked about, so many and for so long', () => {
    const { updates } = new Bench('near')
    updates.asks('near', 'one', 100)
    updates.asks('near', 'two', 200)
    updates.asks('near', 'three', 200)
    updates.asks('near', 'one', 150)
    expect(['one', 'two', 'three'].map(topic => updates.hasAsked('near', topic))).to.deep.equal([true, true, false])
    updates.expire(100)
    expect(updates.hasAsked('near', 'one')).to.equal(true)
    updates.expire(150)
    expect(['one', 'two'].map(topic => updates.hasAsked('near', topic))).to.deep.equal([false, true])
    updates.asks('near', 'three', 300)
    expect(updates.hasAsked('near', 'three')).to.equal(true)
  })
})
