import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { sha256 } from 'multiformats/hashes/sha2'
import { concat } from 'uint8arrays/concat'
import { Reader, Writer, encodeString } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import { signWith, verifyWith } from '../runtime/signing.ts'
import { then } from '../runtime/then.ts'
import { keyOf, peerOf } from './keys.ts'
import type { Key } from './core/types.ts'
import type { Sign, Verify } from '../runtime/ed25519.ts'
import type { PrivateKey, PublicKey } from '@libp2p/interface'

/**
 * What crosses a relay lies in an envelope: it says who made it, in which of its lives, and is signed by the key of
 * that peer.
 *
 * envelope = bytes origin · bytes key (empty where the id holds it) · uvarint epoch · type · bytes content · bytes
 * signature
 *
 * The signature is over DOMAIN and the SHA-256 of all that comes before it: Ed25519 alone would read it twice to sign,
 * and with a slower hash.
 */
export const EnvelopeType = { ANNOUNCEMENT: 0, BUNDLE: 1, RECEIPT: 2, REPLICATION: 3 } as const
export type EnvelopeType = typeof EnvelopeType[keyof typeof EnvelopeType]

const DOMAIN = encodeString('libp2p-sheaf/1:')
const MAX_KEY_BYTES = 4096
const MAX_ORIGIN_BYTES = 64

export interface Envelope {
  origin: Key
  /** Where the id of the origin does not hold it */
  key?: Uint8Array
  epoch: number
  type: EnvelopeType
  content: Uint8Array
  signature: Uint8Array
  /** What the signature is over */
  signed: Uint8Array
  bytes: Uint8Array
}

/** Signs what this node says */
export class Signer {
  readonly #sign: Sign
  readonly #origin: Uint8Array
  readonly #key: Uint8Array

  constructor (privateKey: PrivateKey) {
    this.#sign = signWith(privateKey)
    this.#origin = bytesOfKey(keyOf(peerIdFromPublicKey(privateKey.publicKey)))
    // only the ids of RSA keys do not hold their key
    this.#key = privateKey.publicKey.type === 'RSA' ? publicKeyToProtobuf(privateKey.publicKey) : new Uint8Array(0)
  }

  /** At once where the platform signs at once (Node), later where it does not (browsers) */
  sign (epoch: number, type: EnvelopeType, content: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const writer = new Writer(this.#origin.byteLength + this.#key.byteLength + content.byteLength + 96)
      .bytes(this.#origin).bytes(this.#key).uvarint(epoch).byte(type).bytes(content)
    const signature = then(messageOf(writer.finish()), this.#sign)
    return then(signature, signature => writer.bytes(signature).finish())
  }
}

/** Takes an envelope apart without looking whether it is true. Throws a MalformedError */
export function readEnvelope (bytes: Uint8Array): Envelope {
  const reader = new Reader(bytes)
  const origin = keyOfBytes(reader.bytes(MAX_ORIGIN_BYTES))
  const given = reader.bytes(MAX_KEY_BYTES)
  const key = given.byteLength > 0 ? given : undefined
  const epoch = reader.uvarint()
  const type = reader.byte() as EnvelopeType
  const content = reader.bytes()
  const signed = bytes.subarray(0, reader.offset)
  const signature = reader.bytes(MAX_KEY_BYTES)

  reader.expectEnd()
  return { origin, key, epoch, type, content, signature, signed, bytes }
}

/** Whether its origin signed it. Throws a MalformedError when its key is not one, or not of its id */
export function verifyEnvelope (envelope: Envelope): boolean | Promise<boolean> {
  const verify = verifierOf(publicKeyOf(envelope))
  return then(messageOf(envelope.signed), message => verify(message, envelope.signature))
}

/** By their keys, which `peerOf` keeps: a key is imported once for all that it signed */
const verifiers = new WeakMap<PublicKey, Verify>()

function verifierOf (publicKey: PublicKey): Verify {
  const verify = verifiers.get(publicKey) ?? verifyWith(publicKey)
  verifiers.set(publicKey, verify)
  return verify
}

/** What is signed: at once in Node, later in browsers, which hash large ones beside the thread */
function messageOf (signed: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return then(sha256.encode(signed), hash => concat([DOMAIN, hash]))
}

/** Throws a MalformedError */
export function publicKeyOf ({ origin, key }: Pick<Envelope, 'origin' | 'key'>): PublicKey {
  const { publicKey } = peerOf(origin)

  if (publicKey != null) {
    return publicKey
  }

  let given: PublicKey

  try {
    given = publicKeyFromProtobuf(key ?? new Uint8Array(0))
  } catch (err: any) {
    throw new MalformedError(`the key of this peer id is missing, or not a key: ${err.message}`)
  }

  if (keyOf(peerIdFromPublicKey(given)) !== origin) {
    throw new MalformedError('the key is not the one of the peer id')
  }

  return given
}
