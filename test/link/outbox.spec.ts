import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { encodeFrame, FrameParser, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane, Outbox, PIECE, WHOLE } from '../../src/link/core/outbox.ts'
import type { Entry } from '../../src/link/core/outbox.ts'

const BUFFER = new Uint8Array(1_000_000)

/** What the other side makes of it, and what became of each entry here */
class Case {
  readonly outbox: Outbox
  readonly arrived: number[] = []
  readonly fates = new Map<number, string[]>()
  readonly #lanes = [0, 1, 2].map(() => new FrameParser(2_000_000, (_, body) => { this.#onFrame(body) }))
  readonly #stream = new FrameParser(WHOLE + 16, (kind, body) => {
    kind === Kind.PIECE ? this.#lanes[body[0]].push(body.subarray(1)) : this.#onFrame(body)
  })

  constructor (capacity = 1_000_000, maxWaiting = 1000) {
    this.outbox = new Outbox({ capacity, maxWaiting })
  }

  entry (id: number, lane: Lane, size: number, flow?: string): Entry {
    const fates: string[] = []
    this.fates.set(id, fates)
    const write = (target: Uint8Array, at: number): void => { new DataView(target.buffer, target.byteOffset).setUint32(at, id) }
    return {
      frame: encodeFrame(Kind.FIRST_FREE, 4, write, BUFFER.subarray(0, size)),
      lane,
      flow,
      onAdmitted: () => { fates.push('admitted') },
      onSent: () => { fates.push('sent') },
      onDropped: () => { fates.push('dropped') }
    }
  }

  push (id: number, lane: Lane, size: number, flow?: string): 'admitted' | 'waiting' | 'refused' {
    return this.outbox.push(this.entry(id, lane, size, flow))
  }

  /** Returns how many bytes were written */
  take (limit: number): number {
    const parts = this.outbox.take(limit) ?? []
    parts.forEach(part => { this.#stream.push(part) })
    return parts.reduce((sum, part) => sum + part.byteLength, 0)
  }

  takeAll (): void {
    while (!this.outbox.isEmpty) {
      this.take(WHOLE + 16)
    }
  }

  #onFrame (body: Uint8Array): void {
    this.arrived.push(new DataView(body.buffer, body.byteOffset).getUint32(0))
  }
}

