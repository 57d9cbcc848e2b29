import { keptRanges, RING, shareOf } from 'libp2p-sheaf'
import { short } from '../../text.ts'
import type { Segment } from 'libp2p-sheaf'

/** A piece of the ring, in parts of the whole: 0 <= from < to <= 1 */
export interface Arc {
  from: number
  to: number
}

export interface Band extends Arc {
  /** How many peers keep the entries that lie there */
  copies: number
}

export interface Track {
  peer: string
  name: string
  /** What the peer announced */
  announced: Arc[]
  /** Where the entries lie that the peer keeps because of that */
  keeps: Arc[]
  /** Which share of all entries that is */
  share: number
  /** It is here, and is counted on */
  counts: boolean
}

export interface RingView {
  tracks: Track[]
  /** Replicators for which there was no track left. The bands count them all the same */
  hidden: number
  bands: Band[]
  /** The same as a table, and exact: which share of the ring has so many copies, the fewest first */
  shares: Array<{ copies: number, share: number }>
  /** Copies of the entries that fewest keep, and how many there should be */
  copies: number
  wanted: number
}

export interface RingMember {
  peer: string
  segments: Segment[]
  counts: boolean
}

/** A ring with more tracks is a blur */
const MAX_TRACKS = 8

/** Arcs of one track that are drawn: a share has 64 segments at most, and each has an arc for each replica */
const MAX_ARCS = 256

/**
 * Pieces of which each has one number of copies: the fewest in it. A narrower gap is drawn as wide as one piece, as
 * nobody would see it else
 */
const PIECES = 720

/** What the ring looks like to those who see it drawn */
export function ringOf (members: RingMember[], wanted: number): RingView {
  const tracks = members.map(({ peer, segments, counts }): Track => ({
    peer,
    name: short(peer),
    counts,
    announced: arcsOf(segments),
    keeps: arcsOf(keptRanges(segments, wanted)),
    share: shareOf(segments, wanted)
  }))
  const layers = layersOf(tracks.filter(({ counts }) => counts).map(({ keeps }) => keeps))
  const shares = sharesOf(layers)

  return {
    tracks: tracks.slice(0, MAX_TRACKS).map(track => ({
      ...track, announced: track.announced.slice(0, MAX_ARCS), keeps: track.keeps.slice(0, MAX_ARCS)
    })),
    hidden: Math.max(0, tracks.length - MAX_TRACKS),
    bands: bandsOf(layers),
    shares,
    copies: shares[0].copies,
    wanted
  }
}

/** In the order of the ring. A segment that goes past its end is two */
function arcsOf (segments: Segment[]): Arc[] {
  return segments.flatMap(({ from, width }) => {
    const [start, end] = [from / RING, (from + width) / RING]
    return end > 1 ? [{ from: start, to: 1 }, { from: 0, to: end - 1 }] : [{ from: start, to: end }]
  }).sort((a, b) => a.from - b.from)
}

/** How many of these keep what lies where: the whole ring, cut wherever one of them begins or ends */
function layersOf (kept: Arc[][]): Band[] {
  const steps = new Map<number, number>([[0, 0], [1, 0]])

  for (const { from, to } of kept.flat()) {
    steps.set(from, (steps.get(from) ?? 0) + 1)
    steps.set(to, (steps.get(to) ?? 0) - 1)
  }

  const edges = [...steps].sort(([a], [b]) => a - b)
  let copies = 0

  return edges.slice(0, -1).map(([from, by], i) => {
    copies += by
    return { from, to: edges[i + 1][0], copies }
  })
}

/** Those of which there are fewest come first */
function sharesOf (layers: Band[]): RingView['shares'] {
  const shares = new Map<number, number>()
  layers.forEach(({ from, to, copies }) => { shares.set(copies, (shares.get(copies) ?? 0) + to - from) })
  return [...shares].map(([copies, share]) => ({ copies, share })).sort((a, b) => a.copies - b.copies)
}

/** As it is drawn: no more pieces than can be seen */
function bandsOf (layers: Band[]): Band[] {
  const fewest = new Array<number>(PIECES).fill(Infinity)

  for (const { from, to, copies } of layers) {
    for (let piece = Math.floor(from * PIECES); piece < Math.ceil(to * PIECES); piece++) {
      fewest[piece] = Math.min(fewest[piece], copies)
    }
  }

  const bands: Band[] = []

  for (const [piece, copies] of fewest.entries()) {
    const last = bands.at(-1)

    if (last?.copies === copies) {
      last.to = (piece + 1) / PIECES
    } else {
      bands.push({ from: piece / PIECES, to: (piece + 1) / PIECES, copies })
    }
  }

  return bands
}
