import type { Call, Key, KeyId } from './state.ts'
import type { Accept, Body, Cancel, CancelReason, Confirm, Head, Propose, Resync, SealedKind } from './wire.ts'

/**
 * Events of a session. Signed frames come here only with a signature that is good, from and to the right peers
 */
export type Event =
  // the program
  /**
   * `isAlone`: it wants a key that seals no other message; absent: as the mode of the session says. `isMore`: the next
   * event is another message, and one frame may carry both
   */
  | { type: 'send', call: Call, payload: Uint8Array, isAlone?: boolean, isMore?: boolean }
  /** Waits for a new epoch, and makes one unless a round is under way */
  | { type: 'rekey', call: Call, deadline: number }
  | { type: 'abort', call: Call }
  | { type: 'close' }
  // the way to the peer
  | { type: 'connected' }
  | { type: 'disconnected' }
  // frames
  | { type: 'frame', frame: Propose | Accept | Cancel | Resync | Confirm }
  /** A sealed frame that was opened with the key that `openingOf` gave */
  | { type: 'opened', head: Head, body: Body }
  /** A sealed frame whose key `openingOf` does not know */
  | { type: 'unopened', head: Head }
  // results
  | { type: 'generated', token: number, seed: Uint8Array, publicKey: Uint8Array }
  | { type: 'encapsulated', token: number, secret: Uint8Array, ciphertext: Uint8Array }
  | { type: 'decapsulated', token: number, secret: Uint8Array }
  /** The operation failed: the key or the ciphertext is none, or the worker is gone */
  | { type: 'crypto-failed', token: number }
  // time
  | { type: 'wake' }

/** A sealed frame to be. `key` seals this one frame and nothing else: whoever seals it zeroes the key */
export interface Sealing {
  kind: SealedKind
  head: Head
  key: Uint8Array
  body: Uint8Array
}

/** The shell signs `signedBytes` of `encoded` (wire.ts): the shell has the node's key, and the core has not */
export interface Signing {
  kind: 'propose' | 'accept' | 'cancel' | 'resync'
  frame: Propose | Accept | Cancel | Resync
  encoded: Uint8Array
}

export type Outgoing = Sealing | Signing | { kind: 'confirm', frame: Confirm, encoded: Uint8Array }

export type SendOutcome = 'delivered' | 'queue-full' | 'too-large' | 'aborted' | 'closed'
export type RekeyOutcome = 'rekeyed' | 'timeout' | 'failed' | 'aborted' | 'closed' | 'too-many'

/** What is dropped or odd, to be counted. Nothing of it throws, and nothing of it ends a session */
export type Count =
  | 'stale-propose' | 'stale-accept' | 'stale-confirm' | 'stale-cancel' | 'stale-resync' | 'stale-key' | 'stale-life'
  | 'stale-result' | 'replayed' | 'too-far' | 'wrong-proof' | 'wrong-epoch' | 'unknown-key' | 'resync-limited'
  | 'early-full' | 'wrong-ack' | 'duplicate' | 'repeated' | 'crypto-failed' | 'unwanted' | 'bad-number'

/** What the shell is to do, in this order */
export type Effect =
  // crypto: one event comes back for each, with its token
  | { type: 'generate', token: number }
  | { type: 'encapsulate', token: number, publicKey: Uint8Array }
  /** `seed` is a copy: whoever uses it zeroes it */
  | { type: 'decapsulate', token: number, seed: Uint8Array, ciphertext: Uint8Array }
  /** Stores the record, which holds secrets, in place of every earlier one */
  | { type: 'persist', revision: number, record: Uint8Array }
  /** Leaves only when this revision, or a later one, is stored. In the order of the effects */
  | { type: 'send', frame: Outgoing, after: number }
  // the program
  | { type: 'deliver', seq: number, payload: Uint8Array }
  | { type: 'send-settled', call: Call, outcome: SendOutcome }
  | { type: 'rekey-settled', call: Call, outcome: RekeyOutcome }
  | { type: 'epoch', epoch: number, key: KeyId }
  | { type: 'round-failed', n: number, reason: CancelReason }
  | { type: 'resync', unknown: KeyId }
  | { type: 'peer-closed', peer: Key }
  | { type: 'closed' }
  | { type: 'count', what: Count }
