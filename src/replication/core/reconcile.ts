import { SHORT_ID_BYTES, ShortIds } from './short-ids.ts'
import { SketchDecoder, decodeSymbols } from './sketch.ts'
import type { Segment } from './ring.ts'
import type { RawEntry } from '../../log/core/types.ts'

/**
 * Finds out what another peer has of some segments and we have not, and fetches it. We ask, it answers, and remembers nothing:
 *
 * 1. both cut the segments into parts and compare counts and fingerprints, then the parts of those that differ, until these have
 * about a thousand entries;
 * 2. of those it streams coded symbols of short ids until we know which ids differ, see sketch.ts;
 * 3. what we do not have is fetched.
 *
 * Where it has far more than we do, all of it is pulled first, in the order in which it arrived there: so chains stay together, and
 * take one signature for many.
 *
 * It is synchronous work that hands out what it needs, and is handed the results: a shell does that with peers and disks, a
 * simulation with neither.
 */

export interface Summary {
  count: number
  fingerprint: Uint8Array
}

export type Need =
  | { type: 'summaries', from: 'us' | 'them', segments: Segment[], parts: number }
  | { type: 'symbols', segments: Segment[], from: number, count: number }
  | { type: 'fetch', segments: Segment[], shortIds: Uint8Array }
  | { type: 'pull', from: number, segments: Segment[] }
  | { type: 'ids', segments: Segment[] }
  | { type: 'join', entries: RawEntry[] }
  | { type: 'progress', done: number, total: number }

export interface Given {
  summaries: Summary[]
  symbols: Uint8Array
  /** For so many of the short ids that were named */
  fetch: { asked: number, entries: RawEntry[] }
  pull: { entries: RawEntry[], next: number, isEnd: boolean }
  ids: Uint8Array[]
  /** How many of them were new here */
  join: number
  progress: undefined
}

/** Several needs at once are given at once, in their order */
export type Reconciling = Generator<Need[], Reconciled, any>

export interface Reconciled {
  /** Nothing differed when it began */
  isEqual: boolean
  /** How many entries came */
  added: number
  /** How many they have that we still have not: they were refused, or did not come */
  missing: number
  /** They lack something that we have */
  isBehind: boolean
}

export interface ReconcileInit {
  /** What both keep */
  segments: Segment[]
  /** For this comparison alone, so that nobody can aim at collisions */
  key: Uint8Array
  /** Where an earlier pull ended */
  cursor: number
  limits: ReconcileLimits
}

export interface ReconcileLimits {
  /** Parts that a range is cut into */
  parts: number
  /** A range with no more entries is not cut */
  rangeEntries: number
  /** Segments that one question may name */
  maxAsked: number
  /** Ids in one sketch, and symbols in one answer */
  maxSketched: number
  maxSymbols: number
}

/** A range in which we differ */
interface Range {
  segment: Segment
  mine: number
  theirs: number
}

/** Symbols that are asked for beside what the difference is known to need: most differences are small */
const SPARE_SYMBOLS = 24
/** Times the entries of both: who needs more symbols than that has something else in mind */
const MAX_SYMBOLS_AN_ENTRY = 3
/** They have so many times as much as we do: then all is pulled */
const FAR_MORE = 2
/** Short ids that are asked for at once */
const FETCHED = 1024

export class Reconcile {
  readonly #init: ReconcileInit
  #added = 0
  #missing = 0
  #isBehind = false
  /** Where a pull ended */
  cursor: number

  constructor (init: ReconcileInit) {
    this.#init = init
    this.cursor = init.cursor
  }

  * run (): Reconciling {
    let ranges = yield * this.#compare(this.#init.segments)
    const isEqual = ranges.length === 0
    const [mine, theirs] = total(ranges)

    if (theirs > FAR_MORE * mine) {
      const segments = ranges.map(({ segment }) => segment)
      yield * this.#pull(segments, theirs - mine)

      if (this.#added === 0 && this.#init.cursor > 0) {
        // it is not where it was: its log was begun anew
        this.cursor = 0
        yield * this.#pull(segments, theirs - mine)
      }
      ranges = yield * this.#compare(this.#init.segments)
    }

    while (ranges.length * this.#init.limits.parts <= this.#init.limits.maxAsked && ranges.some(range => this.#isLarge(range))) {
      ranges = yield * this.#compare(ranges.map(({ segment }) => segment))
    }

    for (const group of this.#groups(ranges)) {
      yield * this.#list(group)
    }

    return { isEqual, added: this.#added, missing: this.#missing, isBehind: this.#isBehind }
  }

  /** The parts of these segments in which we differ */
  * #compare (segments: Segment[]): Generator<Need[], Range[], any> {
    const { parts } = this.#init.limits
    const ask = { type: 'summaries' as const, segments, parts }
    const [theirs, mine]: [Summary[], Summary[]] = yield [{ ...ask, from: 'them' }, { ...ask, from: 'us' }]
    const all = segments.flatMap(segment => partsOf(segment, parts))
    const ranges: Range[] = []

    all.forEach((segment, i) => {
      if (mine[i].count !== theirs[i].count || !isSame(mine[i].fingerprint, theirs[i].fingerprint)) {
        ranges.push({ segment, mine: mine[i].count, theirs: theirs[i].count })
      }
    })

    return ranges
  }

