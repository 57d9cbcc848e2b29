import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { RING, covers, difference, intersect, normalize, sameSegments, shift, toRange, union, widthOf } from '../../src/replication/core/ring.ts'
import type { Segment } from '../../src/replication/core/ring.ts'

/** The edges at which arithmetic goes wrong, and their neighbours */
const EDGES = [0, 1, 2, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, RING - 2, RING - 1]
/** Few places, so that segments often touch, meet and are the same */
const GRID = 16

const position = fc.oneof(
  fc.constantFrom(...EDGES),
  fc.nat({ max: GRID - 1 }).map(i => i * RING / GRID),
  fc.integer({ min: 0, max: RING - 1 })
)
const width = fc.oneof(
  fc.constantFrom(1, 2, 2 ** 31 - 1, 2 ** 31, RING - 1, RING),
  fc.integer({ min: 1, max: GRID }).map(i => i * RING / GRID),
  fc.integer({ min: 1, max: RING })
)
const segments = fc.array(fc.record({ from: position, width }), { maxLength: 5 })

/** One turn at a time, and no thought of what wraps */
function isIn (all: Segment[], at: number): boolean {
  return all.some(({ from, width }) => [at, at + RING].some(p => p >= from && p < from + width))
}

/** Where anything can change, and right beside it */
function samples (...sets: Segment[][]): number[] {
  const edges = sets.flat().flatMap(({ from, width }) => [from, from + width])
  return [...EDGES, ...edges.flatMap(edge => [edge - 1, edge, edge + 1]).map(p => ((p % RING) + RING) % RING)]
}

function isCanonical (all: Segment[]): boolean {
  return all.every(({ from, width }, i) => {
    const next = all[(i + 1) % all.length]
    const gap = (next.from - from - width + 2 * RING) % RING
    const isWhole = from === 0 && width === RING

    return from >= 0 && from < RING && width >= 1 && Number.isInteger(from) && Number.isInteger(width) &&
      (all.length === 1 ? isWhole || width < RING : width < RING && gap > 0 && gap < RING) &&
      (i === 0 || from > all[i - 1].from)
  }) && all.reduce((sum, { width }) => sum + width, 0) <= RING
}

