import { encodeString, Reader, uvarintLength, writeUvarint } from '../runtime/codec.ts'
import { MAX_MESSAGE, MAX_PROTOCOL } from './constants.ts'
import { allocOnce, onceLength, readOnce } from './core/origins.ts'
import type { Once } from './core/origins.ts'

/**
 * What the program sends, as the core carries it: its number, if it has one (core/origins.ts), the name of its
 * protocol, empty if there is none, and its bytes. All of it is sealed, so nobody else sees whose message it is.
 */
export interface Payload {
  protocol: string
  data: Uint8Array
}

const NO_NAME = new Uint8Array(0)

/** Undefined: it is too large. A copy, so the caller may do with its bytes what it likes */
export function encodePayload (protocol: string, data: Uint8Array, once?: Once): Uint8Array | undefined {
  const name = protocol === '' ? NO_NAME : encodeString(protocol)
  const head = uvarintLength(name.byteLength) + name.byteLength

  if (head + data.byteLength + (once == null ? 0 : onceLength(once)) > MAX_MESSAGE) {
    return
  }

  const { payload, offset } = allocOnce(once, head + data.byteLength)
  payload.set(name, writeUvarint(payload, offset, name.byteLength))
  payload.set(data, offset + head)
  return payload
}

/** `data` is a view. Throws a MalformedError */
export function decodePayload (payload: Uint8Array): Payload {
  const end = readOnce(payload)?.end
  const bytes = end == null ? payload : payload.subarray(end)

  if (bytes[0] === 0) {
    return { protocol: '', data: bytes.subarray(1) }
  }

  const reader = new Reader(bytes)
  return { protocol: reader.string(MAX_PROTOCOL), data: reader.rest() }
}
