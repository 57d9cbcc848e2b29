import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Proofs } from '../../src/log/core/proofs.ts'
import { WaitingRoom } from '../../src/log/core/waiting-room.ts'
import type { TrueEntry } from '../../src/log/core/types.ts'

const NOTHING = new Uint8Array(0)

function idOf (number: number): Uint8Array {
  return new Uint8Array(32).fill(number)
}

function entry (number: number, size = 100): TrueEntry {
  return {
    id: idOf(number), bytes: new Uint8Array(size), proofs: new Proofs(NOTHING), at: 0, time: number, counter: 0, author: NOTHING, parents: [], group: NOTHING, replicas: 0, data: NOTHING, isProved: true
  }
}

function numbers (entries: TrueEntry[]): number[] {
  return entries.map(({ id }) => id[0])
}

function missingOf (room: WaitingRoom): number[] {
  return room.missing.map(id => id[0])
}

function newRoom (maxEntries = 100, maxBytes = 1_000_000): WaitingRoom {
  return new WaitingRoom({ maxEntries, maxBytes })
}

describe('the waiting room', () => {
  it('lets an entry go when the last of its parents is settled', () => {
    const room = newRoom()
    room.add(entry(3), [idOf(1), idOf(2)])

    expect(numbers(room.settle(idOf(1)))).to.deep.equal([])
    expect(room.has(idOf(3))).to.equal(true)
    expect(numbers(room.settle(idOf(2)))).to.deep.equal([3])
    expect(room.has(idOf(3))).to.equal(false)
  })

  it('lets all go that waited for one parent', () => {
    const room = newRoom()
    room.add(entry(2), [idOf(1)])
    room.add(entry(3), [idOf(1)])

    expect(numbers(room.settle(idOf(1)))).to.deep.equal([2, 3])
  })

  it('does not let go who waits for one that waits itself', () => {
    const room = newRoom()
    room.add(entry(2), [idOf(1)])
    room.add(entry(3), [idOf(2)])

    expect(numbers(room.settle(idOf(1)))).to.deep.equal([2])
    expect(numbers(room.settle(idOf(2)))).to.deep.equal([3])
  })

  it('asks for parents that are nowhere, not for those that wait themselves, and for each once', () => {
    const room = newRoom()
    room.add(entry(3), [idOf(2)])
    room.add(entry(2), [idOf(1)])
    room.add(entry(4), [idOf(1)])

    expect(missingOf(room)).to.deep.equal([1])
  })

  it('asks again for one that had to leave while others wait for it', () => {
    const room = newRoom(2)
    room.add(entry(2), [idOf(1)])
    room.add(entry(3), [idOf(2)])
    room.add(entry(4), [idOf(3)])

    expect(room.has(idOf(2))).to.equal(false)
    expect(missingOf(room)).to.deep.equal([2])
  })

  it('takes an entry once', () => {
    const room = newRoom()
    room.add(entry(2), [idOf(1)])
    const { bytes } = room
    room.add(entry(2), [idOf(1), idOf(9)])

    expect(room.size).to.equal(1)
    expect(room.bytes).to.equal(bytes)
    expect(missingOf(room)).to.deep.equal([1])
  })

  it('sends away who has waited longest when there are too many', () => {
    const room = newRoom(2)
    const left = [2, 3, 4, 5].map(number => numbers(room.add(entry(number), [idOf(1)])))

    expect(left).to.deep.equal([[], [], [2], [3]])
    expect(numbers(room.settle(idOf(1)))).to.deep.equal([4, 5])
  })

  it('sends away as many as it takes to make room for a large one', () => {
    const room = newRoom(100, 3000)
    const left = [entry(2), entry(3), entry(4), entry(5, 2400)].map(large => numbers(room.add(large, [idOf(1)])))

    expect(left).to.deep.equal([[], [], [], [2, 3, 4]])
  })

  it('does not keep one that is larger than the room', () => {
    const room = newRoom(100, 3000)

    expect(numbers(room.add(entry(2, 4000), [idOf(1)]))).to.deep.equal([2])
    expect(room.size).to.equal(0)
    expect(missingOf(room)).to.deep.equal([])
  })

  it('is empty of names and bytes when all have left', () => {
    const room = newRoom()
    room.add(entry(2), [idOf(1)])
    room.add(entry(3), [idOf(1), idOf(2)])

    expect(numbers(room.clear())).to.deep.equal([2, 3])
    expect([room.size, room.bytes, room.missing.length]).to.deep.equal([0, 0, 0])
  })

  it('holds at any time exactly those who came, did not leave, and lack a parent', () => {
    const anyStep = fc.oneof(
      fc.record({ add: fc.integer({ min: 1, max: 20 }), lacks: fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 4 }), size: fc.nat(2000) }),
      fc.integer({ min: 1, max: 20 }).map(settle => ({ settle }))
    )

    fc.assert(fc.property(fc.array(anyStep, { maxLength: 80, size: 'max' }), steps => {
      const room = newRoom(8, 8000)
      const model = new Map<number, { lacks: Set<number>, size: number }>()

      for (const step of steps) {
        const left = 'add' in step ? room.add(entry(step.add, step.size), step.lacks.map(idOf)) : room.settle(idOf(step.settle))

        if ('add' in step) {
          model.set(step.add, model.get(step.add) ?? { lacks: new Set(step.lacks), size: step.size + 500 })
        } else {
          model.forEach(({ lacks }) => { lacks.delete(step.settle) })
          const free = [...model].filter(([, { lacks }]) => lacks.size === 0).map(([number]) => number)
          expect(numbers(left).sort()).to.deep.equal(free.sort())
        }

        numbers(left).forEach(number => {
          expect(model.has(number)).to.equal(true)
          model.delete(number)
        })
        const all = [...model.values()]
        expect(all.every(({ lacks }) => lacks.size > 0)).to.equal(true)
        expect(room.size).to.equal(model.size)
        expect(room.size).to.be.at.most(8)
        expect(room.bytes).to.equal(all.reduce((sum, { size }) => sum + size, 0))
        expect(room.bytes).to.be.at.most(8000)
        expect(missingOf(room).sort()).to.deep.equal([...new Set(all.flatMap(({ lacks }) => [...lacks]))].filter(number => !model.has(number)).sort())
      }
    }), { seed: 1, numRuns: 300 })
  })
})