  /** All that arrived over there since an earlier pull. The next piece is on its way while one is stored */
  * #pull (segments: Segment[], total: number): Generator<Need[], void, any> {
    let [piece]: [Given['pull']] = yield [{ type: 'pull', from: this.cursor, segments }]

    for (;;) {
      const needs: Need[] = [{ type: 'join', entries: piece.entries }]

      if (!piece.isEnd) {
        needs.push({ type: 'pull', from: piece.next, segments })
      }

      const [added, next]: [number, Given['pull'] | undefined] = yield needs
      this.#added += added
      this.cursor = piece.next
      yield [{ type: 'progress', done: this.#added, total: Math.max(total, this.#added) }]

      if (next == null) {
        return
      }

      piece = next
    }
  }

  /** Which entries differ in these ranges, and those that only they have */
  * #list (ranges: Range[]): Generator<Need[], void, any> {
    const segments = ranges.map(({ segment }) => segment)
    const [mine, theirs] = total(ranges)

    // what one of us has none of need not be found out
    if (theirs === 0) {
      this.#isBehind = true
      return
    }

    const first = Math.max(Math.abs(theirs - mine), ranges.length) * 2 + SPARE_SYMBOLS
    const question = { type: 'symbols' as const, segments }
    let [ids, symbols]: [Uint8Array[], Uint8Array] = yield [{ type: 'ids', segments }, { ...question, from: 0, count: Math.min(first, this.#init.limits.maxSymbols) }]
    const decoder = new SketchDecoder(new ShortIds(ids, this.#init.key))

    while (!decoder.add(decodeSymbols(symbols)) && decoder.state === 'open' && decoder.length < (mine + theirs) * MAX_SYMBOLS_AN_ENTRY + SPARE_SYMBOLS) {
      [symbols] = yield [{ ...question, from: decoder.length, count: Math.min(decoder.length, this.#init.limits.maxSymbols) }]
    }

    if (decoder.state === 'decoded') {
      this.#isBehind ||= decoder.surplus.length > 0
      yield * this.#fetch(segments, decoder.missing)
    } else {
      // it went on under our eyes, or chance was against us: another comparison has another key
      this.#missing++
    }
  }

  * #fetch (segments: Segment[], missing: Uint8Array): Generator<Need[], void, any> {
    const all = missing.byteLength / SHORT_ID_BYTES
    let rest = missing
    let entries: RawEntry[] = []

    while (rest.byteLength > 0 || entries.length > 0) {
      const needs: Need[] = entries.length > 0 ? [{ type: 'join', entries }] : []

      if (rest.byteLength > 0) {
        needs.push({ type: 'fetch', segments, shortIds: rest.subarray(0, FETCHED * SHORT_ID_BYTES) })
      }

      const given: any[] = yield needs
      this.#added += entries.length > 0 ? given[0] : 0
      const fetched: Given['fetch'] = rest.byteLength > 0 ? given[needs.length - 1] : { asked: 0, entries: [] }
      // an answer has as many as fit; one that has none of them says nothing more
      rest = rest.subarray((fetched.asked > 0 ? fetched.asked : rest.byteLength) * SHORT_ID_BYTES)
      entries = fetched.entries
    }

    this.#missing += Math.max(0, all - this.#added)
    yield [{ type: 'progress', done: this.#added, total: Math.max(all, this.#added) }]
  }

  #isLarge ({ mine, theirs, segment }: Range): boolean {
    return Math.max(mine, theirs) > this.#init.limits.rangeEntries && segment.width >= this.#init.limits.parts
  }

  /** As many ranges at once as go into one sketch and one question */
  * #groups (ranges: Range[]): Generator<Range[]> {
    const { maxSketched, maxAsked } = this.#init.limits
    let group: Range[] = []
    let entries = 0

    for (const range of ranges) {
      const size = Math.max(range.mine, range.theirs)

      if (group.length > 0 && (entries + size > maxSketched || group.length >= maxAsked)) {
        yield group
        group = []
        entries = 0
      }

      group.push(range)
      entries += size
    }

    if (group.length > 0) {
      yield group
    }
  }
}

/** As many parts of nearly one width, or fewer if it is not as wide */
export function partsOf ({ from, width }: Segment, parts: number): Segment[] {
  const count = Math.min(parts, width)
  const segments: Segment[] = []

  for (let i = 0; i < count; i++) {
    const start = Math.floor(width * i / count)
    segments.push({ from: (from + start) % 2 ** 32, width: Math.floor(width * (i + 1) / count) - start })
  }

  return segments
}

function total (ranges: Range[]): [mine: number, theirs: number] {
  return ranges.reduce(([mine, theirs], range) => [mine + range.mine, theirs + range.theirs], [0, 0])
}

function isSame (a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i])
}
