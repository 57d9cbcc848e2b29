import { RING, difference, intersect, normalize, shift, widthOf, wrap } from './ring.ts'
import type { Segment } from './ring.ts'

/** Somebody who announced what it covers. Members of one list have different keys */
export interface Member {
  key: string
  segments: readonly Segment[]
  /**
   * What it announced does not follow from what others do, so who adapts leaves those positions to it. If that is not
   * known it is taken for one that adapts: there may be more copies then, and never fewer.
   *
   * @default false
   */
  isFixed?: boolean
}

export interface Limits {
  /** Bytes of entries. Who holds nine tenths of it is full */
  storage?: number
  /** The part of all entries that it is to work for, from 0 to 1 */
  cpu?: number
}

export interface Adapting {
  /** With the segments that it announces now */
  self: Member
  /** Whether `self` is among them does not matter */
  members: readonly Member[]
  replicas: number
  limits: Limits
  /**
   * Bytes of the whole log, by the best guess: those that lie in segments which are in sync, by the `shareOf` these
   * segments. Neither what is still to come nor what is still to be pruned may count, or the width would chase itself
   */
  totalBytes: number
}

/** Where it moves by less than this part of its width, a peer stays as it is. A guess: what an announcement is worth */
const STEP = 0.05

/** Where the copies of an entry belong: its own position, and others evenly spread */
export function positionsOf (position: number, replicas: number): number[] {
  return Array.from({ length: replicas }, (_, i) => wrap(position + stepOf(i, replicas)))
}

/** Where the entries lie that have one of their positions in the segments */
export function keptRanges (segments: readonly Segment[], replicas: number): Segment[] {
  return normalize(Array.from({ length: replicas }, (_, i) => shift(segments, -stepOf(i, replicas))).flat())
}

/** The share of all entries that who has these segments keeps, from 0 to 1 */
export function shareOf (segments: readonly Segment[], replicas: number): number {
  return widthOf(fold(segments, replicas)) / RING
}

/** The share of all entries that at least one member keeps, from 0 to 1 */
export function coverageOf (members: readonly Member[], replicas: number): number {
  return shareOf(members.flatMap(({ segments }) => segments), replicas)
}

/** How many members keep the entries that fewest keep */
export function thinnest (members: readonly Member[], replicas: number): number {
  return layersOf(members.map(({ segments }) => fold(segments, replicas)))
    .reduce((least, { count }) => Math.min(least, count), Infinity)
}

/**
 * Who keeps and who leads, while nobody announces anything else: asked for every entry, so what can be known beforehand
 * is. It does not see changes of the list: a new membership is a new placement.
 */
export class Placement {
  readonly #replicas: number
  /** In order, so that the order in which members came does not decide anything */
  readonly #keys: string[]
  readonly #hashes: Uint32Array
  /** Folded segments of all, one after the other: the first phase, how many there are behind it, whose they are */
  readonly #from: Uint32Array
  readonly #reach: Uint32Array
  readonly #owner: Uint32Array

  constructor (members: readonly Member[], replicas: number) {
    const sorted = [...members].sort((a, b) => a.key < b.key ? -1 : 1)
    const folded = sorted.map(({ segments }) => fold(segments, replicas))
    this.#replicas = replicas
    this.#keys = sorted.map(({ key }) => key)
    this.#hashes = Uint32Array.from(this.#keys, hashOf)
    this.#from = Uint32Array.from(folded.flat(), ({ from }) => from)
    // the width of the whole ring would not go into 32 bits
    this.#reach = Uint32Array.from(folded.flat(), ({ width }) => width - 1)
    this.#owner = Uint32Array.from(folded.flatMap((segments, i) => segments.map(() => i)))
  }

  /** All whose segments cover one of the positions of an entry, in order of their keys */
  keepers (position: number): string[] {
    return this.#keepersOf(position).map(i => this.#keys[i])
  }

