import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { equals } from 'uint8arrays/equals'
import { toString } from 'uint8arrays/to-string'
import { LruMap } from '../runtime/bounded.ts'
import { encodeString, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { then } from '../runtime/then.ts'
import { Covering } from './core/covering.ts'
import { decodeContent } from './core/entry.ts'
import { decodeProof, encodeProof, MAX_BATCH, pathOf, rootsOf, treeOf } from './core/merkle.ts'
import { Proofs } from './core/proofs.ts'
import { hash, signWith, verifyWith } from './ed25519.ts'
import { BatchTooLargeError, FalseProofError } from './errors.ts'
import type { Hashing, Proof } from './core/merkle.ts'
import type { DecodedEntry, RawEntry } from './core/types.ts'
import type { Sign, Verify } from './ed25519.ts'
import type { PrivateKey, PublicKey } from '@libp2p/interface'

export { hash }

/**
 * Says who made an entry, and finds out whether that is so.
 *
 * A signature is over DOMAIN · SHA-256 of the log's id · uvarint size of the batch · root of its tree
 */
const DOMAIN = encodeString('libp2p-sheaf/log/1:')
const HASH_BYTES = 32
const POINT_BYTES = 32
const ED25519_SIGNATURE_BYTES = 64
/** Authors whose keys are kept. A guess: they take about 2 KB each */
const MAX_AUTHORS = 1024
/** As many as Node's threads are kept busy by, and not so many that files wait for long. Measured: 4 are too few, 64 are no faster */
const CHECKS_AT_ONCE = 16

/**
 * `proved`: its own proof is true, and stands alone. `vouched`: a later entry of its author, one that was handed in with it,
 * says that it is his; its own proof was not looked at. Otherwise why it is refused
 */
export type Verdict = 'proved' | 'vouched' | FalseProofError | MalformedError

/** Signs what one author says in one log */
export class Signer {
  /** The key that verifies, as entries name it */
  readonly author: Uint8Array
  readonly #sign: Sign
  readonly #log: Uint8Array | Promise<Uint8Array>

  constructor (privateKey: PrivateKey, logId: string) {
    this.author = publicKeyToProtobuf(privateKey.publicKey)
    this.#sign = signWith(privateKey)
    this.#log = hash(encodeString(logId))
  }

  /** The proof that they share, with one signature. At once where the platform signs at once (Node), later where not (browsers) */
  prove (ids: Uint8Array[]): Proofs | Promise<Proofs> {
    const size = ids.length

    if (size > MAX_BATCH) {
      throw new BatchTooLargeError(`${size} entries where one signature is for at most ${MAX_BATCH}: hand over fewer at once`)
    }
    if (size === 0) {
      return new Proofs(new Uint8Array(0), 0)
    }

    return then(hashing(treeOf(ids)), tree => then(this.#log, log => {
      const message = messageOf(log, size, tree[tree.length - 1][0])
      return then(this.#sign(message), signature => new Proofs(encodeProof({ size, index: 0, path: pathOf(tree, 0, size), signature }), size))
    }))
  }
}

/** Takes an entry apart, without looking whether it is true. Throws a MalformedError, at once */
export function decodeEntry ({ bytes, proof }: RawEntry): DecodedEntry | Promise<DecodedEntry> {
  const { time, counter, author, previous, parents, group, replicas, data } = decodeContent(bytes)
  authorOf(author)
  return then(hash(bytes), id => ({ id, time, counter, author, previous, parents, group, replicas, data, bytes, proof }))
}

/**
 * Says of each entry whether its author made it for the log. At most one signature is checked for an entry, mostly far fewer:
 * one for what an author made in a row, one for what was signed at once
 */
export async function verifyEntries (entries: DecodedEntry[], logId: string): Promise<Verdict[]> {
  const covering = new Covering(entries)
  const refusals = new Map<number, FalseProofError | MalformedError>()
  const log = await hash(encodeString(logId))

  for (let asked = covering.next(); asked.length > 0; asked = covering.next()) {
    const outcomes = await checkProofs(asked.map(i => entries[i]), log)

    asked.forEach((i, k) => {
      const outcome = outcomes[k]
      covering.settle(i, outcome === true)

      if (outcome !== true) {
        refusals.set(i, outcome)
      }
    })
  }

  return covering.covers.map((cover, i) => cover === 'none' ? refusals.get(i) ?? falseProof() : cover)
}

type Outcome = true | FalseProofError | MalformedError

/** One signature that may be named by many entries */
interface Check {
  verify: Verify
  message: Uint8Array
  signature: Uint8Array
  isTrue: boolean
}

/** Looks at the own proof of each */
async function checkProofs (entries: DecodedEntry[], log: Uint8Array): Promise<Outcome[]> {
  const proofs = entries.map(readProof)
  const roots = await hashing(rootsOf(proofs.filter(isRead)))
  const checks = new Map<string, Check>()
  let read = 0

  const found = proofs.map(proof => {
    if (!isRead(proof)) {
      return proof
    }

    const { author, size, signature } = proof
    const message = messageOf(log, size, roots[read++])
    // the length of the first is named, and the second tells its own: no two checks have the same key
    const key = `${author.key.length}:${author.key}${keyOfBytes(message)}${keyOfBytes(signature)}`
    const check = checks.get(key) ?? { verify: author.verify, message, signature, isTrue: false }
    checks.set(key, check)
    return check
  })

  await runChecks(checks.values())
  return found.map(check => 'isTrue' in check ? check.isTrue || falseProof() : check)
}

async function runChecks (checks: Iterable<Check>): Promise<void> {
  const left = [...checks].reverse()

  await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, async () => {
    for (let check = left.pop(); check != null; check = left.pop()) {
      check.isTrue = await check.verify(check.message, check.signature)
    }
  }))
}

