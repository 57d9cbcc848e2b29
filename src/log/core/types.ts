import type { SharedProof } from './shared-proof.ts'

/** Bytes of an id: a SHA-256 */
export const ID_BYTES = 32

/** What an entry says. Two entries with the same content are the same entry */
export interface Content {
  /** Milliseconds since 1970, and a counter for entries of one millisecond: a hybrid logical clock */
  time: number
  counter: number
  /** The public key of the author, as libp2p encodes it */
  author: Uint8Array
  /** The entry that the author made before this one */
  previous?: Uint8Array
  /** The heads of the author's log when the entry was made: ids in ascending order, each once */
  parents: Uint8Array[]
  /** Entries of one group are kept together. Empty: the entry is a group of its own */
  group: Uint8Array
  /** How many copies there should be; 0: as many as the log says */
  replicas: number
  data: Uint8Array
}

/** An entry as it is sent: verbatim. The id is the SHA-256 of `bytes`, and `proof` shows that the author made it */
export interface RawEntry {
  bytes: Uint8Array
  proof: Uint8Array
}

/** A decoded entry with its id, which nobody has verified */
export interface DecodedEntry extends RawEntry, Content {
  id: Uint8Array
}

/** An entry whose proof was verified. Nobody outside of the log gets hold of these bytes */
export interface TrueEntry extends Content {
  id: Uint8Array
  bytes: Uint8Array
  /** The proof that the entry shares with its neighbours, and the number of the entry among them */
  proofs: SharedProof
  at: number
  /** What asked for it, if it was appended here and that was said */
  request?: Uint8Array
}

/** Bytes of an entry and its proof */
export function sizeOf ({ bytes, proofs, at }: TrueEntry): number {
  return bytes.byteLength + proofs.sizeOf(at)
}