  /**
   * Who of the keepers sees to an entry, the first one first: as many as there are to be replicas, or all if they are
   * fewer. By rendezvous: each has a score for each position, and the best lead. Who comes takes over only what it
   * leads, and what somebody led who leaves goes to the next best, so nothing else moves.
   */
  leaders (position: number): string[] {
    const salt = mixed(position)
    const scores: number[] = []
    const best: string[] = []

    for (const i of this.#keepersOf(position)) {
      const score = mixed(this.#hashes[i] ^ salt)
      let at = best.length

      while (at > 0 && scores[at - 1] < score) {
        at--
      }

      if (at < this.#replicas) {
        scores.splice(at, 0, score)
        best.splice(at, 0, this.#keys[i])
        scores.length = best.length = Math.min(best.length, this.#replicas)
      }
    }

    return best
  }

  #keepersOf (position: number): number[] {
    const phase = phaseOf(position, this.#replicas)
    const keepers: number[] = []

    for (let i = 0; i < this.#from.length; i++) {
      // how far it is on from there, once round if it is before
      if ((phase - this.#from[i]) >>> 0 <= this.#reach[i]) {
        keepers.push(this.#owner[i])
      }
    }

    return keepers
  }
}

/**
 * What a peer that adapts is to announce.
 *
 * Each has its place on the folded ring, by its key, and a phase is for those who come last before it: for as many as
 * there are to be replicas, and for those behind them where these do not cover it, because they are full or not there
 * yet. So a peer covers what fewer than `replicas` of the others before it, or fixed, say they cover: first where there
 * are fewest, then what is nearest, until it is full.
 *
 * It settles, since at each phase everybody only waits for those who are nearer. Where an entry has no keeper, all are
 * full, and of entries that nobody before them keeps.
 *
 * Small changes are not made, unless they are for entries of which there are too few copies.
 */
export function segmentsFor ({ self, members, replicas, limits, totalBytes }: Adapting): Segment[] {
  const start = offsetOf(self.key)
  const others = members.filter(({ key }) => key !== self.key)
  // distances from where self begins
  const framed = (segments: readonly Segment[]): Segment[] => shift(fold(segments, replicas), -phaseOf(start, replicas))
  const first = others.map(member => intersect(framed(member.segments), precedence(member, self, replicas)))
  const present = framed(self.segments)

  const room = RING * roomOf(limits, totalBytes, widthOf(present) / RING)
  const wanted = taken(layersOf(first).filter(({ count }) => count < replicas), room, replicas)

  const more = difference(wanted, present)
  const less = difference(present, wanted)
  const thin = layersOf(others.map(({ segments }) => framed(segments))).filter(({ count }) => count < replicas)
  const isNeeded = intersect(more, thin).length > 0

  if (!isNeeded && widthOf(more) + widthOf(less) <= STEP * widthOf(present)) {
    return normalize(self.segments)
  }

  return unfold(wanted, start, replicas)
}

/** Distances from where self begins at which the other one goes before it */
function precedence (other: Member, self: Member, replicas: number): Segment[] {
  const distance = wrap(phaseOf(offsetOf(other.key), replicas) - phaseOf(offsetOf(self.key), replicas))

  if (other.isFixed === true) {
    return [{ from: 0, width: RING }]
  }

  // in one place: one of them has to go first
  if (distance === 0 && other.key > self.key) {
    return []
  }

  return [{ from: distance, width: RING - distance }]
}

/**
 * The share of all entries that it may keep, where `present` is the one that it keeps. Without end: all, whatever is
 * rounded
 */
function roomOf ({ storage = Infinity, cpu = 1 }: Limits, totalBytes: number, present: number): number {
  const share = totalBytes > 0 ? storage / totalBytes : 1

  if (share >= 1) {
    return cpu < 1 ? cpu : Infinity
  }

  // the bytes are a guess that wavers: there has to be some way to go to the limit, and who is near to it is full
  const isFull = present <= share && present >= share * (1 - 2 * STEP)
  return Math.min(cpu, isFull ? present : share * (1 - STEP))
}

/**
 * Those with the fewest others first, then the nearest, until there is no room. In whole positions, so rounded here: so
 * that nothing is missing, and never beyond the room, or what is full would grow a little each time it is asked
 */
function taken (layers: Layer[], room: number, replicas: number): Segment[] {
  const segments: Segment[] = []

  for (const { from, width } of layers.sort((a, b) => a.count - b.count || a.from - b.from)) {
    const start = Math.floor(from / replicas) * replicas
    const end = Math.ceil((from + width) / replicas) * replicas
    const part = Math.min(end - start, Math.floor(room / replicas) * replicas)

    if (part > 0) {
      segments.push({ from: start, width: part })
      room -= part
    }
  }

  return segments
}

interface Layer extends Segment {
  /** How many cover it */
  count: number
}

/** The whole ring, cut wherever anybody begins or ends. Nothing in it wraps */
function layersOf (sets: ReadonlyArray<readonly Segment[]>): Layer[] {
  const steps = new Map<number, number>([[0, 0], [RING, 0]])
  const step = (at: number, by: number): void => { steps.set(at, (steps.get(at) ?? 0) + by) }

  for (const { from, width } of sets.flatMap(normalize)) {
    step(from, 1)
    step(wrap(from + width), -1)

    if (from + width >= RING) {
      step(0, 1)
    }
  }

  const edges = [...steps].sort((a, b) => a[0] - b[0])
  let count = 0

  return edges.slice(0, -1).map(([from, by], i) => {
    count += by
    return { from, width: edges[i + 1][0] - from, count }
  })
}

/**
 * The ring, wound up so that it goes round once for each replica: all positions of an entry fall on one phase, and who
 * covers one of them covers this one. Multiplied, where it could be divided, so that there is nothing to round but in
 * `stepOf`: as that rounds down, and segments begin and end at whole positions, a position lies in a segment exactly if
 * its phase lies in the folded one.
 */
function fold (segments: readonly Segment[], replicas: number): Segment[] {
  return normalize(segments.map(({ from, width }) => ({
    from: phaseOf(from, replicas), width: Math.min(RING, width * replicas)
  })))
}

/** The other way, for distances from where somebody begins, of whole positions */
function unfold (distances: readonly Segment[], start: number, replicas: number): Segment[] {
  if (widthOf(distances) === RING) {
    return [{ from: 0, width: RING }]
  }

  return normalize(distances.map(({ from, width }) => ({
    from: wrap(start + from / replicas), width: width / replicas
  })))
}

function phaseOf (position: number, replicas: number): number {
  return (position * replicas) % RING
}

function stepOf (index: number, replicas: number): number {
  return Math.floor(index * RING / replicas)
}

/** Where a peer that adapts begins */
function offsetOf (key: string): number {
  return hashOf(key)
}

/** FNV-1a, and mixed, since keys often differ in their last letters only */
function hashOf (text: string): number {
  let hash = 0x811c9dc5

  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }

  return mixed(hash)
}

/** The end of murmur3: each bit of what goes in turns half of those that come out */
function mixed (value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