type ReadProof = Proof & Pick<DecodedEntry, 'id'> & { author: Author }

function readProof ({ id, author, proof }: DecodedEntry): ReadProof | MalformedError {
  try {
    return { ...decodeProof(proof), id, author: authorOf(author) }
  } catch (err: any) {
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}

function isRead (proof: ReadProof | MalformedError): proof is ReadProof {
  return !(proof instanceof MalformedError)
}

function falseProof (): FalseProofError {
  return new FalseProofError('the signature is not one of its author for this entry in this log: ask somebody else for the entry')
}

function messageOf (log: Uint8Array, size: number, root: Uint8Array): Uint8Array {
  return new Writer(DOMAIN.byteLength + 2 * HASH_BYTES + 8).raw(DOMAIN).raw(log).uvarint(size).raw(root).finish()
}

/** Does some work of a core, with its hashes */
function hashing <T> (work: Hashing<T>, step = work.next()): T | Promise<T> {
  while (step.done !== true) {
    const hashes = step.value.map(hash)

    if (hashes[0] instanceof Promise) {
      return Promise.all(hashes as Array<Promise<Uint8Array>>).then(hashes => hashing(work, work.next(hashes)))
    }

    step = work.next(hashes as Uint8Array[])
  }

  return step.value
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
    author = { key, verify: verifyStrictly(parseKey(bytes)) }
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

/** All platforms have to agree on what is true, or peers would never come to hold the same: so what only some take, none does */
function verifyStrictly (publicKey: PublicKey): Verify {
  const verify = verifyWith(publicKey)
  const isEd25519 = publicKey.type === 'Ed25519'

  return async (message, signature) => {
    if (isEd25519 && (signature.byteLength !== ED25519_SIGNATURE_BYTES || !isStrictPoint(signature.subarray(0, POINT_BYTES)))) {
      return false
    }

    try {
      return await verify(message, signature)
    } catch {
      // a signature that no key of this type can have made: it is refused with the wrong ones
      return false
    }
  }
}

/** What is of small order, the sign aside: such a key verifies signatures that anybody can make, on some platforms */
const SMALL_ORDER = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'
])
/** From p - 1, which is of small order, too, to 2^255 - 1: what is p or more is another spelling of something less */
const FROM_P_MINUS_1 = /^(e[c-f]|f.)(ff){30}7f$/

/** A point of Ed25519 that every implementation takes for the same */
function isStrictPoint (bytes: Uint8Array): boolean {
  // not slice: that of a Buffer is a view, and what was handed in is not ours to change
  const y = Uint8Array.from(bytes)
  y[POINT_BYTES - 1] &= 0x7f
  const text = toString(y, 'base16')
  return !SMALL_ORDER.has(text) && !FROM_P_MINUS_1.test(text)
}