describe('what waits for a neighbour', () => {
  it('leaves first in, first out in each lane', () => {
    const setting = new Case()
    for (let i = 0; i < 300; i++) {
      setting.push(i, (i % 3) as Lane, 1000)
    }
    setting.takeAll()

    for (const lane of [0, 1, 2]) {
      expect(setting.arrived.filter(id => id % 3 === lane)).to.deep.equal(Array.from({ length: 100 }, (_, i) => i * 3 + lane))
    }
  })

  it('leaves in pieces where it is large, and is put together to the same bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 0, maxLength: 300 }), fc.integer({ min: WHOLE - 10, max: 4 * PIECE }), fc.constantFrom(Lane.DATA, Lane.BULK, Lane.REPAIR), (fields, size, lane) => {
      const body = BUFFER.slice(0, size).map((_, i) => i)
      const frame = encodeFrame(77, fields.byteLength, (target, at) => { target.set(fields, at) }, body)
      const outbox = new Outbox({ capacity: 1, maxWaiting: 1 })
      const whole: Uint8Array[] = []
      const lanes = new FrameParser(1_000_000, (kind, body) => { whole.push(Uint8Array.from([kind, ...body])) })
      const stream = new FrameParser(WHOLE + 16, (kind, body) => {
        if (kind === Kind.PIECE) {
          expect(body[0]).to.equal(lane)
          lanes.push(body.subarray(1))
        } else {
          whole.push(Uint8Array.from([kind, ...body]))
        }
      })
      outbox.push({ frame, lane })

      for (let parts = outbox.take(WHOLE + 16); parts != null; parts = outbox.take(WHOLE + 16)) {
        parts.forEach(part => { stream.push(part) })
      }

      expect(whole).to.have.lengthOf(1)
      expect(whole[0].subarray(1, 1 + fields.byteLength)).to.deep.equal(fields)
      expect(whole[0].subarray(1 + fields.byteLength).every((byte, i) => byte === body[i])).to.equal(true)
      expect(whole[0].byteLength).to.equal(1 + fields.byteLength + size)
      expect(outbox.bytes).to.equal(0)
    }), { numRuns: 15 })
  })

  it('shares the stream 8 : 4 : 1 while all lanes have some', () => {
    for (const size of [100, 5000, 65_000]) {
      const setting = new Case(1e9)
      const count = Math.ceil(6_000_000 / size)
      for (let i = 0; i < 3 * count; i++) {
        setting.push(i, (i % 3) as Lane, size)
      }
      for (let written = 0; written < 6_000_000;) {
        written += setting.take(70_000)
      }
      const shares = [0, 1, 2].map(lane => setting.arrived.filter(id => id % 3 === lane).length / setting.arrived.length * 13)

      expect(shares[0]).to.be.closeTo(8, 0.5)
      expect(shares[1]).to.be.closeTo(4, 0.4)
      expect(shares[2]).to.be.closeTo(1, 0.3)
    }
  })

  it('lets a lane pay nothing later for what it sent while the others were empty', () => {
    for (const alone of [Lane.DATA, Lane.BULK, Lane.REPAIR]) {
      const setting = new Case(1e9)
      for (let i = 0; i < 1000; i++) {
        setting.push(i, alone, 60_000)
      }
      setting.takeAll()
      for (let i = 3000; i < 3300; i++) {
        setting.push(i, (i % 3) as Lane, 60_000)
      }
      for (let written = 0; written < 2_600_000;) {
        written += setting.take(70_000)
      }
      const counts = [0, 1, 2].map(lane => setting.arrived.filter(id => id >= 3000 && id % 3 === lane).length)

      expect(counts[0], `after lane ${alone}`).to.be.within(24, 31)
      expect(counts[1], `after lane ${alone}`).to.be.within(11, 17)
      expect(counts[2], `after lane ${alone}`).to.be.within(2, 6)
    }
  })

  it('writes nothing that is larger than the limit', () => {
    const setting = new Case()
    setting.push(1, Lane.DATA, 1000)

    expect(setting.outbox.take(500)).to.equal(undefined)
    expect(setting.take(1100)).to.be.above(1000)
  })

  it('makes wait what finds no room, admits it in order, and refuses what finds no place to wait', () => {
    const setting = new Case(3000, 2)

    expect([1, 2, 3, 4, 5].map(id => setting.push(id, Lane.DATA, 1400))).to.deep.equal(['admitted', 'admitted', 'waiting', 'waiting', 'refused'])
    expect(setting.push(6, Lane.BULK, 9000)).to.equal('admitted')
    setting.take(1500)
    expect(setting.fates.get(1)).to.deep.equal(['sent'])
    expect(setting.fates.get(3)).to.deep.equal(['admitted'])
    expect(setting.fates.get(4)).to.deep.equal([])
    expect(setting.outbox.waiting).to.equal(1)
    setting.takeAll()
    expect(setting.arrived.filter(id => id < 6)).to.deep.equal([1, 2, 3, 4])
    expect(setting.fates.get(5)).to.deep.equal([])
  })

  it('does not let one that waits be overtaken by a smaller one', () => {
    const setting = new Case(3000)
    setting.push(1, Lane.DATA, 2000)
    setting.push(2, Lane.DATA, 2000)

    expect(setting.push(3, Lane.DATA, 10)).to.equal('waiting')
    setting.takeAll()
    expect(setting.arrived).to.deep.equal([1, 2, 3])
  })

  it('takes back what waits, and only that', () => {
    const setting = new Case(3000)
    const entries = [1, 2, 3].map(id => setting.entry(id, Lane.DATA, 2000))
    entries.forEach(entry => { setting.outbox.push(entry) })

    expect(entries.map(entry => setting.outbox.withdraw(entry))).to.deep.equal([false, true, true])
    setting.takeAll()
    expect(setting.arrived).to.deep.equal([1])
    expect(setting.fates.get(2)).to.deep.equal([])
  })

  it('keeps the order of a flow around frames so large that they go with the bulk', () => {
    const setting = new Case(1e9)
    for (let i = 0; i < 60; i++) {
      setting.push(i, Lane.DATA, i % 50 === 45 ? 80_000 : 20_000, 'flow')
      setting.push(100 + i, Lane.DATA, 1000, 'other')
    }
    setting.takeAll()

    expect(setting.arrived.filter(id => id < 100)).to.deep.equal(Array.from({ length: 60 }, (_, i) => i))
    expect(setting.arrived.filter(id => id >= 100)).to.deep.equal(Array.from({ length: 60 }, (_, i) => 100 + i))
    // and is back among the data when the large ones are through
    setting.push(200, Lane.BULK, 60_000)
    setting.push(201, Lane.DATA, 10, 'flow')
    setting.take(100)
    expect(setting.arrived.at(-1)).to.equal(201)
  })

  it('keeps that order also when what came first has to wait for room, or is taken back', () => {
    const setting = new Case(50_000)
    const entries = [20_000, 20_000, 20_000, 20_000, 200_000, 20_000, 20_000].map((size, id) => setting.entry(id, Lane.DATA, size, 'flow'))
    entries.forEach(entry => { setting.outbox.push(entry) })
    expect(setting.outbox.withdraw(entries[3])).to.equal(true)
    setting.takeAll()

    expect(setting.arrived).to.deep.equal([0, 1, 2, 4, 5, 6])
  })

  it('sends a frame from its start again when the stream that carried its first pieces is gone', () => {
    const setting = new Case()
    setting.push(1, Lane.BULK, 300_000)
    const before = setting.outbox.bytes
    setting.take(PIECE + 100)
    expect(setting.outbox.bytes).to.be.below(before)
    setting.outbox.restart()
    expect(setting.outbox.bytes).to.equal(before)

    const next = new Case()
    const written: Uint8Array[] = []
    for (let parts = setting.outbox.take(WHOLE + 16); parts != null; parts = setting.outbox.take(WHOLE + 16)) {
      written.push(...parts)
    }
    const lane = new FrameParser(1_000_000, (_, body) => { next.arrived.push(body.byteLength) })
    const stream = new FrameParser(WHOLE + 16, (_, body) => { lane.push(body.subarray(1)) })
    written.forEach(part => { stream.push(part) })
    expect(next.arrived).to.deep.equal([300_004])
    expect(setting.outbox.bytes).to.equal(0)
  })

  it('tells each once when all is dropped, and starts afresh', () => {
    const setting = new Case(3000, 10)
    setting.push(1, Lane.BULK, 200_000)
    setting.take(PIECE + 100)
    setting.push(2, Lane.DATA, 2000, 'flow')
    setting.push(3, Lane.DATA, 2000)
    setting.push(4, Lane.DATA, 200_000, 'flow')
    setting.outbox.clear()
    setting.outbox.clear()

    expect([1, 2, 3, 4].map(id => setting.fates.get(id))).to.deep.equal([['dropped'], ['dropped'], ['dropped'], ['dropped']])
    expect([setting.outbox.bytes, setting.outbox.waiting, setting.outbox.isEmpty]).to.deep.equal([0, 0, true])
    expect(setting.push(5, Lane.DATA, 2000, 'flow')).to.equal('admitted')
    expect(setting.push(6, Lane.BULK, 1000)).to.equal('admitted')
    setting.takeAll()
    expect(setting.arrived).to.have.members([5, 6])
  })

  it('holds small frames as they are made', () => {
    const outbox = new Outbox({ capacity: 100, maxWaiting: 1 })
    const frame = frameOf(20, Uint8Array.of(1))
    outbox.push({ frame, lane: Lane.DATA })

    expect(outbox.take(100)).to.deep.equal([frame.head])
  })
})
