import { allocUnsafe } from 'uint8arrays/alloc'
import { Reader, uvarintLength, writeUvarint } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { keyOfBytes } from '../../runtime/keys.ts'
import { MAX_ORIGINS, MAX_PROTOCOL, ORIGIN_BYTES } from '../constants.ts'

/**
 * Who numbers messages to a peer, and the highest number of it that was handed over. It outlives the lives of both
 * peers: a sender that does not know whether an earlier life of it was heard sends the same number again.
 */
export interface Origin {
  /** Its bytes, a character each */
  id: string
  number: number
}

/** What a program says of a message that must not be handed over twice */
export interface Once {
  /** 8 bytes, at random: who numbers these messages */
  origin: Uint8Array
  /** Larger than those before it of this origin to this peer. From 1 on */
  number: number
}

/** No name of a protocol is so long, so no other payload begins with it */
const MARK = MAX_PROTOCOL + 1

/** Bytes that `writeOnce` writes */
export function onceLength ({ number }: Once): number {
  return uvarintLength(MARK) + ORIGIN_BYTES + uvarintLength(number)
}

/** Returns the offset behind it */
export function writeOnce (target: Uint8Array, { origin, number }: Once): number {
  const offset = writeUvarint(target, 0, MARK)
  target.set(origin, offset)
  return writeUvarint(target, offset + ORIGIN_BYTES, number)
}

/** What a payload says of itself, and where the rest begins. Undefined: it is not numbered. Throws a MalformedError */
export function readOnce (payload: Uint8Array): { once: Once, end: number } | undefined {
  // the second byte of a longer number than any length of a name
  if (payload[0] !== (MARK & 0x7f | 0x80) || payload[1] !== MARK >>> 7) {
    return undefined
  }

  const reader = new Reader(payload, 2)
  const once = { origin: reader.raw(ORIGIN_BYTES), number: reader.uvarint() }
  return { once, end: reader.offset }
}

/** Whether a message is to be handed over. One that is, and is numbered, counts from now on. Changes `origins` */
export function isNews (origins: Origin[], payload: Uint8Array): boolean {
  const once = onceOf(payload)

  if (once == null) {
    return true
  }

  const id = keyOfBytes(once.origin)
  const at = origins.findIndex(origin => origin.id === id)
  const [known] = at === -1 ? [] : origins.splice(at, 1)
  const isNew = known == null || once.number > known.number
  // those that were heard of last at the end
  origins.push({ id, number: isNew ? once.number : known.number })
  origins.splice(0, origins.length - MAX_ORIGINS)
  return isNew
}

/** What cannot be read is refused by who decodes the payload */
function onceOf (payload: Uint8Array): Once | undefined {
  try {
    return readOnce(payload)?.once
  } catch (err) {
    if (err instanceof MalformedError) {
      return undefined
    }
    throw err
  }
}

/** A payload that says so itself */
export function allocOnce (once: Once | undefined, length: number): { payload: Uint8Array, offset: number } {
  if (once == null) {
    return { payload: allocUnsafe(length), offset: 0 }
  }

  const payload = allocUnsafe(onceLength(once) + length)
  return { payload, offset: writeOnce(payload, once) }
}
