import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Outgoing } from '../../src/replication/core/outgoing.ts'
import type { Batch, Item, OutgoingInit } from '../../src/replication/core/outgoing.ts'

const NOTHING = new Uint8Array(0)
const INIT = { window: 2, maxUnderWay: 1000, batchBytes: 100, batchEntries: 3, maxQueued: 5, maxBytes: 300, timeout: 1000 }

function make (init: Partial<OutgoingInit> = {}): Outgoing {
  let number = 0
  return new Outgoing({ ...INIT, number: () => ++number, ...init })
}

function itemOf (id: string | number, isAwaited = false, bytes = 10): Item {
  return { id: String(id), entry: { bytes: NOTHING, proof: NOTHING }, bytes, isAwaited }
}

function idsOf (batch: Pick<Batch, 'items'> | undefined): string | undefined {
  return batch?.items.map(({ id }) => id).join('')
}

describe('new entries for a peer', () => {
  it('go out in batches of so many entries and bytes, in their order, as many at once as the window has', () => {
    const outgoing = make({ batchEntries: 4 })
    for (const [id, bytes] of [['a', 50], ['b', 50], ['c', 1], ['d', 1], ['e', 1]] as const) {
      outgoing.add(itemOf(id, true, bytes))
    }
    for (const id of 'fghijk') {
      outgoing.add(itemOf(id, true, 1))
    }
    const [first, second] = [outgoing.take(0), outgoing.take(0)]
    expect([idsOf(first), idsOf(second), idsOf(outgoing.take(0))]).to.deep.equal(['ab', 'cdef', undefined])
    expect(outgoing.size).to.equal(11)
    expect(idsOf({ items: outgoing.answered(first?.number ?? 0) })).to.equal('ab')
    expect(idsOf(outgoing.take(0))).to.equal('ghij')
    expect(outgoing.size).to.equal(9)
  })

  it('gather while others are under way, until they fill a batch or those were answered', () => {
    const outgoing = make({ batchEntries: 2 })
    outgoing.add(itemOf('a'))
    const first = outgoing.take(0)
    outgoing.add(itemOf('b'))
    expect([idsOf(first), outgoing.take(0)]).to.deep.equal(['a', undefined])
    outgoing.add(itemOf('c'))
    expect(idsOf(outgoing.take(0))).to.equal('bc')
    outgoing.add(itemOf('d'))
    expect(outgoing.take(0)).to.equal(undefined)
    outgoing.answered(first?.number ?? 0)
    outgoing.answered(2)
    expect(idsOf(outgoing.take(0))).to.equal('d')
  })

  it('go alone when they are larger than a batch', () => {
    const outgoing = make()
    outgoing.add(itemOf('a', true, 1000))
    outgoing.add(itemOf('b', true, 1))
    const first = outgoing.take(0)
    outgoing.answered(first?.number ?? 0)
    expect([idsOf(first), idsOf(outgoing.take(0))]).to.deep.equal(['a', 'b'])
  })

  it('are let go when too many or too large ones wait, but never one that somebody waits for', () => {
    const outgoing = make()
    '12345678'.split('').forEach(id => { outgoing.add(itemOf(id)) })
    outgoing.add(itemOf('w', true))
    expect(outgoing.size).to.equal(6)

    const large = make({ maxQueued: 100 })
    '123'.split('').forEach(id => { large.add(itemOf(id, false, 150)) })
    large.add(itemOf('w', true, 150))
    expect(large.size).to.equal(3)
    // what was sent makes room
    large.take(0)
    large.take(0)
    large.add(itemOf(4, false, 150))
    expect(large.size).to.equal(4)
  })

  it('that were let go are told of once, when all others have arrived', () => {
    const outgoing = make({ maxQueued: 1 })
    expect(outgoing.takeBehind()).to.equal(false)
    outgoing.add(itemOf('a', true))
    outgoing.add(itemOf('b'))
    expect(outgoing.takeBehind()).to.equal(false)
    const first = outgoing.take(0)
    expect(outgoing.takeBehind()).to.equal(false)
    outgoing.lost(first?.number ?? 0)
    // it waits to be sent again
    expect(outgoing.takeBehind()).to.equal(false)
    outgoing.answered(outgoing.take(0)?.number ?? 0)
    expect([outgoing.takeBehind(), outgoing.takeBehind()]).to.deep.equal([true, false])
  })

  it('that were lost go again if somebody waits for them, before all others and in their order', () => {
    const outgoing = make({ batchEntries: 2, window: 3, maxQueued: 10 })
    'abcdefg'.split('').forEach(id => { outgoing.add(itemOf(id, id !== 'b')) })
    const numbers = [outgoing.take(0), outgoing.take(0), outgoing.take(0)].map(batch => batch?.number ?? 0)
    numbers.reverse().forEach(number => { outgoing.lost(number) })
    expect([idsOf(outgoing.take(0)), idsOf(outgoing.take(0)), idsOf(outgoing.take(0))]).to.deep.equal(['ac', 'de', 'fg'])
    // b was let go
    expect(outgoing.size).to.equal(6)
  })

  it('are lost when no answer came in time, and an answer that comes later says nothing', () => {
    const outgoing = make({ batchEntries: 1 })
    expect(outgoing.nextTimeout()).to.equal(Infinity)
    outgoing.add(itemOf('a', true))
    outgoing.add(itemOf('b'))
    const first = outgoing.take(0)
    const second = outgoing.take(500)
    expect(outgoing.nextTimeout()).to.equal(1000)
    outgoing.expire(999)
    expect(outgoing.size).to.equal(2)
    outgoing.expire(1000)
    expect(outgoing.nextTimeout()).to.equal(1500)
    const again = outgoing.take(1000)
    expect(idsOf(again)).to.equal('a')
    expect(again?.number).to.not.be.oneOf([first?.number, second?.number])
    expect(outgoing.answered(first?.number ?? 0)).to.deep.equal([])
    outgoing.expire(1500)
    expect(outgoing.size).to.equal(1)
    expect(idsOf({ items: outgoing.answered(again?.number ?? 0) })).to.equal('a')
    expect([outgoing.size, outgoing.takeBehind(), outgoing.nextTimeout()]).to.deep.equal([0, true, Infinity])
    outgoing.lost(again?.number ?? 0)
    expect([outgoing.size, outgoing.takeBehind()]).to.deep.equal([0, false])
  })

  type Action =
    | { type: 'add', isAwaited: boolean, bytes: number }
    | { type: 'take' }
    | { type: 'answered' | 'lost', which: number }
    | { type: 'expire', after: number }

  const action: fc.Arbitrary<Action> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant('add' as const), isAwaited: fc.boolean(), bytes: fc.integer({ min: 1, max: 120 }) }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('take' as const) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('answered' as const, 'lost' as const), which: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('expire' as const), after: fc.nat(1500) }) }
  )

  /** What happened so far, as somebody sees it who only watches */
  class Watcher {
    readonly outgoing = make()
    readonly sent = new Map<number, { items: Item[], at: number }>()
    readonly open = new Set<string>()
    #now = 0
    #isBehind = false
    #added = 0

    do (action: Action): void {
      const numbers = [...this.sent.keys()]

      switch (action.type) {
        case 'add': {
          const item = itemOf(++this.#added, action.isAwaited, action.bytes)
          const before = this.outgoing.size
          this.outgoing.add(item)
          this.#isBehind ||= this.outgoing.size === before
          if (action.isAwaited) {
            this.open.add(item.id)
          }
          break
        }
        case 'take':
          this.take()
          break
        case 'expire':
          this.#now += action.after
          this.outgoing.expire(this.#now)
          numbers.filter(number => (this.sent.get(number)?.at ?? 0) + INIT.timeout <= this.#now).forEach(number => { this.#end(number, false) })
          break
        default: {
          // also ones that were never sent, or are over
          const number = numbers[action.which] ?? action.which
          const items = action.type === 'lost' ? this.outgoing.lost(number) : this.outgoing.answered(number)
          expect(items ?? this.sent.get(number)?.items ?? []).to.deep.equal(this.sent.get(number)?.items ?? [])
          this.#end(number, action.type === 'answered')
        }
      }

      this.#expectBounds()
    }

    take (): void {
      const batch = this.outgoing.take(this.#now)

      if (batch != null) {
        const order = batch.items.map(({ id }) => Number(id))
        expect(order).to.deep.equal([...order].sort((a, b) => a - b))
        expect(this.sent.has(batch.number)).to.equal(false)
        expect(batch.items.length === 1 || batch.items.reduce((sum, { bytes }) => sum + bytes, 0) <= INIT.batchBytes).to.equal(true)
        expect(batch.items.length).to.be.within(1, INIT.batchEntries)
        this.sent.set(batch.number, { items: batch.items, at: this.#now })
      }
    }

    /** Answers all, until there is nothing left */
    finish (): void {
      for (let left = 10_000; this.outgoing.size > 0 && left > 0; left--) {
        this.take()
        const [number] = this.sent.keys()
        this.outgoing.answered(number)
        this.#end(number, true)
      }
      expect(this.outgoing.size).to.equal(0)
      expect([this.outgoing.takeBehind(), this.outgoing.takeBehind()]).to.deep.equal([this.#isBehind, false])
    }

    #end (number: number, isStored: boolean): void {
      const { items = [] } = this.sent.get(number) ?? {}
      this.sent.delete(number)
      this.#isBehind ||= !isStored && items.some(({ isAwaited }) => !isAwaited)

      if (isStored) {
        items.forEach(({ id }) => { this.open.delete(id) })
      }
    }

    #expectBounds (): void {
      const underWay = [...this.sent.values()].flatMap(({ items }) => items)
      const awaited = this.open.size
      expect(this.sent.size).to.be.at.most(INIT.window)
      expect(this.outgoing.size).to.be.within(Math.max(underWay.length, awaited), underWay.length + awaited + INIT.maxQueued)
      expect(this.outgoing.nextTimeout()).to.equal(Math.min(...[...this.sent.values()].map(({ at }) => at + INIT.timeout)))
      // it is told when there is nothing else
      if (this.outgoing.size > 0) {
        expect(this.outgoing.takeBehind()).to.equal(false)
      }
    }
  }

  it('that somebody waits for all arrive, whatever is answered, lost or late, and nothing goes past its bounds', () => {
    fc.assert(fc.property(fc.array(action, { maxLength: 80 }), actions => {
      const watcher = new Watcher()
      actions.forEach(action => { watcher.do(action) })
      watcher.finish()
      expect([...watcher.open]).to.deep.equal([])
    }), { numRuns: 500 })
  })

  it('cost little when many wait', () => {
    const outgoing = make({ window: 8, batchEntries: 1024, batchBytes: 200_000 })
    for (let i = 0; i < 100_000; i++) {
      outgoing.add(itemOf(i, true))
    }
    let lost = 0
    for (let batch = outgoing.take(0); batch != null; batch = outgoing.take(0)) {
      if (lost++ % 3 === 0) {
        outgoing.lost(batch.number)
      } else {
        outgoing.answered(batch.number)
      }
    }
    expect(outgoing.size).to.equal(0)
  })
})
