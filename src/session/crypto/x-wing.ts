import { concat } from 'uint8arrays/concat'
import { KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, SECRET_BYTES } from '../constants.ts'
import type { Encapsulated, KeyPair, Primitives } from './provider.ts'

/**
 * X-Wing, draft-connolly-cfrg-xwing-kem-08, section 5. A secret key is its seed:
 *
 * ```text
 * d || z || X25519 secret = SHAKE256(seed, 96)
 * public key = ML-KEM public || X25519 public          ciphertext = ML-KEM ciphertext || ephemeral X25519 public
 * secret = SHA3-256(ML-KEM secret || X25519 secret || ephemeral X25519 public || X25519 public || label)
 * ```
 */
const LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)
const SEED_BYTES = 96
const ML_KEM_SEED_BYTES = 64
const ML_KEM_PUBLIC_BYTES = KEM_PUBLIC_BYTES - SECRET_BYTES
const ML_KEM_CIPHERTEXT_BYTES = KEM_CIPHERTEXT_BYTES - SECRET_BYTES

export class XWing {
  readonly #primitives: Primitives

  constructor (primitives: Primitives) {
    this.#primitives = primitives
  }

  async generate (): Promise<KeyPair> {
    const seed = this.#primitives.random(SECRET_BYTES)
    return { seed, publicKey: await this.publicKeyOf(seed) }
  }

  async publicKeyOf (seed: Uint8Array): Promise<Uint8Array> {
    const { mlKem, x25519, wipe } = this.#expand(seed)

    try {
      return concat([this.#primitives.mlKemPublic(mlKem), await this.#primitives.x25519Public(x25519)])
    } finally {
      wipe()
    }
  }

  async encapsulate (publicKey: Uint8Array): Promise<Encapsulated> {
    expectLength(publicKey, KEM_PUBLIC_BYTES, 'a public key')
    const { random, x25519, x25519Public, mlKemEncapsulate } = this.#primitives
    const theirs = publicKey.subarray(ML_KEM_PUBLIC_BYTES)
    const ephemeral = random(SECRET_BYTES)
    const inner = mlKemEncapsulate(publicKey.subarray(0, ML_KEM_PUBLIC_BYTES))
    const mine = await x25519Public(ephemeral)
    const outer = await x25519(ephemeral, theirs)
    ephemeral.fill(0)
    return { secret: this.#combine(inner.secret, outer, mine, theirs), ciphertext: concat([inner.ciphertext, mine]) }
  }

  async decapsulate (seed: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array> {
    expectLength(seed, SECRET_BYTES, 'a seed')
    expectLength(ciphertext, KEM_CIPHERTEXT_BYTES, 'a ciphertext')
    const { x25519, x25519Public, mlKemDecapsulate } = this.#primitives
    const secrets = this.#expand(seed)

    try {
      const theirs = ciphertext.subarray(ML_KEM_CIPHERTEXT_BYTES)
      const inner = mlKemDecapsulate(secrets.mlKem, ciphertext.subarray(0, ML_KEM_CIPHERTEXT_BYTES))
      const outer = await x25519(secrets.x25519, theirs)
      return this.#combine(inner, outer, theirs, await x25519Public(secrets.x25519))
    } finally {
      secrets.wipe()
    }
  }

  #expand (seed: Uint8Array): { mlKem: Uint8Array, x25519: Uint8Array, wipe(): void } {
    const expanded = this.#primitives.shake256(seed, SEED_BYTES)
    return {
      mlKem: expanded.subarray(0, ML_KEM_SEED_BYTES),
      x25519: expanded.subarray(ML_KEM_SEED_BYTES),
      wipe: () => { expanded.fill(0) }
    }
  }

  /** Zeroes both secrets */
  #combine (inner: Uint8Array, outer: Uint8Array, ephemeral: Uint8Array, publicKey: Uint8Array): Uint8Array {
    const input = concat([inner, outer, ephemeral, publicKey, LABEL])
    const secret = this.#primitives.sha3(input)
    ;[inner, outer, input].forEach(bytes => bytes.fill(0))
    return secret
  }
}

function expectLength ({ byteLength }: Uint8Array, length: number, what: string): void {
  if (byteLength !== length) {
    throw new RangeError(`${what} of ${byteLength} bytes, not of ${length}`)
  }
}
