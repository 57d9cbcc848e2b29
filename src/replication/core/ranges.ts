import { RING, wrap } from './ring.ts'
import type { Segment } from './ring.ts'

/** A part of the ring in which two peers differ, and how many entries each has there */
export interface Range {
  segment: Segment
  mine: number
  theirs: number
}

/** As many parts of nearly one width, or fewer if it is not as wide */
export function partsOf ({ from, width }: Segment, parts: number): Segment[] {
  const count = Math.min(parts, width)
  const segments: Segment[] = []

  for (let i = 0; i < count; i++) {
    const start = Math.floor(width * i / count)
    segments.push({ from: wrap(from + start), width: Math.floor(width * (i + 1) / count) - start })
  }

  return segments
}

/** What there is to be dealt with in it */
export function sizeOf ({ mine, theirs }: Range): number {
  return Math.max(mine, theirs)
}

export function entriesOf (ranges: Range[]): [mine: number, theirs: number] {
  return ranges.reduce(([mine, theirs], range) => [mine + range.mine, theirs + range.theirs], [0, 0])
}

/**
 * In how many entries they differ, at least: where there are as many here as there, each has one that the other has not
 */
export function differencesOf (ranges: Range[]): number {
  return ranges.reduce((sum, { mine, theirs }) => sum + (mine === theirs ? 2 : Math.abs(mine - theirs)), 0)
}

/** How many they have more than we do, at least */
export function gainOf (ranges: Range[]): number {
  return ranges.reduce((sum, { mine, theirs }) => sum + Math.max(0, theirs - mine), 0)
}

/** Those that follow on each other as one: a question that names fewer is shorter */
export function toSegments (ranges: Range[]): Segment[] {
  const segments: Segment[] = []

  for (const { segment: { from, width } } of [...ranges].sort((a, b) => a.segment.from - b.segment.from)) {
    const last = segments.at(-1)

    if (last != null && wrap(last.from + last.width) === from && last.width + width <= RING) {
      last.width += width
    } else {
      segments.push({ from, width })
    }
  }

  return segments
}

/**
 * Some at once, which have no more entries than that, and are no more than may be asked for. One that has more goes
 * alone
 */
export function groupsOf (ranges: Range[], maxEntries: number, maxRanges: number): Range[][] {
  const groups: Range[][] = []
  let entries = 0

  for (const range of ranges) {
    const group = groups.at(-1)
    entries += sizeOf(range)

    if (group == null || group.length === maxRanges || entries > maxEntries) {
      groups.push([range])
      entries = sizeOf(range)
    } else {
      group.push(range)
    }
  }

  return groups
}
