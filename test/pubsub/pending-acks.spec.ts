import { expect } from 'aegir/chai'
import { PendingAcks } from '../../src/pubsub/core/pending-acks.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import type { FailureReason, Outcome, PendingEffect, ReceiptStatus } from '../../src/pubsub/core/pending-acks.ts'
import type { Call, Key } from '../../src/pubsub/core/types.ts'

const STEPS = 5000
const LIMITS = { maxPending: 20, maxBytes: 20_000, timeout: 1000, intervals: [100, 200, 400, 400] }
const FINAL = ['acked', 'not-subscribed', 'rejected', 'ignored', 'too-late', 'past-life'] as const
const STATUSES: ReceiptStatus[] = ['acked', 'unreachable', 'unreachable', 'unreachable', 'undecided', 'congested', ...FINAL]

type Acks = PendingAcks<string>
type Effects = Array<PendingEffect<string>>

/** One message, number 7 of topic t; nothing has left */
function tracking (to: Key[], wanted = to.length): Acks {
  const acks = new PendingAcks<string>(LIMITS)
  expect(acks.track({ call: 1, topic: 't', seq: 7, content: 'content', bytes: 7, to, wanted }, 0)).to.deep.equal([])
  return acks
}

function leaves (acks: Acks, seq: number, key: Key, via: Key, now: number): void {
  acks.written('t', seq, key, via)
  acks.sent('t', seq, key, via, now)
}

/** The same; each copy has left by a neighbour */
function sentBy (ways: Record<Key, Key>, wanted?: number): Acks {
  const acks = tracking(Object.keys(ways), wanted)
  Object.entries(ways).forEach(([key, via]) => { leaves(acks, 7, key, via, 0) })
  return acks
}

function receipt (acks: Acks, status: ReceiptStatus, about: Key | Key[], by: Key, now = 0): Effects {
  const effects = acks.receipt(status, 't', [7], [about].flat(), by, now)
  acks.check()
  return effects
}

function again (to: Key[], avoid: Key[]): Effects {
  return [{ type: 'send', call: 1, topic: 't', seq: 7, content: 'content', to, avoid }]
}

function way (to: Key, via: Key, ok: boolean): Effects {
  return [{ type: 'way', to, via, ok }]
}

function settled (acked: Key[], failed: Record<Key, FailureReason> = {}, call: Call = 1): Effects {
  return [{ type: 'settled', call, outcome: { acked, failed: Object.entries(failed).map(([key, reason]) => ({ key, reason })) } }]
}

