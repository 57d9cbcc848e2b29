import { encodeFrame, frameOf, Kind as LinkKind } from '../link/index.ts'
import { encodeString, Reader, uvarintLength, Writer, writeUvarint } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import type { ReceiptStatus } from './core/deliveries.ts'
import type { Greeting } from './core/pubsub.ts'
import type { Announcement, Gossip, Key } from './core/types.ts'
import type { Frame } from '../link/index.ts'

/**
 * The frames of DirectSub, byte by byte; docs/protocol.md says it in prose. All numbers are uvarints, all strings UTF-8,
 * both with their length before them. What follows the known fields of a control frame is not looked at, so that a later
 * version may add some.
 */
export const Kind = {
  /** control: acks, announcements, requests, answers */
  GOSSIP: LinkKind.FIRST_FREE,
  /** data: one message from the neighbour itself, to us */
  MESSAGE: LinkKind.FIRST_FREE + 1,
  /** data: something sealed, on its way over relays */
  PARCEL: LinkKind.FIRST_FREE + 2,
  /** control: what became of the neighbour's own messages */
  RECEIPT: LinkKind.FIRST_FREE + 3,
  /** control: a sealed search */
  SEARCH: LinkKind.FIRST_FREE + 4
} as const

/** What goes by the control stream: a lane more than the data stream has */
export const CONTROL_LANE = 3

/** Flag of a message: its origin waits for an ack */
const WANTS_ACK = 1
const STATUS: ReceiptStatus[] = ['acked', 'not-subscribed', 'unreachable']
/** Bytes of the longest peer id */
const MAX_KEY = 64

const readKey = (reader: Reader): Key => keyOfBytes(reader.bytes(MAX_KEY))
const readTopic = (reader: Reader): string => reader.string(limits.MAX_TOPIC_LENGTH)

// greeting

export function encodeGreeting ({ epoch, isRelay }: Greeting): Uint8Array {
  return new Writer().uvarint(epoch).byte(isRelay ? 1 : 0).finish()
}

export function decodeGreeting (bytes: Uint8Array): Greeting {
  const reader = new Reader(bytes)
  return { epoch: reader.uvarint(), isRelay: (reader.byte() & 1) === 1 }
}

// gossip

/** A gossip whose announcements are still as they came: sealed */
export interface WireGossip extends Omit<Gossip, 'announcements'> {
  announcements: Array<{ hops: number, sealed: Uint8Array }>
}

export function encodeGossip ({ ack, announcements, requests, answers, lost }: WireGossip): Frame {
  const writer = new Writer()
  writer.uvarint(ack)
  writer.list(announcements, ({ hops, sealed }) => writer.byte(hops).bytes(sealed))
  writer.list(requests, ({ id, topic }) => writer.uvarint(id).string(topic))
  writer.list(answers, id => writer.uvarint(id))
  writer.list(lost, key => writer.bytes(bytesOfKey(key)))
  return frameOf(Kind.GOSSIP, writer.finish())
}

export function decodeGossip (body: Uint8Array): WireGossip {
  const reader = new Reader(body)
  return {
    ack: reader.uvarint(),
    announcements: reader.list(limits.MAX_ANNOUNCEMENTS, () => ({ hops: reader.byte(), sealed: reader.bytes(limits.MAX_ANNOUNCEMENT_SIZE) })),
    requests: reader.list(limits.MAX_REQUESTS, () => ({ id: reader.uvarint(), topic: readTopic(reader) })),
    answers: reader.list(limits.MAX_REQUESTS, () => reader.uvarint()),
    lost: reader.list(limits.MAX_ANNOUNCEMENTS, () => readKey(reader))
  }
}

/** The content of a sealed announcement */
export function encodeAnnouncement ({ seq, full, on, off }: Announcement): Uint8Array {
  const writer = new Writer().uvarint(seq).byte(full ? 1 : 0)
  writer.list(on, topic => writer.string(topic))
  writer.list(off, topic => writer.string(topic))
  return writer.finish()
}

export function decodeAnnouncement (content: Uint8Array): Pick<Announcement, 'seq' | 'full' | 'on' | 'off'> {
  const reader = new Reader(content)
  return {
    seq: reader.uvarint(),
    full: (reader.byte() & 1) === 1,
    on: reader.list(limits.MAX_ANNOUNCED_TOPICS, () => readTopic(reader)),
    off: reader.list(limits.MAX_ANNOUNCED_TOPICS, () => readTopic(reader))
  }
}

// messages between neighbours

export interface DirectMessage {
  wantsAck: boolean
  topic: string
  seq: number
  data: Uint8Array
}

/** Topics as bytes, the one used last at hand: most messages are of the same topic as the one before */
const lastTopic: { text: string, bytes: Uint8Array } = { text: '', bytes: new Uint8Array(0) }

function topicBytes (topic: string): Uint8Array {
  if (lastTopic.text !== topic) {
    lastTopic.bytes = encodeString(topic)
    lastTopic.text = topic
  }
  return lastTopic.bytes
}

/** Encoded once, however many neighbours it goes to */
export function encodeMessage (topic: string, seq: number, data: Uint8Array, wantsAck: boolean): Frame {
  const name = topicBytes(topic)
  const fields = 1 + uvarintLength(name.byteLength) + name.byteLength + uvarintLength(seq)

  return encodeFrame(Kind.MESSAGE, fields, (target, offset) => {
    target[offset] = wantsAck ? WANTS_ACK : 0
    offset = writeUvarint(target, offset + 1, name.byteLength)
    target.set(name, offset)
    writeUvarint(target, offset + name.byteLength, seq)
  }, data)
}

