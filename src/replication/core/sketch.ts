import { Reader, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { packShortIds, SHORT_ID_BYTES } from './short-ids.ts'
import type { Check, ShortIds } from './short-ids.ts'

/**
 * What two sets of ids differ in, for a price that depends on the difference alone: rateless set reconciliation (Yang,
 * Gilad, Alizadeh: Practical Rateless Set Reconciliation, SIGCOMM 2024).
 *
 * A sketch is a stream of symbols without an end. Symbol i is the sum of about n / (1 + i/2) of the n ids, and which
 * ones are in it follows from the ids alone. Who has both streams subtracts one from the other: what both have is gone.
 * A symbol with one id left gives that id away, which is then taken out of all the others, which gives away more of
 * them, until nothing is left. For d differences this takes 1.75 d symbols if they are ten and 1.38 d if they are a
 * thousand, and nobody has to know d beforehand.
 *
 * symbols = uvarint index of the first · uvarint ids in the set · symbol*
 * symbol = 8 bytes xor of the short ids · 4 bytes xor of their checks · zigzag uvarint how many there are, less what to
 * expect
 */

/**
 * In a stream: 14 MB, which find more than 700,000 differences. A guess: whoever differs in more has no use for a
 * sketch
 */
export const MAX_SYMBOLS = 2 ** 20
/** In a set: counts, and differences of counts, stay numbers of 32 bits */
export const MAX_ITEMS = 2 ** 30
const CHECK_BYTES = 4
/**
 * The least that a symbol takes, and nearly always what it takes: a count is seldom further than 63 from what is
 * expected
 */
const MIN_SYMBOL_BYTES = SHORT_ID_BYTES + CHECK_BYTES + 1

/** Numbers that a symbol is made of: the short id in two, check, count (which has a sign: modulo 2^32) */
const CELLS = 4
const CHECK = 2
const COUNT = 3
/** Symbols that are made at once, at least: it takes a look at each id, however few of them are in one */
const FIRST_SYMBOLS = 64
const GROWTH = 1.5
/** Ids that are spread without a pause. Measured: 2,048 of them over 393,000 symbols take 3 ms on a laptop */
const SLICE = 2048

/** A piece of a stream */
export interface Symbols {
  /** The index of the first one */
  from: number
  /** Ids in the set that the stream is of */
  items: number
  /** Four numbers a symbol. It may be a view of what an encoder still needs: not to be written to */
  cells: Uint32Array
}

export function encodeSymbols ({ from, items, cells }: Symbols): Uint8Array {
  const count = cells.length / CELLS
  const writer = new Writer(16 + count * (MIN_SYMBOL_BYTES + 1)).uvarint(from).uvarint(items)

  for (let i = 0; i < count; i++) {
    const deviation = (cells[i * CELLS + COUNT] | 0) - expectedCount(items, from + i)
    writer.raw(packShortIds(cells.subarray(i * CELLS, i * CELLS + COUNT)))
    writer.uvarint(deviation < 0 ? -2 * deviation - 1 : 2 * deviation)
  }

  return writer.finish()
}

/** Throws a MalformedError */
export function decodeSymbols (bytes: Uint8Array): Symbols {
  const reader = new Reader(bytes)
  const from = reader.uvarint()
  const items = reader.uvarint()

  if (items > MAX_ITEMS) {
    throw new MalformedError(`a sketch of ${items} ids where at most ${MAX_ITEMS} are allowed`)
  }

  // how many there are is not said, but seen
  const most = Math.floor(reader.left / MIN_SYMBOL_BYTES)
  const cells = new Uint32Array(most * CELLS)
  let count = 0

  for (; reader.left > 0; count++) {
    const sums = reader.raw(SHORT_ID_BYTES + CHECK_BYTES)
    const zigzag = reader.uvarint()
    const size = expectedCount(items, from + count) + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2)

    if (size < 0 || size > items) {
      throw new MalformedError(`a symbol of ${size} of ${items} ids`)
    }

    const view = new DataView(sums.buffer, sums.byteOffset)
    for (let i = 0; i < COUNT; i++) {
      cells[count * CELLS + i] = view.getUint32(4 * i, true)
    }
    cells[count * CELLS + COUNT] = size
  }

  if (from + count > MAX_SYMBOLS) {
    throw new MalformedError(`symbols ${from} to ${from + count} where streams end at ${MAX_SYMBOLS}`)
  }

  return { from, items, cells: cells.subarray(0, count * CELLS) }
}

