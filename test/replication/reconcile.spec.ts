import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { covers, RING } from '../../src/replication/core/ring.ts'
import { ShortIds } from '../../src/replication/core/short-ids.ts'
import { encodeSymbols, SketchEncoder } from '../../src/replication/core/sketch.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { compareWith, Holder, makeIds, nameOf, placed, positionOf, toEntry } from '../fixtures/holder.ts'
import type { Moment } from '../../src/log/core/hybrid-clock.ts'
import type { Segment } from '../../src/replication/core/ring.ts'
import type { Answer, Question } from '../../src/replication/wire.ts'
import type { Compared } from '../fixtures/holder.ts'

const WHOLE: Segment[] = [{ from: 0, width: RING }]
/** Small enough that little sets go all the ways that large ones go */
const SMALL = { parts: 4, rangeEntries: 8, maxAsked: 32, maxSketched: 150, maxSymbols: 64 }
/** Comparisons after which two have to be equal: chance, and what is added in between, may take some */
const MAX_ROUNDS = 12

interface Pair {
  a: Holder
  b: Holder
  segments: Segment[]
  cursors: [a: number, b: number]
}

/** What is shared of them, by name */
function sharedOf (holder: Holder, segments: Segment[]): number[] {
  return within(holder.ids, segments).map(nameOf).sort()
}

function within (ids: Uint8Array[], segments: Segment[]): Uint8Array[] {
  return ids.filter(id => covers(segments, positionOf(id)))
}

/** Each compares with the other, in turns, until neither finds a difference */
function untilEqual ({ a, b, segments, cursors }: Pair, options: { limits?: Partial<typeof SMALL>, seed: number, between? (): void }): Compared[] {
  const all: Compared[] = []

  for (let round = 0; round < MAX_ROUNDS; round++) {
    const both = [[a, b], [b, a]].map(([us, them], i) => {
      const compared = compareWith({ ...options, us, segments, seed: options.seed + 2 * round + i, cursor: cursors[i], answer: question => them.answer(question) })
      cursors[i] = compared.cursor
      return compared
    })
    all.push(...both)

    if (both.every(({ isEqual }) => isEqual)) {
      return all
    }
  }

  throw new Error(`they differ after ${MAX_ROUNDS} rounds`)
}

const anySegments: fc.Arbitrary<Segment[]> = fc.constantFrom<Segment[]>(
  WHOLE,
  // one that wraps, some, many, a single position, and nothing
  [{ from: RING - 2 ** 30, width: 2 ** 31 }],
  [{ from: 5, width: 2 ** 29 }, { from: 2 ** 30, width: 3 }, { from: 2 ** 31, width: 2 ** 30 + 7 }],
  Array.from({ length: 100 }, (_, i) => ({ from: i * 2 ** 25, width: 2 ** 24 })),
  [{ from: 77, width: 1 }],
  []
)

/** How many both have, and either alone; and where they lie: anywhere, close together, or all in one place */
const anySets = fc.record({
  both: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(600)),
  onlyA: fc.oneof(fc.constant(0), fc.nat(5), fc.nat(300)),
  onlyB: fc.oneof(fc.constant(0), fc.nat(5), fc.nat(300)),
  spread: fc.constantFrom(RING, 2 ** 20, 16, 1),
  seed: fc.nat(1e6)
})

function makePair (sets: { both: number, onlyA: number, onlyB: number, spread: number, seed: number }, segments: Segment[], cursors: [number, number] = [0, 0]): Pair {
  const { both, onlyA, onlyB, spread, seed } = sets
  const ids = makeIds(both + onlyA + onlyB, seed).map(id => spread === RING ? id : placed(id, (77 + positionOf(id) % spread) % RING))
  const [shared, a, b] = [ids.slice(0, both), ids.slice(both, both + onlyA), ids.slice(both + onlyA)]
  return { a: new Holder([...shared, ...a]), b: new Holder([...b, ...shared.reverse()]), segments, cursors }
}

