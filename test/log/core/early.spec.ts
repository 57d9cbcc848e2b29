import { expect } from 'aegir/chai'
import { Early } from '../../../src/log/core/early.ts'
import { SharedProof } from '../../../src/log/core/shared-proof.ts'
import { sizeOf } from '../../../src/log/core/types.ts'
import type { TrueEntry } from '../../../src/log/core/types.ts'

const NOTHING = new Uint8Array(0)
const PROOFS = new SharedProof({ size: 1, first: 0, count: 1, beside: NOTHING, signature: new Uint8Array(64), ids: () => [NOTHING] })

function entry (time: number, number = time, bytes = 100): TrueEntry {
  const id = new Uint8Array(32)
  new DataView(id.buffer).setUint32(0, number)
  return { time, counter: 0, author: NOTHING, parents: [], group: NOTHING, replicas: 0, data: NOTHING, id, bytes: new Uint8Array(bytes), proofs: PROOFS, at: 0 }
}

/** Room for so many of them */
function room (entries: number): number {
  return entries * (sizeOf(entry(0)) + 500)
}

function times (entries: TrueEntry[]): number[] {
  return entries.map(({ time }) => time).sort((a, b) => a - b)
}

/** Those whose time has come, which go */
function taken (early: Early, now: number): TrueEntry[] {
  const due = early.due(now)
  early.delete(due)
  return due
}

describe('entries whose time has not come', () => {
  it('come out when it has, each once', () => {
    const early = new Early(room(10))
    ;[30, 10, 20].forEach(time => { early.add(entry(time)) })

    expect([early.size, early.next]).to.deep.equal([3, 10])
    expect(times(taken(early, 9))).to.deep.equal([])
    expect(times(taken(early, 20))).to.deep.equal([10, 20])
    expect([early.size, early.next]).to.deep.equal([1, 30])
    expect(times(taken(early, 100))).to.deep.equal([30])
    expect([early.size, early.next]).to.deep.equal([0, undefined])
  })

  it('take no more room when they come again', () => {
    const early = new Early(room(2))

    expect([1, 2, 3].map(() => early.add(entry(10)))).to.deep.equal([true, true, true])
    expect(early.add(entry(20))).to.equal(true)
    expect(early.size).to.equal(2)
  })

  it('keep their room, also from those whose time comes before', () => {
    const early = new Early(room(3))

    expect([10, 40, 20, 30, 5, 40].map(time => early.add(entry(time)))).to.deep.equal([true, true, true, false, false, true])
    expect(times(taken(early, 100))).to.deep.equal([10, 20, 40])
  })

  it('have room again when some have gone, and when all are forgotten', () => {
    const early = new Early(room(2))
    ;[10, 20].forEach(time => { early.add(entry(time)) })
    taken(early, 10)
    expect(early.add(entry(30))).to.equal(true)
    early.clear()

    expect([early.size, early.next]).to.deep.equal([0, undefined])
    expect([40, 50].map(time => early.add(entry(time)))).to.deep.equal([true, true])
  })

  it('are refused when they are larger than all the room there is', () => {
    const early = new Early(room(2))
    early.add(entry(10))

    expect(early.add(entry(20, 20, 10_000))).to.equal(false)
    expect(early.add(entry(5, 5, 10_000))).to.equal(false)
    expect(times(taken(early, 100))).to.deep.equal([10])
  })
})
