import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { encodeFrame, FrameParser, frameOf, gather, Kind, Slots } from '../../src/link/core/frames.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import type { Frame } from '../../src/link/core/frames.ts'

interface Seen { kind: number, body: Uint8Array, bytes: number }

function collect (max = 1_000_000): { parser: FrameParser, seen: Seen[] } {
  const seen: Seen[] = []
  return { seen, parser: new FrameParser(max, (kind, body, bytes) => { seen.push({ kind, body, bytes }) }) }
}

function bytesOf ({ head, body }: Frame): Uint8Array {
  return Uint8Array.from([...head, ...body ?? []])
}

function join (chunks: Uint8Array[]): Uint8Array {
  return Uint8Array.from(chunks.flatMap(chunk => [...chunk]))
}

const anyFrame = fc.record({
  kind: fc.integer({ min: 0, max: 255 }),
  body: fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 100, maxLength: 400 }), fc.constant(new Uint8Array(5000)))
})

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 40 }), (frames, cuts) => {
      const stream = join(frames.map(({ kind, body }) => bytesOf(frameOf(kind, body))))
      const ends = [...cuts.map(cut => cut % (stream.byteLength + 1)), stream.byteLength].sort((a, b) => a - b)
      const { parser, seen } = collect()
      let start = 0

      for (const end of ends) {
        parser.push(stream.slice(start, end))
        start = end
      }

      expect(seen.map(({ kind, body }) => ({ kind, body }))).to.deep.equal(frames)
      expect(seen.reduce((sum, { bytes }) => sum + bytes, 0)).to.equal(stream.byteLength)
      expect(parser.heldBytes).to.equal(0)
    }), { numRuns: 60 })
  })

  it('come out as they went in, one byte at a time', () => {
    const frames = [0, 1, 126, 127, 128, 300].map(length => ({ kind: 16, body: new Uint8Array(length).fill(length) }))
    const { parser, seen } = collect()
    join(frames.map(({ kind, body }) => bytesOf(frameOf(kind, body)))).forEach(byte => { parser.push(Uint8Array.of(byte)) })

    expect(seen.map(({ kind, body }) => ({ kind, body }))).to.deep.equal(frames)
  })

  it('are views of the chunk that they lie in', () => {
    const chunk = join([1, 2, 3].map(kind => bytesOf(frameOf(kind, Uint8Array.of(kind, kind)))))
    const { parser, seen } = collect()
    parser.push(chunk)

    expect(seen).to.have.lengthOf(3)
    expect(seen.every(({ body }) => body.buffer === chunk.buffer)).to.equal(true)
  })

  it('copy a short payload behind their head, and leave a long one where it is', () => {
    const long = new Uint8Array(4096)
    const write = (target: Uint8Array, at: number): void => { target.set([7, 8], at) }

    expect(encodeFrame(5, 2, write, long).body).to.equal(long)
    expect(encodeFrame(5, 2, write, long.subarray(1))).to.not.have.property('body', long)
    expect([...encodeFrame(5, 2, write, Uint8Array.of(9)).head]).to.deep.equal([4, 5, 7, 8, 9])
    expect([...encodeFrame(5, 2, write).head]).to.deep.equal([3, 5, 7, 8])
  })

  it('are refused before anything of them is kept when they are longer than allowed', () => {
    const { parser, seen } = collect(1000)
    parser.push(bytesOf(frameOf(1, new Uint8Array(999))))
    expect(seen).to.have.lengthOf(1)

    expect(() => { parser.push(bytesOf(frameOf(1, new Uint8Array(1000))).subarray(0, 2)) }).to.throw(MalformedError, 'at most 1000')
    expect(parser.heldBytes).to.equal(0)
  })

  it('are refused when they have no kind, and when their length has no end', () => {
    expect(() => { collect().parser.push(Uint8Array.of(0)) }).to.throw(MalformedError, 'kind')
    expect(() => { collect().parser.push(new Uint8Array(9).fill(0x80)) }).to.throw(MalformedError)
    expect(() => { collect().parser.push(Uint8Array.from([...new Uint8Array(400).fill(0x80), 1, 16, 1])) }).to.throw(MalformedError)
    const { parser } = collect()
    expect(() => {
      for (let i = 0; i < 20; i++) {
        parser.push(Uint8Array.of(0x80))
      }
    }).to.throw(MalformedError)
  })

  it('hand on those that are whole before they refuse what follows', () => {
    const { parser, seen } = collect(10)

    expect(() => { parser.push(Uint8Array.of(2, 16, 1, 99)) }).to.throw(MalformedError)
    expect(seen).to.have.lengthOf(1)
  })

  it('hold no more than what came, in a number of parts that does not grow with it', () => {
    const { parser, seen } = collect(2_000_000)
    const frame = bytesOf(frameOf(Kind.FIRST_FREE, new Uint8Array(10_000)))

    for (let i = 0; i < frame.byteLength - 1; i++) {
      parser.push(frame.subarray(i, i + 1))
      expect(parser.heldBytes).to.equal(i + 1)
      expect(parser.heldParts).to.be.at.most(32)
    }

    parser.push(frame.subarray(frame.byteLength - 1))
    expect(seen[0].body).to.have.lengthOf(10_000)
    expect(parser.heldBytes + parser.heldParts).to.equal(0)
  })

  it('are held behind the one at which it is stopped, and come when it may go', () => {
    fc.assert(fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 12 }), fc.array(fc.nat(), { maxLength: 10 }), fc.array(fc.boolean()), (frames, cuts, stops) => {
      const stream = join(frames.map(({ kind, body }) => bytesOf(frameOf(kind, body))))
      const ends = [...cuts.map(cut => cut % (stream.byteLength + 1)), stream.byteLength].sort((a, b) => a - b)
      const seen: Array<{ kind: number, body: Uint8Array }> = []
      const parser = new FrameParser(1_000_000, (kind, body) => {
        expect(parser.isStopped).to.equal(false)
        seen.push({ kind, body })
        if (stops[seen.length] === true) {
          parser.stop()
        }
      })
      let start = 0

      for (const end of ends) {
        parser.push(stream.slice(start, end))
        start = end
      }
      while (parser.isStopped) {
        parser.go()
      }

      expect(seen).to.deep.equal(frames)
      expect(parser.heldBytes).to.equal(0)
    }), { numRuns: 60 })
  })

  it('come out of their pieces, slot by slot', () => {
    const seen: number[] = []
    const slots = new Slots({ maxFrame: 1000, onFrame: (kind, body) => { seen.push(kind, body.byteLength) } })
    const bytes = [20, 21].map(kind => bytesOf(frameOf(kind, new Uint8Array(900))))

    for (let i = 0; i < 902; i += 300) {
      bytes.forEach((bytes, slot) => { slots.push(Uint8Array.from([slot, ...bytes.subarray(i, i + 300)])) })
    }

    expect(seen).to.deep.equal([20, 900, 21, 900])
    expect(slots.heldBytes).to.equal(0)
    expect(() => { slots.push(Uint8Array.of(4, 1)) }).to.throw(MalformedError)
    expect(() => { slots.push(Uint8Array.of()) }).to.throw(MalformedError)
    expect(() => { slots.push(Uint8Array.of(0, 0xff, 0x7f)) }).to.throw(MalformedError, 'at most 1000')
  })

  it('are gathered to the same bytes, in few parts', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 9000 }), fc.boolean()), { maxLength: 20 }), fc.boolean(), (pieces, owned) => {
      const slab = new Uint8Array(200_000).map((_, i) => i % 251)
      let at = 0
      const parts = pieces.map(([size, isNeighbour]) => {
        at += isNeighbour ? size : size + 1
        return slab.subarray(at - size, at)
      })
      const gathered = gather(parts, { owned })

      expect(join(gathered)).to.deep.equal(join(parts))
      expect(gathered.length).to.be.at.most(parts.length)
      expect(!owned || gathered.every(part => part.byteLength >= 4096 || part.buffer !== slab.buffer)).to.equal(true)
    }), { numRuns: 40 })
  })
})
