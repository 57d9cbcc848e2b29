export interface Raw { bytes: Uint8Array, proof: Uint8Array }

/**
 * Entries in one piece of memory, as in a message. Hundreds of thousands of separate objects would keep the garbage
 * collector busy during the measurement
 */
export class Parcel {
  readonly #bytes: Buffer
  /** Where each part ends: the bytes of an entry, its proof, the bytes of the next */
  readonly #ends: Uint32Array

  constructor (entries: Raw[]) {
    const parts = entries.flatMap(({ bytes, proof }) => [bytes, proof])
    let end = 0
    this.#ends = Uint32Array.from(parts, ({ byteLength }) => {
      end += byteLength

      return end
    })
    this.#bytes = Buffer.concat(parts)
  }

  entries (): Raw[] {
    return Array.from({ length: this.#ends.length / 2 }, (_, i) => ({ bytes: this.#part(2 * i), proof: this.#part(2 * i + 1) }))
  }

  #part (i: number): Uint8Array {
    const from = i === 0 ? 0 : this.#ends[i - 1]

    // no Buffer, which programs do not hand over
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + from, this.#ends[i] - from)
  }
}
