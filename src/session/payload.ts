import { allocUnsafe } from 'uint8arrays/alloc'
import { encodeString, Reader, uvarintLength, writeUvarint } from '../runtime/codec.ts'
import { MAX_MESSAGE, MAX_PROTOCOL } from './constants.ts'

/**
 * What the program sends, as the core carries it: the name of its protocol, empty if there is none, and its bytes. All
 * of it is sealed, so nobody else sees whose message it is.
 */
export interface Payload {
  protocol: string
  data: Uint8Array
}

const NO_NAME = new Uint8Array(0)

/** Undefined: it is too large. A copy, so the caller may do with its bytes what it likes */
export function encodePayload (protocol: string, data: Uint8Array): Uint8Array | undefined {
  const name = protocol === '' ? NO_NAME : encodeString(protocol)
  const head = uvarintLength(name.byteLength) + name.byteLength

  if (head + data.byteLength > MAX_MESSAGE) {
    return
  }

  const payload = allocUnsafe(head + data.byteLength)
  payload.set(name, writeUvarint(payload, 0, name.byteLength))
  payload.set(data, head)
  return payload
}

/** `data` is a view. Throws a MalformedError */
export function decodePayload (bytes: Uint8Array): Payload {
  if (bytes[0] === 0) {
    return { protocol: '', data: bytes.subarray(1) }
  }

  const reader = new Reader(bytes)
  return { protocol: reader.string(MAX_PROTOCOL), data: reader.rest() }
}
