import { difference, normalize, union } from './ring.ts'
import type { Segment } from './ring.ts'
import type { Key } from './types.ts'

/**
 * What a peer says it keeps. Only its owner writes it, and signs it; anybody passes it on. (epoch, sequence) says what is
 * newest, never a clock. Who stops says that it keeps nothing.
 */
export type Document = Full | Delta

interface Said {
  owner: Key
  /** Which of its lives this is; each is larger than those before */
  epoch: number
  sequence: number
  /** As it was signed */
  bytes: Uint8Array
}

export interface Full extends Said {
  type: 'full'
  segments: Segment[]
}

/** What changed since the document with the sequence `base` of the same life */
export interface Delta extends Said {
  type: 'delta'
  base: number
  added: Segment[]
  removed: Segment[]
}

/** The newest of what one owner said: a full document, and the changes since */
export interface Info {
  epoch: number
  sequence: number
  segments: Segment[]
  /** What somebody else has to hear to know the same, in order */
  documents: Uint8Array[]
}

/** `gap`: it stands on a document that is not here, so a full one is needed */
export type Applied = { type: 'old' } | { type: 'gap' } | { type: 'new', info: Info }

/** Changes that may follow a full document, before another full one has to. A guess */
export const MAX_DELTAS = 8

/** How new something is that an owner said */
export type Version = Pick<Said, 'epoch' | 'sequence'>

export function isNewer (a: Version, b: Version): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence > b.sequence)
}

export function applyDocument (info: Info | undefined, document: Document): Applied {
  if (info != null && !isNewer(document, info)) {
    return { type: 'old' }
  }

  const { epoch, sequence, bytes } = document

  if (document.type === 'full') {
    return { type: 'new', info: { epoch, sequence, segments: normalize(document.segments), documents: [bytes] } }
  }
  if (info == null || epoch !== info.epoch || document.base !== info.sequence || info.documents.length > MAX_DELTAS) {
    return { type: 'gap' }
  }

  const segments = union(difference(info.segments, document.removed), document.added)
  return { type: 'new', info: { epoch, sequence, segments, documents: [...info.documents, bytes] } }
}

/** Bytes of what somebody has to hear to know it */
export function bytesOf (info: Info | undefined): number {
  return info?.documents.reduce((sum, { byteLength }) => sum + byteLength, 0) ?? 0
}
