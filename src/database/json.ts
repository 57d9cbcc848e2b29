import { encodeString } from '../runtime/codec.ts'
import { InvalidValueError } from './errors.ts'

/** How values are written as bytes. The codecs of multiformats have this form */
export interface Codec<T> {
  /**
   * Give a codec another name when it writes or reads differently: a database whose codec has another name than before
   * builds its table again
   */
  readonly name?: string
  encode (value: T): Uint8Array
  /** Throws if `encode` did not write these bytes: the database skips such an entry */
  decode (bytes: Uint8Array): T
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** The default codec: everything that JSON can express */
export const json: Codec<any> = {
  name: 'json',
  encode: value => {
    const text: string | undefined = JSON.stringify(value)

    if (text == null) {
      throw new InvalidValueError(`JSON has no word for ${typeof value}: hand over another value, or another codec`)
    }

    return encodeString(text)
  },
  decode: bytes => JSON.parse(decoder.decode(bytes))
}