export function decodeMessage (body: Uint8Array): DirectMessage {
  const flags = body[0]
  const length = body[1]
  const known = lastTopic.bytes
  let topic: string
  let reader: Reader

  if (length === known.byteLength && length < 0x80 && startsWith(body, 2, known)) {
    topic = lastTopic.text
    reader = new Reader(body, 2 + length)
  } else {
    reader = new Reader(body, 1)
    topic = readTopic(reader)
    topicBytes(topic)
  }

  return { wantsAck: (flags & WANTS_ACK) !== 0, topic, seq: reader.uvarint(), data: reader.rest() }
}

function startsWith (bytes: Uint8Array, offset: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.byteLength; i++) {
    if (bytes[offset + i] !== expected[i]) {
      return false
    }
  }
  return true
}

// messages that leave together over relays, sealed together

export interface Bundle {
  topic: string
  /** Whom they are for only; none: all who are on the topic */
  to: Key[]
  wantsAck: boolean
  messages: Array<{ seq: number, data: Uint8Array }>
}

export function encodeBundle ({ topic, to, wantsAck, messages }: Bundle): Uint8Array {
  const size = messages.reduce((sum, { data }) => sum + data.byteLength + 12, topic.length * 3 + 16)
  const writer = new Writer(size)
  writer.byte(wantsAck ? WANTS_ACK : 0).string(topic)
  writer.list(to, key => writer.bytes(bytesOfKey(key)))
  writer.list(messages, ({ seq, data }) => writer.uvarint(seq).bytes(data))
  return writer.finish()
}

export function decodeBundle (content: Uint8Array): Bundle {
  const reader = new Reader(content)
  return {
    wantsAck: (reader.byte() & WANTS_ACK) !== 0,
    topic: readTopic(reader),
    to: reader.list(limits.MAX_DESTINATIONS, () => readKey(reader)),
    messages: reader.list(limits.BUNDLE_MESSAGES, () => ({ seq: reader.uvarint(), data: reader.bytes() }))
  }
}

// parcels

/** How something sealed travels: what relays read and change */
export interface Parcel {
  hops: number
  lane: number
  destinations: Key[]
  sealed: Uint8Array
}

export function encodeParcel ({ hops, lane, destinations, sealed }: Parcel): Frame {
  const writer = new Writer(64 + destinations.length * 40).byte(hops).byte(lane)
  writer.list(destinations, key => writer.bytes(bytesOfKey(key)))
  const head = writer.finish()
  return encodeFrame(Kind.PARCEL, head.byteLength, (target, offset) => { target.set(head, offset) }, sealed)
}

export function decodeParcel (body: Uint8Array): Parcel {
  const reader = new Reader(body)
  const hops = reader.byte()
  const lane = reader.byte()

  if (lane > CONTROL_LANE) {
    throw new MalformedError(`there is no lane ${lane}`)
  }

  return { hops, lane, destinations: reader.list(limits.MAX_DESTINATIONS, () => readKey(reader)), sealed: reader.rest() }
}

// receipts

export interface Receipt {
  status: ReceiptStatus
  /** Whose messages, of which of its lives: a receipt says nothing of any other */
  of: Key
  epoch: number
  topic: string
  seqs: number[]
  /** Whom a relay speaks of; none: the one who says it */
  about: Key[]
}

export function encodeReceipt ({ status, of, epoch, topic, seqs, about }: Receipt): Uint8Array {
  const writer = new Writer().byte(STATUS.indexOf(status)).bytes(bytesOfKey(of)).uvarint(epoch).string(topic)
  writer.list(seqs, seq => writer.uvarint(seq))
  writer.list(about, key => writer.bytes(bytesOfKey(key)))
  return writer.finish()
}

export function encodeReceiptFrame (receipt: Receipt): Frame {
  return frameOf(Kind.RECEIPT, encodeReceipt(receipt))
}

export function decodeReceipt (content: Uint8Array): Receipt {
  const reader = new Reader(content)
  const status = STATUS[reader.byte()]

  if (status == null) {
    throw new MalformedError('a receipt of an unknown status')
  }

  return {
    status,
    of: readKey(reader),
    epoch: reader.uvarint(),
    topic: readTopic(reader),
    seqs: reader.list(limits.MAX_SEQS, () => reader.uvarint()),
    about: reader.list(limits.MAX_DESTINATIONS, () => readKey(reader))
  }
}

// searches

export function encodeSearch ({ id, target }: { id: number, target: Key }): Uint8Array {
  return new Writer().uvarint(id).bytes(bytesOfKey(target)).finish()
}

export function decodeSearch (content: Uint8Array): { id: number, target: Key } {
  const reader = new Reader(content)
  return { id: reader.uvarint(), target: readKey(reader) }
}

export function encodeSearchFrame (hops: number, sealed: Uint8Array): Frame {
  return encodeFrame(Kind.SEARCH, 1, (target, offset) => { target[offset] = hops }, sealed)
}

export function decodeSearchFrame (body: Uint8Array): { hops: number, sealed: Uint8Array } {
  const reader = new Reader(body)
  return { hops: reader.byte(), sealed: reader.rest() }
}
