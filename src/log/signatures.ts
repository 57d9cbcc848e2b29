import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { equals } from 'uint8arrays/equals'
import { LruMap } from '../runtime/bounded.ts'
import { encodeString, Writer } from '../runtime/codec.ts'
import { MalformedError, orMalformed } from '../runtime/errors.ts'
import { Gate } from '../runtime/gate.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { LARGE_BYTES, sha256, sha256Sliced } from '../runtime/sha256.ts'
import { publicKeyOf, signWith, verifyAsideWith } from '../runtime/signing.ts'
import { then } from '../runtime/then.ts'
import { decodeContent } from './core/entry.ts'
import { besideOf, decodeProof, Subtree } from './core/merkle.ts'
import { SharedProof } from './core/shared-proof.ts'
import { FalseProofError } from './errors.ts'
import type { Proof } from './core/merkle.ts'
import type { DecodedEntry, RawEntry, TrueEntry } from './core/types.ts'
import type { Sign, Verify } from '../runtime/ed25519.ts'
import type { Pacer } from '../runtime/pacer.ts'
import type { PrivateKey } from '@libp2p/interface'

/**
 * Says who made an entry, and finds out whether that is so.
 *
 * A signature is over DOMAIN · SHA-256 of the log's id · uvarint size of the batch · root of its tree
 */
const DOMAIN = encodeString('libp2p-sheaf/log/1:')
const HASH_BYTES = 32
/** Authors whose keys are kept. A guess: they take about 2 KB each */
const MAX_AUTHORS = 1024
/** All logs share the threads. Measured: 16 at once cost the main thread 14 us a signature, 64 cost it 8 */
const checks = new Gate(64)
/** Entries of a batch that are proved together. Measured: a tree of neighbours takes 0.1 ms, of scattered ones 3 */
const MAX_NEIGHBOURS = 256
const NOTHING = new Uint8Array(0)

/** An entry and what proves it, or why it is refused */
export type Verdict = TrueEntry | FalseProofError | MalformedError

/** Signs what one author says in one log */
export class Signer {
  /** The key that verifies, as entries name it */
  readonly author: Uint8Array
  readonly #sign: Sign
  readonly #log: Uint8Array

  constructor (privateKey: PrivateKey, logId: string) {
    this.author = publicKeyToProtobuf(privateKey.publicKey)
    this.#sign = signWith(privateKey)
    this.#log = sha256(encodeString(logId))
  }

  /** Proves entries with these ids, which it does not keep, with one signature: at once in Node, later in browsers */
  prove (size: number, ids: () => Uint8Array[]): SharedProof | Promise<SharedProof> {
    const signature = this.#sign(messageOf(this.#log, size, new Subtree(size, 0, ids(), NOTHING).root))
    return then(signature, signature => new SharedProof({
      size, first: 0, count: size, beside: NOTHING, signature, ids
    }))
  }
}

/**
 * Takes an entry apart, without looking whether it is true. Throws a MalformedError. Large ones are hashed in slices
 */
export function decodeEntry (raw: RawEntry, pacer?: Pacer): DecodedEntry | Promise<DecodedEntry> {
  const content = decodeContent(raw.bytes)
  // the same bytes for all entries of the author: whoever compares them is done at once
  content.author = authorOf(content.author).bytes
  const { bytes, proof } = raw
  return then(hashOf(bytes, pacer), id => ({ ...content, bytes, proof, id }))
}

/** At once, or of large ones in slices */
export function hashOf (bytes: Uint8Array, pacer?: Pacer): Uint8Array | Promise<Uint8Array> {
  return pacer == null || bytes.byteLength <= LARGE_BYTES
    ? sha256(bytes)
    : sha256Sliced(bytes, async () => pacer.yield())
}

/** What one signature is for, as far as it was handed in */
interface Batch extends Pick<Proof, 'size' | 'signature'> {
  author: Author
  /** Entries that nobody has looked at yet */
  waiting: Claim[]
  /** Whether the author signed a root */
  outcomes: Map<string, Promise<boolean>>
}

/** An entry and what is to prove it */
interface Claim {
  entry: DecodedEntry
  proof: Proof
  /** Absent: it is not true, or nobody has looked at it yet */
  verdict?: Verdict
}

/** Says of each entry whether its author made it for the log: in the order in which they come */
export async function verifyEntries (entries: DecodedEntry[], logId: string): Promise<Verdict[]> {
  const verifier = new Verifier(logId)
  entries.forEach(entry => { verifier.add(entry) })
  return verifier.verdicts()
}

/**
 * Says of each entry whether its author made it for the log. Each entry stands by its own proof. The verifier looks at
 * proofs of neighbours together, and checks one signature a batch: on other threads, once all of the batch was added.
 */
export class Verifier {
  readonly #log: Uint8Array
  readonly #pacer?: Pacer
  readonly #claims: Array<Pick<Claim, 'verdict'>> = []
  readonly #batches = new Map<string, Batch>()
  /** That of the last entry: mostly the next one is of the same */
  #last?: Batch
  readonly #checking: Array<Promise<void>> = []

