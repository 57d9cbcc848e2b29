import type { SharedProof } from './shared-proof.ts'

/** Bytes of an id: a SHA-256 */
export const ID_BYTES = 32

/** What an entry says. Two that say the same are the same entry */
export interface Content {
  /** Milliseconds since 1970, and what tells entries of one millisecond apart: a hybrid logical clock */
  time: number
  counter: number
  /** The public key of who made it, as libp2p encodes it */
  author: Uint8Array
  /** The entry that the author made before this one */
  previous?: Uint8Array
  /** The heads that it was made on: ids in ascending order, each once */
  parents: Uint8Array[]
  /** Entries of one group are kept together. Empty: the entry is a group of its own */
  group: Uint8Array
  /** How many copies it should have; 0: as many as the log says */
  replicas: number
  data: Uint8Array
}

/**
 * An entry as it is kept and passed on: verbatim. The id is the SHA-256 of `bytes`; `proof` says that the author made it
 */
export interface RawEntry {
  bytes: Uint8Array
  proof: Uint8Array
}

/** An entry that was taken apart, and whose id was computed, but that nobody has verified */
export interface DecodedEntry extends RawEntry, Content {
  id: Uint8Array
}

/** An entry that its author made: its proof was checked. Nobody outside of the log gets hold of these bytes */
export interface TrueEntry extends Content {
  id: Uint8Array
  bytes: Uint8Array
  /** What proves it and its neighbours, and which of those it is */
  proofs: SharedProof
  at: number
}

/** Bytes of an entry and its proof */
export function sizeOf ({ bytes, proofs, at }: TrueEntry): number {
  return bytes.byteLength + proofs.sizeOf(at)
}
