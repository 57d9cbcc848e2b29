import type { Segment } from './ring.ts'
import type { RawEntry } from '../../log/core/types.ts'

/** What a comparison with a peer needs from whoever runs it, and what it is given for that */
export interface Summary {
  count: number
  fingerprint: Uint8Array
}

export type Need =
  | { type: 'summaries', from: 'us' | 'them', segments: Segment[], parts: number }
  | { type: 'symbols', segments: Segment[], from: number, count: number }
  | { type: 'fetch', segments: Segment[], shortIds: Uint8Array }
  | { type: 'pull', from: number, segments: Segment[] }
  /** The next piece of all that they have, in the order of the log. Others may be asked for other pieces meanwhile */
  | { type: 'window', segments: Segment[] }
  | { type: 'ids', segments: Segment[] }
  | { type: 'join', entries: RawEntry[] }
  | { type: 'progress', done: number, total: number }

export interface Given {
  summaries: Summary[]
  symbols: Uint8Array
  /** For so many of the short ids that were named */
  fetch: { asked: number, entries: RawEntry[] }
  pull: { entries: RawEntry[], next: number, isEnd: boolean }
  /** `looked`: at how many entries they took a look. `isEnd`: they are not to be asked for more */
  window: { entries: RawEntry[], looked: number, isEnd: boolean }
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
  /**
   * How many they have that we still have not: they were refused, or did not come. At least so many, where they cannot
   * be told
   */
  missing: number
  /** Entries that they lack, as far as they are known by name */
  surplus: Uint8Array[]
  /** They lack something else that we have */
  isBehind: boolean
}
