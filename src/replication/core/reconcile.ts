import { MalformedError } from '../../runtime/errors.ts'
import { differencesOf, entriesOf, gainOf, groupsOf, partsOf, sizeOf, toSegments } from './ranges.ts'
import { SHORT_ID_BYTES, ShortIds } from './short-ids.ts'
import { MAX_ITEMS, MAX_SYMBOLS, SketchDecoder, decodeSymbols } from './sketch.ts'
import type { Given, Need, Reconciling, Summary } from './needs.ts'
import type { Range } from './ranges.ts'
import type { Segment } from './ring.ts'
import type { Symbols } from './sketch.ts'
import type { RawEntry } from '../../log/core/types.ts'

export { partsOf } from './ranges.ts'
export type * from './needs.ts'

/**
 * Finds out what another peer has of some segments and we have not, and fetches it. We ask, it answers, and remembers
 * nothing:
 *
 * 1. both cut the segments into parts and compare counts and fingerprints, then the parts of those that differ, until
 * these have about a thousand entries;
 * 2. of those it streams coded symbols of short ids until we know which ids differ, see sketch.ts;
 * 3. what we do not have is fetched.
 *
 * Where it has far more than we do, all of it is told first, in the order of the log: so chains stay together, and take
 * one signature for many. Where more lie in one place than a sketch takes, as a place cannot be cut, what arrived there
 * since the last time is pulled.
 *
 * Whatever it answers, this comes to an end: with a result or a MalformedError. It is synchronous work that hands out
 * what it needs, and is handed the results: a shell does that with peers and disks, a simulation with neither.
 */

export interface ReconcileInit {
  /** What both keep */
  segments: Segment[]
  /** For this comparison alone, so that nobody can aim at collisions */
  key: Uint8Array
  /** Where an earlier pull ended */
  cursor: number
  /** Others tell us all that they have, at this moment: then it does not take far more for this one to take part */
  isCatchingUp? (): boolean
  limits: ReconcileLimits
}

export interface ReconcileLimits {
  /** Parts that a range is cut into, at most */
  parts: number
  /** A range with no more entries is not cut */
  rangeEntries: number
  /** Segments that one question may name, and parts that it may ask for */
  maxAsked: number
  /** Ids in one sketch, and symbols in one answer */
  maxSketched: number
  maxSymbols: number
}

/**
 * Symbols that are asked for beside what the difference is known to need, for each of which there are one and a half
 */
const SPARE_SYMBOLS = 24
const SYMBOLS_A_DIFFERENCE = 1.5
/**
 * Times the entries of both, and some: who needs more symbols than that has something else in mind. Of few differences
 * two may stay together for long: of 29, once in 3,000 times for more than 110 symbols (measured)
 */
const MAX_SYMBOLS_AN_ENTRY = 3
const MAX_SPARE_SYMBOLS = 512
/** Numbers that a symbol is made of, see sketch.ts */
const CELLS = 4
/** Times that one list is begun, or a catching-up: what lies there may change while it is asked for */
const ATTEMPTS = 2
/**
 * As much as so many ranges of `rangeEntries` is not cut: to sketch it takes 10 ms on a laptop, a question may take
 * more
 */
const CHEAP_RANGES = 16
/** They have so many times as much as we do, and so many more: then all is told */
const FAR_MORE = 2
const FEW = 64
/** What may be told in vain, beside as much as there is to be gained. A guess */
const VAIN = 1024
/**
 * What a look at so many entries over there, of which none were for us, counts like: as one that came in vain. A guess
 */
const SPARSE = 64
/** And what an answer without anything new counts like, at least */
const VAIN_ANSWER = 16
/** Entries that the other lacks, by name, at most. A guess: in one or two messages */
const NAMED = 1024
/** Short ids that are asked for at once */
const FETCHED = 1024

export class Reconcile {
  readonly #init: ReconcileInit
  #added = 0
  #missing = 0
  #isBehind = false
  readonly #surplus: Uint8Array[] = []
  /** Entries that are known to be new to us, those that were added among them */
  #expected = 0
  /** Where a pull ended */
  cursor: number

