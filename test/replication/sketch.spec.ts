import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { concat } from 'uint8arrays/concat'
import { toString } from 'uint8arrays/to-string'
import { packShortIds, ShortIds, sipHash, sipKey } from '../../src/replication/core/short-ids.ts'
import { decodeSymbols, encodeSymbols, MAX_ITEMS, MAX_SYMBOLS, SketchDecoder, SketchEncoder } from '../../src/replication/core/sketch.ts'
import { Writer } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import type { Symbols } from '../../src/replication/core/sketch.ts'

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i)

function makeIds (count: number, seed: number): Uint8Array[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => Uint8Array.from({ length: 32 }, () => Math.floor(random() * 256)))
}

function keyOf (seed: number): Uint8Array {
  return makeIds(1, seed)[0].subarray(0, 16)
}

function sorted (ids: Uint8Array[]): string[] {
  return ids.map(id => toString(id, 'base16')).sort()
}

/** What two peers have to do, over the wire. With `chunk` symbols at once */
function reconcile (ours: ShortIds, theirs: ShortIds, chunk = 1): { decoder: SketchDecoder, bytes: number } {
  const encoder = new SketchEncoder(theirs)
  const decoder = new SketchDecoder(ours)
  let bytes = 0

  while (decoder.state === 'open') {
    const sent = encodeSymbols(encoder.symbols(decoder.length, chunk))
    bytes += sent.byteLength
    decoder.add(decodeSymbols(sent))
  }

  return { decoder, bytes }
}

/** Reconciles sets that have `shared` in common, and expects that all they differ in is found */
function expectFound (shared: number, onlyOurs: number, onlyTheirs: number, seed: number, chunk = 1): { symbols: number, bytes: number } {
  const ids = makeIds(shared + onlyOurs + onlyTheirs, seed)
  const [both, a, b] = [ids.slice(0, shared), ids.slice(shared, shared + onlyOurs), ids.slice(shared + onlyOurs)]
  const ours = new ShortIds([...a, ...both], keyOf(seed))
  const theirs = new ShortIds([...both, ...b], keyOf(seed))
  const { decoder, bytes } = reconcile(ours, theirs, chunk)

  expect(decoder.state).to.equal('decoded')
  expect(sorted(decoder.surplus)).to.deep.equal(sorted(a))
  expect(decoder.missing).to.have.lengthOf(8 * onlyTheirs)
  expect(sorted(theirs.lookup(decoder.missing))).to.deep.equal(sorted(b))
  return { symbols: decoder.length, bytes }
}

/** Symbols that say what they are told to: lists of items, each with a sign */
function claim (ids: ShortIds, items: number, symbols: Array<Array<{ low: number, high: number, count?: number }>>, from = 0): Symbols {
  const cells = new Uint32Array(4 * symbols.length)

  symbols.forEach((parts, i) => {
    for (const { low, high, count = 1 } of parts) {
      const times = Math.abs(count) % 2
      cells[4 * i] ^= times * low
      cells[4 * i + 1] ^= times * high
      cells[4 * i + 2] ^= times * ids.check(low >>> 0, high >>> 0)
      cells[4 * i + 3] += count
    }
  })

  return { from, items, cells }
}

