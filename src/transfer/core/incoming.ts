import { concat } from 'uint8arrays/concat'
import { equals } from 'uint8arrays/equals'
import { sha256 } from '../../runtime/sha256.ts'
import { HASH_BYTES, LEAF_BYTES, MAX_EXTENTS, STATUS_BYTES } from '../constants.ts'
import { Extents } from './extents.ts'
import { Layout, LeafChain, rootOfList } from './leaves.ts'
import type { Extent } from './extents.ts'

export interface IncomingInit {
  /** Undefined: known when the source has come to its end */
  size?: number
  root?: Uint8Array
  /** Bytes that may be under way to the program, and verified, before it has taken them */
  window: number
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
 * - over: it was never asked for. mismatch: it is not what the root names
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
}

/** A leaf of which some pieces are here */
interface Partial {
  pieces: Map<number, Uint8Array>
  bytes: number
}

/**
 * One payload on its way in, from one sender or several: what is asked of whom, what has come, what is verified.
 *
 * | event        | what is asked for                       | what is kept                                           |
 * |--------------|-----------------------------------------|--------------------------------------------------------|
 * | addSource    | it gets what nobody sends               |                                                        |
 * | dropSource   | what it owed goes to the others         |                                                        |
 * | data         | not that any more                       | a piece; a leaf that is whole is verified              |
 * | take         | as much more, of who owes least         | a leaf less                                            |
 * | mismatch     | the leaf again, of the others           | nothing of that leaf                                   |
 *
 * Invariants (`check`): what is kept and what is asked for are within the window behind what was taken; nothing is asked
 * of two sources; a leaf that is handed on is verified, if the root is known.
 */
