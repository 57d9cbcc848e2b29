import { encodeString } from '../runtime/codec.ts'
import { InvalidValueError } from './errors.ts'

/** How values are written as bytes. The codecs of multiformats have this form */
export interface Codec<T> {
  /**
   * Give a codec another name when it writes or reads differently: a database whose codec has another name than before
   * builds its table again
   */
  readonly name?: string
  /** Returns the bytes at once. Other values get an InvalidValueError, and nothing is stored */
  encode (value: T): Uint8Array
  /** Throws if `encode` did not write these bytes: the database skips such an entry */
  decode (bytes: Uint8Array): T
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** The default codec: everything that JSON can express */
export const json: Codec<any> = {
  name: 'json',
  encode: value => {
    return encodeString(textOf(value))
  },
  decode: bytes => JSON.parse(decoder.decode(bytes))
}

function textOf (value: unknown): string {
  let text: string | undefined
  let cause: unknown

  try {
    text = JSON.stringify(value)
  } catch (err) {
    // a bigint or a circle, somewhere in it
    cause = err
  }
  if (text == null) {
    const why = cause instanceof Error ? `cannot say it (${cause.message})` : `has no word for ${typeof value}`
    throw new InvalidValueError(`JSON ${why}: hand over another value, or another codec`, { cause })
  }

  return text
}
