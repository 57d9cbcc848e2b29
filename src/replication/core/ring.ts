/** How many positions there are: an entry's is of 32 bits */
export const RING = 2 ** 32

/** Positions one after the other. Behind the last position of the ring comes its first */
export interface Segment {
  /** A whole number from 0 to RING - 1 */
  from: number
  /** A whole number from 1 to RING, which is all */
  width: number
}

/**
 * From the first up to the second, which is not in it, and never past the end of the ring: this does not wrap, so it
 * compares
 */
type Span = [from: number, to: number]

/**
 * The one form that a set of positions has: segments that neither meet nor touch, in order of where they begin. The
 * whole ring begins at 0. All that returns segments returns this form; all that takes them takes any.
 */
export function normalize (segments: readonly Segment[]): Segment[] {
  return joined(spansOf(segments))
}

export function covers (segments: readonly Segment[], position: number): boolean {
  return segments.some(({ from, width }) => wrap(position - from) < width)
}

/** As `covers`, for many positions: it looks at few of the segments for each */
export function within (segments: readonly Segment[]): (position: number) => boolean {
  const spans = spansOf(segments)

  return position => {
    let low = 0
    let high = spans.length

    while (low < high) {
      const middle = (low + high) >>> 1

      if (spans[middle][1] <= position) {
        low = middle + 1
      } else {
        high = middle
      }
    }

    return low < spans.length && spans[low][0] <= position
  }
}

export function union (a: readonly Segment[], b: readonly Segment[]): Segment[] {
  return normalize([...a, ...b])
}

export function intersect (a: readonly Segment[], b: readonly Segment[]): Segment[] {
  return joined(common(spansOf(a), spansOf(b)))
}

/** What is in the first, and not in the second */
export function difference (a: readonly Segment[], b: readonly Segment[]): Segment[] {
  return joined(common(spansOf(a), others(spansOf(b))))
}

/** All of them moved on by whole positions, or back if there are fewer than none */
export function shift (segments: readonly Segment[], by: number): Segment[] {
  return normalize(segments.map(({ from, width }) => ({ from: wrap(from + by % RING), width })))
}

/** How many positions there are in it. One that is in two segments counts once */
export function widthOf (segments: readonly Segment[]): number {
  return spansOf(segments).reduce((sum, [from, to]) => sum + to - from, 0)
}

/** Whether they are the same positions, in whatever form */
export function sameSegments (a: readonly Segment[], b: readonly Segment[]): boolean {
  const [left, right] = [spansOf(a), spansOf(b)]
  return left.length === right.length && left.every(([from, to], i) => from === right[i][0] && to === right[i][1])
}

/** As the log asks for it: up to a position that is not in it. Where both are one, it is all */
export function toRange ({ from, width }: Segment): { from: number, to: number } {
  return { from, to: wrap(from + width) }
}

/**
 * Brings back on the ring what is at most one turn off it. `%` would leave what is before 0 there, `>>>` is of no use
 * beyond 32 bits
 */
export function wrap (position: number): number {
  if (position < 0) {
    return position + RING
  }
  return position < RING ? position : position - RING
}

/** In order, and neither met nor touched by another */
function spansOf (segments: readonly Segment[]): Span[] {
  const cut: Span[] = segments.flatMap(({ from, width }): Span[] => {
    const to = from + width
    return to > RING ? [[from, RING], [0, to - RING]] : [[from, to]]
  })
  const spans: Span[] = []

  for (const [from, to] of cut.sort((a, b) => a[0] - b[0])) {
    const last = spans.at(-1)

    if (last != null && from <= last[1]) {
      last[1] = Math.max(last[1], to)
    } else {
      spans.push([from, to])
    }
  }

  return spans
}

/** What ends where the ring does goes on where it begins */
function joined (spans: Span[]): Segment[] {
  const segments = spans.map(([from, to]) => ({ from, width: to - from }))
  const last = spans.at(-1)

  if (last != null && spans.length > 1 && spans[0][0] === 0 && last[1] === RING) {
    segments[segments.length - 1].width += segments[0].width
    segments.shift()
  }

  return segments
}

function common (a: Span[], b: Span[]): Span[] {
  const spans: Span[] = []

  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const from = Math.max(a[i][0], b[j][0])
    const to = Math.min(a[i][1], b[j][1])

    if (from < to) {
      spans.push([from, to])
    }

    // the one that ends first meets nothing more
    if (a[i][1] < b[j][1]) {
      i++
    } else {
      j++
    }
  }

  return spans
}

function others (spans: Span[]): Span[] {
  const gaps: Span[] = []
  let from = 0

  for (const [start, end] of spans) {
    if (from < start) {
      gaps.push([from, start])
    }
    from = end
  }

  return from < RING ? [...gaps, [from, RING]] : gaps
}