export class Incoming {
  readonly layout: Layout
  readonly #init: IncomingInit
  readonly #sources = new Map<string, Source>()
  /** What is here: parts of the list, pieces and leaves, whether taken or not */
  readonly #here = new Extents()
  /** What nobody was asked for, of that up to `#opened` */
  readonly #unassigned = new Extents()
  /** Up to which byte something may be asked for */
  #opened = 0
  readonly #partial = new Map<number, Partial>()
  /** Leaves that are whole: verified if there is something to verify them with */
  readonly #whole = new Map<number, Uint8Array>()
  readonly #listPieces = new Map<number, Uint8Array>()
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
    return [...this.#whole.values()].reduce((sum, { byteLength }) => sum + byteLength, 0) +
      [...this.#partial.values()].reduce((sum, { bytes }) => sum + bytes, 0)
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

  get sourceCount (): number {
    return this.#sources.size
  }

  addSource (key: string): void {
    if (!this.#sources.has(key)) {
      this.#sources.set(key, { assigned: new Extents(), horizon: 0, came: 0, asked: 0 })
      this.#assign()
    }
  }

  /** What it was to send, and has not, the others are to send */
  dropSource (key: string): void {
    const source = this.#sources.get(key)

    if (source != null) {
      this.#sources.delete(key)
      source.assigned.list.forEach(extent => { this.#unassigned.add(extent) })
      this.#assign()
    }
  }

  /** The program has the first leaves: what follows them is asked for. Not before the list is here, where there is one */
  begin (leaf: number): void {
    this.#hasBegun = true
    this.#next = leaf
    this.#here.add({ from: this.layout.listBytes, to: Math.min(this.layout.startOf(leaf), this.layout.end ?? Infinity) })
    this.#open()
  }

  data (key: string, offset: number, bytes: Uint8Array): Arrival {
    const extent = { from: offset, to: offset + bytes.byteLength }
    const source = this.#sources.get(key)

    if (source == null || bytes.byteLength === 0 || this.layout.boundary(offset) < extent.to || extent.to > source.horizon) {
      return 'over'
    }
    if (this.#here.meets(extent)) {
      return 'duplicate'
    }
    // it was asked for, and then others were asked
    if (!source.assigned.has(extent)) {
      return 'duplicate'
    }

    this.#here.add(extent)
    source.assigned.delete(extent)
    source.came += bytes.byteLength
    return offset < this.layout.listBytes ? this.#storeList(offset, bytes) : this.#store(offset, bytes)
  }

  /** The source has come to its end. False: that cannot be */
  end (size: number, root: Uint8Array): boolean {
    const { layout } = this
    const isKnown = this.#init.root != null

    if (isKnown ? !equals(root, this.#init.root as Uint8Array) : this.#endRoot != null && !equals(root, this.#endRoot)) {
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
      this.#complete(layout.leafAt(size === 0 ? 0 : size - 1))
    }

    return true
  }

  /** The next leaf, for the program; it is taken by that, and something more is asked for */
  take (): Uint8Array | undefined {
    const leaf = this.canTake ? this.#whole.get(this.#next) : undefined

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

  /** 'now': it may be waiting to hear where we stand; 'soon': there is something to say; undefined: there is nothing new */
  news (key: string): 'now' | 'soon' | undefined {
    const { came = 0, asked = 0 } = this.#sources.get(key) ?? {}
    const most = Math.max(came, asked)

    if (most > 0) {
      return most >= Math.min(STATUS_BYTES, this.#init.window / 4) ? 'now' : 'soon'
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
    if (this.kept + inFlight.bytes > this.#init.window) {
      throw new Error(`${this.kept} kept and ${inFlight.bytes} asked for, of a window of ${this.#init.window}`)
    }
    if ([...this.#whole.keys(), ...this.#partial.keys()].some(leaf => leaf < this.#next)) {
      throw new Error('a leaf is kept that was taken')
    }
  }

  /** As much as the window allows may be asked for */
  #open (): void {
    const { layout } = this
    const limit = this.#hasBegun ? layout.startOf(this.#next) + this.#init.window : layout.listBytes
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
    const sources = [...this.#sources.values()]

    for (let extent = this.#unassigned.first; extent != null && sources.length > 0; extent = this.#unassigned.first) {
      const source = sources.length === 1 ? sources[0] : sources.reduce((a, b) => a.assigned.bytes <= b.assigned.bytes ? a : b)
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

  #storeList (offset: number, bytes: Uint8Array): Arrival {
    const { layout } = this
    this.#listPieces.set(offset, bytes)

    if (!this.#here.has({ from: 0, to: layout.listBytes })) {
      return 'stored'
    }

    const list = concat([...this.#listPieces].sort(([a], [b]) => a - b).map(([, piece]) => piece), layout.listBytes)
    this.#listPieces.clear()

    if (!equals(rootOfList(list, layout.size as number), this.#init.root as Uint8Array)) {
      this.#again({ from: 0, to: layout.listBytes })
      return 'mismatch'
    }

    this.#list = list
    // leaves that were faster than the list
    const wrong = [...this.#whole].filter(([leaf, bytes]) => !this.#isRight(leaf, bytes))
    wrong.forEach(([leaf]) => { this.#forget(leaf) })
    return wrong.length === 0 ? 'stored' : 'mismatch'
  }

  #store (offset: number, bytes: Uint8Array): Arrival {
    const leaf = this.layout.leafAt(offset)
    const partial = this.#partial.get(leaf) ?? { pieces: new Map<number, Uint8Array>(), bytes: 0 }
    partial.pieces.set(offset, bytes)
    partial.bytes += bytes.byteLength
    this.#partial.set(leaf, partial)
    return this.#complete(leaf)
  }

  #complete (leaf: number): Arrival {
    const partial = this.#partial.get(leaf)

    if (partial == null || partial.bytes !== this.layout.bytesOf(leaf)) {
      return 'stored'
    }

    const pieces = [...partial.pieces].sort(([a], [b]) => a - b).map(([, piece]) => piece)
    const bytes = pieces.length === 1 ? pieces[0] : concat(pieces, partial.bytes)
    this.#partial.delete(leaf)
    this.#whole.set(leaf, bytes)

    if (this.needsList || this.#isRight(leaf, bytes)) {
      return 'stored'
    }

    this.#forget(leaf)
    return 'mismatch'
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

  #forget (leaf: number): void {
    this.#whole.delete(leaf)
    this.#again({ from: this.layout.startOf(leaf), to: this.layout.startOf(leaf) + this.layout.bytesOf(leaf) })
  }

  /** It is not here after all. Who is still a source is asked for it, when the one to blame is none any more */
  #again (extent: Extent): void {
    this.#here.delete(extent)
    this.#unassigned.add(extent)
  }
}
