import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import type { Random } from '../../src/runtime/random.ts'

/** Numbers that stand at some limit: of a byte, of a varint, of what a decoder allows */
const INTERESTING = [0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 254, 255]

/** As long as a body gets: what is longer only costs time */
const MAX_LENGTH = 4096

/**
 * Makes broken bytes of good ones. The seed decides everything: run n of a seed is the same on every machine.
 */
export class Mutator {
  readonly #seed: number
  #random: Random

  constructor (seed: number) {
    this.#seed = seed
    this.#random = seededRandom(seed)
  }

  /** From now on the chances are those of this run */
  begin (run: number): void {
    this.#random = seededRandom(Math.imul(this.#seed ^ run, 0x9E3779B1) ^ (run >>> 3))
  }

  int (below: number): number {
    return randomInt(this.#random, below)
  }

  pick<T> (items: readonly T[]): T {
    return items[this.int(items.length)]
  }

  /** One of `corpus`, with one to five things wrong with it */
  mutate (corpus: readonly Uint8Array[]): Uint8Array {
    let bytes: Uint8Array = this.pick(corpus).slice(0, MAX_LENGTH)

    for (let left = 1 + this.int(5); left > 0; left--) {
      bytes = this.#wrong(bytes, corpus)
    }

    return bytes
  }

  /** Cuts bytes into one to six chunks */
  cut (bytes: Uint8Array): Uint8Array[] {
    const ends = Array.from({ length: this.int(6) }, () => this.int(bytes.byteLength + 1)).sort((a, b) => a - b)
    return [...ends, bytes.byteLength].map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
  }

  #wrong (bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
    const at = this.int(bytes.byteLength + 1)

    switch (this.int(9)) {
      case 0: // a bit
        if (at < bytes.byteLength) {
          bytes[at] ^= 1 << this.int(8)
        }
        return bytes
      case 1: // a byte
        if (at < bytes.byteLength) {
          bytes[at] = this.int(2) === 0 ? this.pick(INTERESTING) : this.int(256)
        }
        return bytes
      case 2: // a number, most of them near the beginning where the lengths are
        if (at < bytes.byteLength) {
          const near = this.int(Math.min(bytes.byteLength, 12))
          bytes[near] = (bytes[near] + this.pick([1, 255, 128, 64])) & 255
        }
        return bytes
      case 3: // its end is missing
        return bytes.slice(0, at)
      case 4: // its beginning is missing
        return bytes.slice(at)
      case 5: // something is in between
        return join(bytes.subarray(0, at), this.#noise(), bytes.subarray(at))
      case 6: // something is missing in between
        return join(bytes.subarray(0, at), bytes.subarray(at + 1 + this.int(8)))
      case 7: { // the end of another one
        const other = this.pick(corpus)
        return join(bytes.subarray(0, at), other.subarray(this.int(other.byteLength + 1))).subarray(0, MAX_LENGTH)
      }
      default: // a part of it twice
        return join(bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 1 - this.int(16)))).subarray(0, MAX_LENGTH)
    }
  }

  #noise (): Uint8Array {
    const noise = new Uint8Array(1 + this.int(12))
    const same = this.int(3) === 0 ? this.pick(INTERESTING) : undefined
    return noise.map(() => same ?? this.int(256))
  }
}

function join (...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let offset = 0

  for (const part of parts) {
    whole.set(part, offset)
    offset += part.byteLength
  }

  return whole
}
