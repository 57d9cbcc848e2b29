import { encodeFrame, frameOf, Kind as LinkKind, Lane } from '../link/index.ts'
import { encodeString, Reader, uvarintLength, Writer, writeUvarint } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import type { Flow } from './core/flows.ts'
import type { ReceiptStatus } from './core/pending-acks.ts'
import type { Greeting } from './core/pubsub.ts'
import type { Announcement, Gossip, Key, Update } from './core/types.ts'
import type { Frame } from '../link/index.ts'

export type { ReceiptStatus }

/**
 * The frames of DirectSub, byte by byte; docs/protocol.md says it in prose. All numbers are uvarints, all strings
 * UTF-8, both with their length before them. What follows the known fields of a control frame is not looked at, so that
 * a later version may add some.
 */
export const Kind = {
  /** Acks of announcements, updates, losses, requests, answers */
  GOSSIP: LinkKind.FIRST_FREE,
  /** One message from the neighbour itself, to us */
  MESSAGE: LinkKind.FIRST_FREE + 1,
  /** An envelope on its way over relays */
  PARCEL: LinkKind.FIRST_FREE + 2,
  /** What became of messages, from the neighbour itself */
  RECEIPT: LinkKind.FIRST_FREE + 3,
  /** Whether more may come for a destination behind the neighbour */
  FLOW: LinkKind.FIRST_FREE + 4
} as const

const LANES: number[] = Object.values(Lane)
/** Flag of a message: its origin waits for an ack */
const WANTS_ACK = 1
/** Bytes of the longest peer id */
const MAX_KEY = 64
/** Bytes by which a trace names a relay: the last of its id */
const TRACE_BYTES = 4

const readKey = (reader: Reader): Key => keyOfBytes(reader.bytes(MAX_KEY))
const readLane = (reader: Reader): Lane => {
  const lane = reader.byte()

  if (!LANES.includes(lane)) {
    throw new MalformedError(`there is no lane ${lane}`)
  }

  return lane as Lane
}
/** Peers are named for what each of them gets or did: one that stands there twice counts once */
const readKeys = (reader: Reader, max: number): Key[] => distinct(reader.list(max, () => readKey(reader)))
const distinct = <T>(items: T[]): T[] => items.length > 1 ? [...new Set(items)] : items
const readTopic = (reader: Reader): string => reader.string(limits.MAX_TOPIC_LENGTH)
const readTopics = (reader: Reader): string[] => reader.list(limits.MAX_ANNOUNCED_TOPICS, () => readTopic(reader))
const readFlag = (reader: Reader): boolean => (reader.byte() & 1) === 1

function writeKeys (writer: Writer, keys: readonly Key[]): void {
  writer.list(keys, key => writer.bytes(bytesOfKey(key)))
}

// greeting

export function encodeGreeting ({ epoch, isRelay }: Greeting): Uint8Array {
  return new Writer().uvarint(epoch).byte(isRelay ? 1 : 0).finish()
}

export function decodeGreeting (bytes: Uint8Array): Greeting {
  const reader = new Reader(bytes)
  return { epoch: reader.uvarint(), isRelay: readFlag(reader) }
}

// gossip

/** An update whose announcements are as their origin signed them */
export interface WireUpdate extends Omit<Update, 'announcements'> {
  announcements: Uint8Array[]
}

export interface WireGossip extends Omit<Gossip, 'updates'> {
  updates: WireUpdate[]
}

interface Place {
  origin: Key
  epoch: number
  seq: number
  hops: number
}

function readPlace (reader: Reader): Place {
  return { origin: readKey(reader), epoch: reader.uvarint(), seq: reader.uvarint(), hops: reader.byte() }
}

export function encodeGossip ({ ack, updates, lost, wanted, requests, answers }: WireGossip): Frame {
  const writer = new Writer()
  const place = ({ origin, epoch, seq, hops }: Place): Writer =>
    writer.bytes(bytesOfKey(origin)).uvarint(epoch).uvarint(seq).byte(hops)
  writer.uvarint(ack + 1)
  writer.list(updates, update => place(update).list(update.announcements, bytes => writer.bytes(bytes)))
  writeKeys(writer, lost)
  writer.list(wanted, place)
  writer.list(requests, ({ id, topic }) => writer.uvarint(id).string(topic))
  writer.list(answers, id => writer.uvarint(id))
  return frameOf(Kind.GOSSIP, writer.finish())
}

export function decodeGossip (body: Uint8Array): WireGossip {
  const reader = new Reader(body)
  return {
    ack: reader.uvarint() - 1,
    updates: reader.list(limits.MAX_UPDATES, () => ({
      ...readPlace(reader),
      announcements: reader.list(limits.MAX_HISTORY + 1, () => reader.bytes(limits.MAX_ANNOUNCEMENT_SIZE))
    })),
    lost: readKeys(reader, limits.MAX_UPDATES),
    wanted: reader.list(limits.MAX_UPDATES, () => readPlace(reader)),
    requests: reader.list(limits.MAX_UPDATES, () => ({ id: reader.uvarint(), topic: readTopic(reader) })),
    answers: reader.list(limits.MAX_UPDATES, () => reader.uvarint())
  }
}

