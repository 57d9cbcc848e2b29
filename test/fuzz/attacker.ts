import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { CONTROL_PROTOCOL, DATA_PROTOCOL } from '../../src/link/constants.ts'
import { FrameParser, frameOf, Kind } from '../../src/link/core/frames.ts'
import { encodeAttach, encodeHello } from '../../src/link/session.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import { Sealer } from '../../src/pubsub/seal.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { eventually, track } from '../fixtures/directsub.ts'
import { bytesOf } from './corpus.ts'
import type { Frame } from '../../src/link/core/frames.ts'
import type { Key } from '../../src/pubsub/core/types.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { Connection, Libp2p, PeerId, PrivateKey, Stream } from '@libp2p/interface'

/** Keys of peers whose ids are in order: of two neighbours the one with the smaller id opens the streams */
export async function keysInOrder (count: number): Promise<PrivateKey[]> {
  const keys = await Promise.all(Array.from({ length: count }, async () => generateKeyPair('Ed25519')))
  return keys.sort((a, b) => peerIdFromPrivateKey(a).toString() < peerIdFromPrivateKey(b).toString() ? -1 : 1)
}

export interface Session {
  control: Stream
  data: Stream
  /** Requests that were answered: what was sent on control before such a one has been dealt with */
  answers: Set<number>
  /** Kinds of all frames that came, and how often */
  kinds: Map<number, number>
  isOpen(): boolean
}

/**
 * A peer that speaks the two protocols by hand, and says whatever a test wants it to say.
 */
export class Attacker {
  readonly node: Libp2p
  readonly key: Key
  readonly sealer: Sealer
  readonly epoch = 1
  #connection?: Connection
  #sessions = 0
  #requests = 0

  private constructor (node: Libp2p, privateKey: PrivateKey) {
    this.node = node
    this.key = keyOf(node.peerId)
    this.sealer = new Sealer(privateKey)
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
  async open (victim: Sheaf, isRelay = true): Promise<Session> {
    this.#connection ??= await this.node.dial(victim.getMultiaddrs())
    const [control, data] = await Promise.all([CONTROL_PROTOCOL, DATA_PROTOCOL].map(async protocol => (this.#connection as Connection).newStream(protocol)))
    const session: Session = {
      control, data, answers: new Set(), kinds: new Map(), isOpen: () => control.status === 'open' && data.status === 'open'
    }
    const parser = new FrameParser(10_000_000, (kind, body) => {
      session.kinds.set(kind, (session.kinds.get(kind) ?? 0) + 1)
      if (kind === wire.Kind.GOSSIP) {
        wire.decodeGossip(body).answers.forEach(id => { session.answers.add(id) })
      }
    })
    control.addEventListener('message', ({ data }) => { parser.push(data.subarray()) })
    const number = ++this.#sessions
    const greeting = wire.encodeGreeting({ epoch: this.epoch, isRelay })
    control.send(bytesOf(frameOf(Kind.HELLO, encodeHello({ session: number, window: 4_194_304, maxFrame: 1_310_720, greeting }))))
    data.send(encodeAttach(number))
    await eventually('no hello came', () => session.kinds.has(Kind.HELLO) || !session.isOpen())
    return session
  }

  /** Sends what it can: the other side may hang up at any moment */
  send (stream: Stream, bytes: Uint8Array | Frame): void {
    if (stream.status === 'open' && stream.writeStatus === 'writable') {
      stream.send(bytes instanceof Uint8Array ? bytes : bytesOf(bytes))
    }
  }

  /** Waits until all that was sent on control has been dealt with, or the session is over */
  async fence (session: Session): Promise<void> {
    const id = ++this.#requests
    this.send(session.control, wire.encodeGossip({ ack: 0, announcements: [], requests: [{ id, topic: 'fence' }], answers: [], lost: [] }))
    await eventually('no answer came', () => session.answers.has(id) || !session.isOpen())
  }

  /** Announcements, of whomever */
  announce (session: Session, announcements: Array<{ hops: number, sealed: Uint8Array }>): void {
    this.send(session.control, wire.encodeGossip({ ack: 0, announcements, requests: [], answers: [], lost: [] }))
  }
}
