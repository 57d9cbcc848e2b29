import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import { equals } from 'uint8arrays/equals'
import { ID_BYTES } from './core/types.ts'
import { InvalidEntryIdError } from './errors.ts'

/** The codec 'raw' and the hash 'sha2-256' of the table of multicodecs */
const RAW = 0x55
const SHA2_256 = 0x12

/**
 * Names an entry by what it says: as 32 bytes inside, as a CID outside.
 *
 * @example
 *
 * ```ts
 * const id = EntryId.parse('bafkreih...')
 *
 * id.toString() // 'bafkreih...'
 * ```
 */
export class EntryId {
  readonly #bytes: Uint8Array

  constructor (bytes: Uint8Array) {
    if (bytes.byteLength !== ID_BYTES) {
      throw new InvalidEntryIdError(`an id has ${ID_BYTES} bytes, not ${bytes.byteLength}: ` +
        'hand over the SHA-256 of an entry')
    }

    // our own: whoever handed it in may use those again
    this.#bytes = new Uint8Array(bytes)
  }

  /** The SHA-256 of the content: a copy */
  get bytes (): Uint8Array {
    return new Uint8Array(this.#bytes)
  }

  /** Takes what `toString` gives, and no other spelling of it. Throws an InvalidEntryIdError */
  static parse (text: string): EntryId {
    const id = new EntryId(digestIn(text))

    if (id.toString() !== text) {
      throw new InvalidEntryIdError(`${text} is not how an id is written: ${id.toString()} would be`)
    }

    return id
  }

  equals (other: EntryId): boolean {
    return equals(this.#bytes, other.#bytes)
  }

  toString (): string {
    return CID.createV1(RAW, create(SHA2_256, this.#bytes)).toString()
  }
}

function digestIn (text: string): Uint8Array {
  let cid: CID

  try {
    cid = CID.parse(text)
  } catch (err: any) {
    throw new InvalidEntryIdError(`${text} is no CID (${err.message}): hand over what toString of an id gave`)
  }

  if (cid.version !== 1 || cid.code !== RAW || cid.multihash.code !== SHA2_256) {
    throw new InvalidEntryIdError(`${text} is the CID of something else: ` +
      'the one of an entry has version 1, codec raw and hash sha2-256')
  }

  return cid.multihash.digest
}

/**
 * An id and where its entry lies on the ring: from here a walk over the ring goes on, also when the entry is gone
 * meanwhile.
 */
export class RingId extends EntryId {
  readonly position: number

  constructor (bytes: Uint8Array, position: number) {
    super(bytes)
    this.position = position
  }
}
