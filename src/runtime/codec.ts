import { allocUnsafe } from 'uint8arrays/alloc'
import { fromString } from 'uint8arrays/from-string'
import { MalformedError } from './errors.ts'

// without `ignoreBOM` a string that begins with a byte order mark would come back as another one
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** What the eighth byte of a number counts: 2^53 - 1 has no ninth */
const LAST_SCALE = 2 ** 49

/** Many a field is empty, and a view is a large object */
const NOTHING = new Uint8Array(0)

/** Characters of a string whose length is one byte, if each of them is one */
const SHORT = 127

/** In a quarter of the time that a TextEncoder takes in Node */
export function encodeString (text: string): Uint8Array {
  return fromString(text)
}

/** Throws a MalformedError */
export function decodeString (bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new MalformedError('a string is not UTF-8')
  }
}

export function uvarintLength (value: number): number {
  let length = 1
  while (value >= 0x80) {
    value = Math.floor(value / 128)
    length++
  }
  return length
}

/** Writes `value` at `offset`; returns the offset behind it */
export function writeUvarint (target: Uint8Array, offset: number, value: number): number {
  while (value >= 0x80) {
    target[offset++] = (value % 128) | 0x80
    value = Math.floor(value / 128)
  }
  target[offset++] = value
  return offset
}

/** What a binary form is written to */
export abstract class Sink {
  abstract byte (value: number): this
  abstract uvarint (value: number): this
  abstract raw (bytes: Uint8Array): this

  bytes (bytes: Uint8Array): this {
    return this.uvarint(bytes.byteLength).raw(bytes)
  }

  list<T> (items: readonly T[], write: (item: T) => void): this {
    this.uvarint(items.length)
    items.forEach(write)
    return this
  }
}

/** Counts the bytes that a Writer would write. One that has just as much room needs no second piece of memory */
export class Sizer extends Sink {
  length = 0

  byte (): this {
    this.length++
    return this
  }

  uvarint (value: number): this {
    this.length += uvarintLength(value)
    return this
  }

  raw ({ byteLength }: Uint8Array): this {
    this.length += byteLength
    return this
  }
}

/** Puts bytes together; grows as it needs to */
export class Writer extends Sink {
  #bytes: Uint8Array
  #length = 0

  /** Memory of its own, or bytes of memory that it may share with others: which costs less */
  constructor (memory: Uint8Array | number = 256) {
    super()
    this.#bytes = typeof memory === 'number' ? allocUnsafe(memory) : memory
  }

  /** Bytes that were written so far */
  get length (): number {
    return this.#length
  }

  byte (value: number): this {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
    return this
  }

  uvarint (value: number): this {
    this.#reserve(value < 0x80 ? 1 : 8)
    this.#length = writeUvarint(this.#bytes, this.#length, value)
    return this
  }

  raw (bytes: Uint8Array): this {
    this.#reserve(bytes.byteLength)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.byteLength
    return this
  }

  /** A short one of ASCII, as most are, is written without making bytes of it first: measured, a sixth of the time */
  string (text: string): this {
    if (text.length > SHORT) {
      return this.bytes(encodeString(text))
    }

    this.#reserve(1 + text.length)
    const start = this.#length + 1

    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)

      if (code > 0x7f) {
        return this.bytes(encodeString(text))
      }

      this.#bytes[start + i] = code
    }

    this.#bytes[this.#length] = text.length
    this.#length = start + text.length
    return this
  }

  finish (): Uint8Array {
    return this.view(0, this.#length)
  }

  /** Bytes that were written, from one offset to another */
  view (from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from, to)
  }

  #reserve (more: number): void {
    if (this.#length + more <= this.#bytes.byteLength) {
      return
    }
    const grown = allocUnsafe(Math.max(this.#bytes.byteLength * 2, this.#length + more))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/**
 * Takes bytes apart. Whatever does not fit throws a `MalformedError`; nothing is allocated from a length that the bytes
 * only declare. What is handed out are views of the input, not copies.
 */
export class Reader {
  readonly #input: Uint8Array
  #offset: number

  constructor (bytes: Uint8Array, offset = 0) {
    this.#input = bytes
    this.#offset = offset
  }

  get offset (): number {
    return this.#offset
  }

  get left (): number {
    return this.#input.byteLength - this.#offset
  }

  byte (): number {
    if (this.left < 1) {
      throw new MalformedError('a byte is missing')
    }
    return this.#input[this.#offset++]
  }

  /** At most 2^53 - 1, in the one shortest spelling */
  uvarint (): number {
    let value = 0
    let scale = 1

    for (;;) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale

      // a scale that grew without end would make NaN of what is zero
      if (value > Number.MAX_SAFE_INTEGER || scale > LAST_SCALE) {
        throw new MalformedError('a number is larger than 2^53 - 1')
      }
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) {
          throw new MalformedError('a number is not in its shortest form')
        }
        return value
      }

      scale *= 128
    }
  }

  raw (length: number): Uint8Array {
    this.skip(length)

    if (length === 0) {
      return NOTHING
    }

    return this.#input.subarray(this.#offset - length, this.#offset)
  }

  /** Goes past bytes that nobody looks at yet */
  skip (length: number): void {
    if (length > this.left) {
      throw new MalformedError(`${length} bytes are announced, ${this.left} are there`)
    }
    this.#offset += length
  }

  bytes (max = Infinity): Uint8Array {
    const length = this.uvarint()
    if (length > max) {
      throw new MalformedError(`${length} bytes where at most ${max} are allowed`)
    }
    return this.raw(length)
  }

  string (max = Infinity): string {
    return decodeString(this.bytes(max))
  }

  list<T> (max: number, read: () => T): T[] {
    const length = this.uvarint()
    if (length > max || length > this.left) {
      throw new MalformedError(`a list of ${length} where at most ${Math.min(max, this.left)} fit`)
    }
    const items: T[] = []
    for (let i = 0; i < length; i++) {
      items.push(read())
    }
    return items
  }

  /** The rest of the input */
  rest (): Uint8Array {
    return this.raw(this.left)
  }

  /** A byte that says yes or no */
  flag (): boolean {
    const byte = this.byte()

    if (byte > 1) {
      throw new MalformedError(`${byte} where 0 or 1 says no or yes`)
    }

    return byte === 1
  }

  expectVersion (known: number): void {
    const version = this.byte()

    if (version !== known) {
      throw new MalformedError(`version ${version}, where only ${known} is known`)
    }
  }

  expectEnd (): void {
    if (this.left > 0) {
      throw new MalformedError(`${this.left} bytes stand behind the end`)
    }
  }
}
