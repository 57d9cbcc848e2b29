import { concat } from 'uint8arrays/concat'
import { equals } from 'uint8arrays/equals'
import { sha256 } from '../../runtime/sha256.ts'
import { HASH_BYTES, LEAF_BYTES, MAX_EXTENTS, MAX_PIECES, STATUS_BYTES } from '../constants.ts'
import { Extents } from './extents.ts'
import { Layout, LeafChain, rootOfList } from './leaves.ts'
import type { Extent } from './extents.ts'

export interface IncomingInit {
  /** Undefined: known when the source has come to its end */
  size?: number
  root?: Uint8Array
  /** Bytes that may be under way to the program, and verified, before it has taken them, when so many are: no fewer */
  window (granted: number): number
  /** Whether the program has some of it already: nothing but the list of hashes is asked for before `begin` */
  hasSome?: boolean
}

/** Where the receiver stands, as one of its sources is told. What is not wanted is here already, or others send it */
export interface Standing {
  wanted: readonly Extent[]
  /** Up to which byte this tells what is wanted */
  horizon: number
}

/**
 * - stored: it is new. duplicate: it is here, or on its way from another source
 * - over: it was never asked for, or comes in crumbs. mismatch: something is not what the root names, see `liars`
 */
export type Arrival = 'stored' | 'duplicate' | 'over' | 'mismatch'

/** All there is about one sender of the payload */
interface Source {
  /** What it is to send, as long as it has not come */
  assigned: Extents
  /** The end of what it was asked for so far */
  horizon: number
  /** Bytes that came from it, and that it was asked for, since it was last told where we stand */
  came: number
  asked: number
  /** It kept the program waiting while there were others */
  isSlow: boolean
}

/**
 * A leaf, or as much of the list, of which some is here. All of it is from one source: so it is known who lied. It is
 * put together as it comes: pieces that are kept one by one would take, byte by byte, a hundred times their memory
 */
interface Part {
  readonly from: string
  readonly buffer: Uint8Array
  bytes: number
  pieces: number
}

/** A leaf that is whole, and who sent it */
interface Whole {
  readonly from: string
  readonly bytes: Uint8Array
}

/**
 * One payload on its way in, from one sender or several: what is asked of whom, what has come, what is verified.
 *
 * | event        | what is asked for                       | what is kept                                           |
 * |--------------|-----------------------------------------|--------------------------------------------------------|
 * | addSource    | it gets what nobody sends               |                                                        |
 * | dropSource   | what it owed goes to the others         | nothing of a leaf that it did not send to the end      |
 * | swap         | as dropSource, but it stays a source    | the same                                               |
 * | data         | not that any more                       | a piece; a leaf that is whole is verified              |
 * | take         | as much more, of who owes least         | a leaf less                                            |
 * | mismatch     | the leaf again, of the others           | nothing of that leaf                                   |
 *
 * Invariants (`check`): what is kept and what is asked for are within the window behind what was taken; nothing is
 * asked of two sources, and no leaf is from two; a leaf that is handed on is verified, if the root is known.
 */
export class Incoming {
  readonly layout: Layout
  readonly #init: IncomingInit
  /** Whole leaves: so none is asked of two */
  #window = 0
  readonly #sources = new Map<string, Source>()
  /** What is here: parts of the list, pieces and leaves, whether taken or not */
  readonly #here = new Extents()
  /** What nobody was asked for, of that up to `#opened` */
  readonly #unassigned = new Extents()
  /** Up to which byte something may be asked for */
  #opened = 0
  /** By their first byte */
  readonly #parts = new Map<number, Part>()
  /** Parts of the list that are whole, by their first byte */
  readonly #listParts = new Map<number, Whole>()
  /** Leaves that are whole: verified if there is something to verify them with */
  readonly #whole = new Map<number, Whole>()
  readonly #liars = new Set<string>()
  #list?: Uint8Array
  /** Of leaves that were taken, where the root comes at the end */
  readonly #chain = new LeafChain()
  #endRoot?: Uint8Array
  /** The next leaf that the program takes */
  #next = 0
  #hasBegun: boolean

  constructor (init: IncomingInit) {
    this.#init = init
    this.layout = new Layout(init.size)
    this.#hasBegun = init.hasSome !== true
    this.#open()
  }

  /** The hashes of all leaves, verified; undefined while some are missing, or when there is no list */
  get list (): Uint8Array | undefined {
    return this.#list
  }

