import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { encodeHello } from '../../src/link/channel.ts'
import { encodeFrame, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/index.ts'
import { EnvelopeType, Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { Author } from '../../src/replication/documents.ts'
import { encodeMessage } from '../../src/replication/wire.ts'
import * as transfers from '../../src/transfer/wire.ts'
import { SILENCE } from '../fixtures/core.ts'
import { MESSAGES } from '../fixtures/replication-v1.ts'
import type { Frame } from '../../src/link/core/frames.ts'

/** Something valid of every kind, several of most, to make broken ones of */
export interface Corpus {
  /** What goes by the stream, whole */
  frames: Uint8Array[]
  hellos: Uint8Array[]
  greetings: Uint8Array[]
  gossips: Uint8Array[]
  announcements: Uint8Array[]
  messages: Uint8Array[]
  parcels: Uint8Array[]
  envelopes: Uint8Array[]
  bundles: Uint8Array[]
  receipts: Uint8Array[]
  flows: Uint8Array[]
  /** What peers of a log say to each other, and what they say they keep of the log whose hash is LOG_HASH */
  logMessages: Uint8Array[]
  documents: Uint8Array[]
  /** What peers say to each other about a transfer */
  transferMessages: Uint8Array[]
}

const ID = new Uint8Array(16).fill(9)
const ROOT = new Uint8Array(32).fill(8)
const TRANSFER_MESSAGES: transfers.Message[] = [
  { type: 'offer', id: ID, terms: { size: 2 ** 33, root: ROOT, protocol: 'photos', meta: new Uint8Array(20) } },
  { type: 'offer', id: ID, terms: { protocol: '', meta: new Uint8Array() } },
  { type: 'status', id: ID, status: { number: 3, echo: 2 ** 40, horizon: 300_000, wanted: [{ from: 0, to: 9 }, { from: 100, to: 70_000 }] } },
  { type: 'status', id: ID, status: { number: 1, echo: 0, horizon: 0, wanted: [] } },
  { type: 'data', id: ID, offset: 131_072, bytes: new Uint8Array(300) },
  { type: 'probe', id: ID, question: 5 },
  { type: 'probe', id: ID, question: 5, end: { size: 2 ** 53 - 1, root: ROOT } },
  { type: 'end', id: ID, isSender: true, reason: transfers.EndReason.SOURCE },
  { type: 'end', id: ID, isSender: false, reason: transfers.EndReason.DONE }
]

/** What a kind of frame is made of */
export const SOURCES: Array<[number, keyof Corpus]> = [
  [wire.Kind.GOSSIP, 'gossips'], [wire.Kind.RECEIPT, 'receipts'], [wire.Kind.FLOW, 'flows'],
  [wire.Kind.PARCEL, 'parcels'], [wire.Kind.MESSAGE, 'messages'], [200, 'messages'], [13, 'messages']
]

/** What ends a channel at once */
export const DEADLY: Array<[number, keyof Corpus]> = [[Kind.HELLO, 'hellos'], [Kind.CREDIT, 'greetings'], [Kind.PIECE, 'frames']]

export const LOG_HASH = new Uint8Array(32).fill(7)

export function bytesOf ({ head, body }: Frame): Uint8Array {
  return concat(body == null ? [head] : [head, body])
}

/** The body of a frame: without its length and its kind */
export function bodyOf (frame: Frame): Uint8Array {
  const bytes = bytesOf(frame)
  return bytes.subarray(bytes.findIndex(byte => byte < 0x80) + 2)
}

export async function makeCorpus (topic: string): Promise<Corpus> {
  const keys = await Promise.all(['Ed25519', 'secp256k1', 'RSA'].map(async type => generateKeyPair(type as 'Ed25519')))
  const peers = keys.map(({ publicKey }) => keyOf(peerIdFromPublicKey(publicKey)))
  const [a, b] = peers
  const greetings = [{ epoch: 1, isRelay: true }, { epoch: 1_700_000_000_000, isRelay: false }].map(wire.encodeGreeting)
  const announcement = { origin: a, epoch: 1, seq: 3, full: true, on: [topic, 'b', 'ä'], off: [] }
  const announcements = [announcement, { ...announcement, full: false, on: [], off: ['x', topic] }].map(wire.encodeAnnouncement)
  const bundle: wire.Bundle = { topic, to: [], wantsAck: true, messages: [0, 1, 2].map(seq => ({ seq, data: new Uint8Array(20) })) }
  const bundles = [bundle, { ...bundle, to: peers, messages: [] }].map(wire.encodeBundle)
  const receipt: wire.Receipt = { status: 'acked', of: b, epoch: 1, topic, seqs: [1, 2, 300, 70_000], about: [] }
  const receipts = [receipt, { ...receipt, status: 'unreachable' as const, about: peers }].map(wire.encodeReceipt)
  const contents: Array<[EnvelopeType, Uint8Array[]]> = [[EnvelopeType.ANNOUNCEMENT, announcements], [EnvelopeType.BUNDLE, bundles], [EnvelopeType.RECEIPT, receipts]]
  const signers = keys.map(key => new Signer(key))
  const envelopes = await Promise.all(signers.flatMap(signer => contents.flatMap(([type, contents]) => contents.map(async content => signer.sign(1, type, content)))))
  const version = { epoch: 1, seq: 3, hops: 1 }
  const gossipFrames = [
    { ...SILENCE, updates: [{ origin: a, ...version, announcements: envelopes.slice(0, 2) }, { origin: b, ...version, announcements: [] }] },
    { ack: 5, updates: [], lost: peers, wanted: peers.map(origin => ({ origin, ...version })), requests: [{ id: 1, topic }, { id: 0, topic: 'b' }], answers: [1, 2] }
  ].map(wire.encodeGossip)
  const messageFrames = [wire.encodeMessage(topic, 1, new Uint8Array(100), true), wire.encodeMessage('another', 2 ** 33, new Uint8Array(0), false)]
  const parcelFrames = envelopes.slice(0, 6).map((envelope, i) => wire.encodeParcel({
    trace: [1, 2 ** 32 - 1, 7].slice(i % 3), lane: Object.values(Lane)[i % 4], destinations: peers.slice(i % 3), envelope
  }))
  const flowFrames = peers.map((to, i) => wire.encodeFlows([{ to, lane: i % 4, bytes: 100_000 * i }, { to, lane: 0, bytes: 1 }]))
  const hellos = greetings.map(greeting => encodeHello({ channel: 1, life: 7, of: 2 ** 40, received: 100, from: 50, window: 4_194_304, maxFrame: 1_310_720, greeting }))
  const documents = await Promise.all(keys.map(async key => documentsOf(new Signer(key))))
  const piece = encodeFrame(Kind.PIECE, 1, (target, at) => { target[at] = 1 }, bytesOf(messageFrames[0]).subarray(0, 50))

  return {
    hellos,
    greetings,
    announcements,
    envelopes,
    bundles,
    receipts,
    gossips: gossipFrames.map(bodyOf),
    messages: messageFrames.map(bodyOf),
    parcels: parcelFrames.map(bodyOf),
    flows: flowFrames.map(bodyOf),
    logMessages: [...MESSAGES.map(({ bytes }) => fromString(bytes, 'base16')), encodeMessage({ type: 'hello', isAsking: true, documents: documents.flat() })],
    documents: documents.flat(),
    transferMessages: TRANSFER_MESSAGES.map(transfers.encodeMessage),
    frames: [
      ...[...gossipFrames, ...messageFrames, ...parcelFrames, ...flowFrames, piece].map(bytesOf),
      ...receipts.map(receipt => bytesOf(frameOf(wire.Kind.RECEIPT, receipt))),
      ...hellos.map(hello => bytesOf(frameOf(Kind.HELLO, hello)))
    ]
  }
}

/** Three, of which each says more or less than the one before */
async function documentsOf (signer: Signer): Promise<Uint8Array[]> {
  const author = new Author(signer, LOG_HASH, 1_700_000_000_000)
  const segments = [0, 1, 2, 3, 4].map(i => ({ from: (2 ** 32 - 7 + i * 2 ** 20) % 2 ** 32, width: 1 + 2 ** 15 * i }))
  const said = await Promise.all([segments.slice(0, 3), segments.slice(0, 4), segments.slice(1)].map(async some => author.say(some)))
  return said.filter(bytes => bytes != null)
}
