import { equals } from 'uint8arrays/equals'
import { decodeString, encodeString, Reader, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { MAX_GROUP_BYTES, MAX_KEY_BYTES } from '../constants.ts'

/** What an entry says: this key has this value from now on, or none */
export type Operation =
  | { type: 'put', key: string, value: Uint8Array }
  | { type: 'delete', key: string }

/** The first byte of an entry. Other forms to come take other numbers, and are passed over until they are known */
const PUT = 1
const DELETE = 2

export function encodeOperation (operation: Operation): Uint8Array {
  if (operation.type === 'delete') {
    return new Writer().byte(DELETE).string(operation.key).finish()
  }
  return new Writer(operation.value.byteLength + 64).byte(PUT).string(operation.key).raw(operation.value).finish()
}

/** Throws a MalformedError: others may append what they like */
export function decodeOperation ({ data, group }: { data: Uint8Array, group: Uint8Array }): Operation {
  const reader = new Reader(data)
  const type = reader.byte()
  const bytes = reader.bytes(MAX_KEY_BYTES)

  if (bytes.byteLength === 0 || !equals(folded(bytes), group)) {
    // who asks for the key asks at another place of the ring, and would not be told of it
    throw new MalformedError('it does not lie where its key says')
  }

  const key = decodeString(bytes)

  if (type === PUT) {
    return { type: 'put', key, value: reader.rest() }
  }
  if (type === DELETE && reader.left === 0) {
    return { type: 'delete', key }
  }

  throw new MalformedError(`an operation of type ${type}, which nobody knows`)
}

/**
 * All versions of a key are of one group, so they lie together, and who keeps one keeps all of them. A group is the key
 * itself, where it is not too long: what is past its end is folded onto its beginning. Keys that share a group only lie
 * together, too.
 */
export function groupOf (key: string): Uint8Array {
  return folded(encodeString(key))
}

function folded (bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength <= MAX_GROUP_BYTES) {
    return bytes
  }

  const group = bytes.slice(0, MAX_GROUP_BYTES)

  for (let i = MAX_GROUP_BYTES; i < bytes.byteLength; i++) {
    group[i % MAX_GROUP_BYTES] ^= bytes[i]
  }

  return group
}