describe('comparing with a peer', function () {
  this.timeout(120_000)

  it('ends with all that either has, whatever they have, and fetches nothing of what is not shared', () => {
    fc.assert(fc.property(anySets, anySegments, fc.tuple(fc.nat(700), fc.nat(700)), (sets, segments, cursors) => {
      const pair = makePair(sets, segments, cursors)
      const union = [...new Set([...sharedOf(pair.a, segments), ...sharedOf(pair.b, segments)])].sort()
      const outside = pair.a.size - within(pair.a.ids, segments).length
      const compared = untilEqual(pair, { limits: SMALL, seed: sets.seed })

      expect(sharedOf(pair.a, segments)).to.deep.equal(union)
      expect(sharedOf(pair.b, segments)).to.deep.equal(union)
      expect(pair.a.size - union.length).to.equal(outside)
      const came = compared.flatMap(({ came }) => came)
      expect(within(came, segments)).to.deep.equal(came)
      expect(compared.reduce((sum, { missing }) => sum + missing, 0)).to.equal(0)
      expect(compared.slice(-2).every(({ came, isBehind, trips }) => came.length === 0 && !isBehind && trips <= 1)).to.equal(true)
    }), { numRuns: IS_LONG ? 300 : 100 })
  })

  it('says when the other lacks something, and only then, unless that cannot be told', () => {
    fc.assert(fc.property(anySets.filter(({ spread }) => spread > 1), sets => {
      const pair = makePair(sets, WHOLE)
      const lacks = pair.a.ids.some(id => !pair.b.has(id))
      const { isBehind, surplus, isEqual, added, missing } = compareWith({ us: pair.a, segments: WHOLE, limits: { ...SMALL, maxSketched: 5000 }, seed: sets.seed, answer: question => pair.b.answer(question) })
      expect(surplus.some(id => pair.b.has(id))).to.equal(false)
      expect({ isBehind: isBehind || surplus.length > 0, isEqual, added, missing }).to.deep.equal({ isBehind: lacks, isEqual: sets.onlyA + sets.onlyB === 0, added: sets.onlyB, missing: 0 })
    }), { numRuns: IS_LONG ? 150 : 50 })
  })

  it('ends with all of it also where entries are added on both sides all the while', () => {
    fc.assert(fc.property(anySets, fc.nat(40), (sets, late) => {
      const pair = makePair(sets, WHOLE)
      const more = makeIds(late, sets.seed + 1e7)
      const between = (): void => {
        const id = more.pop()
        if (id != null) {
          (more.length % 3 === 0 ? pair.a : pair.b).add(id)
          if (more.length % 3 === 1) {
            pair.a.add(id)
          }
        }
      }
      untilEqual(pair, { limits: SMALL, seed: sets.seed, between })
      between()
      untilEqual(pair, { limits: SMALL, seed: sets.seed + 100 })
      expect(sharedOf(pair.a, WHOLE)).to.deep.equal(sharedOf(pair.b, WHOLE))
    }), { numRuns: IS_LONG ? 100 : 30 })
  })

  it('counts what is refused, or gone, as missing, and each that came otherwise as here', () => {
    fc.assert(fc.property(anySets, fc.integer({ min: 2, max: 5 }), (sets, every) => {
      const pair = makePair({ ...sets, spread: RING }, WHOLE)
      const lacking = pair.b.ids.filter(id => !pair.a.has(id))
      const refused = new Set(lacking.filter((_, i) => i % every === 0).map(nameOf))
      lacking.filter((_, i) => i % every === 1).forEach(id => { pair.b.lose(id) })
      pair.a.refuses = id => refused.has(nameOf(id))
      // one of them comes while it is looked for
      const between = (): void => { lacking.slice(0, 3).forEach(id => pair.a.add(id)) }
      const { missing, isEqual, progress } = compareWith({ us: pair.a, segments: WHOLE, limits: SMALL, seed: sets.seed, between, answer: question => pair.b.answer(question) })

      expect(missing).to.equal(pair.b.ids.filter(id => !pair.a.has(id)).length)
      expect(isEqual).to.equal(sets.onlyA + sets.onlyB === 0 || (sets.onlyA === 0 && missing === 0 && progress.length === 0))
      expect(progress.every(({ done, total }, i) => done <= total && done >= (progress[i - 1]?.done ?? 0) && total >= (progress[i - 1]?.total ?? 0))).to.equal(true)
    }), { numRuns: IS_LONG ? 150 : 50 })
  })

  it('takes all that a fresh one lacks in the order of the log, and lists what little there is later', () => {
    const ids = makeIds(5000, 1)
    const [fresh, full] = [new Holder(), new Holder(ids.slice(0, 3000))]
    const first = compareWith({ us: fresh, segments: WHOLE, answer: question => full.answer(question) })
    expect(fresh.ids).to.deep.equal(full.ids)
    expect({ ...first, came: first.came.length }).to.include({ added: 3000, missing: 0, came: 3000, isBehind: false })
    // a comparison before and one after, and 3 pieces
    expect(first.trips).to.equal(5)
    expect(first.progress.at(-1)).to.deep.include({ done: 3000, total: 3000 })

    ids.slice(3000, 3100).forEach(id => { full.add(id) })
    const second = compareWith({ us: fresh, segments: WHOLE, answer: question => full.answer(question) })
    expect(second).to.include({ added: 100, missing: 0 })
    expect(second.came).to.have.lengthOf(100)
  })

  it('takes part when others tell all that is missing, though not far more is', () => {
    const ids = makeIds(3000, 2)
    const compare = (isCatchingUp: boolean): Compared => {
      const [us, them] = [new Holder(ids.slice(0, 2000)), new Holder(ids)]
      return compareWith({ us, segments: WHOLE, isCatchingUp, answer: question => them.answer(question) })
    }

    expect(compare(false).came).to.have.lengthOf(1000)
    // the holder tells all of it, since nobody else is there
    expect(compare(true).came).to.have.lengthOf(3000)
  })

  it('does not read all of a large log for the little that is shared of it', () => {
    const segments = [{ from: 0, width: 2 ** 20 }]
    const ours = makeIds(300, 3).map((id, i) => placed(id, i * 1000))
    const ids = makeIds(IS_LONG ? 400_000 : 100_000, 4)
    // at the end of what arrived
    const [us, them] = [new Holder(), new Holder([...ids, ...ours])]
    const { trips, missing } = compareWith({ us, segments, answer: question => them.answer(question) })
    expect(within(us.ids, segments)).to.have.lengthOf(within(them.ids, segments).length)
    expect(missing).to.equal(0)
    expect(trips).to.be.below(20)
  })

  it('asks no more of many segments than one question may', () => {
    const segments = Array.from({ length: 5000 }, (_, i) => ({ from: i * 2 ** 19, width: 2 ** 18 }))
    const ids = makeIds(3000, 5)
    const [us, them] = [new Holder(ids.slice(100)), new Holder(ids.slice(0, 2900))]
    const { missing } = compareWith({
      us,
      segments,
      answer: question => {
        expect('segments' in question && question.segments.length).to.be.at.most(2048)
        return them.answer(question)
      }
    })
    expect(missing).to.equal(0)
    expect(sharedOf(us, segments).length).to.equal(within(ids, segments).length)
  })

  it('finds one entry among more in one place than go into a sketch, and does not pull them all for it', () => {
    const ids = makeIds(20_000, 6).map(id => placed(id, 99))
    const limits = { maxSketched: 4000 }
    const [us, them] = [new Holder(ids.slice(0, -1)), new Holder(ids)]
    const one = compareWith({ us, segments: WHOLE, limits, cursor: 19_000, answer: question => them.answer(question) })
    expect(one).to.include({ added: 1, missing: 0, cursor: 20_000 })
    expect(one.came).to.have.lengthOf(1000)

    const early = new Holder(ids.slice(1))
    expect(compareWith({ us: early, segments: WHOLE, limits, cursor: 19_000, answer: question => them.answer(question) })).to.include({ added: 1, missing: 0 })
    // who lacks nothing pulls nothing
    const none = compareWith({ us: new Holder([...ids, placed(ids[0], 100)]), segments: WHOLE, limits, answer: question => early.answer(question) })
    expect(none).to.include({ added: 0, missing: 0, isBehind: true })
    const more = compareWith({ us: them, segments: WHOLE, limits, answer: question => new Holder(ids.slice(5)).answer(question) })
    expect(more).to.deep.include({ added: 0, missing: 0, isBehind: true, came: [] })
  })
})