describe('short ids', () => {
  it('are SipHash-2-4 as its authors published it', () => {
    const key = sipKey(KEY)
    const vectors: Array<[number, string]> = [
      [0, '310e0edd47db6f72'], [1, 'fd67dc93c539f874'], [2, '5a4fa9d909806c0d'], [3, '2d7efbd796666785'],
      [4, 'b7877127e09427cf'], [5, '8da699cd64557618'], [6, 'cee3fe586e46c9cb'], [7, '37d1018bf50002ab'],
      [8, '6224939a79f5f593'], [9, 'b0e4a90bdf82009e'], [10, 'f3b9dd94c5bb5d7a'], [11, 'a7ad6b22462fb3f4'],
      [12, 'fbe50e86bc8f1e75'], [13, '903d84c02756ea14'], [14, 'eef27a8e90ca23f7'], [15, 'e545be4961ca29a1'],
      // and as OpenSSL has it
      [16, 'db9bc2577fcc2a3f'], [31, '42c341d8fa92d832'], [32, 'ce7cf2722f512771'], [33, 'e37859f94623f3a7'], [63, '724506eb4c328a95']
    ]

    for (const [length, hex] of vectors) {
      const words = new Uint32Array(4)
      sipHash(key, Uint8Array.from({ length }, (_, i) => i), words, 1)
      expect([words[0], words[3]]).to.deep.equal([0, 0])
      expect(toString(packShortIds(words.subarray(1, 3)), 'base16')).to.equal(hex)
    }
  })

  it('lead back to the ids, in the order in which they are asked for, each once, and the unknown ones to nothing', () => {
    const all = makeIds(300, 1)
    const ids = new ShortIds(all.slice(0, 200), KEY)
    const others = new ShortIds(all.slice(200), KEY)
    const [first, second] = [packShortIds(ids.words.slice(0, 200)), packShortIds(ids.words.slice(200))]

    expect(ids.lookup(concat([second, first]))).to.deep.equal([...all.slice(100, 200), ...all.slice(0, 100)])
    expect(ids.lookup(concat([first, packShortIds(others.words), first]))).to.deep.equal(all.slice(0, 100))
    expect(ids.lookup(new Uint8Array())).to.deep.equal([])
    expect(new ShortIds([], KEY).lookup(first)).to.deep.equal([])
    expect(() => ids.lookup(first.subarray(1))).to.throw(MalformedError, '799 bytes')
  })

  it('are others with another key', () => {
    const all = makeIds(100, 1)
    expect(new ShortIds(all, keyOf(2)).lookup(packShortIds(new ShortIds(all, keyOf(1)).words))).to.deep.equal([])
  })

  it('are there once if an id is there twice', () => {
    const all = makeIds(10, 1)
    const ids = new ShortIds(new Set([...all, ...all.map(id => id.slice())]), KEY)

    expect(ids.length).to.equal(10)
    expect(ids.words).to.deep.equal(new ShortIds(all, KEY).words)
  })

  it('need a key of 16 bytes', () => {
    expect(() => new ShortIds([], new Uint8Array(15))).to.throw(RangeError, '15 bytes')
  })
})