  constructor (init: ReconcileInit) {
    this.#init = init
    this.cursor = init.cursor
  }

  * run (): Reconciling {
    const differing = yield * this.#compareAll()
    const ranges = yield * this.#narrow(yield * this.#catchUp(differing))
    const { maxSketched, maxAsked } = this.#init.limits
    const isListed = (range: Range): boolean => sizeOf(range) <= maxSketched

    // what they have nothing of need not be found out
    const listed = ranges.filter(range => isListed(range) && range.theirs > 0)
    this.#isBehind = ranges.some(({ theirs }) => theirs === 0)

    for (const group of groupsOf(listed, maxSketched, maxAsked)) {
      yield * this.#list(group)
    }

    yield * this.#sweep(ranges.filter(range => !isListed(range)))
    yield * this.#end()
    return {
      isEqual: differing.length === 0,
      added: this.#added,
      missing: this.#missing,
      surplus: this.#surplus,
      isBehind: this.#isBehind
    }
  }

  /** What others told is not to come from this one any more */
  * #end (): Generator<Need[], void, any> {
    if (this.#expected > this.#added + this.#missing) {
      this.#expected = this.#added + this.#missing
      yield * this.#add(0)
    }
  }

  /** Many segments are not cut at first: mostly nothing differs */
  * #compareAll (): Generator<Need[], Range[], any> {
    const { segments, limits } = this.#init
    return yield * this.#compare(
      segments, Math.max(1, Math.min(limits.parts, Math.floor(2 * limits.parts / segments.length)))
    )
  }

  /** The parts of these segments in which we differ */
  * #compare (segments: Segment[], parts: number): Generator<Need[], Range[], any> {
    const asked: Array<{ type: 'summaries', segments: Segment[], parts: number }> = []

    for (let i = 0; i < segments.length; i += this.#init.limits.maxAsked) {
      asked.push({ type: 'summaries', segments: segments.slice(i, i + this.#init.limits.maxAsked), parts })
    }

    const given: Summary[][] = yield [
      ...asked.map(need => ({ ...need, from: 'them' as const })),
      ...asked.map(need => ({ ...need, from: 'us' as const }))
    ]
    const theirs = given.slice(0, asked.length).flat()
    const mine = given.slice(asked.length).flat()
    const all = segments.flatMap(segment => partsOf(segment, parts))

    if (theirs.length !== all.length || theirs.some(({ count }) => count > MAX_ITEMS)) {
      throw new MalformedError(`${theirs.length} summaries of ${all.length} parts, ` +
        `of up to ${theirs.reduce((max, { count }) => Math.max(max, count), 0)} entries`)
    }

    return all
      .map((segment, i) => ({
        segment, mine: mine[i].count, theirs: theirs[i].count, isSame: isSame(mine[i], theirs[i])
      }))
      .filter(({ isSame }) => !isSame)
  }

  /** Takes what they have if it is far more than we have; in what we differ then */
  * #catchUp (ranges: Range[]): Generator<Need[], Range[], any> {
    let isWorthIt = true

    // the first time may be no more than what was left of an earlier catching-up
    for (let left = ATTEMPTS; left > 0 && isWorthIt && this.#isFarMore(ranges); left--) {
      const segments = toSegments(ranges)
      isWorthIt = yield * this.#take(gainOf(ranges), () => ({ type: 'window', segments }))
      ranges = yield * this.#compareAll()
    }

    return ranges
  }

  #isFarMore (ranges: Range[]): boolean {
    const [mine, theirs] = entriesOf(ranges)
    return theirs > (this.#init.isCatchingUp?.() === true ? 1 : FAR_MORE) * mine && theirs > mine + FEW
  }

  /**
   * Piece after piece; the next one is on its way while one is stored. It goes on to the end, unless too much of it is
   * of no use: what then still differs is listed. Whether it was worth it: also not if most of it was not taken
   */
  * #take (gain: number, ask: () => Need): Generator<Need[], boolean, any> {
    const before = this.#added
    let handed = 0
    let vain = 0
    let isWorthIt = true
    let piece: Given['pull' | 'window'] | undefined = (yield [ask()])[0]
    this.#expected = Math.max(this.#expected, this.#added + gain)

    while (piece != null) {
      const { entries, isEnd }: Given['pull' | 'window'] = piece
      const looked = 'next' in piece ? this.#moveOn(piece) : piece.looked
      // more than they said that there is counts, too
      isWorthIt = vain + Math.max(0, this.#added - before - gain) <= gain + VAIN
      const given: [number, Given['pull' | 'window']?] = yield [
        { type: 'join', entries }, ...isEnd || !isWorthIt ? [] : [ask()]
      ]
      const [added] = given
      handed += entries.length
      vain += Math.max(entries.length - added + Math.floor(looked / SPARSE), added === 0 ? VAIN_ANSWER : 0)
      piece = given[1]
      yield * this.#add(added)
    }

    return isWorthIt && 2 * (this.#added - before) >= handed
  }

  /** Over how many arrivals */
  #moveOn ({ next, isEnd }: Given['pull']): number {
    const arrivals = next - this.cursor

    if (arrivals < 0 || (arrivals === 0 && !isEnd)) {
      throw new MalformedError(`what arrived from ${this.cursor} on is said to go on at ${next}`)
    }

    this.cursor = next
    return arrivals
  }

  * #add (added: number): Generator<Need[], void, any> {
    this.#added += added
    yield [{ type: 'progress', done: this.#added, total: Math.max(this.#expected, this.#added) }]
  }

  /** Cuts what is large, as long as it is much. Each time it gets narrower by half at least */
  * #narrow (ranges: Range[]): Generator<Need[], Range[], any> {
    const { parts: most, rangeEntries, maxAsked } = this.#init.limits

    while (ranges.reduce((sum, range) => sum + sizeOf(range), 0) >
      rangeEntries * Math.max(CHEAP_RANGES, ranges.length)) {
      const isLarge = (range: Range): boolean => sizeOf(range) > rangeEntries && range.segment.width > 1
      const large = ranges.filter(isLarge)
      const average = large.reduce((sum, range) => sum + sizeOf(range), 0) / large.length
      const parts = Math.min(most, Math.floor(maxAsked / large.length), Math.ceil(2 * average / rangeEntries))

      if (large.length === 0 || parts < 2) {
        break
      }

      ranges = [
        ...ranges.filter(range => !isLarge(range)), ...yield * this.#compare(large.map(({ segment }) => segment), parts)
      ]
    }

    return ranges
  }

  /** Which entries differ in these ranges, and those that only they have */
  * #list (ranges: Range[]): Generator<Need[], void, any> {
    const segments = toSegments(ranges)
    let decoder: SketchDecoder | undefined

    for (let left = ATTEMPTS; left > 0 && decoder?.state !== 'decoded'; left--) {
      decoder = yield * this.#decode(ranges, segments, decoder?.length ?? 0)
    }

    if (decoder?.state === 'decoded') {
      this.#lack(decoder.surplus)
      yield * this.#fetch(segments, decoder.missing)
    } else {
      // another comparison has another key
      this.#missing += Math.max(1, gainOf(ranges))
    }
  }

  /** A few can be named; who lacks more finds it out for itself */
  #lack (ids: Uint8Array[]): void {
    if (this.#surplus.length + ids.length <= NAMED) {
      ids.forEach(id => this.#surplus.push(id))
    } else {
      this.#isBehind = true
    }
  }

  /** Asks for `needed` symbols at first, or what seems likely if that is more. It may come to nothing */
  * #decode (ranges: Range[], segments: Segment[], needed: number): Generator<Need[], SketchDecoder, any> {
    const { key, limits: { maxSymbols } } = this.#init
    const [mine, theirs] = entriesOf(ranges)
    const most = MAX_SYMBOLS_AN_ENTRY * (mine + theirs) + MAX_SPARE_SYMBOLS
    const first = Math.max(needed, Math.ceil(SYMBOLS_A_DIFFERENCE * differencesOf(ranges)) + SPARE_SYMBOLS)
    let question = { type: 'symbols' as const, segments, from: 0, count: Math.min(first, maxSymbols) }
    let [bytes, ids]: [Uint8Array, Uint8Array[]] = yield [question, { type: 'ids', segments }]
    const decoder = new SketchDecoder(yield * ShortIds.inSlices(ids, key))
    let symbols = expectSymbols(bytes, question)
    const { items } = symbols
    yield * decoder.prepare(question.count)

    // who has got or lost some meanwhile goes on with another stream
    while (symbols.items === items && !decoder.add(symbols) && decoder.state === 'open' && decoder.length < most) {
      question = { ...question, from: decoder.length, count: Math.min(decoder.length, maxSymbols) };
      [bytes] = yield [question]
      symbols = expectSymbols(bytes, question)
      yield * decoder.prepare(question.count)
    }

    return decoder
  }

  * #fetch (segments: Segment[], missing: Uint8Array): Generator<Need[], void, any> {
    const count = missing.byteLength / SHORT_ID_BYTES
    const before = this.#added
    let rest = missing
    let entries: RawEntry[] = []
    this.#expected = Math.max(this.#expected, this.#added + count)

    while (rest.byteLength > 0 || entries.length > 0) {
      const shortIds = rest.subarray(0, FETCHED * SHORT_ID_BYTES)
      const asked: Need[] = rest.byteLength > 0 ? [{ type: 'fetch', segments, shortIds }] : []
      const given: any[] = yield [...asked, { type: 'join', entries }]
      yield * this.#add(given[asked.length])
      const fetched: Given['fetch'] = asked.length > 0 ? given[0] : { asked: 0, entries: [] }

      if (fetched.asked * SHORT_ID_BYTES > shortIds.byteLength || fetched.entries.length > fetched.asked) {
        throw new MalformedError(`${fetched.entries.length} entries for ${fetched.asked} of ` +
          `${shortIds.byteLength / SHORT_ID_BYTES} names`)
      }

      // an answer has as many as fit; one that has none of them says nothing more
      rest = rest.subarray(fetched.asked > 0 ? fetched.asked * SHORT_ID_BYTES : rest.byteLength)
      entries = fetched.entries
    }

    if (this.#added - before < count) {
      // some may have come on another way meanwhile
      const [ids]: [Uint8Array[]] = yield [{ type: 'ids', segments }]
      this.#missing += count - new ShortIds(ids, this.#init.key).lookup(missing).length
    }
  }

  /**
   * Ranges with more entries than go into a sketch, which cannot be cut: they lie in one place, as entries of one group
   * do. All that arrived since an earlier pull is pulled, and if that is not it, all there is. Who has fewer need not
   * be asked: it will pull, and has all then
   */
  * #sweep (ranges: Range[]): Generator<Need[], void, any> {
    const segments = ranges.map(({ segment }) => segment)
    let rest = ranges

    for (const from of this.cursor > 0 ? [this.cursor, 0] : [0]) {
      const ahead = rest.filter(({ mine, theirs }) => theirs >= mine)

      if (ahead.length > 0) {
        this.cursor = from
        const pulled = toSegments(ahead)
        yield * this.#take(entriesOf(ahead)[1], () => ({ type: 'pull', from: this.cursor, segments: pulled }))
        rest = yield * this.#compare(segments, 1)
      }
    }

    this.#missing += gainOf(rest)
    this.#isBehind ||= rest.some(({ mine, theirs }) => mine >= theirs)
  }
}

/** Who sent few of them could keep us busy for long */
function expectSymbols (bytes: Uint8Array, { from, count }: { from: number, count: number }): Symbols {
  const symbols = decodeSymbols(bytes)
  const came = symbols.cells.length / CELLS

  if (came < Math.min(count, MAX_SYMBOLS - from)) {
    throw new MalformedError(`${came} symbols where ${count} were asked for`)
  }

  return symbols
}

function isSame (a: Summary, b: Summary): boolean {
  return a.count === b.count && a.fingerprint.byteLength === b.fingerprint.byteLength &&
    a.fingerprint.every((byte, i) => byte === b.fingerprint[i])
}
