import { Fifo } from '../runtime/bounded.ts'
import { Reader, uvarintLength, Writer, writeUvarint } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { ReceiveCredit, SendCredit } from './core/credit.ts'
import { encodeFrame, FrameParser, frameOf, Kind } from './core/frames.ts'
import { SessionEndedError, ProtocolFaultError } from './errors.ts'
import { Pipe } from './pipe.ts'
import type { Frame, OnFrame } from './core/frames.ts'
import type { Outbox } from './core/outbox.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Connection, Stream } from '@libp2p/interface'

/** Bytes of the longest first frame of a data stream */
const MAX_ATTACH = 16

/** What the two sides tell each other first */
export interface Hello {
  /** The number that the opener gave this session */
  session: number
  /** Bytes of the data stream that the sender of this hello takes before it has dealt with them */
  window: number
  /** The largest frame that it takes */
  maxFrame: number
  /** Opaque here: what the floor above says of itself */
  greeting: Uint8Array
}

export function encodeHello ({ session, window, maxFrame, greeting }: Hello): Uint8Array {
  return new Writer().uvarint(session).uvarint(window).uvarint(maxFrame).bytes(greeting).finish()
}

/** A later version may add fields: what follows is not looked at */
export function decodeHello (body: Uint8Array): Hello {
  const reader = new Reader(body)
  return { session: reader.uvarint(), window: reader.uvarint(), maxFrame: reader.uvarint(), greeting: reader.bytes() }
}

/** The first frame of a data stream: whose it is */
export function encodeAttach (session: number): Uint8Array {
  return frameOf(Kind.ATTACH, new Writer().uvarint(session).finish()).head
}

/** Undefined: it is not all there yet */
export function decodeAttach (bytes: Uint8Array): number | undefined {
  let session: number | undefined
  const parser = new FrameParser(MAX_ATTACH, (kind, body) => {
    if (kind !== Kind.ATTACH || session != null) {
      throw new MalformedError('a data stream begins with the number of its session and waits for our hello')
    }
    session = new Reader(body).uvarint()
  })
  parser.push(bytes)
  return session
}

export interface SessionInit {
  clock: Clock
  connection: Connection
  outbox: Outbox
  maxFrame: number
  slowAfter: number
  /** A frame for the floor above */
  onFrame: OnFrame
  onFault (reason: string): void
  onSlow (): void
  onEnd (): void
}

/**
 * A pair of streams to one neighbour, from hello to the end of either.
 */
export class Session {
  readonly connection: Connection
  readonly #init: SessionInit
  readonly #queue = new Fifo<Frame>()
  #queueBytes = 0
  readonly #receive = new ReceiveCredit(limits.RECEIVE_WINDOW)
  #send = new SendCredit(0)
  #control?: Pipe
  #data?: Pipe
  /** The pieces of large frames, put together lane by lane */
  readonly #lanes = new Map<number, FrameParser>()
  readonly #helloed = Promise.withResolvers<Hello>()
  #toldEnd = false
  #status: 'opening' | 'current' | 'retired' | 'ended' = 'opening'

  constructor (init: SessionInit) {
    this.#init = init
    this.connection = init.connection
    // whoever waits for it is told by the rejection; nobody may be waiting
    this.#helloed.promise.catch(() => {})
  }

  /** The other side's hello; rejects when the session ends before it came */
  get hello (): Promise<Hello> {
    return this.#helloed.promise
  }

  get diagnostics (): { control: number, inFlight: number, kept: number, held: number } {
    const held = [...this.#lanes.values()].reduce((sum, lane) => sum + lane.heldBytes, 0)
    return {
      control: this.#queueBytes,
      inFlight: this.#send.inFlight,
      kept: this.#receive.kept,
      held: held + (this.#control?.heldBytes ?? 0) + (this.#data?.heldBytes ?? 0)
    }
  }

  attachControl (stream: Stream): void {
    this.#control = this.#pipe(stream, limits.MAX_CONTROL_FRAME, {
      take: () => this.#takeControl(),
      hasMore: () => this.#queue.length > 0,
      onFrame: (kind, body, bytes) => { this.#onControl(kind, body, bytes) }
    })
    this.#control.read()
  }

  attachData (stream: Stream): void {
    // honest senders stay within their credit, far below this
    stream.maxReadBufferLength = limits.RECEIVE_WINDOW * 2
    this.#data = this.#pipe(stream, this.#init.maxFrame, {
      take: () => this.#takeData(),
      hasMore: () => this.#status === 'current' && !this.#init.outbox.isEmpty,
      onFrame: (kind, body, bytes) => { this.#onData(kind, body, bytes) }
    })
  }

  /** Data that comes before the hello waits in the stream */
  read (): void {
    this.#data?.read()
  }

  sayHello (hello: Hello): void {
    this.sendControl(frameOf(Kind.HELLO, encodeHello(hello)))
  }

  /** From now on the frames of the outbox go here */
  makeCurrent (hello: Hello): void {
    this.#send = new SendCredit(hello.window)
    this.#status = 'current'
    this.schedule(true)
  }

