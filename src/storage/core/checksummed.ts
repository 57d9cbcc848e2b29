import { Reader, Writer } from '../../runtime/codec.ts'
import { crc32 } from '../../runtime/crc32.ts'
import { MalformedError } from '../../runtime/errors.ts'

/**
 * The envelope of whatever a log stores: version, kind, the number under which it is stored, the content, and a CRC-32
 * over all of it, the lowest byte first. So a value that was torn, has rotted, or lies in a wrong place is found.
 */
export const STORE_VERSION = 2

export const Kind = { RECORD: 1, PAGE: 2, PART: 3, MANIFEST: 4, MARK: 5 } as const
export type Kind = typeof Kind[keyof typeof Kind]

const CRC_BYTES = 4
/** What stands around the content, but for its number */
export const ENVELOPE_BYTES = 2 + CRC_BYTES

/** A later release wrote it */
export class NewerVersionError extends MalformedError {
  static name = 'NewerVersionError'
  name = 'NewerVersionError'
}

export function begin (kind: Kind, seq: number, memory?: Uint8Array | number): Writer {
  return new Writer(memory).byte(STORE_VERSION).byte(kind).uvarint(seq)
}

export function finish (writer: Writer): Uint8Array {
  const crc = crc32(writer.finish())
  return writer.byte(crc & 0xff).byte((crc >>> 8) & 0xff).byte((crc >>> 16) & 0xff).byte(crc >>> 24).finish()
}

/** The number that a value says it has: `open` says whether the value is whole. Throws a MalformedError */
export function numberOf (bytes: Uint8Array): number {
  return new Reader(bytes, 2).uvarint()
}

/** The content. Throws a MalformedError, or a NewerVersionError */
export function open (bytes: Uint8Array, kind: Kind, seq: number): Reader {
  if (!isWhole(bytes)) {
    throw new MalformedError('its checksum is wrong')
  }

  const reader = new Reader(bytes.subarray(0, bytes.byteLength - CRC_BYTES))
  const version = reader.byte()

  if (version > STORE_VERSION) {
    throw new NewerVersionError(`version ${version} was written by a later release, this one knows ${STORE_VERSION}`)
  }

  const [found, number] = [reader.byte(), reader.uvarint()]

  if (version !== STORE_VERSION || found !== kind || number !== seq) {
    throw new MalformedError(`kind ${found} number ${number} of version ${version} where kind ${kind} number ` +
      `${seq} was stored`)
  }

  return reader
}

export function expectEnd ({ left }: Reader): void {
  if (left > 0) {
    throw new MalformedError(`${left} bytes too many`)
  }
}

function isWhole (bytes: Uint8Array): boolean {
  const end = bytes.byteLength - CRC_BYTES
  return end >= 3 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(end, true) === crc32(bytes.subarray(0, end))
}
