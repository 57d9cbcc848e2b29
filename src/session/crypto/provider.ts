import type { XWing } from './x-wing.ts'

/**
 * What a session needs of a platform's cryptography. `platform.node.ts` and `platform.browser.ts` each make one;
 * package.json says which one a bundler takes. Signatures are not here: `runtime/signing.ts` has them for all floors.
 * HMAC and HKDF are in the core.
 *
 * Secrets that are handed in are the caller's to zero, and so are those that are handed out.
 */
export interface CryptoProvider {
  readonly name: string
  /**
   * X-Wing (draft-connolly-cfrg-xwing-kem-08): X25519 and ML-KEM-768 in one, safe as long as one of the two is.
   * Takes up to 1 ms in Node and up to 20 ms in browsers, more at the first call: not for the main thread of a page
   */
  generate(): Promise<KeyPair>
  /** Throws for a public key that is none */
  encapsulate(publicKey: Uint8Array): Promise<Encapsulated>
  /** A ciphertext that is none gives a secret that nobody else has, as ML-KEM wants, or throws */
  decapsulate(seed: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array>
  /** ChaCha20-Poly1305 (RFC 8439). The key seals once, so the nonce is zero */
  seal(key: Uint8Array, head: Uint8Array, plaintext: Uint8Array): Uint8Array
  /** Undefined if the key, the head, or a byte is another one */
  open(key: Uint8Array, head: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined
}

export interface KeyPair {
  /** All that has to be kept of the secret key: 32 bytes */
  seed: Uint8Array
  publicKey: Uint8Array
}

export interface Encapsulated {
  secret: Uint8Array
  ciphertext: Uint8Array
}

/** The parts of which `x-wing.ts` makes one: what differs between platforms */
export interface Primitives {
  random(length: number): Uint8Array
  /** RFC 7748. Throws if the result is all zeros */
  x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | Promise<Uint8Array>
  x25519Public(secret: Uint8Array): Uint8Array | Promise<Uint8Array>
  /** FIPS 203, from the seed d || z of 64 bytes */
  mlKemPublic(seed: Uint8Array): Uint8Array
  mlKemEncapsulate(publicKey: Uint8Array): Encapsulated
  mlKemDecapsulate(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array
  /** FIPS 202 */
  sha3(bytes: Uint8Array): Uint8Array
  shake256(bytes: Uint8Array, length: number): Uint8Array
}

/** ChaCha20-Poly1305, as RFC 8439 has it */
export interface Cipher {
  seal(key: Uint8Array, nonce: Uint8Array, head: Uint8Array, plaintext: Uint8Array): Uint8Array
  open(key: Uint8Array, nonce: Uint8Array, head: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined
}

/** The nonce of every message: its key is never used again */
const NONCE = new Uint8Array(12)

/** A provider of these parts */
export function providerOf (name: string, xWing: XWing, cipher: Cipher): CryptoProvider {
  return {
    name,
    generate: async () => xWing.generate(),
    encapsulate: async publicKey => xWing.encapsulate(publicKey),
    decapsulate: async (seed, ciphertext) => xWing.decapsulate(seed, ciphertext),
    seal: (key, head, plaintext) => cipher.seal(key, NONCE, head, plaintext),
    open: (key, head, ciphertext) => cipher.open(key, NONCE, head, ciphertext)
  }
}
