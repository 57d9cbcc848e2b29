import { fromString } from 'uint8arrays/from-string'
import { BATCHES, ENTRIES } from '../fixtures/entries-v1.ts'
import type { Mutator } from './mutate.ts'
import type { RawEntry } from '../../src/log/core/types.ts'

/** The entries of the vectors with their proofs: all of them are true */
export const good: RawEntry[] = BATCHES.flatMap(({ entries, proofs }) => entries.map((entry, i) => ({
  bytes: fromString(ENTRIES[entry].bytes, 'base16'), proof: fromString(proofs[i], 'base16')
})))

const contents = good.map(({ bytes }) => bytes)
const proofs = good.map(({ proof }) => proof)

/** A pair of bytes and proof with something wrong in one of them, in both, or between them. One in some hundred is as it was */
export function mutatedPair (mutator: Mutator, run: number): RawEntry {
  mutator.begin(run)
  const { bytes, proof } = mutator.pick(good)

  switch (mutator.int(8)) {
    case 0:
      return { bytes: mutator.mutate(contents), proof }
    case 1:
      return { bytes: mutator.mutate(contents), proof: mutator.mutate(proofs) }
    case 2:
      return { bytes, proof: mutator.pick(proofs) }
    case 3:
      // most that can be decoded differ in a byte that nobody has to understand: the data, or the proof
      return { bytes: flipped(bytes, mutator), proof }
    default:
      return { bytes, proof: mutator.int(2) === 0 ? flipped(proof, mutator) : mutator.mutate(proofs) }
  }
}

function flipped (bytes: Uint8Array, mutator: Mutator): Uint8Array {
  const copy = Uint8Array.from(bytes)

  if (copy.byteLength > 0) {
    copy[mutator.int(copy.byteLength)] ^= 1 << mutator.int(8)
  }
  return copy
}