/** The content of an announcement's envelope */
export function encodeAnnouncement ({ seq, full, on, off }: Announcement): Uint8Array {
  const writer = new Writer().uvarint(seq).byte(full ? 1 : 0)
  writer.list(on, topic => writer.string(topic))
  writer.list(off, topic => writer.string(topic))
  return writer.finish()
}

export function decodeAnnouncement (content: Uint8Array): Pick<Announcement, 'seq' | 'full' | 'on' | 'off'> {
  const reader = new Reader(content)
  const seq = reader.uvarint()

  if (seq > limits.MAX_ANNOUNCEMENT_SEQ) {
    throw new MalformedError(`an announcement of number ${seq}, which leaves no room for those after it`)
  }

  return { seq, full: readFlag(reader), on: readTopics(reader), off: readTopics(reader) }
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

// messages that leave together over relays, signed together

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
  writeKeys(writer, to)
  writer.list(messages, ({ seq, data }) => writer.uvarint(seq).bytes(data))
  return writer.finish()
}

export function decodeBundle (content: Uint8Array): Bundle {
  const reader = new Reader(content)
  return {
    wantsAck: (reader.byte() & WANTS_ACK) !== 0,
    topic: readTopic(reader),
    to: readKeys(reader, limits.MAX_DESTINATIONS),
    messages: reader.list(limits.BUNDLE_MESSAGES, () => ({ seq: reader.uvarint(), data: reader.bytes() }))
  }
}

/** The topic of a bundle, without the rest of it */
export function topicOfBundle (content: Uint8Array): string {
  return readTopic(new Reader(content, 1))
}

// parcels

/** How an envelope travels: what relays read and change */
export interface Parcel {
  /** The relays that it crossed, by `traceOf` */
  trace: number[]
  lane: Lane
  destinations: Key[]
  envelope: Uint8Array
}

/** A few bytes of a relay's id. Relays that share them are passed over for each other: another way is taken, or none */
export function traceOf (relay: Key): number {
  return bytesOfKey(relay.slice(-TRACE_BYTES)).reduce((trace, byte) => trace * 256 + byte, 0)
}

export function encodeParcel ({ trace, lane, destinations, envelope }: Parcel): Frame {
  const writer = new Writer(64 + trace.length * 5 + destinations.length * 40).byte(lane)
  writer.list(trace, relay => writer.uvarint(relay))
  writeKeys(writer, destinations)
  const head = writer.finish()
  return encodeFrame(Kind.PARCEL, head.byteLength, (target, offset) => { target.set(head, offset) }, envelope)
}

export function decodeParcel (body: Uint8Array): Parcel {
  const reader = new Reader(body)

  return {
    lane: readLane(reader),
    trace: reader.list(limits.HOP_LIMIT, () => reader.uvarint()),
    destinations: readKeys(reader, limits.MAX_DESTINATIONS),
    envelope: reader.rest()
  }
}

// receipts

/**
 * What became of a message at a destination, in the destination's own words; or on the way there, in a relay's.
 * - acked: the user was handed it, now or before
 * - undecided: a validator has not decided yet
 * - rejected, ignored: a validator's verdict
 * - not-subscribed: the destination is not on the topic
 * - too-late: it was overtaken by so many others that nobody knows any more whether it came before
 * - past-life: it is of a life of its origin that is over
 * - congested: the destination has too much to decide already, or a relay has too much for that destination
 * - unreachable: a relay knows no way
 */
const STATUSES: readonly ReceiptStatus[] = [
  'acked', 'undecided', 'rejected', 'ignored', 'not-subscribed', 'too-late', 'past-life', 'congested', 'unreachable'
]

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
  const writer = new Writer().byte(STATUSES.indexOf(status)).bytes(bytesOfKey(of)).uvarint(epoch).string(topic)
  writer.list(seqs, seq => writer.uvarint(seq))
  writeKeys(writer, about)
  return writer.finish()
}

export function encodeReceiptFrame (receipt: Receipt): Frame {
  return frameOf(Kind.RECEIPT, encodeReceipt(receipt))
}

export function decodeReceipt (content: Uint8Array): Receipt {
  const reader = new Reader(content)
  const status = STATUSES[reader.byte()]

  if (status == null) {
    throw new MalformedError('a receipt of an unknown status')
  }

  return {
    status,
    of: readKey(reader),
    epoch: reader.uvarint(),
    topic: readTopic(reader),
    seqs: distinct(reader.list(limits.MAX_SEQS, () => reader.uvarint())),
    about: readKeys(reader, limits.MAX_DESTINATIONS)
  }
}

// what has left a relay for destinations behind it

export function encodeFlows (flows: Flow[]): Frame {
  const writer = new Writer()
  writer.list(flows, ({ to, lane, bytes }) => writer.byte(lane).bytes(bytesOfKey(to)).uvarint(bytes))
  return frameOf(Kind.FLOW, writer.finish())
}

export function decodeFlows (body: Uint8Array): Flow[] {
  const reader = new Reader(body)
  return reader.list(limits.MAX_DESTINATIONS, () => ({
    lane: readLane(reader), to: readKey(reader), bytes: reader.uvarint()
  }))
}
