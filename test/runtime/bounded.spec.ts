import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Fifo, LruMap } from '../../src/runtime/bounded.ts'

type MapStep = { do: 'set', key: number, value: number } | { do: 'get' | 'has' | 'delete', key: number } | { do: 'clear' }

const key = fc.integer({ min: 0, max: 9 })
const mapStep: fc.Arbitrary<MapStep> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('set' as const), key, value: fc.integer() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('get' as const, 'has' as const, 'delete' as const), key }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) }
)

/** The same in few words and slow: an array, the one used last at its end */
class NaiveLru {
  entries: Array<[number, number]> = []
  evicted = 0
  readonly #capacity: number

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  get (key: number): number | undefined {
    const entry = this.entries.find(([other]) => other === key)
    return entry == null ? undefined : this.#last(entry)
  }

  set (key: number, value: number): void {
    this.#last([key, value])
    if (this.entries.length > this.#capacity) {
      this.entries.shift()
      this.evicted++
    }
  }

  delete (key: number): boolean {
    const before = this.entries.length
    this.entries = this.entries.filter(([other]) => other !== key)
    return this.entries.length < before
  }

  #last (entry: [number, number]): number {
    this.delete(entry[0])
    this.entries.push(entry)
    return entry[1]
  }
}

describe('a map that forgets what was not used for longest', () => {
  it('does what a naive one does', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 6 }), fc.array(mapStep, { maxLength: 100 }), (capacity, steps) => {
      const real = new LruMap<number, number>(capacity)
      const naive = new NaiveLru(capacity)

      for (const step of steps) {
        switch (step.do) {
          case 'set':
            real.set(step.key, step.value)
            naive.set(step.key, step.value)
            break
          case 'get':
            expect(real.get(step.key)).to.equal(naive.get(step.key))
            break
          case 'has':
            expect(real.has(step.key)).to.equal(naive.entries.some(([key]) => key === step.key))
            break
          case 'delete':
            expect(real.delete(step.key)).to.equal(naive.delete(step.key))
            break
          case 'clear':
            real.clear()
            naive.entries = []
            break
        }

        expect([...real.entries()]).to.deep.equal(naive.entries)
        expect(real.size).to.equal(naive.entries.length).and.to.be.at.most(capacity)
        expect(real.evicted).to.equal(naive.evicted)
      }
    }))
  })
})

type QueueStep = { do: 'push', count: number } | { do: 'shift', count: number } | { do: 'remove', divisor: number } | { do: 'clear' }

const queueStep: fc.Arbitrary<QueueStep> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('push' as const, 'shift' as const), count: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), divisor: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) }
)

describe('a queue', () => {
  it('does what an array does', () => {
    fc.assert(fc.property(fc.array(queueStep, { maxLength: 60 }), steps => {
      const real = new Fifo<number>()
      let naive: number[] = []
      let next = 0

      for (const step of steps) {
        switch (step.do) {
          case 'push':
            for (let i = 0; i < step.count; i++) {
              real.push(next)
              naive.push(next++)
            }
            break
          case 'shift':
            for (let i = 0; i < step.count; i++) {
              expect(real.peek()).to.equal(naive[0])
              expect(real.shift()).to.equal(naive.shift())
            }
            break
          case 'remove':
            expect(real.remove(item => item % step.divisor === 0)).to.deep.equal(naive.filter(item => item % step.divisor === 0))
            naive = naive.filter(item => item % step.divisor !== 0)
            break
          case 'clear':
            expect(real.clear()).to.deep.equal(naive)
            naive = []
            break
        }

        expect(real.length).to.equal(naive.length)
        expect(real.peek()).to.equal(naive[0])
      }
    }))
  })
})
