/**
 * A Bloom filter over keys that are hashes, or have the start of one in them: says of most keys that are not there that
 * they are not, and never says so of one that is.
 */

/**
 * Bits a key, and bits that each key sets: about one in a hundred of the keys that are not there is looked up in vain
 */
const BITS_A_KEY = 10
const PROBES = 7

export function newBloom (keys: number): Uint8Array {
  return new Uint8Array(Math.ceil(keys * BITS_A_KEY / 8) + 1)
}

/** `at`: where the eight bytes lie that stand for the key */
export function addToBloom (filter: Uint8Array, bytes: Uint8Array, at: number): void {
  const bits = filter.byteLength * 8
  const [first, step] = hashesOf(bytes, at)

  for (let i = 0; i < PROBES; i++) {
    const bit = ((first + Math.imul(i, step)) >>> 0) % bits
    filter[bit >>> 3] |= 1 << (bit & 7)
  }
}

export function mayHave (filter: Uint8Array, bytes: Uint8Array, at: number): boolean {
  const bits = filter.byteLength * 8
  const [first, step] = hashesOf(bytes, at)

  for (let i = 0; i < PROBES; i++) {
    const bit = ((first + Math.imul(i, step)) >>> 0) % bits

    if ((filter[bit >>> 3] & (1 << (bit & 7))) === 0) {
      return false
    }
  }

  return true
}

/** Double hashing (Kirsch, Mitzenmacher 2006), from the bits of the key mixed, as keys of one part begin alike */
function hashesOf (bytes: Uint8Array, at: number): [first: number, step: number] {
  const a = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
  const b = bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24)
  return [mix(a ^ Math.imul(b, 0x9e3779b1)), mix(b ^ Math.imul(a, 0x85ebca6b)) | 1]
}

/** The last step of MurmurHash3 */
function mix (value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return value ^ (value >>> 16)
}
