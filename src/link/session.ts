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
import type { PipeOwner } from './pipe.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { AbortOptions, Connection, Stream } from '@libp2p/interface'

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
  owner: SessionOwner
  connection: Connection
  /** As the opener counts; the other side hears it in the hello */
  number?: number
  outbox: Outbox
  maxFrame: number
  slowAfter: number
}

/** Whose session it is */
export interface SessionOwner {
  /** In the very turn in which it came: what comes behind it is already for a session that is up */
  onHello (session: Session, hello: Hello): void
  /** A frame for the floor above */
  onFrame: OnFrame
  fault (reason: string): void
  onSlow (session: Session): void
  /** It is over, or about to be */
  onEnd (session: Session): void
}

/**
 * A pair of streams to one neighbour, from hello to the end of either.
 */
export class Session implements PipeOwner {
  readonly connection: Connection
  number?: number
  readonly #init: SessionInit
  readonly #queue = new Fifo<Frame>()
  #queueBytes = 0
  readonly #receive = new ReceiveCredit(limits.RECEIVE_WINDOW)
  #send = new SendCredit(0)
  #control?: Pipe
  #data?: Pipe
  /** The pieces of large frames, put together lane by lane */
  readonly #lanes: FrameParser[] = []
  #controller?: AbortController
  #helloTimer?: Timer
  #status: 'opening' | 'current' | 'retired' | 'ended' = 'opening'

  constructor (init: SessionInit) {
    this.#init = init
    this.connection = init.connection
    this.number = init.number
    this.#helloTimer = init.clock.after(limits.HELLO_TIMEOUT, () => {
      this.abort(new SessionEndedError('The neighbour did not say hello in time'))
    })
  }

  /** Aborts when it is over before its streams are open */
  get signal (): AbortSignal {
    return (this.#controller ??= new AbortController()).signal
  }

  get isOver (): boolean {
    return this.#status === 'retired' || this.#status === 'ended'
  }

  get diagnostics (): { control: number, inFlight: number, kept: number, held: number } {
    const held = this.#lanes.reduce((sum, lane) => sum + lane.heldBytes, 0)
    return {
      control: this.#queueBytes,
      inFlight: this.#send.inFlight,
      kept: this.#receive.kept,
      held: held + (this.#control?.heldBytes ?? 0) + (this.#data?.heldBytes ?? 0)
    }
  }

  attachControl (stream: Stream): void {
    this.#control = this.#pipe(stream, limits.MAX_CONTROL_FRAME)
    this.#control.read()
  }

  attachData (stream: Stream): void {
    // honest senders stay within their credit, far below this
    stream.maxReadBufferLength = limits.RECEIVE_WINDOW * 2
    this.#data = this.#pipe(stream, this.#init.maxFrame)
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
    this.#controller = undefined
    this.schedule(true)
  }

  sendControl (frame: Frame): void {
    this.#queue.push(frame)
    this.#queueBytes += frame.bytes
    this.#control?.schedule()

    if (this.#queueBytes > limits.CONTROL_CAPACITY) {
      this.onSlow()
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
    if (this.isOver) {
      return
    }

    this.#end('retired')
    const pipes = [this.#control, this.#data].filter(pipe => pipe != null)
    // who sees one of the streams end listens to the other no longer: all is said before
    await this.#within(limits.RETIRE_TIMEOUT, async options => Promise.all(pipes.map(async pipe => pipe.flush(options))))
    const closed = await this.#within(limits.RETIRE_TIMEOUT, async options => Promise.allSettled(pipes.map(async pipe => pipe.close(options))))

    if (closed.some(({ status }) => status === 'rejected')) {
      this.abort(new SessionEndedError('The streams could not be closed'))
    }

    // a connection that is closed meanwhile may take with it what was written
    await this.#within(limits.FAREWELL_TIMEOUT, async options => Promise.all(pipes.map(async pipe => pipe.ended(options))))
  }

  abort (err: Error): void {
    if (this.#status === 'ended') {
      return
    }

    this.#end('ended')
    this.#controller?.abort(err)
    this.#control?.abort(err)
    this.#data?.abort(err)
  }

  take (pipe: Pipe): Uint8Array[] | undefined {
    return pipe === this.#control ? this.#takeControl() : this.#takeData()
  }

  hasMore (pipe: Pipe): boolean {
    return pipe === this.#control ? this.#queue.length > 0 : this.#status === 'current' && !this.#init.outbox.isEmpty
  }

  onFrame (pipe: Pipe, kind: number, body: Uint8Array, bytes: number): void {
    if (pipe === this.#control) {
      this.#onControl(kind, body, bytes)
    } else {
      this.#onData(kind, body, bytes)
    }
  }

  onMalformed (err: Error): void {
    this.#fault(`malformed: ${err.message}`)
  }

  onSlow (): void {
    this.#init.owner.onSlow(this)
  }

  /** One of the streams is no more: the other has nothing to say alone */
  onPipeEnd (): void {
    void this.retire()
  }

  #pipe (stream: Stream, maxFrame: number): Pipe {
    const { clock, slowAfter } = this.#init
    return new Pipe({ stream, clock, owner: this, slowAfter, maxFrame })
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
        this.#onHello(decodeHello(body))
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

  #onHello (hello: Hello): void {
    if (this.#status !== 'opening') {
      this.#fault('a second hello')
      return
    }

    this.#stopHelloTimer()
    this.#init.owner.onHello(this, hello)
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
    if (!(lane <= 2)) {
      throw new MalformedError(`there is no lane ${lane}`)
    }

    this.#lanes[lane] ??= new FrameParser(this.#init.maxFrame, (kind, body, bytes) => { this.#pass(kind, body, bytes) })
    return this.#lanes[lane]
  }

  #pass (kind: number, body: Uint8Array, bytes: number): void {
    if (kind >= Kind.FIRST_FREE && this.#status !== 'ended') {
      this.#init.owner.onFrame(kind, body, bytes)
    }
  }

  #grant (): void {
    const dealtWith = this.#receive.grant()

    if (dealtWith != null && this.#status !== 'ended') {
      this.sendControl(encodeFrame(Kind.CREDIT, uvarintLength(dealtWith), (target, at) => { writeUvarint(target, at, dealtWith) }))
    }
  }

  async #within<T> (ms: number, work: (options: AbortOptions) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const timer = this.#init.clock.after(ms, () => { controller.abort() })

    try {
      return await work(controller)
    } finally {
      timer.cancel()
    }
  }

  #fault (reason: string): void {
    this.#init.owner.fault(reason)
    this.abort(new ProtocolFaultError(reason))
  }

  #stopHelloTimer (): void {
    this.#helloTimer?.cancel()
    this.#helloTimer = undefined
  }

  #end (status: 'retired' | 'ended'): void {
    const isFirst = !this.isOver
    this.#status = status
    this.#stopHelloTimer()

    if (isFirst) {
      this.#init.owner.onEnd(this)
    }
  }
}