describe('what a comparison takes', function () {
  this.timeout(240_000)

  const figures: Array<{ name: string, size: number, ours: number, theirs: number, bytes: number, trips: number }> = [
    // one is enough: the rest of these is found with fewer, in a tenth of the time
    ...IS_LONG ? [{ name: '1,000,000, of which we lack 100', size: 1e6, ours: 0, theirs: 100, bytes: 16_000, trips: 4 }] : [],
    { name: '100,000, of which either lacks 50', size: 1e5, ours: 50, theirs: 50, bytes: 12_000, trips: 4 },
    { name: '100,000 that are the same', size: 1e5, ours: 0, theirs: 0, bytes: 400, trips: 1 },
    { name: '100,000, of which we lack 1', size: 1e5, ours: 0, theirs: 1, bytes: 800, trips: 3 },
    { name: '100,000, of which we lack 10', size: 1e5, ours: 0, theirs: 10, bytes: 2000, trips: 4 },
    { name: '100,000, of which we lack 1,000', size: 1e5, ours: 0, theirs: 1000, bytes: 32_000, trips: 4 },
    { name: '100,000, of which either lacks 500', size: 1e5, ours: 500, theirs: 500, bytes: 26_000, trips: 5 }
  ]
  const ids: Uint8Array[] = []

  before(() => {
    makeIds(IS_LONG ? 1e6 : 1e5, 9).forEach(id => { ids.push(id) })
  })

  for (const { name, size, ours, theirs, bytes, trips } of figures) {
    it(`${name}: less than ${bytes} bytes beside the entries, in ${trips} round trips`, () => {
      const all = ids.slice(0, size)
      const [us, them] = [new Holder(all.slice(theirs)), new Holder(all.slice(0, size - ours))]
      const compared = compareWith({ us, segments: WHOLE, answer: question => them.answer(question) })
      expect(compared).to.include({ added: theirs, missing: 0, isBehind: false })
      expect(compared.surplus).to.have.lengthOf(ours)
      expect(compared.bytes).to.be.at.most(bytes)
      expect(compared.trips).to.be.at.most(trips)
    })
  }
})

