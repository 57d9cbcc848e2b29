import { covers, difference, intersect, union, wrap } from './ring.ts'
import type { Segment } from './ring.ts'
import type { Key } from './types.ts'

/** Somebody who is here, and where the entries lie that it keeps */
export interface Keeper {
  peer: Key
  kept: Segment[]
}

/** A part of the ring that is kept by the same ones from its beginning to its end */
export interface Part {
  segment: Segment
  keepers: Keeper[]
}

/** The first part of what is left, which is something */
export function firstPart ([{ from, width }]: Segment[], keepers: Keeper[]): Part {
  return {
    segment: { from, width: Math.min(width, ...keepers.map(({ kept }) => reach(kept, from))) },
    keepers: keepers.filter(({ kept }) => covers(kept, from))
  }
}

/** How far it is from here to where they begin, or end */
function reach (kept: Segment[], position: number): number {
  const inside = kept.find(({ from, width }) => wrap(position - from) < width)
  return inside == null
    ? Math.min(...kept.map(({ from }) => wrap(from - position)))
    : inside.width - wrap(position - inside.from)
}

/** What is known of one that keeps some of what this node keeps */
export interface Compare {
  /** What both keep */
  shared: Segment[]
  /** Where a comparison found nothing that the other one has and this node has not */
  hasAll: Segment[]
}

/**
 * Where all entries that there are lie here, as far as the peers know that are here: of the segments that this node
 * keeps, those that it shares with nobody, and those that it has compared with all who share them. A segment stays so
 * while it is kept: a peer that comes later brings its entries, as all do.
 */
export function whole (kept: Segment[], before: Segment[], others: Compare[]): { now: Segment[], compared: Segment[] } {
  const compared = others.reduce<Segment[]>((all, { hasAll }) => union(all, hasAll), [])
  const open = others.reduce<Segment[]>((all, { shared, hasAll }) => union(all, difference(shared, hasAll)), [])
  const stays = intersect(kept, union(before, difference(compared, open)))
  return { now: union(stays, difference(kept, open)), compared: stays }
}