describe('a sketch', () => {
  it('finds what two sets differ in, however it is cut into pieces', () => {
    const sizes = fc.tuple(fc.nat(300), fc.nat(60), fc.nat(60))
    fc.assert(fc.property(sizes, fc.integer({ min: 1, max: 40 }), fc.nat(), ([shared, a, b], chunk, seed) => {
      expectFound(shared, a, b, seed, chunk)
    }), { numRuns: 150 })
  })

  it('finds what one side alone has', () => {
    for (const [a, b] of [[0, 1], [1, 0], [0, 200], [200, 0]]) {
      expectFound(500, a, b, 1)
    }
  })

  it('finds all of two sets that have nothing in common, also if one is empty', () => {
    expectFound(0, 100, 150, 1)
    expectFound(0, 0, 150, 1)
    expectFound(0, 150, 0, 1)
  })

  it('takes one symbol to say that two sets are equal, or both empty', () => {
    expect(expectFound(1000, 0, 0, 1).symbols).to.equal(1)
    expect(expectFound(0, 0, 0, 1)).to.deep.equal({ symbols: 1, bytes: 15 })
  })

  it('takes one symbol for one difference', () => {
    expect(expectFound(1000, 0, 1, 1).symbols).to.equal(1)
    expect(expectFound(1000, 1, 0, 1).symbols).to.equal(1)
  })

  it('takes 1.75 symbols a difference for ten of them, 1.46 for a hundred and 1.38 for a thousand', () => {
    // the limits are three standard errors and more above what was measured
    for (const [differences, runs, limit] of [[10, 200, 1.95], [100, 40, 1.52], [1000, 5, 1.45]]) {
      let symbols = 0
      for (let seed = 1; seed <= runs; seed++) {
        symbols += expectFound(50, differences / 2, differences / 2, seed).symbols
      }
      expect(symbols / runs / differences).to.be.within(1.3, limit)
    }
  })

  it('has symbols of about 13 bytes', () => {
    const encoder = new SketchEncoder(new ShortIds(makeIds(20_000, 1), KEY))
    expect(encodeSymbols(encoder.symbols(0, 200)).byteLength / 200).to.be.within(13, 13.4)
    expect(encodeSymbols(encoder.symbols(200, 1000)).byteLength / 1000).to.be.within(13, 13.1)
  })

  it('has about n / (1 + i/2) of n ids in symbol i', () => {
    const items = 20_000
    const { cells } = new SketchEncoder(new ShortIds(makeIds(items, 1), KEY)).symbols(0, 400)

    for (let i = 0; i < 400; i++) {
      const expected = items / (1 + i / 2)
      // four standard deviations, and what the chances differ from the simple formula
      expect(cells[4 * i + 3]).to.be.closeTo(expected, 4 * Math.sqrt(expected) + 0.05 * expected)
    }
    expect(cells[3]).to.equal(items)
  })

  it('is the same stream whatever pieces of it are asked for, forwards and back', () => {
    const ids = new ShortIds(makeIds(100, 1), KEY)
    const whole = new SketchEncoder(ids).symbols(0, 1000)
    const pieces = fc.array(fc.tuple(fc.nat(900), fc.nat(100)), { maxLength: 10 })

    fc.assert(fc.property(pieces, asked => {
      const encoder = new SketchEncoder(ids)
      const answers = asked.map(([from, count]) => encoder.symbols(from, count))

      answers.forEach((answer, i) => {
        const [from, count] = asked[i]
        expect(answer).to.deep.equal({ from, items: 100, cells: whole.cells.subarray(4 * from, 4 * (from + count)) })
      })
    }), { numRuns: 100 })
  })

  it('is made in slices where it is long, so that who makes it may pause, and is the same', () => {
    const ids = makeIds(20_000, 3)
    const [whole, making] = [new ShortIds(ids, KEY), ShortIds.inSlices(ids, KEY)]
    let slices = 0
    let step = making.next()

    for (; step.done !== true; step = making.next()) {
      slices++
    }
    expect(slices).to.be.at.least(19)
    const sliced = new SketchEncoder(step.value)
    expect([...sliced.extend(30_000)].length).to.be.at.least(9)
    expect(sliced.symbols(29_000, 100).cells).to.deep.equal(new SketchEncoder(whole).symbols(29_000, 100).cells)
  })

  it('does not depend on the order of the ids', () => {
    const all = makeIds(100, 1)
    const [a, b] = [all, [...all].reverse()].map(ids => new SketchEncoder(new ShortIds(ids, KEY)).symbols(0, 100))
    expect(a).to.deep.equal(b)
  })

  it('is written as it was at first', () => {
    const encoder = new SketchEncoder(new ShortIds([0, 1, 2, 3, 4].map(i => new Uint8Array(32).fill(i)), KEY))
    expect(toString(encodeSymbols(encoder.symbols(0, 3)), 'base16')).to.equal('0005d309c11161d475a3ffb04cf7005a2b323f0e1ac5d33f87562f021bd5fd41fb52ad1954f04eec02')
    expect(toString(encodeSymbols(encoder.symbols(1178, 3)), 'base16')).to.equal('9a0905000000000000000000000000000000000000000000000000000066619a46704f8de08567a50e02')
  })

  it('ends, rather than go on for ever', () => {
    const encoder = new SketchEncoder(new ShortIds(makeIds(2, 1), KEY))
    expect(encoder.symbols(MAX_SYMBOLS - 2, 1000).cells).to.have.lengthOf(8)
    expect(encoder.symbols(MAX_SYMBOLS, 1).cells).to.have.lengthOf(0)
    expect(encoder.symbols(Number.MAX_SAFE_INTEGER, 1).cells).to.have.lengthOf(0)

    for (const [from, count] of [[-1, 1], [0, -1], [0.5, 1], [0, 0.5], [NaN, 1], [0, Infinity]]) {
      expect(() => encoder.symbols(from, count)).to.throw(RangeError, 'whole numbers')
    }
  })

  it('says nothing before it knows all', () => {
    const [ours, theirs] = [1, 2].map(seed => new ShortIds(makeIds(50, seed), KEY))
    const encoder = new SketchEncoder(theirs)
    const decoder = new SketchDecoder(ours)

    expect(decoder.add(encoder.symbols(0, 70))).to.equal(false)
    expect([decoder.state, decoder.length, decoder.missing.byteLength, decoder.surplus.length]).to.deep.equal(['open', 70, 0, 0])
    expect(decoder.add(encoder.symbols(70, 200))).to.equal(true)
    expect([decoder.state, decoder.length, decoder.missing.byteLength, decoder.surplus.length]).to.deep.equal(['decoded', 270, 400, 50])
  })

  it('does not look at what comes when it is decoded', () => {
    const ids = new ShortIds(makeIds(5, 1), KEY)
    const decoder = new SketchDecoder(ids)
    decoder.add(new SketchEncoder(ids).symbols(0, 1))

    expect(decoder.add({ from: 77, items: 3, cells: Uint32Array.of(1, 2, 3, 4) })).to.equal(true)
    expect([decoder.state, decoder.length]).to.deep.equal(['decoded', 1])
  })
})

