import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { equals } from 'uint8arrays/equals'
import { LruMap } from '../runtime/bounded.ts'
import { encodeString, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { LARGE_BYTES, sha256, sha256Sliced } from '../runtime/sha256.ts'
import { isStrictPoint, signWith, verifyAsideWith } from '../runtime/signing.ts'
import { decodeContent } from './core/entry.ts'
import { besideOf, decodeProof, MAX_BATCH, rootOf, Subtree } from './core/merkle.ts'
import { SharedProof } from './core/shared-proof.ts'
import { BatchTooLargeError, FalseProofError } from './errors.ts'
import type { Proof } from './core/merkle.ts'
import type { DecodedEntry, RawEntry, TrueEntry } from './core/types.ts'
import type { Sign, Verify } from '../runtime/ed25519.ts'
import type { Pacer } from '../runtime/pacer.ts'
import type { PrivateKey, PublicKey } from '@libp2p/interface'

/**
 * Says who made an entry, and finds out whether that is so.
 *
 * A signature is over DOMAIN · SHA-256 of the log's id · uvarint size of the batch · root of its tree
 */
const DOMAIN = encodeString('libp2p-sheaf/log/1:')
const HASH_BYTES = 32
/** Authors whose keys are kept. A guess: they take about 2 KB each */
const MAX_AUTHORS = 1024
/** As many as Node's threads are kept busy by, and not so many that files wait for long. Measured: 4 are too few, 64 are no faster */
const CHECKS_AT_ONCE = 16
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

  /** The proof that at least one entry shares with others, with one signature. At once where the platform signs at once (Node), later where not (browsers) */
  prove (ids: Uint8Array[]): SharedProof | Promise<SharedProof> {
    const size = ids.length

    if (size > MAX_BATCH) {
      throw new BatchTooLargeError(`${size} entries where one signature is for at most ${MAX_BATCH}: hand over fewer at once`)
    }

    const share = (signature: Uint8Array): SharedProof => new SharedProof({ size, first: 0, count: size, beside: NOTHING, signature, ids: () => ids })
    const signature = this.#sign(messageOf(this.#log, size, new Subtree(size, 0, ids, NOTHING).root))
    return signature instanceof Promise ? signature.then(share) : share(signature)
  }
}

/** Takes an entry apart, without looking whether it is true. Throws a MalformedError. Large ones are hashed in slices */
export function decodeEntry (raw: RawEntry, pacer?: Pacer): DecodedEntry | Promise<DecodedEntry> {
  const { bytes, proof } = raw
  const { time, counter, author, previous, parents, group, replicas, data } = decodeContent(bytes)
  authorOf(author)
  const named = (id: Uint8Array): DecodedEntry => ({ id, time, counter, author, previous, parents, group, replicas, data, bytes, proof })
  const id = hashOf(bytes, pacer)
  return id instanceof Promise ? id.then(named) : named(id)
}

/** At once, or of large ones in slices */
export function hashOf (bytes: Uint8Array, pacer?: Pacer): Uint8Array | Promise<Uint8Array> {
  return pacer == null || bytes.byteLength <= LARGE_BYTES ? sha256(bytes) : sha256Sliced(bytes, async () => pacer.yield())
}

/** Neighbours of one batch, whose ids lead to one root */
interface Range {
  author: Author
  proof: Proof
  /** Where they stand in what was handed in */
  entries: number[]
  tree: Subtree
}

/**
 * Says of each entry whether its author made it for the log. Each stands alone, by its own proof. Those of neighbours are looked at
 * together, and one signature is checked for what was signed at once.
 */
export async function verifyEntries (entries: DecodedEntry[], logId: string, pacer?: Pacer): Promise<Verdict[]> {
  const log = sha256(encodeString(logId))
  const proofs = entries.map(readProof)
  const verdicts: Verdict[] = proofs.map(proof => proof instanceof MalformedError ? proof : falseProof())
  const checks = new Checks(log)
  const left: number[] = []

  await Promise.all((await rangesOf(entries, proofs, pacer)).map(async range => {
    if (await checks.isTrue(range.author, range.proof, range.tree.root)) {
      const { proof: { size, index, signature }, entries: numbers } = range
      const ids = numbers.map(i => entries[i].id)
      const last = proofs[numbers[numbers.length - 1]] as Proof
      const shared = new SharedProof({ size, first: index, count: ids.length, beside: besideOf(range.proof, last), signature, ids: () => ids })
      numbers.forEach((i, at) => {
        // what its neighbours prove is true, but others would not believe a proof that is not
        if (range.tree.isPath(index + at, (proofs[i] as Proof).path)) {
          verdicts[i] = trueEntry(entries[i], shared, at)
        }
      })
    } else if (range.entries.length > 1) {
      // one of them is false, and the others may be true
      left.push(...range.entries)
    }
  }))

  await Promise.all(left.map(async i => {
    const proof = proofs[i] as Proof
    const entry = entries[i]

    if (await checks.isTrue(authorOf(entry.author), proof, rootOf(entry.id, proof))) {
      verdicts[i] = trueEntry(entry, aloneOf(entry, proof), 0)
    }
  }))

  return verdicts
}

