import { Session } from '../../../src/session/core/session.ts'

/** Copies plain data. Bytes that two places share are shared by the copies: zeroing one has to show in the other */
export function copyOf<T> (value: T, memo: Map<object, object>): T {
  if (value == null || typeof value !== 'object') {
    return value
  }

  const known = memo.get(value)

  if (known != null) {
    return known as T
  }

  const copied = copyObject(value, memo)
  memo.set(value, copied)
  return copied as T
}

function copyObject (value: object, memo: Map<object, object>): object {
  if (value instanceof Uint8Array || value instanceof Uint32Array) {
    // frames and ciphertexts are never written to, and are most of the bytes
    return value.byteLength > 512 ? value : value.slice()
  }
  if (Array.isArray(value)) {
    return value.map(item => copyOf(item, memo))
  }

  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, copyOf(item, memo)]))
}

export function copySession (session: Session, memo: Map<object, object>): Session {
  const { options, ...rest } = session.state
  return new Session({ ...copyOf(rest, memo), options })
}

/** Two things with the same text go on in the same way */
export function textOf (value: unknown): string {
  if (value instanceof Uint8Array) {
    return hexOf(value)
  }
  if (value instanceof Uint32Array) {
    return [...value.entries()].filter(([, bits]) => bits !== 0).join(';')
  }
  if (Array.isArray(value)) {
    return `[${value.map(textOf).join()}]`
  }
  if (value != null && typeof value === 'object') {
    return `{${Object.values(value).map(textOf).join()}}`
  }

  return String(value)
}

/** The start is enough: what differs is a hash, or begins with what differs */
function hexOf (bytes: Uint8Array): string {
  let hex = ''

  for (let i = 0; i < bytes.byteLength && i < 8; i++) {
    hex += String.fromCharCode(bytes[i])
  }

  return hex
}