  get needsList (): boolean {
    return this.layout.listBytes > 0 && this.#list == null
  }

  /** Bytes of the payload that the program has */
  get taken (): number {
    return Math.min(this.#next * LEAF_BYTES, this.layout.size ?? Infinity)
  }

  /** Bytes that are kept for it */
  get kept (): number {
    return [...this.#whole.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0) +
      [...this.#parts].reduce((sum, [at, { bytes }]) => sum + (at < this.layout.listBytes ? 0 : bytes), 0)
  }

  /** Whether the program can take a leaf */
  get canTake (): boolean {
    return this.#whole.has(this.#next) && !this.needsList
  }

  /** The program has all of it. 'wrong': and it is not what the sender said at the end */
  get outcome (): 'done' | 'wrong' | undefined {
    const { size } = this.layout

    if (size == null || this.taken < size || this.needsList) {
      return
    }

    const isRight = this.#init.root != null || (this.#endRoot != null && equals(this.#chain.root(size), this.#endRoot))
    return isRight ? 'done' : 'wrong'
  }

  get sources (): Iterable<string> {
    return this.#sources.keys()
  }

  /** Which sources sent something else than the root names, since this was asked last */
  get liars (): string[] {
    const liars = [...this.#liars]
    this.#liars.clear()
    return liars.filter(key => this.#sources.has(key))
  }

  /** What the program waits for, where it begins, and who owes it; undefined when that is here, or nobody was asked */
  get awaited (): { from: number, key: string } | undefined {
    const from = this.needsList ? this.#missingInList() : this.layout.startOf(this.#next)
    const extent = { from, to: Math.min(this.layout.boundary(from), this.layout.end ?? Infinity) }
    const owing = [...this.#sources].find(([, { assigned }]) => assigned.meets(extent))
    return owing == null ? undefined : { from, key: owing[0] }
  }

  addSource (key: string): void {
    if (!this.#sources.has(key)) {
      this.#sources.set(key, { assigned: new Extents(), horizon: 0, came: 0, asked: 0, isSlow: false })
      this.#assign()
    }
  }

  /** What it was to send, and has not, the others are to send */
  dropSource (key: string): void {
    const source = this.#sources.get(key)

    if (source != null) {
      this.#sources.delete(key)
      this.#release(key, source)
      this.#assign()
    }
  }

  /** The program has waited for it for too long: the others are to send what it owes, and whatever they can */
  swap (key: string): void {
    const source = this.#sources.get(key)
    const others = [...this.#sources].filter(([other]) => other !== key).map(([, other]) => other)

    if (source != null && others.length > 0) {
      source.isSlow = true
      others.every(({ isSlow }) => isSlow) && others.forEach(other => { other.isSlow = false })
      this.#release(key, source)
      this.#assign()
    }
  }

  /**
   * The program has the first leaves: what follows them is asked for. Not before the list is here, where there is one
   */
  begin (leaf: number): void {
    this.#hasBegun = true
    this.#next = leaf
    this.#here.add({
      from: this.layout.listBytes, to: Math.min(this.layout.startOf(leaf), this.layout.end ?? Infinity)
    })
    this.#open()
  }

  data (key: string, offset: number, bytes: Uint8Array): Arrival {
    const extent = { from: offset, to: offset + bytes.byteLength }
    const source = this.#sources.get(key)

    if (source == null || bytes.byteLength === 0 || this.layout.boundary(offset) < extent.to ||
      extent.to > source.horizon) {
      return 'over'
    }
    if (this.#here.meets(extent)) {
      return 'duplicate'
    }
    // it was asked for, and then others were asked
    if (!source.assigned.has(extent)) {
      return 'duplicate'
    }
    if ((this.#parts.get(this.layout.partOf(offset))?.pieces ?? 0) >= MAX_PIECES) {
      return 'over'
    }

    this.#here.add(extent)
    source.assigned.delete(extent)
    source.came += bytes.byteLength
    this.#store(key, offset, bytes)

    if (this.#liars.size > 0) {
      return 'mismatch'
    }

    // a lie of one that is none of the sources any more: it is asked for again
    this.#assign()
    return 'stored'
  }

  /** The source has come to its end. False: that cannot be */
  end (size: number, root: Uint8Array): boolean {
    const { layout } = this
    const isKnown = this.#init.root != null

    if (isKnown
      ? !equals(root, this.#init.root as Uint8Array)
      : this.#endRoot != null && !equals(root, this.#endRoot)) {
      return false
    }
    if (!layout.ends(size) || (this.#here.list.at(-1)?.to ?? 0) > (layout.end as number)) {
      return false
    }

    if (this.#endRoot == null && !isKnown) {
      this.#endRoot = root
      const beyond = { from: layout.end as number, to: Infinity }
      this.#unassigned.delete(beyond)
      this.#sources.forEach(({ assigned }) => { assigned.delete(beyond) })
      // the last leaf is shorter than the others: it may be here
      this.#complete(layout.partOf(size === 0 ? 0 : size - 1))
    }

    return true
  }

  /** The next leaf, for the program; it is taken by that, and something more is asked for */
  take (): Uint8Array | undefined {
    const leaf = this.canTake ? this.#whole.get(this.#next)?.bytes : undefined

    if (leaf != null) {
      this.#whole.delete(this.#next)
      this.#init.root == null && this.#chain.add(sha256(leaf))
      this.#next++
      this.#open()
    }

    return leaf
  }

  /** Where we stand, as this source is to hear */
  standing (key: string): Standing | undefined {
    const source = this.#sources.get(key)

    if (source == null) {
      return
    }

    source.came = source.asked = 0
    const { list } = source.assigned
    return { wanted: list.slice(0, MAX_EXTENTS), horizon: list[MAX_EXTENTS]?.from ?? source.horizon }
  }

  /**
   * 'now': it may be waiting to hear where we stand; 'soon': there is something to say; undefined: there is nothing new
   */
  news (key: string): 'now' | 'soon' | undefined {
    const { came = 0, asked = 0 } = this.#sources.get(key) ?? {}
    const most = Math.max(came, asked)

    if (most > 0) {
      return most >= Math.min(STATUS_BYTES, this.#window / 4) ? 'now' : 'soon'
    }
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    const all = [...this.#sources.values()].map(({ assigned }) => assigned).concat(this.#unassigned)
    const bytes = all.reduce((sum, extents) => sum + extents.bytes, 0)
    const union = new Extents(all.flatMap(({ list }) => [...list]))
    const inFlight = new Extents(union.list)
    inFlight.delete({ from: 0, to: this.layout.listBytes })

    if (bytes !== union.bytes || union.list.some(extent => this.#here.meets(extent))) {
      throw new Error('bytes are asked of two, or are here and asked for')
    }
    if (this.kept + inFlight.bytes > this.#window) {
      throw new Error(`${this.kept} kept and ${inFlight.bytes} asked for, of a window of ${this.#window}`)
    }
    if ([
      ...this.#whole.keys(),
      ...[...this.#parts.keys()].filter(at => at >= this.layout.listBytes).map(at => this.layout.leafAt(at))
    ].some(leaf => leaf < this.#next)) {
      throw new Error('a leaf is kept that was taken')
    }
    for (const [at, { from, bytes }] of this.#parts) {
      const missing = new Extents([{ from: at, to: at + this.layout.partBytes(at) }]).without(this.#here)
      const isOwed = missing.list.every(extent => this.#sources.get(from)?.assigned.has(extent))

      if (this.#liars.size === 0 && (!isOwed || missing.bytes + bytes !== this.layout.partBytes(at))) {
        throw new Error(`a part at ${at} has ${bytes} bytes of one source, ` +
          `and ${missing.bytes} are missing that others owe`)
      }
    }
  }

  /** As much as the window allows may be asked for */
  #open (): void {
    const { layout } = this
    const granted = Math.max(0, this.#opened - layout.startOf(this.#next))
    const window = this.#init.window(granted)
    this.#window = Math.max(LEAF_BYTES, granted, window - window % LEAF_BYTES)
    const limit = this.#hasBegun ? layout.startOf(this.#next) + this.#window : layout.listBytes
    const to = Math.min(limit, layout.end ?? Infinity)

    if (to > this.#opened) {
      const opened = new Extents([{ from: this.#opened, to }]).without(this.#here)
      opened.list.forEach(extent => { this.#unassigned.add(extent) })
      this.#opened = to
    }

    this.#assign()
  }

  /** To whom owes least: a leaf after the other, so that each gets as many as it brings */
  #assign (): void {
    const all = [...this.#sources.values()]
    const quick = all.filter(({ isSlow }) => !isSlow)
    const sources = quick.length > 0 ? quick : all

    for (let extent = this.#unassigned.first; extent != null && sources.length > 0; extent = this.#unassigned.first) {
      const source = sources.length === 1
        ? sources[0]
        : sources.reduce((a, b) => a.assigned.bytes <= b.assigned.bytes ? a : b)
      // the whole list of one: if it is wrong, it is known who said it
      const leafEnd = extent.from < this.layout.listBytes ? this.layout.listBytes : this.layout.boundary(extent.from)
      const to = Math.min(extent.to, sources.length === 1 ? Infinity : leafEnd)
      const part = { from: extent.from, to }
      this.#unassigned.delete(part)
      source.assigned.add(part)
      source.horizon = Math.max(source.horizon, to)
      source.asked += to - extent.from
    }
  }

  /** What it owed, nobody is asked for now. What is not whole goes with it: else it would lie in the name of another */
  #release (key: string, source: Source): void {
    source.assigned.list.forEach(extent => { this.#unassigned.add(extent) })
    source.assigned = new Extents()

    for (const [at, { from }] of this.#parts) {
      if (from === key) {
        this.#parts.delete(at)
        this.#again({ from: at, to: Math.min(at + this.layout.partBytes(at), this.#opened) })
      }
    }
    for (const [at, { from, bytes }] of this.#listParts) {
      if (from === key) {
        this.#listParts.delete(at)
        this.#again({ from: at, to: at + bytes.byteLength })
      }
    }
  }

  #missingInList (): number {
    const missing = new Extents([{ from: 0, to: this.layout.listBytes }]).without(this.#here)
    return missing.first?.from ?? 0
  }

  #store (from: string, offset: number, bytes: Uint8Array): void {
    const at = this.layout.partOf(offset)
    const length = this.layout.partBytes(at)

    // most come whole: they are not copied
    if (bytes.byteLength === length) {
      this.#completed(at, { from, bytes })
      return
    }

    const part = this.#parts.get(at) ?? { from, buffer: new Uint8Array(length), bytes: 0, pieces: 0 }
    part.buffer.set(bytes, offset - at)
    part.bytes += bytes.byteLength
    part.pieces++
    this.#parts.set(at, part)
    this.#complete(at)
  }

  #complete (at: number): void {
    const part = this.#parts.get(at)
    const length = this.layout.partBytes(at)

    if (part?.bytes === length) {
      this.#parts.delete(at)
      this.#completed(at, { from: part.from, bytes: part.buffer.subarray(0, length) })
    }
  }

  #completed (at: number, whole: Whole): void {
    const { layout } = this

    if (at >= layout.listBytes) {
      const leaf = layout.leafAt(at)
      this.#whole.set(leaf, whole)
      !this.needsList && this.#verify(leaf, whole)
      return
    }

    this.#listParts.set(at, whole)

    if (this.#here.has({ from: 0, to: layout.listBytes })) {
      this.#completeList()
    }
  }

  #completeList (): void {
    const { layout } = this
    const parts = [...this.#listParts].sort(([a], [b]) => a - b).map(([, part]) => part)
    const list = concat(parts.map(({ bytes }) => bytes), layout.listBytes)
    this.#listParts.clear()

    if (equals(rootOfList(list, layout.size as number), this.#init.root as Uint8Array)) {
      this.#list = list
      // leaves that were faster than the list
      this.#whole.forEach((whole, leaf) => { this.#verify(leaf, whole) })
    } else {
      this.#again({ from: 0, to: layout.listBytes })
      parts.forEach(({ from }) => { this.#lied(from) })
    }
  }

  #verify (leaf: number, { from, bytes }: Whole): void {
    if (!this.#isRight(leaf, bytes)) {
      const start = this.layout.startOf(leaf)
      this.#whole.delete(leaf)
      this.#again({ from: start, to: start + bytes.byteLength })
      this.#lied(from)
    }
  }

  #isRight (leaf: number, bytes: Uint8Array): boolean {
    const { root, size } = this.#init
    const hash = root == null ? undefined : sha256(bytes)

    if (hash == null) {
      return true
    }
    if (this.#list == null) {
      return equals(rootOfList(hash, size as number), root as Uint8Array)
    }

    return equals(hash, this.#list.subarray(leaf * HASH_BYTES, (leaf + 1) * HASH_BYTES))
  }

  #lied (key: string): void {
    this.#sources.has(key) && this.#liars.add(key)
  }

  /** It is not here after all. Who is still a source is asked for it, when the one to blame is none any more */
  #again (extent: Extent): void {
    this.#here.delete(extent)
    this.#unassigned.add(extent)
  }
}