describe('pending acks', () => {
  it('are settled when all destinations have acked, each to the credit of its way', () => {
    const acks = sentBy({ a: 'a', b: 'r' })

    expect(receipt(acks, 'acked', 'a', 'a')).to.deep.equal(way('a', 'a', true))
    expect(receipt(acks, 'acked', 'b', 'r')).to.deep.equal([...way('b', 'r', true), ...settled(['a', 'b'])])
    expect([acks.size, acks.bytes, acks.nextAt()]).to.deep.equal([0, 0, Infinity])
  })

  it('are settled when as many have acked as satisfy the caller', () => {
    const acks = sentBy({ a: 'a', b: 'b', c: 'c' }, 2)
    receipt(acks, 'acked', 'a', 'a')

    expect(receipt(acks, 'acked', 'c', 'c')).to.deep.equal([...way('c', 'c', true), ...settled(['a', 'c'])])
    expect(acks.nextAt()).to.equal(Infinity)
  })

  it('are none for nobody', () => {
    const acks = new PendingAcks<string>(LIMITS)

    expect(acks.track({ call: 1, topic: 't', seq: 7, content: '', bytes: 0, to: [], wanted: 0 }, 0)).to.deep.equal(settled([]))
    expect(acks.size).to.equal(0)
  })

  it('end with the reason of each destination that says no, and nothing is sent to it again (defect 01)', () => {
    for (const status of FINAL.slice(1) as Array<Exclude<typeof FINAL[number], 'acked'>>) {
      const acks = sentBy({ a: 'a' })
      expect(receipt(acks, status, 'a', 'a')).to.deep.equal(settled([], { a: status }))
      expect(acks.wake(10_000)).to.deep.equal([])
    }
  })

  it('do not hear receipts of others, of other messages, twice, or late', () => {
    const acks = sentBy({ a: 'a', b: 'b' })
    receipt(acks, 'acked', 'a', 'a')

    for (const [topic, seq, key] of [['t', 7, 'a'], ['t', 7, 'x'], ['t', 8, 'b'], ['u', 7, 'b']] as const) {
      FINAL.forEach(status => { expect(acks.receipt(status, topic, [seq], [key], key, 0)).to.deep.equal([]) })
    }
    receipt(acks, 'acked', 'b', 'b')
    STATUSES.forEach(status => { expect(receipt(acks, status, 'b', 'b')).to.deep.equal([]) })
  })

  it('are congested past the bounds of messages and bytes, and nothing is noted then (defect 11)', () => {
    const acks = new PendingAcks<string>(LIMITS)
    const track = (call: Call, bytes = 0): unknown => acks.track({ call, topic: 't', seq: call, content: '', bytes, to: ['a'], wanted: 1 }, 0)

    for (let call = 0; call < 20; call++) {
      expect(track(call)).to.deep.equal([])
    }
    expect(track(20)).to.equal('congested')
    acks.check()
    acks.abort(0)
    expect(track(20, 14_881)).to.equal('congested')
    expect(track(20, 14_880)).to.deep.equal([])
    acks.check()
  })

  it('cost the same each, however many there are (defect 11)', () => {
    const acks = new PendingAcks<string>({ ...LIMITS, maxPending: 1e6, maxBytes: 1e9 })
    const count = 32_000

    for (let seq = 0; seq < count; seq++) {
      acks.track({ call: seq, topic: 't', seq, content: '', bytes: 1, to: ['a'], wanted: 1 }, seq / count)
      leaves(acks, seq, 'a', 'a', seq / count)
      acks.nextAt()
    }
    // it would take half a minute if each event looked at all of them
    let effects = 0
    for (let seq = 0; seq < count; seq++) {
      effects += acks.receipt('acked', 't', [seq], ['a'], 'a', 1).length
      acks.nextAt()
    }
    expect([effects, acks.size]).to.deep.equal([2 * count, 0])
  })
})

describe('a receipt', () => {
  it('costs what it names of what is pending, not the messages times the peers in it', () => {
    const acks = new PendingAcks<string>({ ...LIMITS, maxPending: 1e6, maxBytes: 1e9 })
    const seqs = Array.from({ length: 4096 }, (_, seq) => seq)
    seqs.forEach(seq => acks.track({ call: seq, topic: 't', seq, content: '', bytes: 1, to: ['a', 'b'], wanted: 2 }, 0))
    const about = Array.from({ length: 4095 }, (_, i) => `nobody ${i}`)
    const began = performance.now()
    // the product of the two takes seconds
    acks.receipt('rejected', 't', seqs, [...about, 'b'], 'relay', 1)
    acks.receipt('rejected', 'another', seqs, about, 'relay', 1)
    expect(performance.now() - began).to.be.below(1000)
    expect(acks.receipt('rejected', 't', [7], ['a'], 'a', 2)).to.deep.equal([
      { type: 'settled', call: 7, outcome: { acked: [], failed: [{ key: 'a', reason: 'rejected' }, { key: 'b', reason: 'rejected' }] } }
    ])
    acks.check()
  })
})