/**
 * How many of the ids are in a symbol, on average: from what `Strides` does it follows that an id is in symbol i > 0
 * with a chance of 1 - ((i + 1/2) / (i + 3/2))^2, whatever other symbols it is in. All is exact but one division, which
 * IEEE 754 rounds for everybody alike
 */
function expectedCount (items: number, index: number): number {
  return index === 0 ? items : Math.floor(items * (2 * index + 2) / (index + 1.5) ** 2)
}

/** Ids on their way through the symbols of a stream: each strides from one that it is in to the next, ever further */
class Strides {
  readonly #check: Check
  #words: Uint32Array
  /**
   * Of the source of chance of each id, two numbers. It begins with the short id, so that it is the same for everybody
   */
  #states: Uint32Array
  /** The next symbol that it is in: at first the very first one, as all are */
  #next: Uint32Array
  #length: number

  /** Two numbers an id, as ShortIds has them */
  constructor (words: Uint32Array, check: Check) {
    this.#check = check
    this.#words = words
    this.#states = words.slice()
    this.#next = new Uint32Array(words.length / 2)
    this.#length = words.length / 2
  }

  get length (): number {
    return this.#length
  }

  /** Returns the index of the new one */
  push (low: number, high: number): number {
    if (this.#length === this.#next.length) {
      const capacity = Math.max(16, 2 * this.#length)
      this.#words = grown(this.#words, 2 * capacity)
      this.#states = grown(this.#states, 2 * capacity)
      this.#next = grown(this.#next, capacity)
    }

    const at = 2 * this.#length
    this.#words[at] = this.#states[at] = low
    this.#words[at + 1] = this.#states[at + 1] = high
    return this.#length++
  }

  /**
   * Adds an id to the symbols below `end` that it has not come to, or takes it out. Which ones these are is put in
   * `touched`
   */
  spread (index: number, cells: Uint32Array, end: number, count: number, touched?: number[]): void {
    let next = this.#next[index]
    if (next >= end) {
      return
    }

    const low = this.#words[2 * index]
    const high = this.#words[2 * index + 1]
    const check = this.#check(low, high)
    let s0 = this.#states[2 * index] | 0
    let s1 = this.#states[2 * index + 1] | 0

    while (next < end) {
      const cell = next * CELLS
      cells[cell] ^= low
      cells[cell + 1] ^= high
      cells[cell + CHECK] ^= check
      cells[cell + COUNT] += count
      touched?.push(next)

      // xoroshiro64* (Blackman and Vigna): 64 bits of state, as two ids that stride alike could never be told apart
      const chance = Math.imul(s0, 0x9e3779bb) >>> 0
      s1 ^= s0
      s0 = ((s0 << 26) | (s0 >>> 6)) ^ s1 ^ (s1 << 9)
      s1 = (s1 << 13) | (s1 >>> 19)
      next += Math.max(1, Math.ceil((next + 1.5) * (65_536 / Math.sqrt(chance + 1) - 1)))
    }

    this.#next[index] = Math.min(next, MAX_SYMBOLS)
    this.#states[2 * index] = s0
    this.#states[2 * index + 1] = s1
  }
}

function grown (numbers: Uint32Array, length: number): Uint32Array {
  const larger = new Uint32Array(length)
  larger.set(numbers)
  return larger
}

/** The stream of a set. What was made is kept, 16 bytes a symbol, so that any piece can be had again */
export class SketchEncoder {
  readonly #strides: Strides
  readonly #items: number
  #cells: Uint32Array = new Uint32Array()
  #length = 0

