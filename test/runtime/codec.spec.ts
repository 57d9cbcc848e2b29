import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { encodeString, Reader, Sizer, uvarintLength, Writer, writeUvarint } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import type { Sink } from '../../src/runtime/codec.ts'

const EDGES = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 49 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER]

function spell (value: bigint): number[] {
  const bytes: number[] = []
  for (; value >= 128n; value /= 128n) {
    bytes.push(Number(value % 128n) | 0x80)
  }
  return [...bytes, Number(value)]
}

describe('numbers on the wire', () => {
  it('come back as they went, in the length that was foretold', () => {
    fc.assert(fc.property(fc.oneof(fc.maxSafeNat(), fc.constantFrom(...EDGES)), value => {
      const bytes = new Writer(0).uvarint(value).finish()

      expect([...bytes]).to.deep.equal(spell(BigInt(value)))
      expect(bytes.byteLength).to.equal(uvarintLength(value))
      expect(new Reader(bytes).uvarint()).to.equal(value)
    }), { examples: EDGES.map(value => [value]) })
  })

  it('are written where they are told to, and nowhere else', () => {
    const target = new Uint8Array(6)

    expect(writeUvarint(target, 2, 300)).to.equal(4)
    expect([...target]).to.deep.equal([0, 0, 0xac, 2, 0, 0])
  })

  it('are refused in any but the shortest spelling', () => {
    for (const bytes of [[0x80, 0], [0xff, 0x80, 0], [0x81, 0x80, 0x80, 0]]) {
      expect(() => new Reader(Uint8Array.from(bytes)).uvarint()).to.throw(MalformedError, 'shortest')
    }
  })

  it('are refused from 2^53 on, however long they go on', () => {
    for (const value of [2n ** 53n, 2n ** 56n - 1n, 2n ** 64n - 1n, 2n ** 2000n]) {
      expect(() => new Reader(Uint8Array.from(spell(value))).uvarint()).to.throw(MalformedError, 'larger')
    }
    expect(() => new Reader(new Uint8Array(100_000).fill(0x80)).uvarint()).to.throw(MalformedError)
    expect(() => new Reader(new Uint8Array(9).fill(0xff)).uvarint()).to.throw(MalformedError)
  })

  it('are refused when they have no end', () => {
    for (const bytes of [[], [0x80], [0xff, 0xff]]) {
      expect(() => new Reader(Uint8Array.from(bytes)).uvarint()).to.throw(MalformedError, 'missing')
    }
  })
})

describe('bytes and strings on the wire', () => {
  it('come back as they went, one behind the other', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 300 }), fc.array(fc.uint8Array({ maxLength: 300 })), fc.array(fc.string({ unit: 'binary' })), fc.array(fc.maxSafeNat()), (capacity, blobs, texts, numbers) => {
      const writer = new Writer(capacity)
      writer.list(blobs, blob => writer.bytes(blob))
      writer.list(texts, text => writer.string(text))
      writer.list(numbers, number => writer.uvarint(number))
      writer.byte(255).raw(Uint8Array.of(1, 2, 3))
      const reader = new Reader(writer.finish())

      expect(reader.list(1e6, () => reader.bytes())).to.deep.equal(blobs)
      expect(reader.list(1e6, () => reader.string())).to.deep.equal(texts)
      expect(reader.list(1e6, () => reader.uvarint())).to.deep.equal(numbers)
      expect(reader.byte()).to.equal(255)
      expect(reader.left).to.equal(3)
      expect([...reader.rest()]).to.deep.equal([1, 2, 3])
      expect(reader.left).to.equal(0)
    }), { numRuns: 60 })
  })

  it('keep a byte order mark at the beginning of a string: it is a character as any other', () => {
    const text = '\uFEFFnews'

    expect(new Reader(new Writer().string(text).finish()).string()).to.equal(text)
  })

  it('are views of what they were read from', () => {
    const input = new Writer().bytes(Uint8Array.of(7, 8, 9)).finish()

    expect(new Reader(input).bytes().buffer).to.equal(input.buffer)
  })

  it('have the length that was foretold, and are written without a second piece of memory', () => {
    const content = new Uint8Array(300_000)
    const write = (to: Sink): unknown => to.byte(1).uvarint(300).raw(content).bytes(content).list([1, 300, 2 ** 40], value => to.uvarint(value))
      .byte(2)
    const sizer = new Sizer()
    write(sizer)
    const writer = new Writer(sizer.length + 8)
    write(writer)

    expect(writer.length).to.equal(sizer.length)
    expect(writer.finish().buffer.byteLength).to.equal(sizer.length + 8)
  })

  it('can be passed over, but not past the end of what is there', () => {
    const reader = new Reader(Uint8Array.from([1, 2, 3, 4]))
    reader.skip(3)

    expect([reader.offset, reader.left, reader.byte()]).to.deep.equal([3, 1, 4])
    expect(() => { reader.skip(1) }).to.throw(MalformedError)
  })

  it('are refused past the length that is allowed, and past the end of what is there', () => {
    const input = new Writer().bytes(new Uint8Array(10)).finish()

    expect(new Reader(input).bytes(10)).to.have.lengthOf(10)
    expect(() => new Reader(input).bytes(9)).to.throw(MalformedError, 'at most 9')
    expect(() => new Reader(input.subarray(0, 10)).bytes()).to.throw(MalformedError, '10 bytes are announced, 9 are there')
    expect(() => new Reader(input).raw(12)).to.throw(MalformedError)
  })

  it('are refused at once, however much they declare', () => {
    for (const length of [2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const input = new Writer().uvarint(length).byte(1).finish()
      let items = 0

      expect(() => new Reader(input).bytes()).to.throw(MalformedError)
      expect(() => new Reader(input).string()).to.throw(MalformedError)
      expect(() => new Reader(input).list(Infinity, () => ++items)).to.throw(MalformedError)
      expect(items).to.equal(0)
    }
  })

  it('are refused as a list that is longer than allowed', () => {
    const input = new Writer().list([1, 2, 3], () => {}).raw(new Uint8Array(3)).finish()
    const reader = new Reader(input)

    expect(() => reader.list(2, () => reader.byte())).to.throw(MalformedError, 'at most 2')
  })

  it('are refused as a string that is not UTF-8', () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      expect(() => new Reader(new Writer().bytes(Uint8Array.from(bytes)).finish()).string()).to.throw(MalformedError, 'UTF-8')
    }
  })

  it('begin behind an offset', () => {
    expect(new Reader(Uint8Array.of(1, 2), 1).byte()).to.equal(2)
    expect(() => new Reader(new Uint8Array(0), 1).byte()).to.throw(MalformedError)
    expect(encodeString('ä')).to.have.lengthOf(2)
  })
})
