import { encodeFrame, frameOf } from '../../link/core/frames.ts'
import { FrameStream } from '../../link/frame-stream.ts'
import { encodeString, Reader, uvarintLength, writeUvarint } from '../../runtime/codec.ts'
import * as limits from '../constants.ts'
import { Sender } from './sender.ts'
import type { FrameStreamOwner } from '../../link/frame-stream.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type {
  AbortOptions, Connection, Libp2pEvents, Logger, PeerId, Stream, TypedEventTarget
} from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'

const Kind = {
  /** string topic · message up to the end */
  MESSAGE: 0,
  /** nothing: the sender stops, and is on no topic any more */
  GOODBYE: 1
} as const

export interface StreamsInit {
  components: { registrar: Registrar, connectionManager: ConnectionManager, events: TypedEventTarget<Libp2pEvents> }
  clock: Clock
  random: Random
  log: Logger
  onMessage (from: PeerId, topic: string, data: Uint8Array): void
  onGoodbye (from: PeerId): void
  /** Connections to it came or went */
  onConnection (peerId: PeerId): void
}

/**
 * Messages to single peers, each over one long-lived stream from us to it. Only connections without limits are used.
 */
export class Streams {
  readonly #init: StreamsInit
  readonly #senders = new Map<string, Sender>()
  readonly #receivers = new Set<Receiver>()

  constructor (init: StreamsInit) {
    this.#init = init
  }

  async start (): Promise<void> {
    const { registrar, events } = this.#init.components
    events.addEventListener('connection:open', this.#onConnection)
    events.addEventListener('connection:close', this.#onConnection)
    await registrar.handle(
      limits.SEND_PROTOCOL, (stream, { remotePeer }) => { this.#accept(remotePeer, stream) },
      { maxInboundStreams: limits.MAX_INBOUND_STREAMS }
    )
  }

  async stop (): Promise<void> {
    const { components: { registrar, events }, clock } = this.#init
    const controller = new AbortController()
    const timer = clock.after(limits.STOP_TIMEOUT, () => { controller.abort() })
    events.removeEventListener('connection:open', this.#onConnection)
    events.removeEventListener('connection:close', this.#onConnection)
    await Promise.all([...this.#senders.values()]
      .map(async sender => sender.close(frameOf(Kind.GOODBYE, new Uint8Array()), controller)))
    timer.cancel()
    this.#senders.clear()
    this.#receivers.forEach(receiver => { receiver.abort(new Error('this side is stopping')) })
    await registrar.unhandle(limits.SEND_PROTOCOL)
  }

  isReachable (peerId: PeerId): boolean {
    return this.#connections(peerId).length > 0
  }

  async send (to: PeerId, topic: string, data: Uint8Array, options?: AbortOptions): Promise<void> {
    if (data.byteLength > limits.MAX_SENT) {
      throw new Error(`${data.byteLength} bytes where at most ${limits.MAX_SENT} go into one message`)
    }

    const name = encodeString(topic)
    const prefix = uvarintLength(name.byteLength)
    const frame = encodeFrame(
      Kind.MESSAGE, prefix + name.byteLength,
      (target, offset) => { target.set(name, writeUvarint(target, offset, name.byteLength)) }, data
    )
    await this.#sender(to).send(frame, options)
  }

  #sender (peerId: PeerId): Sender {
    const { clock, random } = this.#init
    let sender = this.#senders.get(peerId.toString())

    if (!this.isReachable(peerId)) {
      throw new Error('there is no connection to it')
    }
    if (sender == null) {
      sender = new Sender({ clock, random, connection: () => this.#connection(peerId) })
      this.#senders.set(peerId.toString(), sender)
    }

    return sender
  }

  readonly #onConnection = ({ detail: { remotePeer } }: CustomEvent<Connection>): void => {
    const key = remotePeer.toString()

    if (!this.isReachable(remotePeer)) {
      this.#senders.get(key)?.end(new Error('the last connection to it is gone'))
      this.#senders.delete(key)
    }

    this.#init.onConnection(remotePeer)
  }

  #accept (from: PeerId, stream: Stream): void {
    const receiver = new Receiver({
      ...this.#init,
      stream,
      onMessage: (topic, data) => { this.#init.onMessage(from, topic, data) },
      onGoodbye: () => { this.#init.onGoodbye(from) },
      onEnd: () => { this.#receivers.delete(receiver) }
    })
    this.#receivers.add(receiver)
  }

  #connections (peerId: PeerId): Connection[] {
    return this.#init.components.connectionManager.getConnections(peerId)
      .filter(({ status, limits }) => status === 'open' && limits == null)
  }

  /** The newest */
  #connection (peerId: PeerId): Connection {
    const [best] = this.#connections(peerId).sort((a, b) => b.timeline.open - a.timeline.open)

    if (best == null) {
      throw new Error('there is no connection to it')
    }
    return best
  }
}

interface ReceiverInit {
  clock: Clock
  log: Logger
  stream: Stream
  onMessage (topic: string, data: Uint8Array): void
  onGoodbye (): void
  onEnd (): void
}

/** A stream that another peer opened: it alone writes */
class Receiver implements FrameStreamOwner {
  readonly #init: ReceiverInit
  readonly #frames: FrameStream

  constructor (init: ReceiverInit) {
    const { stream, clock } = init
    this.#init = init
    this.#frames = new FrameStream({
      stream, clock, owner: this, maxFrame: limits.MAX_SEND_FRAME, slowAfter: limits.SLOW_TIMEOUT
    })
    this.#frames.read()
  }

  abort (err: Error): void {
    this.#frames.abort(err)
  }

  take (): undefined {}

  hasMore (): boolean {
    return false
  }

  onFrame (kind: number, body: Uint8Array): void {
    if (kind === Kind.MESSAGE) {
      const reader = new Reader(body)
      this.#init.onMessage(reader.string(limits.MAX_SEND_TOPIC), reader.rest())
    } else if (kind === Kind.GOODBYE) {
      this.#init.onGoodbye()
    }
  }

  onMalformed (err: Error): void {
    this.#init.log('what came cannot be read - %e', err)
    this.abort(err)
  }

  onSlow (): void {}

  /** Its side has ended, so ours does */
  onStreamEnd (): void {
    const { stream, onEnd } = this.#init
    onEnd()
    stream.close().catch(err => { stream.abort(err) })
  }
}
