import type { Segment } from './ring.ts'
import type { Key } from './types.ts'

/** Which of two documents of one owner is newer: (epoch, sequence) says so, never a clock */
export interface Version {
  /** The life of the owner that a document is from. Each life has a larger epoch than the lives before */
  epoch: number
  sequence: number
}

/**
 * All that a peer says it keeps. Only its owner signs a document, and anybody passes it on. A newer document of an
 * owner replaces the older one as a whole. An owner that stops replicating signs a document without segments.
 */
export interface Document extends Version {
  owner: Key
  /** In their only form: see `normalize` */
  segments: Segment[]
  /** As the owner signed it */
  bytes: Uint8Array
}

export function isNewer (a: Version, b: Version): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence > b.sequence)
}
