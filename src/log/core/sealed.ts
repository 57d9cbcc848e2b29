import { Reader, Writer } from '../../runtime/codec.ts'
import { crc32 } from '../../runtime/crc32.ts'
import { MalformedError } from '../../runtime/errors.ts'

/**
 * Whatever is stored, but entries, which have ids: a version in front, and behind it all a CRC-32, the lowest byte first, so that
 * what a crash has torn is found.
 */
const VERSION = 1
const CRC_BYTES = 4

/** It was not written to its end */
export class TornError extends MalformedError {
  static name = 'TornError'
  name = 'TornError'
}

export function begin (capacity?: number): Writer {
  return new Writer(capacity).byte(VERSION)
}

export function seal (writer: Writer): Uint8Array {
  const crc = crc32(writer.finish())
  return writer.byte(crc & 0xff).byte((crc >>> 8) & 0xff).byte((crc >>> 16) & 0xff).byte(crc >>> 24).finish()
}

/** What is before the checksum and behind the version. Throws a TornError, or a MalformedError for another version */
export function unseal (bytes: Uint8Array): Reader {
  const end = bytes.byteLength - CRC_BYTES

  if (end < 1 || new DataView(bytes.buffer, bytes.byteOffset).getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    throw new TornError('it is torn')
  }

  const reader = new Reader(bytes.subarray(0, end))
  expectVersion(reader)
  return reader
}

export function expectVersion (reader: Reader): void {
  const version = reader.byte()

  if (version !== VERSION) {
    throw new MalformedError(`version ${version}, this is ${VERSION}: a later release wrote it`)
  }
}

export function expectEnd ({ left }: Reader): void {
  if (left > 0) {
    throw new MalformedError(`${left} bytes too many`)
  }
}
