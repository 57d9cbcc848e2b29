import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { AbstractStream } from '@libp2p/utils'
import { stubInterface } from 'sinon-ts'
import { Link } from '../../src/link/link.ts'
import { decodeAttach } from '../../src/link/session.ts'
import { LruMap } from '../../src/runtime/bounded.ts'
import { systemClock, VirtualClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import type { LinkHandlers } from '../../src/link/link.ts'
import type { AbortOptions, Connection, PeerId, Stream } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'

const log = defaultLogger().forComponent('test:link')

/** Milliseconds of the virtual clock that everything takes from one end to the other */
const LATENCY = 1

/** One end of a stream under the virtual clock */
export class WireStream extends AbstractStream {
  readonly #clock: Clockwork
  other?: WireStream
  /** The other side reads nothing */
  isStuck = false
  /** After so many bytes it will be stuck */
  room = Infinity

  constructor (clock: Clockwork, protocol: string, direction: 'inbound' | 'outbound') {
    super({ log, id: protocol, protocol, direction })
    this.#clock = clock
  }

  unstick (): void {
    this.isStuck = false
    this.safeDispatchEvent('drain')
  }

  sendData (data: Uint8ArrayList): SendResult {
    if (this.isStuck) {
      return { sentBytes: 0, canSendMore: false }
    }

    const bytes = data.slice()
    this.#later(other => { other.onData(bytes) })
    this.room -= bytes.byteLength
    this.isStuck = this.room <= 0
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
  link: Link
  peerId: PeerId
  ups: number
  downs: number
  frames: Array<{ kind: number, body: Uint8Array, bytes: number }>
}

interface WireConnection {
  id: string
  opener: Connection
  other: Connection
  /** Pairs of streams, both ends of each, in the order in which they were opened */
  streams: WireStream[]
}

/** Both ends of a link, and all connections between them */
export class Wires {
  readonly clock = new Clockwork()
  readonly connections: WireConnection[] = []
  readonly opener: Side
  readonly other: Side
  /** Milliseconds until the other side is told of a stream: another one each for control and data */
  delays = { control: 0, data: 0 }
  /** What keeps streams from being opened at all */
  isBroken = false
  /** How often the opener tried */
  tries = 0

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
    this.opener.link.update()
    this.other.link.update()
  }

  #side (isOpener: boolean, peerId: PeerId, slowAfter: number): Side {
    const handlers: LinkHandlers = {
      greet: () => Uint8Array.of(isOpener ? 1 : 2),
      onUp: () => { side.ups++ },
      onDown: () => { side.downs++ },
      onFrame: (_, kind, body, bytes) => { side.frames.push({ kind, body, bytes }) },
      onArrive: () => {},
      onLeave: () => {}
    }
    const link = new Link(peerId, isOpener, {
      penalties: new LruMap(16),
      handlers,
      log,
      slowAfter,
      clock: this.clock,
      random: seededRandom(1),
      maxFrame: 1_000_000,
      laneCapacity: 500_000,
      connections: () => this.connections.map(({ opener, other }) => isOpener ? opener : other),
      openStreams: async (connection, signal) => this.#open(connection.id, signal)
    })
    const side: Side = { link, peerId, ups: 0, downs: 0, frames: [] }
    return side
  }

  async #open (id: string, signal: AbortSignal): Promise<[Stream, Stream]> {
    this.tries++
    signal.throwIfAborted()
    const connection = this.connections.find(({ opener }) => opener.id === id)

    if (this.isBroken || connection == null) {
      throw new Error('It cannot be opened')
    }

    const { clock, other: { link }, delays } = this
    const [control, data] = (['control', 'data'] as const).map(name => {
      const [near, far] = [new WireStream(clock, name, 'outbound'), new WireStream(clock, name, 'inbound')]
      near.other = far
      far.other = near
      connection.streams.push(near, far)
      clock.after(LATENCY + delays[name], () => {
        name === 'control' ? link.acceptControl(connection.other, far) : accept(link, connection.other, far)
      })
      return near
    })

    return [control, data]
  }
}

/** As `Links` does it: the first frame of a data stream says whose it is */
function accept (link: Link, connection: Connection, stream: Stream): void {
  const onMessage = ({ data }: { data: Uint8Array | Uint8ArrayList }): void => {
    const number = decodeAttach(data.subarray())
    if (number != null) {
      stream.removeEventListener('message', onMessage)
      link.acceptData(connection, number, stream)
    }
  }
  stream.addEventListener('message', onMessage)
}
