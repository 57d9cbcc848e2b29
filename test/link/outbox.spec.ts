import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { encodeFrame, FrameParser, frameOf, Kind, Slots, SLOTS } from '../../src/link/core/frames.ts'
import { Lane, Outbox, PIECE, WHOLE } from '../../src/link/core/outbox.ts'
import type { Entry } from '../../src/link/core/outbox.ts'

const BUFFER = new Uint8Array(1_000_000)

function newOutbox (capacity: number, maxWaiting: number): Outbox {
  return new Outbox({ capacity, controlCapacity: capacity, ownCapacity: capacity * 4, maxWaiting, maxWaitingBytes: 100_000_000 })
}

/** What the other side makes of it, and what became of each entry here */
class Case {
  readonly outbox: Outbox
  readonly arrived: number[] = []
  readonly fates = new Map<number, string[]>()
  readonly #slots = new Slots({ maxFrame: 20_000_000, onFrame: (_, body) => { this.#onFrame(body) } })
  readonly #stream = new FrameParser(WHOLE + 16, (kind, body) => {
    kind === Kind.PIECE ? this.#slots.push(body) : this.#onFrame(body)
  })

  constructor (capacity = 1_000_000, maxWaiting = 1000) {
    this.outbox = newOutbox(capacity, maxWaiting)
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
    const outcome = this.outbox.push(this.entry(id, lane, size, flow))
    this.check()
    return outcome
  }

  /** Returns how many bytes were written */
  take (limit: number): number {
    const parts = this.outbox.take(limit) ?? []
    this.check()
    parts.forEach(part => { this.#stream.push(part) })
    return parts.reduce((sum, part) => sum + part.byteLength, 0)
  }

  /** Looks at all that there is, so not where there is much */
  check (): void {
    if (this.fates.size < 200) {
      this.outbox.check()
    }
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

describe('what waits for a neighbour', function () {
  this.timeout(20_000)

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

  it('is told lane by lane', () => {
    const setting = new Case()
    for (const [i, lane] of [Lane.DATA, Lane.BULK, Lane.REPAIR, Lane.CONTROL].entries()) {
      setting.push(i, lane, 1000 * (i + 1))
    }
    const { data, bulk, repair, control } = setting.outbox.laneBytes
    // a frame has some bytes around its body
    expect([data, bulk, repair, control].map(bytes => Math.floor(bytes / 1000))).to.deep.equal([1, 2, 3, 4])
    expect([data + bulk + repair, control]).to.deep.equal([setting.outbox.bytes, setting.outbox.controlBytes])
  })

  it('leaves in pieces where it is large, and is put together to the same bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 0, maxLength: 300 }), fc.integer({ min: WHOLE - 10, max: 4 * PIECE }), fc.constantFrom(Lane.DATA, Lane.BULK, Lane.REPAIR, Lane.CONTROL), (fields, size, lane) => {
      const body = BUFFER.slice(0, size).map((_, i) => i)
      const frame = encodeFrame(77, fields.byteLength, (target, at) => { target.set(fields, at) }, body)
      const outbox = newOutbox(1, 1)
      const whole: Uint8Array[] = []
      const slots = new Slots({ maxFrame: 1_000_000, onFrame: (kind, body) => { whole.push(Uint8Array.from([kind, ...body])) } })
      const stream = new FrameParser(WHOLE + 16, (kind, body) => {
        if (kind === Kind.PIECE) {
          expect(body[0] === SLOTS - 1).to.equal(lane === Lane.CONTROL)
          slots.push(body)
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

  it('takes back what is not begun', () => {
    const setting = new Case(3000)
    const entries = [1, 2, 3].map(id => setting.entry(id, Lane.DATA, 2000))
    entries.forEach(entry => { setting.outbox.push(entry) })

    expect(setting.outbox.withdraw(entries[0])).to.equal(true)
    // which makes room for the next one, and so on
    expect(setting.fates.get(2)).to.deep.equal(['admitted'])
    expect(entries.map(entry => setting.outbox.withdraw(entry))).to.deep.equal([false, true, true])
    setting.outbox.check()
    expect([setting.outbox.bytes, setting.outbox.waiting, setting.outbox.isEmpty]).to.deep.equal([0, 0, true])
    setting.push(4, Lane.DATA, 300_000)
    setting.takeAll()
    expect(setting.arrived).to.deep.equal([4])
    expect(setting.fates.get(1)).to.deep.equal([])
  })

  it('does not take back what is begun', () => {
    const setting = new Case()
    const entry = setting.entry(1, Lane.DATA, 300_000)
    setting.outbox.push(entry)
    setting.take(WHOLE)

    expect(setting.outbox.withdraw(entry)).to.equal(false)
    setting.takeAll()
    expect(setting.outbox.withdraw(entry)).to.equal(false)
    expect(setting.arrived).to.deep.equal([1])
  })

  it('keeps nothing of what is taken back, however often that happens while nothing leaves', () => {
    const setting = new Case(3000)
    setting.push(0, Lane.DATA, 10, 'flow')

    for (let i = 1; i < 10_000; i++) {
      const entry = setting.entry(i, Lane.DATA, i % 2 === 0 ? 100 : 5000, 'flow')
      setting.outbox.push(entry)
      expect(setting.outbox.withdraw(entry)).to.equal(true)
    }

    setting.outbox.check()
    setting.takeAll()
    expect(setting.arrived).to.deep.equal([0])
  })

  it('keeps the order of a flow around large frames, and lets others go between their pieces', () => {
    const setting = new Case(1e9)
    for (let i = 0; i < 60; i++) {
      setting.push(i, Lane.DATA, i % 50 === 45 ? 800_000 : 20_000, 'flow')
      setting.push(100 + i, Lane.DATA, 20_000, 'other')
    }
    setting.takeAll()

    expect(setting.arrived.filter(id => id < 100)).to.deep.equal(Array.from({ length: 60 }, (_, i) => i))
    expect(setting.arrived.filter(id => id >= 100)).to.deep.equal(Array.from({ length: 60 }, (_, i) => 100 + i))
    expect(setting.arrived.indexOf(159)).to.be.below(setting.arrived.indexOf(45))
  })

  it('keeps that order also when what came first has to wait for room, or is taken back', () => {
    const setting = new Case(50_000)
    const entries = [20_000, 20_000, 20_000, 20_000, 200_000, 20_000, 20_000].map((size, id) => setting.entry(id, Lane.DATA, size, 'flow'))
    entries.forEach(entry => { setting.outbox.push(entry) })
    expect(setting.outbox.withdraw(entries[3])).to.equal(true)
    setting.takeAll()

    expect(setting.arrived).to.deep.equal([0, 1, 2, 4, 5, 6])
  })

  it('lets 4 bytes of one flow not wait for 12 MB of another, whether those have room or wait for it', () => {
    for (const size of [100, 60_000, 1_000_000, 12_000_000]) {
      const setting = new Case(4_000_000, 1e6)
      for (let i = 0; i * size < 12_000_000; i++) {
        setting.push(1000 + i, Lane.DATA, size, 'flood')
      }
      setting.take(WHOLE + 16)
      expect(setting.push(1, Lane.DATA, 4, 'chat'), `frames of ${size}`).to.equal('admitted')
      setting.push(2, Lane.DATA, 4, 'chat')

      let written = 0
      while (!setting.arrived.includes(2)) {
        written += setting.take(WHOLE + 16)
      }
      expect(written, `frames of ${size}`).to.be.below(3 * WHOLE)
    }
  })

  it('shares a lane among flows by bytes, whatever the sizes of their frames', () => {
    const setting = new Case(1e9)
    const sizes = [100, 5000, 60_000, 500_000]
    sizes.forEach((size, flow) => {
      for (let i = 0; i < 4_000_000 / size; i++) {
        setting.push(flow * 100_000 + i, Lane.DATA, size, `flow ${flow}`)
      }
    })
    for (let written = 0; written < 8_000_000;) {
      written += setting.take(WHOLE + 16)
    }
    const bytes = sizes.map((size, flow) => setting.arrived.filter(id => Math.floor(id / 100_000) === flow).length * size)

    bytes.forEach(count => { expect(count, bytes.join()).to.be.closeTo(2_000_000, 600_000) })
  })

  it('has no more large frames in the making than there are slots, and a slot for control', () => {
    const setting = new Case(1e9)
    for (let i = 0; i < 10; i++) {
      setting.push(i, (i % 3) as Lane, 300_000, `flow ${i}`)
    }
    for (let i = 0; i < 12; i++) {
      setting.take(WHOLE + 16)
    }
    setting.push(100, Lane.CONTROL, 300_000)
    setting.push(101, Lane.CONTROL, 10, 'small')
    setting.push(102, Lane.DATA, 10, 'small')
    setting.take(WHOLE + 16)
    setting.take(WHOLE + 16)
    expect(setting.arrived.filter(id => id >= 100)).to.deep.equal([101])
    for (let i = 0; i < 4; i++) {
      setting.take(WHOLE + 16)
    }
    expect(setting.arrived.filter(id => id >= 100)).to.deep.equal([101, 100])
    setting.takeAll()

    expect(setting.arrived.sort((a, b) => a - b)).to.deep.equal([...Array.from({ length: 10 }, (_, i) => i), 100, 101, 102])
  })

  it('sends control before all others, and where only control may go, only that', () => {
    const setting = new Case()
    setting.push(1, Lane.DATA, 1000)
    setting.push(2, Lane.BULK, 1000)
    setting.push(3, Lane.CONTROL, 1000)

    expect(setting.outbox.take(10_000, 500)).to.have.lengthOf(1)
    expect(setting.outbox.take(10_000, 500)).to.equal(undefined)
    expect(setting.fates.get(3)).to.deep.equal(['sent'])
    setting.takeAll()
    expect(setting.arrived).to.deep.equal([1, 2])
  })

  it('takes the own frames of the library while users must wait, up to a limit', () => {
    const setting = new Case(3000)
    const own = (id: number): 'admitted' | 'waiting' | 'refused' => setting.outbox.push({ ...setting.entry(id, Lane.CONTROL, 1000), isOwn: true })

    expect([1, 2, 3, 4].map(id => setting.push(id, Lane.CONTROL, 1000, 'user'))).to.deep.equal(['admitted', 'admitted', 'waiting', 'waiting'])
    expect(Array.from({ length: 12 }, (_, i) => own(10 + i))).to.deep.equal([...new Array(9).fill('admitted'), ...new Array(3).fill('refused')])
    setting.takeAll()
    expect(setting.arrived.filter(id => id < 10)).to.deep.equal([1, 2, 3, 4])
    expect(setting.arrived.filter(id => id >= 10)).to.have.lengthOf(9)
  })

  it('refuses what waits in too many bytes', () => {
    const setting = new Case(1000, 1000)
    const frame = encodeFrame(Kind.FIRST_FREE, 0, () => {}, new Uint8Array(40_000_000))

    expect([1, 2, 3, 4].map(() => setting.outbox.push({ frame, lane: Lane.DATA }))).to.deep.equal(['admitted', 'waiting', 'waiting', 'refused'])
  })

  it('holds no more than twice its capacity, however many flows there are', () => {
    const setting = new Case(64_000, 1e6)
    for (let i = 0; i < 3000; i++) {
      setting.push(i, Lane.DATA, 900, `flow ${i}`)
    }

    expect(setting.outbox.bytes).to.be.within(64_000, 128_000)
    setting.takeAll()
    expect(setting.arrived.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 3000 }, (_, i) => i))
  })

  it('brings all that was not taken back once, in the order of its flow, whatever happens', () => {
    const step = fc.record({
      lane: fc.constantFrom(0, 1, 2, 3),
      size: fc.constantFrom(10, 1000, 60_000, 80_000, 300_000),
      flow: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      take: fc.integer({ min: 0, max: 150_000 }),
      withdraw: fc.nat(20)
    })

    fc.assert(fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const setting = new Case(200_000, 30)
      const pushed: Array<{ id: number, entry: Entry, name: string }> = []
      const expected = new Map<string, number[]>()

      steps.forEach(({ lane, size, flow, take, withdraw }, id) => {
        const entry = setting.entry(id, lane as Lane, size, flow)
        if (setting.outbox.push(entry) !== 'refused') {
          pushed.push({ id, entry, name: `${lane} ${flow}` })
        }
        const victim = pushed[pushed.length - 1 - withdraw]
        if (victim != null && setting.outbox.withdraw(victim.entry)) {
          pushed.splice(pushed.length - 1 - withdraw, 1)
        }
        setting.outbox.check()
        setting.take(take)
      })
      setting.takeAll()

      const names = new Map(pushed.map(({ id, name }) => [id, name]))
      pushed.forEach(({ id, name }) => expected.set(name, [...expected.get(name) ?? [], id]))
      for (const [name, ids] of expected) {
        expect(setting.arrived.filter(id => names.get(id) === name)).to.deep.equal(ids)
      }
      expect(setting.arrived).to.have.lengthOf(pushed.length)
      expect([setting.outbox.bytes, setting.outbox.controlBytes, setting.outbox.waiting]).to.deep.equal([0, 0, 0])
    }), { numRuns: 60 })
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
    const outbox = newOutbox(100, 1)
    const frame = frameOf(20, Uint8Array.of(1))
    outbox.push({ frame, lane: Lane.DATA })

    expect(outbox.take(100)).to.deep.equal([frame.head])
  })
})