describe('copies of what is not acked', () => {
  it('are not sent before the first one has left (defect 23)', () => {
    const acks = tracking(['a', 'b'])
    leaves(acks, 7, 'b', 'b', 700)
    expect(acks.nextAt()).to.equal(800)
    expect(acks.wake(800)).to.deep.equal([...way('b', 'b', false), ...again(['b'], ['b'])])
    expect(acks.wake(999)).to.deep.equal([])
    expect(acks.wake(1000)).to.deep.equal(settled([], { a: 'timeout', b: 'timeout' }))
  })

  it('are sent by other ways than those that were tried, at growing intervals, and not without end (defect 09)', () => {
    const acks = sentBy({ a: 'r1' })
    expect(acks.wake(99)).to.deep.equal([])
    expect(acks.wake(100)).to.deep.equal([...way('a', 'r1', false), ...again(['a'], ['r1'])])
    leaves(acks, 7, 'a', 'r2', 110)
    expect(acks.wake(309)).to.deep.equal([])
    expect(acks.wake(310)).to.deep.equal([...way('a', 'r2', false), ...again(['a'], ['r1', 'r2'])])
    leaves(acks, 7, 'a', 'r1', 310)
    expect(acks.nextAt()).to.equal(710)
    expect(acks.wake(710)).to.deep.equal([...way('a', 'r1', false), ...again(['a'], ['r1', 'r2'])])
    leaves(acks, 7, 'a', 'r3', 710)
    expect(acks.nextAt()).to.equal(1000)
    expect(acks.wake(1000)).to.deep.equal(settled([], { a: 'timeout' }))
  })

  it('that go the same way are sent together', () => {
    const acks = sentBy({ a: 'r', b: 'r', c: 'c' })
    const effects = acks.wake(100)

    expect(effects.filter(({ type }) => type === 'send')).to.deep.equal([...again(['a', 'b'], ['r']), ...again(['c'], ['c'])])
    expect(effects.map(({ type }) => type)).to.deep.equal(['way', 'way', 'way', 'send', 'send'])
  })

  it('give the credit for an ack to the way that brought it, or to nobody', () => {
    for (const [by, effects] of [['r1', way('a', 'r1', true)], ['r2', way('a', 'r2', true)], ['r3', []]] as const) {
      const acks = sentBy({ a: 'r1' })
      acks.wake(100)
      leaves(acks, 7, 'a', 'r2', 100)
      expect(receipt(acks, 'acked', 'a', by)).to.deep.equal([...effects, ...settled(['a'])])
    }
  })

  it('are sent at once where the neighbour is gone that the last one left by', () => {
    const acks = sentBy({ a: 'r', b: 'r', c: 's' })
    receipt(acks, 'acked', 'b', 'r')
    expect(acks.gone('r')).to.deep.equal(again(['a'], ['r']))
    acks.check()
    expect(acks.gone('r')).to.deep.equal([])
    leaves(acks, 7, 'a', 's', 10)
    expect(acks.gone('s')).to.deep.equal([...again(['c'], ['s']), ...again(['a'], ['r', 's'])])
    expect(acks.gone('unknown')).to.deep.equal([])
  })

  it('are not sent while a validator runs, and the end says so', () => {
    const acks = sentBy({ a: 'a' })
    expect(receipt(acks, 'undecided', 'a', 'a')).to.deep.equal([])
    expect(acks.gone('a')).to.deep.equal([])
    expect(acks.nextAt()).to.equal(1000)
    expect(acks.wake(1000)).to.deep.equal(settled([], { a: 'undecided' }))
  })

  it('are sent later where a destination is congested, and the end says so', () => {
    const acks = sentBy({ a: 'a' })
    expect(receipt(acks, 'congested', 'a', 'a')).to.deep.equal([])
    expect(acks.wake(100)).to.deep.equal([...way('a', 'a', false), ...again(['a'], ['a'])])
    expect(acks.wake(1000)).to.deep.equal(settled([], { a: 'congested' }))
  })

  it('that cannot leave end it only if none has left before, and there is a way', () => {
    const acks = tracking(['a', 'b', 'c'])
    expect(acks.failed('t', 7, 'a', 'too-large', 'r', 0)).to.deep.equal([])
    // this one's neighbour is gone while it waits, and no other way is found: it may be there later
    expect(acks.failed('t', 7, 'b', 'unreachable', 'r', 0)).to.deep.equal(again(['b'], ['r']))
    expect(acks.failed('t', 7, 'b', 'unreachable', undefined, 0)).to.deep.equal([])
    leaves(acks, 7, 'c', 'c', 0)
    expect(acks.wake(100)).to.deep.equal([...way('c', 'c', false), ...again(['b'], ['r']), ...again(['c'], ['c'])])
    expect(acks.failed('t', 7, 'c', 'congested', 's', 100)).to.deep.equal([])
    acks.check()
    expect(acks.wake(300)).to.deep.equal(again(['c'], ['c']))
    expect(receipt(acks, 'acked', 'c', 'c')).to.deep.equal(way('c', 'c', true))
    expect(acks.wake(1000)).to.deep.equal(settled(['c'], { a: 'too-large', b: 'unreachable' }))
  })

  it('end when the caller gives up or everything stops', () => {
    const acks = sentBy({ a: 'a' })
    acks.track({ call: 2, topic: 't', seq: 8, content: '', bytes: 0, to: ['b'], wanted: 1 }, 0)
    expect(acks.abort(1)).to.deep.equal(settled([], { a: 'aborted' }))
    expect(acks.abort(1)).to.deep.equal([])
    expect(acks.stop()).to.deep.equal(settled([], { b: 'stopped' }, 2))
    expect(acks.stop()).to.deep.equal([])
    acks.check()
  })
})

