import { sha256 } from 'multiformats/hashes/sha2'
import { equals } from 'uint8arrays/equals'
import { readEnvelope, EnvelopeType, verifyEnvelope } from '../pubsub/envelope.ts'
import { encodeString, Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { MAX_DELTAS } from './core/info.ts'
import { difference, normalize, sameSegments, widthOf } from './core/ring.ts'
import { readSegments, writeSegments } from './wire.ts'
import type { Document } from './core/info.ts'
import type { Segment } from './core/ring.ts'
import type { Envelope, Signer } from '../pubsub/envelope.ts'

/**
 * What a peer says it keeps, as it is signed: the content of an envelope, see pubsub/envelope.ts, which names the owner and its epoch.
 *
 * content = SHA-256 of the log's id · uvarint sequence · 0 · segments
 * or SHA-256 of the log's id · uvarint sequence · 1 · uvarint base · added segments · removed segments
 */
const FULL = 0
const DELTA = 1
const HASH_BYTES = 32

/** Writes the documents of this node */
export class Author {
  readonly #signer: Signer
  readonly #log: Uint8Array
  readonly epoch: number
  #sequence = 0
  #segments: Segment[] = []
  #documents: Uint8Array[] = []
  /** Changes since the last full one; undefined: there is none yet, or others may have missed one */
  #deltas?: number
  /** What is being signed. One waits for the other, so that they are told in their order */
  #signing: Promise<unknown> = Promise.resolve()

  constructor (signer: Signer, log: Uint8Array, epoch: number) {
    this.#signer = signer
    this.#log = log
    this.epoch = epoch
  }

  /** As they were said last, also if that is still being signed */
  get segments (): Segment[] {
    return this.#segments
  }

  /** What others have to hear to know what we keep */
  get documents (): Uint8Array[] {
    return this.#documents
  }

  /** Returns what is news to those who have heard all so far; undefined: nothing is */
  async say (segments: Segment[]): Promise<Uint8Array | undefined> {
    const after = normalize(segments)

    if (this.#deltas != null && sameSegments(after, this.#segments)) {
      return
    }

    const added = difference(after, this.#segments)
    const removed = difference(this.#segments, after)
    const isDelta = this.#deltas != null && this.#deltas < MAX_DELTAS && added.length + removed.length < after.length
    const base = this.#sequence
    const writer = new Writer(64).raw(this.#log).uvarint(++this.#sequence)

    if (isDelta) {
      writeSegments(writeSegments(writer.byte(DELTA).uvarint(base), added), removed)
    } else {
      writeSegments(writer.byte(FULL), after)
    }

    this.#segments = after
    this.#deltas = isDelta ? (this.#deltas ?? 0) + 1 : 0
    const signing = this.#sign(writer.finish(), isDelta, this.#signing)
    this.#signing = signing.catch(() => { this.#deltas = undefined })
    return signing
  }

  async #sign (content: Uint8Array, isDelta: boolean, earlier: Promise<unknown>): Promise<Uint8Array> {
    await earlier
    const bytes = await this.#signer.sign(this.epoch, EnvelopeType.REPLICATION, content)
    this.#documents = isDelta ? [...this.#documents, bytes] : [bytes]
    return bytes
  }
}

/** A document that was taken apart, and that nobody has verified */
export interface Unverified {
  document: Document
  envelope: Envelope
}

/** Throws a MalformedError. Its own copy of what it keeps */
export function readDocument (received: Uint8Array, log: Uint8Array): Unverified {
  const envelope = readEnvelope(Uint8Array.from(received))
  const { origin: owner, epoch, type, content, bytes } = envelope

  if (type !== EnvelopeType.REPLICATION) {
    throw new MalformedError(`an envelope of type ${type} where a document was expected`)
  }

  const reader = new Reader(content)

  if (!equals(reader.raw(HASH_BYTES), log)) {
    throw new MalformedError('a document of another log')
  }

  const sequence = reader.uvarint()
  const kind = reader.byte()
  const said = { owner, epoch, sequence, bytes }
  let document: Document

  if (kind === FULL) {
    document = { type: 'full', ...said, segments: readSome(reader) }
  } else if (kind === DELTA) {
    document = { type: 'delta', ...said, base: readBase(reader, sequence), added: readSome(reader), removed: readSome(reader) }
  } else {
    throw new MalformedError(`a document of kind ${kind}, which nobody knows`)
  }
  if (reader.left > 0) {
    throw new MalformedError(`${reader.left} bytes stand behind the end`)
  }

  return { document, envelope }
}

/** Whether its owner said so */
export async function isTrue ({ envelope }: Unverified): Promise<boolean> {
  return verifyEnvelope(envelope)
}

export async function hashOf (logId: string): Promise<Uint8Array> {
  return sha256.encode(encodeString(logId))
}

function readBase (reader: Reader, sequence: number): number {
  const base = reader.uvarint()

  if (base >= sequence) {
    throw new MalformedError(`change ${sequence} stands on ${base}, which does not come before it`)
  }

  return base
}

function readSome (reader: Reader): Segment[] {
  const segments = readSegments(reader)

  if (segments.length > limits.MAX_SEGMENTS) {
    throw new MalformedError(`${segments.length} segments where at most ${limits.MAX_SEGMENTS} are allowed`)
  }
  if (widthOf(segments) !== segments.reduce((sum, { width }) => sum + width, 0)) {
    throw new MalformedError('two segments overlap')
  }

  return segments
}