  sendControl (frame: Frame): void {
    this.#queue.push(frame)
    this.#queueBytes += frame.bytes
    this.#control?.schedule()

    if (this.#queueBytes > limits.CONTROL_CAPACITY) {
      this.#init.onSlow()
    }
  }

  schedule (now: boolean): void {
    this.#data?.schedule(now)
  }

  /** Keeps `bytes` of what was just received from being granted again, until the function it returns is called */
  keep (bytes: number): () => void {
    this.#receive.keep(bytes)
    return () => {
      this.#receive.release(bytes)
      this.#grant()
    }
  }

  /** Lets it write what it has begun to write, then ends it */
  async retire (): Promise<void> {
    if (this.#status === 'retired' || this.#status === 'ended') {
      return
    }

    this.#status = 'retired'
    this.#tellEnd()
    const controller = new AbortController()
    const timer = this.#init.clock.after(limits.RETIRE_TIMEOUT, () => { controller.abort() })
    const closed = await Promise.allSettled([this.#control, this.#data].map(async pipe => pipe?.close({ signal: controller.signal })))
    timer.cancel()

    if (closed.some(({ status }) => status === 'rejected')) {
      this.abort(new SessionEndedError('The streams could not be closed'))
    }
  }

  abort (err: Error): void {
    if (this.#status === 'ended') {
      return
    }

    this.#status = 'ended'
    this.#tellEnd()
    this.#control?.abort(err)
    this.#data?.abort(err)
  }

  #pipe (stream: Stream, maxFrame: number, use: { take (): Uint8Array[] | undefined, hasMore (): boolean, onFrame: OnFrame }): Pipe {
    const { clock, slowAfter } = this.#init
    return new Pipe({
      ...use,
      stream,
      clock,
      slowAfter,
      maxFrame,
      onMalformed: err => { this.#fault(`malformed: ${err.message}`) },
      onSlow: () => { this.#init.onSlow() },
      // one of the streams is no more: the other has nothing to say alone
      onEnd: () => { void this.retire() }
    })
  }

  #takeControl (): Uint8Array[] | undefined {
    const parts: Uint8Array[] = []

    for (let size = 0, next = this.#queue.peek(); next != null && size < limits.WRITE_SIZE; next = this.#queue.peek()) {
      this.#queue.shift()
      this.#queueBytes -= next.bytes
      size += next.bytes
      parts.push(next.head)
      if (next.body != null) {
        parts.push(next.body)
      }
    }

    return parts.length > 0 ? parts : undefined
  }

  #takeData (): Uint8Array[] | undefined {
    if (this.#status !== 'current') {
      return
    }

    const parts = this.#init.outbox.take(Math.min(limits.WRITE_SIZE, this.#send.left))

    if (parts != null) {
      this.#send.onSend(parts.reduce((sum, part) => sum + part.byteLength, 0))
    }

    return parts
  }

  #onControl (kind: number, body: Uint8Array, bytes: number): void {
    switch (kind) {
      case Kind.HELLO:
        this.#helloed.resolve(decodeHello(body))
        return
      case Kind.CREDIT:
        if (!this.#send.onGrant(new Reader(body).uvarint())) {
          this.#fault('granted more than was sent')
        }
        this.schedule(true)
        return
      default:
        this.#pass(kind, body, bytes)
    }
  }

  #onData (kind: number, body: Uint8Array, bytes: number): void {
    if (!this.#receive.onReceive(bytes)) {
      this.#fault('sent more than was granted')
      return
    }

    if (kind === Kind.PIECE) {
      this.#lane(body[0]).push(body.subarray(1))
    } else {
      this.#pass(kind, body, bytes)
    }

    this.#grant()
  }

  #lane (lane: number): FrameParser {
    let parser = this.#lanes.get(lane)

    if (parser == null) {
      if (!(lane <= 2)) {
        throw new ProtocolFaultError(`there is no lane ${lane}`)
      }
      parser = new FrameParser(this.#init.maxFrame, (kind, body, bytes) => { this.#pass(kind, body, bytes) })
      this.#lanes.set(lane, parser)
    }

    return parser
  }

  #pass (kind: number, body: Uint8Array, bytes: number): void {
    if (kind >= Kind.FIRST_FREE && this.#status !== 'ended') {
      this.#init.onFrame(kind, body, bytes)
    }
  }

  #grant (): void {
    const dealtWith = this.#receive.grant()

    if (dealtWith != null && this.#status !== 'ended') {
      this.sendControl(encodeFrame(Kind.CREDIT, uvarintLength(dealtWith), (target, at) => { writeUvarint(target, at, dealtWith) }))
    }
  }

  #fault (reason: string): void {
    this.#init.onFault(reason)
    this.abort(new ProtocolFaultError(reason))
  }

  #tellEnd (): void {
    if (!this.#toldEnd) {
      this.#toldEnd = true
      this.#helloed.reject(new SessionEndedError('The streams ended before the neighbour said hello'))
      this.#init.onEnd()
    }
  }
}