  constructor (logId: string, pacer?: Pacer) {
    this.#log = sha256(encodeString(logId))
    this.#pacer = pacer
  }

  add (entry: DecodedEntry): void {
    const proof = orMalformed(() => decodeProof(entry.proof))

    if (proof instanceof MalformedError) {
      this.#claims.push({ verdict: proof })
      return
    }

    const claim: Claim = { entry, proof }
    const author = authorOf(entry.author)
    this.#claims.push(claim)

    if (proof.size === 1) {
      this.#checking.push(this.#checkLone(claim, author))
      return
    }

    const batch = this.#batchOf(author, proof)

    if (batch.waiting.push(claim) === Math.min(batch.size, MAX_NEIGHBOURS)) {
      this.#check(batch)
    }
  }

  /** Of each that was added, in that order */
  async verdicts (): Promise<Verdict[]> {
    for (const batch of this.#batches.values()) {
      this.#check(batch)
      await this.#pacer?.pause()
    }

    await Promise.all(this.#checking)
    return this.#claims.map(({ verdict = falseProof() }) => verdict)
  }

  /** An entry that was signed alone is the root of its tree, and has no neighbours to wait for */
  async #checkLone (claim: Claim, author: Author): Promise<void> {
    const { entry, proof: { signature } } = claim

    if (await checks.run(() => author.verify(messageOf(this.#log, 1, entry.id), signature))) {
      const proofs = new SharedProof({
        size: 1, first: 0, count: 1, beside: NOTHING, signature, ids: () => [entry.id]
      })
      claim.verdict = { ...entry, proofs, at: 0 }
    }
  }

  #batchOf (author: Author, { size, signature }: Proof): Batch {
    const last = this.#last

    if (last != null && last.author === author && last.size === size && equals(last.signature, signature)) {
      return last
    }

    const key = `${author.key} ${size} ${keyOfBytes(signature)}`
    const batch = this.#batches.get(key) ?? { author, size, signature, waiting: [], outcomes: new Map() }
    this.#batches.set(key, batch)
    this.#last = batch
    return batch
  }

  /** What waits, by those that follow each other in the batch, whatever the order in which they were handed in */
  #check (batch: Batch): void {
    const claims = batch.waiting.sort((a, b) => a.proof.index - b.proof.index)
    let from = 0

    for (let i = 1; i <= claims.length; i++) {
      if (claims[i]?.proof.index !== claims[i - 1].proof.index + 1) {
        this.#checking.push(this.#checkNeighbours(batch, claims.slice(from, i)))
        from = i
      }
    }

    batch.waiting = []
  }

  async #checkNeighbours (batch: Batch, claims: Claim[]): Promise<void> {
    const { size, signature } = batch
    const [first, last] = [claims[0].proof, claims[claims.length - 1].proof]
    const ids = claims.map(({ entry }) => entry.id)
    const beside = besideOf(first, last)
    const tree = new Subtree(size, first.index, ids, beside)

    if (await this.#isSigned(batch, tree.root)) {
      const proofs = new SharedProof({ size, first: first.index, count: ids.length, beside, signature, ids: () => ids })

      claims.forEach((claim, at) => {
        const { entry, proof: { index, path } } = claim
        // what its neighbours prove is true, but others would not believe a proof that is not
        claim.verdict = tree.isPath(index, path) ? { ...entry, proofs, at } : undefined
      })
    } else if (claims.length > 1) {
      // one of them is false, and the others may be true
      const alone: Array<Promise<void>> = []

      for (const claim of claims) {
        alone.push(this.#checkNeighbours(batch, [claim]))
        await this.#pacer?.pause()
      }

      await Promise.all(alone)
    }
  }

  async #isSigned ({ author, size, signature, outcomes }: Batch, root: Uint8Array): Promise<boolean> {
    const key = keyOfBytes(root)
    const outcome = outcomes.get(key) ?? checks.run(() => author.verify(messageOf(this.#log, size, root), signature))
    outcomes.set(key, outcome)
    return outcome
  }
}

function falseProof (): FalseProofError {
  return new FalseProofError('the signature is not one of its author for this entry in this log: ' +
    'ask somebody else for the entry')
}

function messageOf (log: Uint8Array, size: number, root: Uint8Array): Uint8Array {
  return new Writer(DOMAIN.byteLength + 2 * HASH_BYTES + 8).raw(DOMAIN).raw(log).uvarint(size).raw(root).finish()
}

interface Author {
  /** The key, as libp2p encodes it */
  bytes: Uint8Array
  /** As the key of a map */
  key: string
  verify: Verify
}

const authors = new LruMap<string, Author>(MAX_AUTHORS)
/** That of the last entry: mostly the next one has the same */
let latest: Author | undefined

/** Throws a MalformedError for what is no key, or a key in another spelling than its own */
function authorOf (bytes: Uint8Array): Author {
  if (latest != null && equals(latest.bytes, bytes)) {
    return latest
  }

  const key = keyOfBytes(bytes)
  latest = authors.get(key) ?? { bytes: Uint8Array.from(bytes), key, verify: verifyAsideWith(publicKeyOf(bytes)) }
  authors.set(key, latest)
  return latest
}