describe('segments of the ring', () => {
  it('cover what lies in them, past the end of the ring too', () => {
    const wrapping = [{ from: RING - 2, width: 4 }]

    expect([RING - 3, RING - 2, RING - 1, 0, 1, 2].map(p => covers(wrapping, p))).to.deep.equal([false, true, true, true, true, false])
    expect(covers([{ from: 2 ** 31, width: 1 }], 2 ** 31)).to.equal(true)
    expect(covers([{ from: 2 ** 31, width: 1 }], 2 ** 31 + 1)).to.equal(false)
    expect(covers([], 0)).to.equal(false)
    expect(covers([{ from: 7, width: RING }], 6)).to.equal(true)

    fc.assert(fc.property(segments, position, (a, at) => {
      for (const p of [at, ...samples(a)]) {
        expect(covers(a, p)).to.equal(isIn(a, p))
      }
    }))
  })

  it('have one form for the same positions', () => {
    expect(normalize([])).to.deep.equal([])
    expect(normalize([{ from: 9, width: RING }])).to.deep.equal([{ from: 0, width: RING }])
    expect(normalize([{ from: 2 ** 31, width: 2 ** 31 }, { from: 0, width: 2 ** 31 }])).to.deep.equal([{ from: 0, width: RING }])
    expect(normalize([{ from: 0, width: 3 }, { from: RING - 1, width: 1 }])).to.deep.equal([{ from: RING - 1, width: 4 }])
    expect(normalize([{ from: 5, width: 1 }, { from: 4, width: 1 }])).to.deep.equal([{ from: 4, width: 2 }])

    fc.assert(fc.property(segments, a => {
      const form = normalize(a)
      expect(isCanonical(form)).to.equal(true, JSON.stringify(form))
      expect(normalize(form)).to.deep.equal(form)
      expect(normalize([...a].reverse())).to.deep.equal(form)

      for (const p of samples(a)) {
        expect(isIn(form, p)).to.equal(isIn(a, p))
      }
    }))
  })

  it('are joined, met and taken from each other position by position', () => {
    fc.assert(fc.property(segments, segments, (a, b) => {
      const results = { union: union(a, b), intersect: intersect(a, b), difference: difference(a, b) }

      for (const p of samples(a, b)) {
        expect(isIn(results.union, p)).to.equal(isIn(a, p) || isIn(b, p))
        expect(isIn(results.intersect, p)).to.equal(isIn(a, p) && isIn(b, p))
        expect(isIn(results.difference, p)).to.equal(isIn(a, p) && !isIn(b, p))
      }

      expect(Object.values(results).every(isCanonical)).to.equal(true, JSON.stringify(results))
    }), { numRuns: 500 })
  })

  it('have the width of the positions in them, each counted once', () => {
    expect(widthOf([])).to.equal(0)
    expect(widthOf([{ from: 5, width: RING }, { from: 1, width: 1 }])).to.equal(RING)

    fc.assert(fc.property(segments, segments, (a, b) => {
      expect(widthOf(a)).to.equal(normalize(a).reduce((sum, { width }) => sum + width, 0))
      expect(widthOf(union(a, b)) + widthOf(intersect(a, b))).to.equal(widthOf(a) + widthOf(b))
      expect(widthOf(difference(a, b))).to.equal(widthOf(a) - widthOf(intersect(a, b)))
    }))
  })

  it('are moved without being changed', () => {
    expect(shift([{ from: RING - 1, width: 1 }], 1)).to.deep.equal([{ from: 0, width: 1 }])
    expect(shift([{ from: 0, width: 1 }], -1)).to.deep.equal([{ from: RING - 1, width: 1 }])

    fc.assert(fc.property(segments, fc.integer({ min: -3 * RING, max: 3 * RING }), (a, by) => {
      const moved = shift(a, by)
      expect(isCanonical(moved)).to.equal(true)
      expect(shift(moved, -by)).to.deep.equal(normalize(a))

      for (const p of samples(a)) {
        expect(isIn(moved, (((p + by) % RING) + RING) % RING)).to.equal(isIn(a, p))
      }
    }))
  })

  it('are the same if they have the same positions, in whatever form', () => {
    expect(sameSegments([{ from: 0, width: RING }], [{ from: 77, width: RING }])).to.equal(true)
    expect(sameSegments([], [{ from: 0, width: 1 }])).to.equal(false)

    fc.assert(fc.property(segments, segments, (a, b) => {
      expect(sameSegments(a, [...normalize(a), ...a])).to.equal(true)
      expect(sameSegments(a, b)).to.equal(widthOf(difference(a, b)) === 0 && widthOf(difference(b, a)) === 0)
    }))
  })

  it('are ranges of the log up to a position that is not in them', () => {
    expect(toRange({ from: 3, width: 4 })).to.deep.equal({ from: 3, to: 7 })
    expect(toRange({ from: 2 ** 31, width: 2 ** 31 })).to.deep.equal({ from: 2 ** 31, to: 0 })
    expect(toRange({ from: RING - 1, width: 2 })).to.deep.equal({ from: RING - 1, to: 1 })

    const { from, to } = toRange({ from: 5, width: RING })
    expect(from).to.equal(to)
  })

  it('leave what they are made from as it was', () => {
    fc.assert(fc.property(segments, segments, (a, b) => {
      const before = JSON.stringify([a, b])
      normalize(a)
      union(a, b)
      intersect(a, b)
      difference(a, b)
      shift(a, 5)
      widthOf(a)
      expect(JSON.stringify([a, b])).to.equal(before)
    }))
  })
})
