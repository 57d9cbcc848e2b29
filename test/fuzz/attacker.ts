import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { encodeHello } from '../../src/link/channel.ts'
import { PROTOCOL } from '../../src/link/constants.ts'
import { FrameParser, frameOf, Kind } from '../../src/link/core/frames.ts'
import { EnvelopeType, Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { Reader } from '../../src/runtime/codec.ts'
import { SILENCE } from '../fixtures/core.ts'
import { eventually, track } from '../fixtures/directsub.ts'
import { bytesOf } from './corpus.ts'
import type { Frame } from '../../src/link/core/frames.ts'
import type { Announcement, Key } from '../../src/pubsub/core/types.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { Connection, Libp2p, PeerId, PrivateKey, Stream } from '@libp2p/interface'

/** Keys of peers whose ids are in order: of two neighbours the one with the smaller id opens the streams */
export async function keysInOrder (count: number): Promise<PrivateKey[]> {
  const keys = await Promise.all(Array.from({ length: count }, async () => generateKeyPair('Ed25519')))
  return keys.sort((a, b) => peerIdFromPrivateKey(a).toString() < peerIdFromPrivateKey(b).toString() ? -1 : 1)
}

export interface Session {
  stream: Stream
  /** Requests that were answered: what was sent before such a one has been dealt with */
  answers: Set<number>
  /** Kinds of all frames that came, and how often */
  kinds: Map<number, number>
  /** Bytes that the other side said it has dealt with */
  granted: number
  isOpen(): boolean
}

/**
 * A peer that speaks the protocol by hand, and says whatever a test wants it to say.
 */
export class Attacker {
  readonly node: Libp2p
  readonly key: Key
  readonly signer: Signer
  readonly epoch = 1
  #connection?: Connection
  #sessions = 0
  #requests = 0

  private constructor (node: Libp2p, privateKey: PrivateKey) {
    this.node = node
    this.key = keyOf(node.peerId)
    this.signer = new Signer(privateKey)
  }

  static async create (privateKey: PrivateKey): Promise<Attacker> {
    const node = await createLibp2p({
      privateKey,
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionMonitor: { enabled: false },
      services: { identify: identify() }
    })
    return new Attacker(track(node) as Libp2p, privateKey)
  }

  get peerId (): PeerId {
    return this.node.peerId
  }

  async stop (): Promise<void> {
    await this.node.stop()
  }

  /** A session as an honest opener begins it */
  async open (victim: Pick<Sheaf, 'getMultiaddrs'>, isRelay = true): Promise<Session> {
    this.#connection ??= await this.node.dial(victim.getMultiaddrs())
    const stream = await this.#connection.newStream(PROTOCOL)
    const session: Session = { stream, answers: new Set(), kinds: new Map(), granted: 0, isOpen: () => stream.status === 'open' }
    const parser = new FrameParser(10_000_000, (kind, body) => {
      session.kinds.set(kind, (session.kinds.get(kind) ?? 0) + 1)
      if (kind === wire.Kind.GOSSIP) {
        wire.decodeGossip(body).answers.forEach(id => { session.answers.add(id) })
      } else if (kind === Kind.CREDIT) {
        session.granted = new Reader(body).uvarint()
      }
    })
    stream.addEventListener('message', ({ data }) => { parser.push(data.subarray()) })
    // a life of its own each time: it never asks for what it has missed
    const life = ++this.#sessions
    const greeting = wire.encodeGreeting({ epoch: this.epoch, isRelay })
    stream.send(bytesOf(frameOf(Kind.HELLO, encodeHello({ channel: 1, life, of: 0, received: 0, from: 0, window: 4_194_304, maxFrame: 1_310_720, greeting }))))
    await eventually('no hello came', () => session.kinds.has(Kind.HELLO) || !session.isOpen())
    return session
  }

  /** Sends what it can: the other side may hang up at any moment */
  send ({ stream }: Session, bytes: Uint8Array | Frame): void {
    if (stream.status === 'open' && stream.writeStatus === 'writable') {
      stream.send(bytes instanceof Uint8Array ? bytes : bytesOf(bytes))
    }
  }

  /** Waits until all that was sent has been dealt with, or the session is over */
  async fence (session: Session): Promise<void> {
    const id = ++this.#requests
    this.send(session, wire.encodeGossip({ ...SILENCE, updates: [], requests: [{ id, topic: 'fence' }] }))
    await eventually('no answer came', () => session.answers.has(id) || !session.isOpen())
  }

  /** Ways and announcements, of whomever */
  tell (session: Session, updates: wire.WireUpdate[]): void {
    this.send(session, wire.encodeGossip({ ...SILENCE, updates }))
  }

  /** What it says of itself */
  async announce (session: Session, announcement: Pick<Announcement, 'seq' | 'full' | 'on'>): Promise<void> {
    const content = wire.encodeAnnouncement({ origin: this.key, epoch: this.epoch, off: [], ...announcement })
    const bytes = await this.signer.sign(this.epoch, EnvelopeType.ANNOUNCEMENT, content)
    this.tell(session, [{ origin: this.key, epoch: this.epoch, seq: announcement.seq, hops: 0, announcements: [bytes] }])
  }
}
