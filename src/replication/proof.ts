import { equals } from 'uint8arrays/equals'
import { Writer } from '../runtime/codec.ts'
import { bytesOfKey } from '../runtime/keys.ts'
import { sha256Sliced } from '../runtime/sha256.ts'
import { rawOf } from './digests.ts'
import { PROOF_BYTES } from './wire.ts'
import type { Key } from './core/types.ts'
import type { Entry } from '../log/index.ts'
import type { Pacer } from '../runtime/pacer.ts'

/**
 * Shows that a peer holds the bytes of an entry now: nobody can make it from the id alone, from an earlier proof, or
 * from the proof of another peer.
 *
 * proof = the first 16 bytes of SHA-256(nonce of who asks · peer id of who proves · bytes of the entry)
 */
export async function proofOf (nonce: Uint8Array, prover: Key, bytes: Uint8Array, pacer: Pacer): Promise<Uint8Array> {
  const peerId = bytesOfKey(prover)
  const proven = new Writer(nonce.byteLength + peerId.byteLength + bytes.byteLength)
    .raw(nonce).raw(peerId).raw(bytes).finish()
  await pacer.pause()
  return (await sha256Sliced(proven, async () => pacer.pause())).subarray(0, PROOF_BYTES)
}

/** Which of these entries the peer has proven */
export async function provenBy (
  prover: Key, entries: Entry[], proofs: Uint8Array[], nonce: Uint8Array, pacer: Pacer
): Promise<Entry[]> {
  const proven: Entry[] = []

  for (const [i, proof] of proofs.entries()) {
    if (proof.byteLength > 0 && equals(proof, await proofOf(nonce, prover, rawOf(entries[i]).bytes, pacer))) {
      proven.push(entries[i])
    }
  }

  return proven
}