describe('a peer that answers what is not so', function () {
  this.timeout(120_000)

  const many = makeIds(3000, 20)
  const stranger = new SketchEncoder(new ShortIds(makeIds(50_000, 21), new Uint8Array(16)))

  type Lie = (honest: Answer, question: Question) => Answer

  function lie<K extends Answer['kind']> (kind: K, tell: (honest: Extract<Answer, { kind: K }>, question: Extract<Question, { kind: K }>) => Answer): Lie {
    return (honest, question) => question.kind === kind ? tell(honest as Extract<Answer, { kind: K }>, question as Extract<Question, { kind: K }>) : honest
  }

  const summary = { count: 3, fingerprint: new Uint8Array(8) }
  const huge = lie('summaries', ({ kind, summaries }) => ({ kind, summaries: summaries.map(summary => ({ ...summary, count: 2 ** 30 })) }))
  const pulls: Record<string, Lie> = {
    'nothing, and that there is more': lie('pull', ({ kind }, { from }) => ({ kind, entries: [], next: from + 1, isEnd: false })),
    'the same again and again': lie('pull', ({ kind }, { from }) => ({ kind, entries: many.slice(0, 1024).map(toEntry), next: from + 1024, isEnd: false })),
    'what we have not asked for': lie('pull', ({ kind }, { from }) => ({ kind, entries: makeIds(5, from).map(toEntry), next: from + 5, isEnd: true }))
  }
  const later = ({ time, counter }: Moment, by: number): Moment => ({ time: time + by, counter })
  const windows: Record<string, Lie> = {
    'nothing, and that there is more': lie('window', ({ kind }, { from }) => ({ kind, entries: [], looked: 0, next: later(from, 1) })),
    'the same again and again': lie('window', ({ kind }, { from }) => ({ kind, entries: many.slice(0, 1024).map(toEntry), looked: 1024, next: later(from, 1024) })),
    'what we have not asked for': lie('window', ({ kind }, { from }) => ({ kind, entries: makeIds(5, from.time).map(toEntry), looked: 5, next: later(from, 5) })),
    'that it looked at more than there is': lie('window', ({ kind, entries, next }) => ({ kind, entries, next, looked: Number.MAX_SAFE_INTEGER }))
  }
  const lies: Record<string, Lie> = {
    ...Object.fromEntries(Object.entries(pulls).map(([name, tell]) => [`pulled, ${name}`, tell])),
    ...Object.fromEntries(Object.entries(windows).map(([name, tell]) => [`told, ${name}`, tell])),
    'other counts than it has': lie('summaries', ({ kind, summaries }) => ({ kind, summaries: summaries.map((summary, i) => ({ ...summary, count: i * 1000 })) })),
    'that it has far more than it has': huge,
    'that all differs, always': lie('summaries', ({ kind, summaries }) => ({ kind, summaries: summaries.map(({ count }) => ({ ...summary, count })) })),
    'symbols of another set': lie('symbols', ({ kind }, { from, count }) => ({ kind, symbols: encodeSymbols(stranger.symbols(from, count)) })),
    'symbols of a set that changes always': lie('symbols', ({ kind }, { from, count }) => ({ kind, symbols: encodeSymbols({ from, items: 5 + from, cells: new Uint32Array(4 * count) }) })),
    'for no name': lie('fetch', ({ kind }) => ({ kind, asked: 0, entries: [] })),
    'for one name, without its entry': lie('fetch', ({ kind }) => ({ kind, asked: 1, entries: [] })),
    'that all are gone': lie('fetch', ({ kind, asked }) => ({ kind, asked, entries: [] })),
    'entries that were not asked for': lie('fetch', ({ kind, asked }) => ({ kind, asked, entries: many.slice(0, asked).map(toEntry) }))
  }
  const nonsense: Record<string, Lie> = {
    'fewer summaries than there are parts': lie('summaries', ({ kind, summaries }) => ({ kind, summaries: summaries.slice(1) })),
    'no summaries': lie('summaries', ({ kind }) => ({ kind, summaries: [] })),
    'more summaries than there are parts': lie('summaries', ({ kind, summaries }) => ({ kind, summaries: [...summaries, summary] })),
    'more entries than anybody has': lie('summaries', ({ kind, summaries }) => ({ kind, summaries: summaries.map(summary => ({ ...summary, count: 2 ** 53 - 1 })) })),
    'no symbols': lie('symbols', ({ kind }) => ({ kind, symbols: new Uint8Array(0) })),
    'symbols that are none': lie('symbols', ({ kind }) => ({ kind, symbols: new Uint8Array(100).fill(0xff) })),
    'an empty list of symbols': lie('symbols', ({ kind }, { from }) => ({ kind, symbols: encodeSymbols({ from, items: 5, cells: new Uint32Array(0) }) })),
    'other symbols than those that are next': lie('symbols', ({ kind }, { from, count }) => ({ kind, symbols: encodeSymbols(stranger.symbols(from + 1, count)) })),
    'a pull that goes on where it is': lie('pull', ({ kind, entries }, { from }) => ({ kind, entries, next: from, isEnd: false })),
    'fewer symbols than were asked for': lie('symbols', ({ kind }, { from }) => ({ kind, symbols: encodeSymbols(stranger.symbols(from, 1)) })),
    'a pull that goes on at the end of all numbers': lie('pull', ({ kind }) => ({ kind, entries: [], next: Number.MAX_SAFE_INTEGER, isEnd: false })),
    'a moment that is not later': lie('window', ({ kind, entries, looked }, { from }) => ({ kind, entries, looked, next: from })),
    'a pull that goes back': lie('pull', ({ kind, entries }, { from }) => ({ kind, entries, next: from - 1, isEnd: from % 2 === 0 })),
    'for more names than were asked for': lie('fetch', ({ kind, asked, entries }) => ({ kind, asked: asked + 1, entries })),
    'more entries than names': lie('fetch', ({ kind, asked }) => ({ kind, asked, entries: many.slice(0, asked + 1).map(toEntry) }))
  }

  const inOnePlace = many.map(id => placed(id, 77))

  /** Three situations: they have some that we have not, or far more than we have; or both have many in one place */
  function outcomes (tell: Lie, limits: Partial<typeof SMALL>): unknown[] {
    return [[many.slice(40), many], [many.slice(0, 100), many], [inOnePlace.slice(40), inOnePlace]].map(([ids, all], i) => {
      const [us, them] = [new Holder(ids), new Holder(all.slice(0, 2990))]

      try {
        return compareWith({ us, segments: WHOLE, limits, cursor: 20 * i, answer: question => tell(them.answer(question), question) }).trips
      } catch (err) {
        return err
      }
    })
  }

  for (const [name, tell] of Object.entries(lies)) {
    it(`is not listened to for long: ${name}`, () => {
      for (const limits of [{}, SMALL]) {
        outcomes(tell, limits).forEach(outcome => { expect(outcome).to.be.a('number').that.is.below(5000) })
      }
    })
  }

  for (const [name, tell] of Object.entries(nonsense)) {
    it(`is told from one that does by a MalformedError: ${name}`, () => {
      const all = [...outcomes(tell, {}), ...outcomes(tell, SMALL)]
      expect(all.filter(outcome => outcome instanceof MalformedError)).to.have.lengthOf.at.least(1)
      expect(all.filter(outcome => typeof outcome !== 'number' && !(outcome instanceof MalformedError))).to.deep.equal([])
    })
  }

  it('comes to an end with whatever mixture of that', () => {
    const all = [...Object.values(lies), ...Object.values(nonsense), lie('weight', honest => honest)]

    fc.assert(fc.property(fc.array(fc.nat(all.length - 1), { minLength: 5, maxLength: 40 }), fc.nat(3000), (told, cursor) => {
      const [us, them] = [new Holder(many.slice(0, 500)), new Holder(many.slice(400, 1200))]
      let next = 0

      try {
        const { trips } = compareWith({ us, segments: WHOLE, limits: SMALL, cursor, answer: question => all[told[next++ % told.length]](them.answer(question), question) })
        expect(trips).to.be.below(5000)
      } catch (err) {
        expect(err).to.be.instanceOf(MalformedError)
      }
    }), { numRuns: IS_LONG ? 300 : 100 })
  })
})
