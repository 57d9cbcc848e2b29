import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { MemoryDatastore } from 'datastore-core'
import { TypedEventEmitter } from 'main-event'
import { encodeHello } from '../../src/link/channel.ts'
import { PROTOCOL, RECEIVE_WINDOW } from '../../src/link/constants.ts'
import { FrameParser, frameOf, Kind } from '../../src/link/core/frames.ts'
import { DirectSub } from '../../src/pubsub/direct-sub.ts'
import { Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { Reader } from '../../src/runtime/codec.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { bytesOf } from '../fuzz/corpus.ts'
import { Clockwork, WireStream } from '../link/wires.ts'
import type { DirectSubInit, Message } from '../../src/index.ts'
import type { Frame } from '../../src/link/core/frames.ts'
import type { Key } from '../../src/pubsub/core/types.ts'
import type { Connection, Libp2pEvents, PeerId, PrivateKey, StreamHandler, Topology } from '@libp2p/interface'

/** Milliseconds that everything takes over a connection */
const LATENCY = 1
/** Milliseconds between two looks at a condition */
const LOOK = 5

/** One end of a connection */
interface End {
  id: string
  remotePeer: PeerId
  status: 'open' | 'closed'
  timeline: { open: number }
  streams: WireStream[]
  newStream (): Promise<WireStream>
  abort (): void
}

/** Anything that has connections */
interface Station {
  peerId: PeerId
  ends: End[]
  onConnect (end: End): void
  onDisconnect (end: End): void
  onStream (stream: WireStream, end: End): void
}

/** Bytes a second each way, and what is done to the bytes that one side sends */
export interface LineInit {
  rate?: number
  tamper? (from: Key, bytes: Uint8Array): Uint8Array
}

/**
 * Whole DirectSubs, with the link and real signatures, under a virtual clock: time that passes is time on the wire, work takes none.
 */
export class Shells {
  readonly clock = new Clockwork()
  readonly #seed: number
  #started = 0

  constructor (seed: number) {
    this.#seed = seed
  }

  async peer (init: DirectSubInit = {}): Promise<ShellPeer> {
    const peer = new ShellPeer(await generateKeyPair('Ed25519'), { clock: this.clock, random: seededRandom(this.#seed * 1000 + this.#started++), ...init })
    await this.settle(peer.pubsub.start())
    return peer
  }

  /** One that opens the streams to `victim`, as the smaller id has to */
  async stranger (victim: ShellPeer): Promise<Stranger> {
    for (;;) {
      const key = await generateKeyPair('Ed25519')

      if (peerIdFromPrivateKey(key).toString() < victim.peerId.toString()) {
        return new Stranger(key)
      }
    }
  }

  /** Returns what cuts it */
  connect (one: Station, other: Station, { rate, tamper }: LineInit = {}): () => void {
    const { clock } = this
    const id = `${one.peerId} ${other.peerId} ${clock.now()}`
    const ends: End[] = []
    const cut = (): void => {
      for (const [station, end] of [[one, ends[0]], [other, ends[1]]] as Array<[Station, End]>) {
        if (end.status === 'open') {
          end.status = 'closed'
          end.streams.forEach(stream => { stream.onTransportClosed(new Error('The connection is gone')) })
          station.ends = station.ends.filter(other => other !== end)
          clock.after(LATENCY, () => { station.onDisconnect(end) })
        }
      }
    }
    const open = async (near: Station, far: Station, i: number): Promise<WireStream> => {
      const streams = [near, far].map(({ peerId }, j) => {
        const stream = new WireStream(clock, j === 0 ? 'outbound' : 'inbound', rate)
        return tamper == null ? stream : tampered(stream, bytes => tamper(keyOf(peerId), bytes))
      })
      streams[0].other = streams[1]
      streams[1].other = streams[0]
      ends[i].streams.push(streams[0])
      ends[1 - i].streams.push(streams[1])
      clock.after(LATENCY, () => { far.onStream(streams[1], ends[1 - i]) })
      return streams[0]
    }

    for (const [i, near, far] of [[0, one, other], [1, other, one]] as Array<[0 | 1, Station, Station]>) {
      ends.push({ id, remotePeer: far.peerId, status: 'open', timeline: { open: clock.now() }, streams: [], newStream: async () => open(near, far, i), abort: cut })
      near.ends.push(ends[i])
    }
    for (const [station, end] of [[one, ends[0]], [other, ends[1]]] as Array<[Station, End]>) {
      clock.after(LATENCY, () => { station.onConnect(end) })
    }

    return cut
  }

  /** Lets time pass until something holds; throws if it does not within so many milliseconds */
  async until (what: string, holds: () => boolean, most = 30_000): Promise<number> {
    const began = this.clock.now()

    while (!holds()) {
      if (this.clock.now() - began > most) {
        throw new Error(`${most} ms passed in vain: ${what}`)
      }
      await this.clock.run(LOOK)
    }

    return this.clock.now() - began
  }

  /** Lets time pass until it is done */
  async settle (work: Promise<unknown>): Promise<void> {
    let isDone = false
    void work.finally(() => { isDone = true })
    await this.until('it is not done', () => isDone)
    await work
  }
}

/** A node as `createLibp2p` would make it, of which there is only as much as DirectSub asks for */
export class ShellPeer implements Station {
  readonly peerId: PeerId
  readonly key: Key
  readonly pubsub: DirectSub
  ends: End[] = []
  readonly messages: Message[] = []
  readonly #events = new TypedEventEmitter<Libp2pEvents>()
  #topology?: Topology
  #handler?: StreamHandler

  constructor (privateKey: PrivateKey, init: DirectSubInit) {
    this.peerId = peerIdFromPrivateKey(privateKey)
    this.key = keyOf(this.peerId)
    const components: any = {
      privateKey,
      peerId: this.peerId,
      events: this.#events,
      logger: defaultLogger(),
      datastore: new MemoryDatastore(),
      connectionManager: { getConnections: (peerId?: PeerId) => this.ends.filter(({ remotePeer }) => peerId == null || remotePeer.equals(peerId)) },
      peerStore: { get: async () => ({ protocols: [PROTOCOL] }) },
      registrar: {
        handle: async (_: string, handler: StreamHandler) => { this.#handler = handler },
        unhandle: async () => {},
        register: async (_: string, topology: Topology) => { this.#topology = topology },
        unregister: () => {}
      }
    }
    this.pubsub = new DirectSub(components, init)
    this.pubsub.addEventListener('message', ({ detail }) => { this.messages.push(detail) })
  }

  onConnect (end: End): void {
    this.#events.dispatchEvent(new CustomEvent('connection:open', { detail: end as unknown as Connection }))
    this.#topology?.onConnect?.(end.remotePeer, end as unknown as Connection)
  }

  onDisconnect (end: End): void {
    this.#events.dispatchEvent(new CustomEvent('connection:close', { detail: end as unknown as Connection }))
  }

  onStream (stream: WireStream, end: End): void {
    void this.#handler?.(stream, end as unknown as Connection)
  }

  knows (topic: string, ...others: Array<{ peerId: PeerId }>): boolean {
    const known = this.pubsub.getSubscribers(topic)
    return others.every(({ peerId }) => known.some(other => other.equals(peerId)))
  }

  /** What this node says of a neighbour */
  about ({ peerId }: { peerId: PeerId }): Record<string, unknown> | undefined {
    return this.pubsub.diagnostics().peers.find(peer => peer.peerId.equals(peerId))
  }
}

/** One that speaks the protocol by hand, within its credit */
export class Stranger implements Station {
  readonly peerId: PeerId
  readonly key: Key
  readonly signer: Signer
  ends: End[] = []
  /** What it was told, as it came */
  readonly gossips: wire.WireGossip[] = []
  #stream?: WireStream
  #granted = 0
  #sent = 0
  isUp = false

  constructor (privateKey: PrivateKey) {
    this.peerId = peerIdFromPrivateKey(privateKey)
    this.key = keyOf(this.peerId)
    this.signer = new Signer(privateKey)
  }

  onConnect (end: End): void {
    const parser = new FrameParser(10_000_000, (kind, body) => {
      if (kind === Kind.HELLO) {
        this.isUp = true
      } else if (kind === Kind.CREDIT) {
        this.#granted = new Reader(body).uvarint()
      } else if (kind === wire.Kind.GOSSIP) {
        this.gossips.push(wire.decodeGossip(body.slice()))
      }
    })
    const greeting = wire.encodeGreeting({ epoch: 1, isRelay: true })
    const hello = encodeHello({ channel: 1, life: 1, of: 0, received: 0, from: 0, window: RECEIVE_WINDOW, maxFrame: 1_310_720, greeting })
    void end.newStream().then(stream => {
      this.#stream = stream
      stream.addEventListener('message', ({ data }) => { parser.push(data.subarray()) })
      stream.send(bytesOf(frameOf(Kind.HELLO, hello)))
    })
  }

  onDisconnect (): void {}
  onStream (): void {}

  /** Bytes that it may send now */
  get left (): number {
    return this.#granted + RECEIVE_WINDOW - this.#sent
  }

  /** False: it has no credit for it, or is not listened to */
  send (frame: Frame): boolean {
    if (this.#stream?.writeStatus !== 'writable' || frame.bytes > this.left) {
      return false
    }

    this.#sent += frame.bytes
    this.#stream.send(bytesOf(frame))
    return true
  }
}

function tampered (stream: WireStream, tamper: (bytes: Uint8Array) => Uint8Array): WireStream {
  const sendData = stream.sendData.bind(stream)
  stream.sendData = data => {
    const changed = data.sublist(0)
    changed.write(tamper(data.slice()), 0)
    return sendData(changed)
  }
  return stream
}
