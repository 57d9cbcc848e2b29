import { sha256 } from 'multiformats/hashes/sha2'
import { equals } from 'uint8arrays/equals'
import { readEnvelope, EnvelopeType, verifyEnvelope } from '../pubsub/envelope.ts'
import { encodeString, Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { isNewer } from './core/info.ts'
import { normalize, sameSegments, widthOf } from './core/ring.ts'
import { readSegments, writeSegments } from './wire.ts'
import type { Document, Version } from './core/info.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Envelope, Signer } from '../pubsub/envelope.ts'

/**
 * A document as it is signed: the content of an envelope, see pubsub/envelope.ts, which names the owner and its epoch.
 *
 * content = SHA-256 of the log's id · uvarint sequence · segments
 */
const HASH_BYTES = 32

/** Signs the documents of this node in one of its lives */
export class Author {
  readonly #signer: Signer
  readonly #log: Uint8Array
  readonly epoch: number
  #sequence = 0
  #segments: Segment[] = []
  #signed?: { sequence: number, bytes: Uint8Array }
  /** The last document could not be signed, so the same segments are news still */
  #hasFailed = false

  constructor (signer: Signer, log: Uint8Array, epoch: number) {
    this.#signer = signer
    this.#log = log
    this.epoch = epoch
  }

  /** What this node keeps, also while the document that says so is being signed */
  get segments (): Segment[] {
    return this.#segments
  }

  /** The newest document that is signed */
  get document (): Uint8Array | undefined {
    return this.#signed?.bytes
  }

  /** Whether a document of this node is newer than the newest one that this life has signed or is signing */
  isNews (document: Version): boolean {
    return isNewer(document, { epoch: this.epoch, sequence: this.#sequence })
  }

  /** Resolves to the document when it is signed. Undefined: it would say the same as the last one */
  async say (segments: Segment[]): Promise<Uint8Array | undefined> {
    const after = normalize(segments)

    if (this.#sequence > 0 && !this.#hasFailed && sameSegments(after, this.#segments)) {
      return
    }

    const sequence = ++this.#sequence
    const content = writeSegments(new Writer(64).raw(this.#log).uvarint(sequence), after).finish()
    this.#segments = after
    this.#hasFailed = false

    try {
      const bytes = await this.#signer.sign(this.epoch, EnvelopeType.REPLICATION, content)

      // a later document may be signed sooner
      if (sequence > (this.#signed?.sequence ?? 0)) {
        this.#signed = { sequence, bytes }
      }

      return bytes
    } catch (err) {
      this.#hasFailed ||= sequence === this.#sequence
      throw err
    }
  }
}

/** A document that was taken apart, and that nobody has verified */
export interface Unverified {
  document: Document
  envelope: Envelope
}

/** Throws a MalformedError. The document keeps a copy of the bytes */
export function readDocument (received: Uint8Array, log: Uint8Array): Unverified {
  const bytes = Uint8Array.from(received)
  const { reader, envelope, ...version } = readHead(bytes, log)
  const segments = readSome(reader)

  reader.expectEnd()
  return { document: { ...version, segments, bytes }, envelope }
}

/** Whose document it is and how new, without a look at the rest: for those that are known. Throws a MalformedError */
export function versionOf (received: Uint8Array, log: Uint8Array): Version & { owner: Key } {
  const { owner, epoch, sequence } = readHead(received, log)
  return { owner, epoch, sequence }
}

function readHead (bytes: Uint8Array, log: Uint8Array): Version & { owner: Key, envelope: Envelope, reader: Reader } {
  const envelope = readEnvelope(bytes)
  const { origin: owner, epoch, type, content } = envelope

  if (type !== EnvelopeType.REPLICATION) {
    throw new MalformedError(`an envelope of type ${type} where a document was expected`)
  }

  const reader = new Reader(content)

  if (!equals(reader.raw(HASH_BYTES), log)) {
    throw new MalformedError('a document of another log')
  }

  return { owner, epoch, sequence: reader.uvarint(), envelope, reader }
}

/** Whether its owner signed it */
export async function isTrue ({ envelope }: Unverified): Promise<boolean> {
  return verifyEnvelope(envelope)
}

export async function hashOf (logId: string): Promise<Uint8Array> {
  return sha256.encode(encodeString(logId))
}

function readSome (reader: Reader): Segment[] {
  const segments = readSegments(reader)

  if (segments.length > limits.MAX_SEGMENTS) {
    throw new MalformedError(`${segments.length} segments where at most ${limits.MAX_SEGMENTS} are allowed`)
  }
  if (widthOf(segments) !== segments.reduce((sum, { width }) => sum + width, 0)) {
    throw new MalformedError('two segments overlap')
  }

  return normalize(segments)
}