describe('symbols', () => {
  it('come out as they went in', () => {
    const anyCell = fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.nat(1000))

    fc.assert(fc.property(fc.nat(MAX_SYMBOLS - 20), fc.integer({ min: 1000, max: MAX_ITEMS }), fc.array(anyCell, { maxLength: 20 }), (from, items, cells) => {
      const symbols = { from, items, cells: Uint32Array.from(cells.flat()) }
      expect(decodeSymbols(encodeSymbols(symbols))).to.deep.equal(symbols)
    }), { numRuns: 200 })
  })

  it('are refused wherever they are cut off within one, and with anything behind the last', () => {
    const bytes = encodeSymbols(new SketchEncoder(new ShortIds(makeIds(10, 1), KEY)).symbols(0, 5))
    const ends = [2, 15, 28, 41, 54, 67]
    expect(bytes.byteLength).to.equal(67)

    for (let length = 0; length < bytes.byteLength; length++) {
      const cut = bytes.subarray(0, length)
      if (ends.includes(length)) {
        expect(decodeSymbols(cut).cells).to.have.lengthOf(4 * ends.indexOf(length))
      } else {
        expect(() => decodeSymbols(cut)).to.throw(MalformedError)
      }
    }
    expect(() => decodeSymbols(concat([bytes, new Uint8Array(1)]))).to.throw(MalformedError)
  })

  it('are refused for too many ids, for more ids than the set has, for less than none, and behind the end', () => {
    const write = (from: number, items: number, zigzag: number): Uint8Array =>
      new Writer().uvarint(from).uvarint(items).raw(new Uint8Array(12)).uvarint(zigzag).finish()

    expect(decodeSymbols(write(0, 10, 19)).cells[3]).to.equal(0)
    expect(decodeSymbols(write(MAX_SYMBOLS - 1, MAX_ITEMS, 0)).cells).to.have.lengthOf(4)
    expect(() => decodeSymbols(write(0, MAX_ITEMS + 1, 0))).to.throw(MalformedError, 'at most')
    expect(() => decodeSymbols(write(0, 10, 2))).to.throw(MalformedError, 'a symbol of 11 of 10')
    expect(() => decodeSymbols(write(0, 10, 21))).to.throw(MalformedError, 'a symbol of -1 of 10')
    expect(() => decodeSymbols(write(0, 10, Number.MAX_SAFE_INTEGER))).to.throw(MalformedError, 'of 10')
    expect(() => decodeSymbols(write(MAX_SYMBOLS, 10, 0))).to.throw(MalformedError, 'streams end')
    expect(() => decodeSymbols(write(Number.MAX_SAFE_INTEGER, 10, 0))).to.throw(MalformedError)
  })

  it('are read or refused with a MalformedError, whatever the bytes are', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      try {
        expect(decodeSymbols(bytes).cells.length).to.be.at.most(4 * bytes.byteLength / 13)
      } catch (err) {
        expect(err).to.be.an.instanceOf(MalformedError)
      }
    }), { numRuns: 2000 })
  })

  it('are refused out of turn, of another set than before, behind the end, and if there are none', () => {
    const [ours, theirs, others] = [5, 50, 51].map(count => new ShortIds(makeIds(count, count), KEY))
    const decoder = new SketchDecoder(ours)
    const encoder = new SketchEncoder(theirs)
    decoder.add(encoder.symbols(0, 10))

    expect(() => decoder.add(encoder.symbols(9, 5))).to.throw(MalformedError, 'symbols 9 to 14')
    expect(() => decoder.add(encoder.symbols(11, 5))).to.throw(MalformedError, 'symbols 11 to 16')
    expect(() => decoder.add(encoder.symbols(10, 0))).to.throw(MalformedError, 'symbols 10 to 10')
    expect(() => decoder.add(new SketchEncoder(others).symbols(10, 5))).to.throw(MalformedError, 'symbols of 51 ids')
    expect(() => decoder.add({ from: 10, items: 50, cells: new Uint32Array(4 * MAX_SYMBOLS) })).to.throw(MalformedError, 'up to')

    expect([decoder.state, decoder.length]).to.deep.equal(['open', 10])
    expect(decoder.add(encoder.symbols(10, 200))).to.equal(true)
  })
})