describe('receipts that say unreachable', () => {
  it('are not believed of another neighbour than the way in use, nor while nothing has left (defects 10 and 33)', () => {
    const acks = sentBy({ a: 'a', b: 'r' })

    for (let i = 0; i < 40; i++) {
      expect(receipt(acks, 'unreachable', ['a', 'b'], 'attacker')).to.deep.equal([])
    }
    expect(receipt(acks, 'unreachable', ['a', 'b'], 'r')).to.deep.equal([...way('b', 'r', false), ...again(['b'], ['r'])])
    expect(receipt(acks, 'unreachable', ['b'], 'r')).to.deep.equal([])
  })

  it('say that the copy was taken, where it was written to the one who says so: the next copy goes at once', () => {
    const acks = tracking(['a'])
    acks.written('t', 7, 'a', 'r1')
    expect(receipt(acks, 'unreachable', 'a', 'r2')).to.deep.equal([])
    expect(receipt(acks, 'unreachable', 'a', 'r1')).to.deep.equal([...way('a', 'r1', false), ...again(['a'], ['r1'])])
    // what the neighbour granted a while later, and what it says of the copy that it does not have
    acks.sent('t', 7, 'a', 'r1', 250)
    expect(acks.nextAt()).to.equal(1000)
    expect(receipt(acks, 'unreachable', 'a', 'r1', 250)).to.deep.equal([])
    leaves(acks, 7, 'a', 'r2', 300)
    expect(receipt(acks, 'acked', 'a', 'r2', 310)).to.deep.equal([...way('a', 'r2', true), ...settled(['a'])])
  })

  it('bring one copy for each way, however many come (defects 10 and 33)', () => {
    const acks = sentBy({ a: 'r' })
    let copies = 1

    for (let i = 0; i < 40; i++) {
      copies += receipt(acks, 'unreachable', 'a', 'r').filter(({ type }) => type === 'send').length
      // there is no other way
      leaves(acks, 7, 'a', 'r', 0)
    }
    expect(copies).to.equal(2)
    expect(receipt(acks, 'acked', 'a', 'r')).to.deep.equal([...way('a', 'r', true), ...settled(['a'])])
  })

  it('never end it while a copy is left, which is kept for later, nor before an ack has had time to come', () => {
    const acks = sentBy({ a: 'r1' })

    for (const via of ['r2', 'r3']) {
      expect(receipt(acks, 'unreachable', 'a', via.replace(/\d/, number => `${Number(number) - 1}`)).map(({ type }) => type)).to.deep.equal(['way', 'send'])
      leaves(acks, 7, 'a', via, 0)
    }
    expect(receipt(acks, 'unreachable', 'a', 'r3')).to.deep.equal(way('a', 'r3', false))
    expect(acks.wake(99)).to.deep.equal([])
    expect(acks.wake(100)).to.deep.equal(again(['a'], ['r1', 'r2', 'r3']))
    leaves(acks, 7, 'a', 'r4', 100)
    expect(receipt(acks, 'unreachable', 'a', 'r4', 110)).to.deep.equal(way('a', 'r4', false))
    expect(acks.wake(209)).to.deep.equal([])
    expect(acks.wake(210)).to.deep.equal(settled([], { a: 'unreachable' }))
  })
})

/** Random events; what a plain record of them allows is checked after each */
class World {
  readonly acks = new PendingAcks<string>(LIMITS)
  readonly open = new Map<string, { copies: number, inOutbox: boolean, writtenTo?: Key, said: Set<ReceiptStatus>, failed: boolean }>()
  readonly outcomes = new Map<Call, Outcome>()
  readonly #wanted = new Map<Call, number>()
  readonly #random: () => number
  #now = 0
  #calls = 0

  constructor (seed: number) {
    this.#random = seededRandom(seed)
  }