function trueEntry ({ proof, ...content }: DecodedEntry, proofs: SharedProof, at: number): TrueEntry {
  return { ...content, proofs, at }
}

/** What proves one entry alone */
export function aloneOf ({ id }: { id: Uint8Array }, proof: Proof): SharedProof {
  const { size, index, signature } = proof
  return new SharedProof({ size, first: index, count: 1, beside: besideOf(proof, proof), signature, ids: () => [id] })
}

/** Entries that follow each other in their batch, whatever the order in which they were handed in */
async function rangesOf (entries: DecodedEntry[], proofs: Array<Proof | MalformedError>, pacer?: Pacer): Promise<Range[]> {
  const batches = new Map<string, number[]>()

  for (const [i, proof] of proofs.entries()) {
    if (!(proof instanceof MalformedError)) {
      const key = `${authorOf(entries[i].author).key} ${proof.size} ${keyOfBytes(proof.signature)}`
      const batch = batches.get(key)

      if (batch == null) {
        batches.set(key, [i])
      } else {
        batch.push(i)
      }
    }
  }

  const ranges: Range[] = []

  for (const batch of batches.values()) {
    batch.sort((a, b) => (proofs[a] as Proof).index - (proofs[b] as Proof).index)
    let from = 0

    for (let i = 1; i <= batch.length; i++) {
      if (i === batch.length || (proofs[batch[i]] as Proof).index !== (proofs[batch[i - 1]] as Proof).index + 1) {
        ranges.push(rangeOf(entries, proofs, batch.slice(from, i)))
        from = i
      }
    }

    await pacer?.pause()
  }

  return ranges
}

function rangeOf (entries: DecodedEntry[], proofs: Array<Proof | MalformedError>, numbers: number[]): Range {
  const [first, last] = [proofs[numbers[0]], proofs[numbers[numbers.length - 1]]] as [Proof, Proof]
  const tree = new Subtree(first.size, first.index, numbers.map(i => entries[i].id), besideOf(first, last))
  return { author: authorOf(entries[numbers[0]].author), proof: first, entries: numbers, tree }
}

/** Signatures that are checked, each once */
class Checks {
  readonly #log: Uint8Array
  readonly #outcomes = new Map<string, Promise<boolean>>()
  #running = 0
  readonly #waiting: Array<() => void> = []

  constructor (log: Uint8Array) {
    this.#log = log
  }

  async isTrue (author: Author, { size, signature }: Proof, root: Uint8Array): Promise<boolean> {
    const message = messageOf(this.#log, size, root)
    const key = `${author.key} ${keyOfBytes(message)}${keyOfBytes(signature)}`
    const outcome = this.#outcomes.get(key) ?? this.#check(author, message, signature)
    this.#outcomes.set(key, outcome)
    return outcome
  }

  async #check ({ verify }: Author, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    if (this.#running === CHECKS_AT_ONCE) {
      await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    } else {
      this.#running++
    }

    try {
      return await verify(message, signature)
    } finally {
      const next = this.#waiting.shift()

      if (next == null) {
        this.#running--
      } else {
        next()
      }
    }
  }
}

function readProof ({ proof }: DecodedEntry): Proof | MalformedError {
  try {
    return decodeProof(proof)
  } catch (err: any) {
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}

function falseProof (): FalseProofError {
  return new FalseProofError('the signature is not one of its author for this entry in this log: ask somebody else for the entry')
}

function messageOf (log: Uint8Array, size: number, root: Uint8Array): Uint8Array {
  return new Writer(DOMAIN.byteLength + 2 * HASH_BYTES + 8).raw(DOMAIN).raw(log).uvarint(size).raw(root).finish()
}

interface Author {
  key: string
  verify: Verify
}

const authors = new LruMap<string, Author>(MAX_AUTHORS)

/** Throws a MalformedError for what is no key, or a key in another spelling than its own */
function authorOf (bytes: Uint8Array): Author {
  const key = keyOfBytes(bytes)
  let author = authors.get(key)

  if (author == null) {
    author = { key, verify: verifyAsideWith(parseKey(bytes)) }
    authors.set(key, author)
  }

  return author
}

function parseKey (bytes: Uint8Array): PublicKey {
  let publicKey: PublicKey
  let canonical: Uint8Array

  try {
    publicKey = publicKeyFromProtobuf(bytes)
    canonical = publicKeyToProtobuf(publicKey)
  } catch (err: any) {
    throw new MalformedError(`the author is not a key: ${err.message}`)
  }

  if (!equals(bytes, canonical)) {
    throw new MalformedError('the key of the author is not in its only form')
  }
  if (publicKey.type === 'Ed25519' && !isStrictPoint(publicKey.raw)) {
    throw new MalformedError('the key of the author is one that anybody can sign for')
  }

  return publicKey
}
