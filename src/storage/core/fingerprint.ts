/**
 * The fingerprint input of a set of ids: a vector of 64 numbers of 32 bits, each the sum modulo 2^32 of what the ids
 * have in its place. An id is expanded to its 64 numbers by ChaCha20, with the id for a key and nonce and counter from
 * zero.
 *
 * To add an id is an addition and to remove it a subtraction, in any order, so that a node of a tree can carry the sum
 * of what is below it. It must also be hard to find two sets with one sum, for an attacker who tries as many entries as
 * it likes. The generalised birthday attack (Wagner 2002) finds them for sums of b bits in about 2^(2√b) steps: 2^32
 * for the 256 bits of the ids themselves, which an afternoon pays for, but 2^90 for these 2048. Lattice reduction costs
 * more, by our estimate.
 */

/** Numbers in a sum */
export const LANES = 64

/** Numbers in a block of ChaCha20 */
const BLOCK = 16
/** 'expand 32-byte k', the constant of ChaCha20 */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]
const DOUBLE_ROUNDS = 10

const state = Uint32Array.from([...CONSTANTS, ...new Array<number>(BLOCK - CONSTANTS.length).fill(0)])

function rotate (value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

/**
 * The block of ChaCha20 for a state of constants, key, counter and nonce (RFC 8439, 2.3), into `target` from `at` on.
 * Written out, as it is what adding an id costs: with the state in an array it takes six times as long
 */
export function chachaBlock (input: Uint32Array, target: Uint32Array, at = 0): void {
  let x0 = input[0] | 0
  let x1 = input[1] | 0
  let x2 = input[2] | 0
  let x3 = input[3] | 0
  let x4 = input[4] | 0
  let x5 = input[5] | 0
  let x6 = input[6] | 0
  let x7 = input[7] | 0
  let x8 = input[8] | 0
  let x9 = input[9] | 0
  let x10 = input[10] | 0
  let x11 = input[11] | 0
  let x12 = input[12] | 0
  let x13 = input[13] | 0
  let x14 = input[14] | 0
  let x15 = input[15] | 0

  for (let i = 0; i < DOUBLE_ROUNDS; i++) {
    x12 = rotate(x12 ^ (x0 = (x0 + x4) | 0), 16)
    x4 = rotate(x4 ^ (x8 = (x8 + x12) | 0), 12)
    x12 = rotate(x12 ^ (x0 = (x0 + x4) | 0), 8)
    x4 = rotate(x4 ^ (x8 = (x8 + x12) | 0), 7)
    x13 = rotate(x13 ^ (x1 = (x1 + x5) | 0), 16)
    x5 = rotate(x5 ^ (x9 = (x9 + x13) | 0), 12)
    x13 = rotate(x13 ^ (x1 = (x1 + x5) | 0), 8)
    x5 = rotate(x5 ^ (x9 = (x9 + x13) | 0), 7)
    x14 = rotate(x14 ^ (x2 = (x2 + x6) | 0), 16)
    x6 = rotate(x6 ^ (x10 = (x10 + x14) | 0), 12)
    x14 = rotate(x14 ^ (x2 = (x2 + x6) | 0), 8)
    x6 = rotate(x6 ^ (x10 = (x10 + x14) | 0), 7)
    x15 = rotate(x15 ^ (x3 = (x3 + x7) | 0), 16)
    x7 = rotate(x7 ^ (x11 = (x11 + x15) | 0), 12)
    x15 = rotate(x15 ^ (x3 = (x3 + x7) | 0), 8)
    x7 = rotate(x7 ^ (x11 = (x11 + x15) | 0), 7)
    x15 = rotate(x15 ^ (x0 = (x0 + x5) | 0), 16)
    x5 = rotate(x5 ^ (x10 = (x10 + x15) | 0), 12)
    x15 = rotate(x15 ^ (x0 = (x0 + x5) | 0), 8)
    x5 = rotate(x5 ^ (x10 = (x10 + x15) | 0), 7)
    x12 = rotate(x12 ^ (x1 = (x1 + x6) | 0), 16)
    x6 = rotate(x6 ^ (x11 = (x11 + x12) | 0), 12)
    x12 = rotate(x12 ^ (x1 = (x1 + x6) | 0), 8)
    x6 = rotate(x6 ^ (x11 = (x11 + x12) | 0), 7)
    x13 = rotate(x13 ^ (x2 = (x2 + x7) | 0), 16)
    x7 = rotate(x7 ^ (x8 = (x8 + x13) | 0), 12)
    x13 = rotate(x13 ^ (x2 = (x2 + x7) | 0), 8)
    x7 = rotate(x7 ^ (x8 = (x8 + x13) | 0), 7)
    x14 = rotate(x14 ^ (x3 = (x3 + x4) | 0), 16)
    x4 = rotate(x4 ^ (x9 = (x9 + x14) | 0), 12)
    x14 = rotate(x14 ^ (x3 = (x3 + x4) | 0), 8)
    x4 = rotate(x4 ^ (x9 = (x9 + x14) | 0), 7)
  }

  target[at] = x0 + input[0]
  target[at + 1] = x1 + input[1]
  target[at + 2] = x2 + input[2]
  target[at + 3] = x3 + input[3]
  target[at + 4] = x4 + input[4]
  target[at + 5] = x5 + input[5]
  target[at + 6] = x6 + input[6]
  target[at + 7] = x7 + input[7]
  target[at + 8] = x8 + input[8]
  target[at + 9] = x9 + input[9]
  target[at + 10] = x10 + input[10]
  target[at + 11] = x11 + input[11]
  target[at + 12] = x12 + input[12]
  target[at + 13] = x13 + input[13]
  target[at + 14] = x14 + input[14]
  target[at + 15] = x15 + input[15]
}

/** Puts the 64 numbers of the id at `offset` into `target` */
export function expandId (bytes: Uint8Array, offset: number, target: Uint32Array): void {
  for (let i = 4; i < 12; i++) {
    state[i] = bytes[offset] | (bytes[offset + 1] << 8) | (bytes[offset + 2] << 16) | (bytes[offset + 3] << 24)
    offset += 4
  }

  for (let block = 0; block < LANES / BLOCK; block++) {
    state[12] = block
    chachaBlock(state, target, block * BLOCK)
  }
}

/** Adds the sum that begins at `from` in `source` to that which begins at `at` in `target`, or takes it away */
export function addLanes (target: Uint32Array, at: number, source: Uint32Array, from = 0, sign: 1 | -1 = 1): void {
  for (let i = 0; i < LANES; i++) {
    target[at + i] += sign * source[from + i]
  }
}

const scratch = new Uint32Array(LANES)

/** Adds the id at `offset` to a sum */
export function addLanesOf (sum: Uint32Array, bytes: Uint8Array, offset: number): void {
  expandId(bytes, offset, scratch)
  addLanes(sum, 0, scratch)
}

export function subtractLanesOf (sum: Uint32Array, bytes: Uint8Array, offset: number): void {
  expandId(bytes, offset, scratch)
  addLanes(sum, 0, scratch, 0, -1)
}