  step (): void {
    const { acks } = this
    const [call, key, via] = [Math.max(0, this.#calls - this.#below(6)), `key ${this.#below(4)}`, `way ${this.#below(4)}`]
    const record = this.open.get(`${call} ${key}`)

    switch (this.#below(8)) {
      case 0:
        this.#track()
        break
      case 1:
      case 2:
        this.#leave(call, key, via)
        break
      case 3: {
        const reason = (['unreachable', 'congested', 'too-large'] as const)[this.#below(3)]
        if (record?.inOutbox === true) {
          record.inOutbox = false
          record.failed = true
        }
        this.#note(acks.failed('t', call, key, reason, this.#below(2) === 0 ? via : undefined, this.#now))
        break
      }
      case 4: {
        const status = STATUSES[this.#below(STATUSES.length)]
        record?.said.add(status)
        if (record?.inOutbox === true && status === 'unreachable' && record.writtenTo === via) {
          record.inOutbox = false
        }
        this.#note(acks.receipt(status, 't', [call], [key], via, this.#now))
        break
      }
      case 5:
        this.#note(acks.gone(via))
        break
      case 6:
        this.#note(this.#below(20) === 0 ? acks.abort(call) : [])
        break
      default:
        this.#wait(this.#below(60))
    }

    acks.check()
  }

  finish (): void {
    this.#wait(LIMITS.timeout)
    expect([this.acks.size, this.acks.bytes, this.acks.nextAt()]).to.deep.equal([0, 0, Infinity])
    expect(this.outcomes.size).to.equal(this.#wanted.size)
  }

  #track (): void {
    const call = ++this.#calls
    const to = Array.from({ length: 1 + this.#below(4) }, (_, i) => `key ${i}`)
    const wanted = 1 + this.#below(to.length)
    const effects = this.acks.track({ call, topic: 't', seq: call, content: '', bytes: this.#below(3000), to, wanted }, this.#now)

    if (effects !== 'congested') {
      this.#wanted.set(call, wanted)
      to.forEach(key => { this.open.set(`${call} ${key}`, { copies: 1, inOutbox: true, said: new Set(), failed: false }) })
      this.#note(effects)
    }
  }

  /** A copy is written, or taken by the neighbour that it was written to, or by another one */
  #leave (call: number, key: Key, via: Key): void {
    const record = this.open.get(`${call} ${key}`)

    if (this.#below(2) === 0) {
      this.acks.written('t', call, key, via)
      Object.assign(record ?? {}, record?.inOutbox === true ? { writtenTo: via } : {})
      return
    }

    const takenBy = this.#below(3) === 0 ? via : record?.writtenTo ?? via
    this.acks.sent('t', call, key, takenBy, this.#now)
    Object.assign(record ?? {}, record?.writtenTo === takenBy ? { inOutbox: false } : {})
  }

  /** Nothing is due before the time that was told */
  #wait (ms: number): void {
    const next = this.acks.nextAt()
    this.#now += ms
    const effects = this.acks.wake(this.#now)
    expect(effects.length > 0 && this.#now < next).to.equal(false)
    this.#note(effects)
    expect(this.acks.nextAt()).to.be.greaterThan(this.#now)
  }

  #note (effects: Effects): void {
    for (const effect of effects) {
      if (effect.type === 'send') {
        effect.to.forEach(key => { this.#onSend(`${effect.call} ${key}`) })
      } else if (effect.type === 'settled') {
        this.#onSettled(effect.call, effect.outcome)
      }
    }
  }

  #onSend (name: string): void {
    const record = this.open.get(name)
    expect(record?.inOutbox).to.equal(false)

    if (record != null) {
      record.inOutbox = true
      record.writtenTo = undefined
      expect(++record.copies).to.be.at.most(LIMITS.intervals.length)
    }
  }

  #onSettled (call: Call, { acked, failed }: Outcome): void {
    expect(this.outcomes.has(call)).to.equal(false)
    this.outcomes.set(call, { acked, failed })
    const keys = [...acked, ...failed.map(({ key }) => key)]
    const mine = [...this.open.keys()].filter(name => name.startsWith(`${call} `))
    expect(new Set(keys).size).to.equal(keys.length)
    expect(acked.length === this.#wanted.get(call) || keys.length === mine.length).to.equal(true)
    acked.forEach(key => { expect(this.open.get(`${call} ${key}`)?.said.has('acked')).to.equal(true) })

    for (const { key, reason } of failed) {
      const record = this.open.get(`${call} ${key}`)
      const isTold = reason === 'timeout' || reason === 'aborted' || record?.failed === true || record?.said.has(reason as ReceiptStatus)
      expect(isTold, reason).to.equal(true)
    }

    mine.forEach(name => { this.open.delete(name) })
  }

  #below (most: number): number {
    return randomInt(this.#random, most)
  }
}

describe('whatever happens to pending acks', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`each call is settled once, and every answer was given (seed ${seed})`, () => {
      const world = new World(seed)

      for (let i = 0; i < STEPS; i++) {
        world.step()
      }
      world.finish()
    })
  }
})
