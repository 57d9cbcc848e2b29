import { Writer } from './codec.ts'

/** Byte strings, one behind the other: many of them take one allocation */
export class Packed {
  readonly writer: Writer
  readonly #ends: number[] = []

  /** `capacity`: bytes that are expected. More of them cost copies */
  constructor (capacity: number) {
    this.writer = new Writer(capacity)
  }

  get length (): number {
    return this.#ends.length
  }

  get byteLength (): number {
    return this.writer.length
  }

  /** Makes one string of what was written since the last one. Returns its number */
  end (): number {
    return this.#ends.push(this.writer.length) - 1
  }

  add (bytes: Uint8Array): void {
    this.writer.raw(bytes)
    this.end()
  }

  bytesAt (at: number): Uint8Array {
    return this.writer.view(at === 0 ? 0 : this.#ends[at - 1], this.#ends[at])
  }
}