  constructor (ids: ShortIds) {
    if (ids.length > MAX_ITEMS) {
      throw new RangeError(`A sketch of ${ids.length} ids where at most ${MAX_ITEMS} are possible: ` +
        'take a smaller range')
    }
    this.#items = ids.length
    this.#strides = new Strides(ids.words, ids.check)
  }

  /** `count` symbols from `from` on, or as many as there are up to MAX_SYMBOLS */
  symbols (from: number, count: number): Symbols {
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || from < 0 || count < 0) {
      throw new RangeError(`${count} symbols from ${from} on: these have to be whole numbers`)
    }

    const extending = this.extend(from + count)
    while (extending.next().done !== true) {
      // it yields so that who has much to do may pause
    }
    return {
      from, items: this.#items, cells: this.#cells.subarray(from * CELLS, Math.min(from + count, MAX_SYMBOLS) * CELLS)
    }
  }

  /** Makes the symbols before `end` that are not there yet, and yields after some thousand ids */
  * extend (end: number): Generator<never[], void, any> {
    if (Math.min(end, MAX_SYMBOLS) <= this.#length) {
      return
    }

    // those that were handed out keep the old ones, which are never written to again
    const length = Math.min(MAX_SYMBOLS, Math.max(end, FIRST_SYMBOLS, Math.ceil(this.#length * GROWTH)))
    this.#cells = grown(this.#cells, length * CELLS)
    this.#length = length

    for (let i = 0; i < this.#items; i++) {
      this.#strides.spread(i, this.#cells, length, 1)

      if (i % SLICE === SLICE - 1) {
        yield []
      }
    }
  }
}

/**
 * 'open': more symbols are needed. 'decoded': the difference is known. 'failed': the symbols are of no set, or there
 * are no more, or chance was against us (once in 2^32 symbols). Another session, with another key and smaller ranges,
 * may do better
 */
export type DecoderState = 'open' | 'decoded' | 'failed'

/**
 * Takes the stream of another set apart into what only they have and what only we have.
 *
 * A peer that lies gains nothing: work and memory are bounded by the symbols that it sends. It can claim ids that it
 * has not, as it could with a plain list.
 *
 * @example
 * while (decoder.state === 'open') {
 *   decoder.add(decodeSymbols(await ask(decoder.length, 64)))
 * }
 */
export class SketchDecoder {
  readonly #ids: ShortIds
  readonly #ours: SketchEncoder
  /** Those that were found; they are to be taken out of each symbol to come */
  readonly #found: Strides
  readonly #signs: number[] = []
  readonly #missing: number[] = []
  readonly #surplus: Uint8Array[] = []
  /** The symbols of the other set, less ours, less those that were found */
  #cells: Uint32Array = new Uint32Array()
  #length = 0
  #items = -1
  #state: DecoderState = 'open'

  constructor (ids: ShortIds) {
    this.#ids = ids
    this.#ours = new SketchEncoder(ids)
    this.#found = new Strides(new Uint32Array(), ids.check)
  }

  get state (): DecoderState {
    return this.#state
  }

  /** How many symbols came: the index of the one that is next */
  get length (): number {
    return this.#length
  }

  /** Once it is decoded: the short ids that only the other set has, 8 bytes each, one behind the other */
  get missing (): Uint8Array {
    return packShortIds(this.#state === 'decoded' ? this.#missing : [])
  }

  /** Once it is decoded: the ids that only we have */
  get surplus (): Uint8Array[] {
    return this.#state === 'decoded' ? this.#surplus : []
  }

  /** So that `add` of so many symbols does not hold the loop: yields after some thousand ids */
  prepare (count: number): Generator<never[], void, any> {
    return this.#ours.extend(this.#length + count)
  }

  /**
   * Takes the next symbols, at least one; whether it is decoded. Throws a MalformedError if they are not the next ones,
   * or of another set than those before. What comes when it is no longer open is not looked at
   */
  add (symbols: Symbols): boolean {
    if (this.#state === 'open') {
      this.#take(symbols)
      this.#peel(symbols.from)
    }
    if (this.#state === 'open' && this.#isEmpty()) {
      this.#state = 'decoded'
    } else if (this.#state === 'open' && this.#length === MAX_SYMBOLS) {
      this.#state = 'failed'
    }
    return this.#state === 'decoded'
  }

  #take ({ from, items, cells }: Symbols): void {
    const end = from + cells.length / CELLS

    // who asks until it is decoded would ask for ever if none would do
    if (from !== this.#length || end === from || end > MAX_SYMBOLS) {
      throw new MalformedError(`symbols ${from} to ${end} where those from ${this.#length} on are next, ` +
        `up to ${MAX_SYMBOLS}`)
    }
    if (from > 0 && items !== this.#items) {
      throw new MalformedError(`symbols of ${items} ids behind symbols of ${this.#items}`)
    }

    const ours = this.#ours.symbols(from, end - from).cells
    if (end * CELLS > this.#cells.length) {
      this.#cells = grown(this.#cells, CELLS * Math.max(end, Math.ceil(GROWTH * this.#length)))
    }

    for (let i = 0, at = from * CELLS; i < ours.length; i++, at++) {
      this.#cells[at] = i % CELLS === COUNT ? cells[i] - ours[i] : cells[i] ^ ours[i]
    }
    for (let i = 0; i < this.#found.length; i++) {
      this.#found.spread(i, this.#cells, end, -this.#signs[i])
    }

    this.#length = end
    this.#items = items
  }

  /** Finds what there is to be found since symbols were added from `from` on */
  #peel (from: number): void {
    const waiting: number[] = []

    for (let i = from; i < this.#length; i++) {
      waiting.push(i)
    }
    for (let index = waiting.pop(); index != null && this.#state === 'open'; index = waiting.pop()) {
      if (this.#isSingle(index)) {
        this.#find(index, waiting)
      }
    }
  }

  /** Whether one id is left in a symbol */
  #isSingle (index: number): boolean {
    const at = index * CELLS
    const cells = this.#cells
    return Math.abs(cells[at + COUNT] | 0) === 1 &&
      cells[at + CHECK] === this.#ids.check(cells[at], cells[at + 1]) >>> 0
  }

  /** Takes the id that a symbol gives away out of all of them; those it was in are then to be looked at */
  #find (index: number, waiting: number[]): void {
    const at = index * CELLS
    const [low, high] = [this.#cells[at], this.#cells[at + 1]]
    const sign = this.#cells[at + COUNT] | 0
    const ours = this.#ids.indexOf(low, high)

    // what only they have we cannot have, and what only we have we must. As each one empties a symbol, there are no
    // more of them than symbols: who goes on behind that goes round in circles
    if ((sign < 0) !== (ours >= 0) || this.#found.length === this.#length) {
      this.#state = 'failed'
      return
    }

    if (sign < 0) {
      this.#surplus.push(this.#ids.at(ours))
    } else {
      this.#missing.push(low, high)
    }
    this.#signs.push(sign)
    this.#found.spread(this.#found.push(low, high), this.#cells, this.#length, -sign, waiting)

    // the symbol has an id that is not in it
    if (this.#cells[at + COUNT] !== 0) {
      this.#state = 'failed'
    }
  }

  /** Whether no symbol has anything left. The first one has all ids: while it has some, the others need no look */
  #isEmpty (): boolean {
    for (let at = 0; at < this.#length * CELLS; at++) {
      if (this.#cells[at] !== 0) {
        return false
      }
    }

    return true
  }
}
