import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { AbstractStream } from '@libp2p/utils'
import { stubInterface } from 'sinon-ts'
import { decodeHello } from '../../src/link/channel.ts'
import { NEWCOMERS } from '../../src/link/constants.ts'
import { FrameParser, Kind } from '../../src/link/core/frames.ts'
import { Newcomers } from '../../src/link/core/newcomers.ts'
import { Neighbour } from '../../src/link/neighbour.ts'
import { LruMap } from '../../src/runtime/bounded.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Hello } from '../../src/link/channel.ts'
import type { NeighbourHandlers, Penalty } from '../../src/link/neighbour.ts'
import type { AbortOptions, Connection, PeerId, Stream } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'

const log = defaultLogger().forComponent('test:link')

/** Milliseconds of the virtual clock that everything takes from one end to the other */
const LATENCY = 1
/** Bytes that a slow wire takes at a time */
const WIRE_BUFFER = 65_536

/** One end of a stream under the virtual clock */
export class WireStream extends AbstractStream {
  readonly #clock: Clockwork
  /** Bytes a second */
  readonly #rate: number
  /** When what was sent last has gone through */
  #freeAt = 0
  other?: WireStream
  /** The other side reads nothing */
  isStuck = false
  /** After so many bytes it will be stuck */
  room = Infinity
  /** Called with what is sent */
  onSent?: (bytes: Uint8Array) => void

  constructor (clock: Clockwork, direction: 'inbound' | 'outbound', rate = Infinity) {
    super({ log, id: direction, protocol: 'direct-sub', direction })
    this.#clock = clock
    this.#rate = rate
  }

  unstick (): void {
    this.isStuck = false
    this.safeDispatchEvent('drain')
  }

  sendData (data: Uint8ArrayList): SendResult {
    if (this.isStuck) {
      return { sentBytes: 0, canSendMore: false }
    }

    this.onSent?.(data.slice())
    // as much as a muxer's window, so that a slow wire is not filled at once
    const bytes = data.sublist(0, this.#rate === Infinity ? data.byteLength : Math.min(WIRE_BUFFER, data.byteLength)).slice()
    this.#freeAt = Math.max(this.#freeAt, this.#clock.now()) + bytes.byteLength * 1000 / this.#rate
    this.#clock.after(this.#freeAt - this.#clock.now() + LATENCY, () => {
      if (this.other?.status === 'open') {
        this.other.onData(bytes)
      }
    })
    this.room -= bytes.byteLength
    this.isStuck = this.room <= 0

    if (this.#rate < Infinity) {
      this.isStuck = true
      this.#clock.after(this.#freeAt - this.#clock.now(), () => { this.unstick() })
    }

    return { sentBytes: bytes.byteLength, canSendMore: !this.isStuck }
  }

  sendReset (): void {
    this.#later(other => { other.onRemoteReset() })
  }

  async sendCloseWrite (options?: AbortOptions): Promise<void> {
    options?.signal?.throwIfAborted()
    this.#later(other => { other.onRemoteCloseWrite() })
  }

  async sendCloseRead (): Promise<void> {}
  sendPause (): void {}
  sendResume (): void {}

  #later (then: (other: WireStream) => void): void {
    this.#clock.after(LATENCY, () => {
      if (this.other?.status === 'open') {
        then(this.other)
      }
    })
  }
}

/** A virtual clock that lets promises run between its alarms */
export class Clockwork extends VirtualClock {
  async run (ms: number): Promise<void> {
    const until = this.now() + ms

    do {
      await new Promise<void>(resolve => { systemClock.soon(resolve) })
    } while (this.step(until))

    this.advance(until - this.now())
  }
}

interface Side {
  neighbour: Neighbour
  peerId: PeerId
  /** Another object for the same peer, as after its last connection went and came */
  again (): void
  ups: number
  downs: number
  frames: Array<{ kind: number, body: Uint8Array, bytes: number }>
}

interface WireConnection {
  id: string
  opener: Connection
  other: Connection
  /** Both ends of each stream, in the order in which they were opened */
  streams: WireStream[]
}

