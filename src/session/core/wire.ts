import { concat } from 'uint8arrays/concat'
import { encodeString, Reader, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../../runtime/keys.ts'
import * as limits from '../constants.ts'
import type { Key, KeyId, RoundKind } from './state.ts'

/**
 * The frames of a session, byte by byte. Every frame begins with the version and its kind. Numbers are uvarints.
 *
 * | frame     | after version and kind                                                  | what proves it            |
 * |-----------|-------------------------------------------------------------------------|---------------------------|
 * | Propose   | from, to, n, round kind, base, epoch, boot, public key                  | signature of `from`       |
 * | Accept    | from, to, n, hash of the Propose, epoch, boot, ciphertext, key, proof   | signature, and the proof  |
 * | Cancel    | from, to, by, n, reason, seen                                           | signature of `from`       |
 * | Resync    | from, to, n, unknown key                                                | signature of `from`       |
 * | Confirm   | key, epoch, proof                                                       | proof: MAC under the key  |
 * | Data      | key, epoch, counter; sealed: base, ack, and messages: seq, payload      | AEAD, the head is bound   |
 * | Heartbeat | key, epoch, counter; sealed: base, ack                                  | AEAD, the head is bound   |
 * | Close     | key, epoch, counter; sealed: nothing                                    | AEAD, the head is bound   |
 *
 * What is signed is DOMAIN and all that comes before the signature, so no other protocol's signature is one of ours. A
 * frame with bytes too many is malformed: there is no field that only some would look at.
 */
export const FrameKind = {
  PROPOSE: 1,
  ACCEPT: 2,
  CANCEL: 3,
  RESYNC: 4,
  CONFIRM: 5,
  DATA: 6,
  HEARTBEAT: 7,
  CLOSE: 8
} as const

/** Why a round is over. 'behind': its base is not our key; 'stale': its number is not past `seen` */
export const REASONS = [
  'lost-tie', 'timeout', 'dead-round', 'behind', 'stale', 'refused', 'superseded', 'closed'
] as const
export type CancelReason = typeof REASONS[number]

export interface Propose {
  kind: 'propose'
  n: number
  round: RoundKind
  /** The key that it builds on: of a ratchet round */
  base?: KeyId
  /** The proposer's epoch; 0: none yet */
  epoch: number
  boot: number
  publicKey: Uint8Array
}

export interface Accept {
  kind: 'accept'
  /** The proposer's round number */
  n: number
  /** Of the Propose, as it was signed: an Accept answers that one and no other of the same number */
  proposeHash: Uint8Array
  epoch: number
  boot: number
  ciphertext: Uint8Array
  key: KeyId
  proof: Uint8Array
}

export interface Cancel {
  kind: 'cancel'
  /** Whose round it is */
  by: Key
  n: number
  reason: CancelReason
  /** The highest round number that its sender has seen of the other side */
  seen: number
}

export interface Resync {
  kind: 'resync'
  /** A number from the round counter: a Resync that is not newer than what was seen is stale, as a Propose is */
  n: number
  unknown: KeyId
}

export interface Confirm {
  kind: 'confirm'
  key: KeyId
  epoch: number
  proof: Uint8Array
}

export type SealedKind = 'data' | 'heartbeat' | 'close'

/** What a sealed frame says in clear, bound to it as associated data */
export interface Head {
  kind: SealedKind
  key: KeyId
  epoch: number
  counter: number
}

/** What a sealed frame says to those who can open it */
export interface Body {
  /** Every message below is settled: the receiver needs none of them any more */
  base: number
  /** Messages up to here were delivered, and that was stored */
  ack: number
  /** Of those behind the first missing one: which are held. The first bit is `ack + 2` */
  held: number[]
  /** Of Data: at least one. Others carry none */
  messages: Array<{ seq: number, payload: Uint8Array }>
}

export type SignedFrame = Propose | Accept | Cancel | Resync

/** A signed frame as it came: `signed` is what the signature has to be of */
export interface Signed {
  frame: SignedFrame
  from: Key
  to: Key
  signed: Uint8Array
  signature: Uint8Array
}

export interface Sealed {
  frame: Head
  /** The head as it came: the associated data */
  head: Uint8Array
  ciphertext: Uint8Array
}

export type Decoded = Signed | Sealed | { frame: Confirm }

const DOMAIN = encodeString('libp2p-sheaf/session/1/signed:')
const ROUNDS: readonly RoundKind[] = ['fresh', 'ratchet']
const SEALED: readonly SealedKind[] = ['data', 'heartbeat', 'close']
/** Bytes of a sequence number and of a length, at most */
const MESSAGE_OVERHEAD = 12
/** Bytes of the bits of an ack */
const HELD_BYTES = limits.ACK_BITS / 8

// encoding

/** The part of a signed frame that is signed, and that a transcript is made of */
export function encodeSigned (frame: SignedFrame, from: Key, to: Key): Uint8Array {
  const writer = new Writer(1400).byte(limits.WIRE_VERSION)
  const parties = (kind: number): Writer => writer.byte(kind).bytes(bytesOfKey(from)).bytes(bytesOfKey(to))

  switch (frame.kind) {
    case 'propose':
      writePropose(parties(FrameKind.PROPOSE), frame)
      break
    case 'accept':
      writeAccept(parties(FrameKind.ACCEPT), frame)
      writer.raw(bytesOfKey(frame.key)).raw(frame.proof)
      break
    case 'cancel':
      parties(FrameKind.CANCEL).bytes(bytesOfKey(frame.by)).uvarint(frame.n).byte(REASONS.indexOf(frame.reason))
        .uvarint(frame.seen)
      break
    case 'resync':
      parties(FrameKind.RESYNC).uvarint(frame.n).raw(bytesOfKey(frame.unknown))
  }

  return writer.finish()
}

/** The part of an Accept that its key is derived from */
export function encodeOffer (offer: Omit<Accept, 'key' | 'proof'>, from: Key, to: Key): Uint8Array {
  const writer = new Writer(1400).byte(limits.WIRE_VERSION).byte(FrameKind.ACCEPT)
  writeAccept(writer.bytes(bytesOfKey(from)).bytes(bytesOfKey(to)), offer)
  return writer.finish()
}

/** What a signature is made of */
export function signedBytes (encoded: Uint8Array): Uint8Array {
  return concat([DOMAIN, encoded])
}

export function withSignature (encoded: Uint8Array, signature: Uint8Array): Uint8Array {
  return concat([encoded, signature])
}

export function encodeConfirm ({ key, epoch, proof }: Confirm): Uint8Array {
  const writer = new Writer(64).byte(limits.WIRE_VERSION).byte(FrameKind.CONFIRM)
  return writer.raw(bytesOfKey(key)).uvarint(epoch).raw(proof).finish()
}

export function encodeHead ({ kind, key, epoch, counter }: Head): Uint8Array {
  const writer = new Writer(32).byte(limits.WIRE_VERSION).byte(FrameKind.DATA + SEALED.indexOf(kind))
  return writer.raw(bytesOfKey(key)).uvarint(epoch).uvarint(counter).finish()
}

export function encodeBody ({ base, ack, held, messages }: Body): Uint8Array {
  const bytes = messages.reduce((sum, { payload }) => sum + payload.byteLength + MESSAGE_OVERHEAD, 40)
  const writer = new Writer(bytes).uvarint(base).uvarint(ack)
  writer.raw(bitsOf(held, ack))

  messages.forEach(({ seq, payload }) => { writer.uvarint(seq).bytes(payload) })

  return writer.finish()
}

// decoding: each throws a MalformedError for what is not as above

/** Takes a frame apart. Nothing is verified yet */
export function decode (bytes: Uint8Array): Decoded {
  const reader = new Reader(bytes)

  if (reader.byte() !== limits.WIRE_VERSION) {
    throw new MalformedError('a frame of another version')
  }

  const kind = reader.byte()

  if (kind >= FrameKind.DATA && kind <= FrameKind.CLOSE) {
    return decodeSealed(bytes, reader, SEALED[kind - FrameKind.DATA])
  }
  if (kind === FrameKind.CONFIRM) {
    const frame: Confirm = {
      kind: 'confirm', key: readKeyId(reader), epoch: readNumber(reader), proof: readSecret(reader)
    }
    reader.expectEnd()
    return { frame }
  }

  const from = readPeer(reader)
  const to = readPeer(reader)
  const frame = readSigned(reader, kind, from, to)
  const signed = signedBytes(bytes.subarray(0, reader.offset))
  const signature = reader.rest()

  if (signature.byteLength > limits.MAX_SIGNATURE_BYTES) {
    throw new MalformedError('a signature that is too long')
  }

  return { frame, from, to, signed, signature }
}

/** What a sealed frame of this kind was opened to. Views of `bytes`, no two of which overlap */
export function decodeBody (kind: SealedKind, bytes: Uint8Array): Body {
  const reader = new Reader(bytes)
  const base = readNumber(reader)
  const ack = readNumber(reader)
  const held = heldOf(reader.raw(HELD_BYTES), ack)

  const messages = kind === 'data' ? readMessages(reader) : []
  reader.expectEnd()
  return { base, ack, held, messages }
}

function readMessages (reader: Reader): Body['messages'] {
  const messages: Body['messages'] = []

  do {
    if (messages.length === limits.FRAME_MESSAGES) {
      throw new MalformedError('a frame with too many messages')
    }

    messages.push({ seq: readPositive(reader), payload: reader.bytes() })
  } while (reader.left > 0)

  return messages
}

function decodeSealed (bytes: Uint8Array, reader: Reader, kind: SealedKind): Sealed {
  const frame: Head = { kind, key: readKeyId(reader), epoch: readNumber(reader), counter: readNumber(reader) }
  const head = bytes.subarray(0, reader.offset)

  if (reader.left < limits.TAG_BYTES) {
    throw new MalformedError('a sealed frame without its tag')
  }

  return { frame, head, ciphertext: reader.rest() }
}

function readSigned (reader: Reader, kind: number, from: Key, to: Key): SignedFrame {
  switch (kind) {
    case FrameKind.PROPOSE:
      return readPropose(reader)
    case FrameKind.ACCEPT:
      return {
        kind: 'accept',
        n: readNumber(reader),
        proposeHash: readSecret(reader),
        epoch: readPositive(reader),
        boot: readNumber(reader),
        ciphertext: reader.raw(limits.KEM_CIPHERTEXT_BYTES),
        key: readKeyId(reader),
        proof: readSecret(reader)
      }
    case FrameKind.CANCEL:
      return { kind: 'cancel', by: readParty(reader, from, to), n: readNumber(reader), ...readReason(reader) }
    case FrameKind.RESYNC:
      return { kind: 'resync', n: readNumber(reader), unknown: readKeyId(reader) }
    default:
      throw new MalformedError(`there is no kind ${kind} of a frame`)
  }
}

function readPropose (reader: Reader): Propose {
  const n = readNumber(reader)
  const round = ROUNDS[reader.byte()]

  if (round == null) {
    throw new MalformedError('a round of an unknown kind')
  }

  const base = round === 'ratchet' ? readKeyId(reader) : undefined
  return {
    kind: 'propose',
    n,
    round,
    base,
    epoch: readNumber(reader),
    boot: readNumber(reader),
    publicKey: reader.raw(limits.KEM_PUBLIC_BYTES)
  }
}

function readReason (reader: Reader): { reason: CancelReason, seen: number } {
  const reason = REASONS[reader.byte()]

  if (reason == null) {
    throw new MalformedError('a Cancel without a known reason')
  }

  return { reason, seen: readNumber(reader) }
}

function writePropose (writer: Writer, { n, round, base, epoch, boot, publicKey }: Propose): void {
  writer.uvarint(n).byte(ROUNDS.indexOf(round))

  if (base != null) {
    writer.raw(bytesOfKey(base))
  }

  writer.uvarint(epoch).uvarint(boot).raw(publicKey)
}

function writeAccept (writer: Writer, offer: Omit<Accept, 'key' | 'proof'>): void {
  const { n, proposeHash, epoch, boot, ciphertext } = offer
  writer.uvarint(n).raw(proposeHash).uvarint(epoch).uvarint(boot).raw(ciphertext)
}

function readNumber (reader: Reader): number {
  const value = reader.uvarint()

  if (value >= limits.MAX_NUMBER) {
    throw new MalformedError(`a number of a session is past 2^52: ${value}`)
  }

  return value
}

function readPositive (reader: Reader): number {
  const value = readNumber(reader)

  if (value === 0) {
    throw new MalformedError('a number of a session that begins with 1 is 0')
  }

  return value
}

function readPeer (reader: Reader): Key {
  return keyOfBytes(reader.bytes(limits.MAX_PEER_BYTES))
}

function readParty (reader: Reader, from: Key, to: Key): Key {
  const by = readPeer(reader)

  if (by !== from && by !== to) {
    throw new MalformedError('a Cancel of a round of somebody else')
  }

  return by
}

function readKeyId (reader: Reader): KeyId {
  return keyOfBytes(reader.raw(limits.KEY_ID_BYTES))
}

function readSecret (reader: Reader): Uint8Array {
  return reader.raw(limits.SECRET_BYTES)
}

function bitsOf (held: number[], ack: number): Uint8Array {
  const bits = new Uint8Array(HELD_BYTES)

  for (const seq of held) {
    const bit = seq - ack - 2

    if (bit >= 0 && bit < limits.ACK_BITS) {
      bits[bit >> 3] |= 1 << (bit & 7)
    }
  }

  return bits
}

function heldOf (bits: Uint8Array, ack: number): number[] {
  const held: number[] = []

  for (let bit = 0; bit < limits.ACK_BITS; bit++) {
    if ((bits[bit >> 3] & (1 << (bit & 7))) !== 0) {
      held.push(ack + 2 + bit)
    }
  }

  return held
}