describe('symbols that lie', () => {
  const all = makeIds(60, 1)
  const ours = new ShortIds(all.slice(0, 40), KEY)
  const theirs = new ShortIds(all.slice(20), KEY)
  const anyItem = fc.record({ low: fc.integer(), high: fc.integer(), count: fc.constantFrom(1, 1, 1, 2, 3, -1) })

  function itemOf (ids: ShortIds, index: number): { low: number, high: number } {
    return { low: ids.words[2 * index], high: ids.words[2 * index + 1] }
  }

  function stateAfter (symbols: Symbols, ids: ShortIds): string {
    const decoder = new SketchDecoder(ids)
    decoder.add(symbols)
    expect(decoder.state === 'decoded' || decoder.missing.byteLength + decoder.surplus.length === 0).to.equal(true)
    return decoder.state
  }

  it('are not decoded with any number of theirs changed', () => {
    const { cells, ...rest } = new SketchEncoder(theirs).symbols(0, 150)
    expect(stateAfter({ ...rest, cells }, ours)).to.equal('decoded')

    fc.assert(fc.property(fc.nat(cells.length - 1), fc.integer({ min: 1, max: 2 ** 31 }), (at, change) => {
      const changed = cells.slice()
      changed[at] += change
      expect(stateAfter({ ...rest, cells: changed }, ours)).to.not.equal('decoded')
    }), { numRuns: 500 })
  })

  it('are not decoded if they are noise, and make no more work than they are symbols', () => {
    fc.assert(fc.property(fc.array(fc.integer(), { minLength: 40, maxLength: 400 }), numbers => {
      const cells = Uint32Array.from(numbers.slice(0, numbers.length & -4))
      expect(stateAfter({ from: 0, items: 40, cells }, ours)).to.not.equal('decoded')
    }), { numRuns: 200 })
  })

  it('are not decoded if they are sums of whatever their sender makes up', () => {
    fc.assert(fc.property(fc.array(fc.array(anyItem, { maxLength: 3 }), { minLength: 10, maxLength: 200 }), symbols => {
      expect(stateAfter(claim(ours, 40, symbols), ours)).to.not.equal('decoded')
    }), { numRuns: 300 })
  })

  it('fail if one has an id that is not in it', () => {
    const none = new ShortIds([], KEY)
    const [lone, ...pair] = [0, 1, 2].map(i => itemOf(theirs, i))
    const { cells } = new SketchEncoder(new ShortIds([all[20]], KEY)).symbols(0, 50)
    const places = Array.from({ length: 50 }, (_, i) => cells[4 * i + 3] === 1 ? [lone, ...pair] : pair)

    expect(stateAfter(claim(none, 3, places), none)).to.equal('open')
    places[places.findIndex(({ length }) => length === 2)] = [lone]
    expect(stateAfter(claim(none, 3, places), none)).to.equal('failed')
  })

  it('are of ids that stride on, also by the shortest stride there is', () => {
    const none = new ShortIds([], KEY)
    // its first number of chance is 2^32 - 1, the largest
    const item = { low: 0x418c9c8d, high: 5 }

    expect(stateAfter(claim(none, 1, [[item], [item]]), none)).to.equal('decoded')
  })

  it('fail if they have one of ours once more, or lack one that we do not have', () => {
    const [ids, none] = [new ShortIds(all.slice(0, 1), KEY), new ShortIds([], KEY)]

    expect(stateAfter(claim(ids, 2, [[{ ...itemOf(ids, 0), count: 2 }]]), ids)).to.equal('failed')
    expect(stateAfter(claim(none, 2, [[{ ...itemOf(theirs, 3), count: -1 }]]), none)).to.equal('failed')
  })

  it('are not decoded if each gives away another id, which is in it, and in others that do not have it', () => {
    const none = new ShortIds([], KEY)
    const symbols: Array<Array<{ low: number, high: number }>> = []

    for (let seed = 1; symbols.length < 40; seed++) {
      const ids = new ShortIds(makeIds(1, seed), KEY)
      if (new SketchEncoder(ids).symbols(symbols.length, 1).cells[3] === 1) {
        symbols.push([itemOf(ids, 0)])
      }
    }

    for (let count = 2; count <= symbols.length; count++) {
      expect(stateAfter(claim(none, 1, symbols.slice(0, count)), none)).to.not.equal('decoded')
    }
  })

  it('fail at the end of the stream, if they were consistent so far', () => {
    const none = new ShortIds([], KEY)
    const decoder = new SketchDecoder(none)
    // two ids that nobody can tell apart, as they are one
    const cells = new Uint32Array(4 * MAX_SYMBOLS)
    cells[3] = 2

    expect(decoder.add({ from: 0, items: 2, cells })).to.equal(false)
    expect([decoder.state, decoder.length]).to.deep.equal(['failed', MAX_SYMBOLS])
  })

  it('can claim ids that their sender does not have, which are then asked for in vain', () => {
    const claimed = new ShortIds([...all.slice(0, 40), ...makeIds(5, 7)], KEY)
    const { decoder } = reconcile(ours, claimed)

    expect(decoder.state).to.equal('decoded')
    expect(decoder.missing.byteLength).to.equal(40)
    expect(theirs.lookup(decoder.missing)).to.deep.equal([])
  })
})