/** Two neighbours, and all connections between them */
export class Wires {
  readonly clock = new Clockwork()
  readonly connections: WireConnection[] = []
  readonly opener: Side
  readonly other: Side
  /** Milliseconds until the other side is told of a stream */
  delay = 0
  /** Bytes a second that go through a stream */
  rate = Infinity
  /** What keeps streams from being opened at all */
  isBroken = false
  /** Called with each end of a stream when it was negotiated, before its side has it */
  onNegotiated?: (stream: WireStream) => void
  /** How often the opener tried */
  tries = 0
  /** What was said first on each stream, the opener's hello before the other one's */
  readonly hellos: Hello[] = []

  static async create (slowAfter = 5000): Promise<Wires> {
    const keys = await Promise.all([1, 2].map(async () => generateKeyPair('Ed25519')))
    const [a, b] = keys.map(key => peerIdFromPrivateKey(key))
    return new Wires(a, b, slowAfter)
  }

  private constructor (a: PeerId, b: PeerId, slowAfter: number) {
    this.opener = this.#side(true, b, slowAfter)
    this.other = this.#side(false, a, slowAfter)
  }

  /** A new connection; the newest is the best */
  connect (): WireConnection {
    const id = `connection ${this.connections.length + this.tries}`
    const [opener, other] = ['opener', 'other'].map(side => stubInterface<Connection>({ id: `${id} of ${side}`, status: 'open' }))
    const connection: WireConnection = { id, opener, other, streams: [] }
    opener.abort.callsFake(() => { this.disconnect(connection) })
    other.abort.callsFake(() => { this.disconnect(connection) })
    this.connections.unshift(connection)
    this.#update()
    return connection
  }

  disconnect (connection: WireConnection): void {
    this.connections.splice(this.connections.indexOf(connection), 1)
    connection.streams.forEach(stream => { stream.onTransportClosed(new Error('The connection is gone')) })
    this.#update()
  }

  #update (): void {
    this.opener.neighbour.update()
    this.other.neighbour.update()
  }

  #side (isOpener: boolean, peerId: PeerId, slowAfter: number): Side {
    const penalties = new LruMap<string, Penalty>(16)
    const handlers: NeighbourHandlers = {
      greet: () => Uint8Array.of(isOpener ? 1 : 2),
      onUp: () => { side.ups++ },
      onDown: () => { side.downs++ },
      onFrame: (_, kind, body, bytes) => { side.frames.push({ kind, body, bytes }) },
      onArrive: () => {},
      onLeave: () => {}
    }
    const newcomers = new Newcomers(NEWCOMERS, this.clock.now())
    const make = (): Neighbour => new Neighbour(peerId, isOpener, {
      penalties,
      newcomers,
      handlers,
      log,
      slowAfter,
      clock: this.clock,
      random: seededRandom(isOpener ? 1 : 2),
      maxFrame: 1_000_000,
      laneCapacity: 500_000,
      connections: () => this.connections.map(({ opener, other }) => isOpener ? opener : other),
      openStream: async (connection, signal) => this.#open(connection.id, signal)
    })
    const side: Side = {
      neighbour: make(),
      peerId,
      again: () => {
        void side.neighbour.stop({ signal: AbortSignal.abort() })
        side.neighbour = make()
      },
      ups: 0,
      downs: 0,
      frames: []
    }
    return side
  }

  async #open (id: string, signal: AbortSignal): Promise<Stream> {
    this.tries++
    signal.throwIfAborted()
    const connection = this.connections.find(({ opener }) => opener.id === id)

    if (this.isBroken || connection == null) {
      throw new Error('It cannot be opened')
    }

    const { clock } = this
    const [near, far] = (['outbound', 'inbound'] as const).map(direction => new WireStream(clock, direction, this.rate))
    near.other = far
    far.other = near
    connection.streams.push(near, far)
    for (const stream of [near, far]) {
      stream.onSent = bytes => {
        stream.onSent = undefined
        new FrameParser(70_000, (kind, body) => { this.hellos.push(...kind === Kind.HELLO ? [decodeHello(body)] : []) }).push(bytes)
      }
    }
    [near, far].forEach(stream => this.onNegotiated?.(stream))
    clock.after(LATENCY + this.delay, () => { this.other.neighbour.accept(connection.other, far) })
    return near
  }
}
