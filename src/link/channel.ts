import { Reader, uvarintLength, Writer, writeUvarint } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { encodeFrame, frameOf, gather, Kind } from './core/frames.ts'
import { WHOLE } from './core/outbox.ts'
import { Pace } from './core/pace.ts'
import { Writes } from './core/writes.ts'
import { ChannelEndedError, ProtocolFaultError } from './errors.ts'
import { FrameStream } from './frame-stream.ts'
import type { Flight, Standing } from './core/flight.ts'
import type { OnFrame } from './core/frames.ts'
import type { Outbox } from './core/outbox.ts'
import type { Reads } from './core/writes.ts'
import type { FrameStreamOwner } from './frame-stream.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { AbortOptions, Connection, Stream } from '@libp2p/interface'

/** The two sides of a channel say this to each other first */
export interface Hello extends Standing {
  /** The number that the opener gave this channel */
  channel: number
  /** Bytes that the sender of this hello takes before it has dealt with them */
  window: number
  /** The largest frame that it takes */
  maxFrame: number
  /** Opaque here: what the floor above says of itself */
  greeting: Uint8Array
}

export function encodeHello ({ channel, life, of, received, from, window, maxFrame, greeting }: Hello): Uint8Array {
  return new Writer().uvarint(channel).uvarint(life).uvarint(of).uvarint(received).uvarint(from)
    .uvarint(window).uvarint(maxFrame).bytes(greeting).finish()
}

/** A later version may add fields: what follows is not looked at. Throws a MalformedError */
export function decodeHello (body: Uint8Array): Hello {
  const reader = new Reader(body)
  const [channel, life, of, received, from, window, maxFrame] = Array.from({ length: 7 }, () => reader.uvarint())

  if (life === 0) {
    throw new MalformedError('a hello of no life')
  }
  if (window < limits.MIN_WINDOW) {
    throw new MalformedError(`a window of ${window} bytes, at least ${limits.MIN_WINDOW} are needed`)
  }

  return { channel, life, of, received, from, window, maxFrame, greeting: reader.bytes() }
}

export interface ChannelInit {
  clock: Clock
  owner: ChannelOwner
  connection: Connection
  /** As the opener counts; the other side hears it in the hello */
  number?: number
  outbox: Outbox
  flight: Flight
  slowAfter: number
}

/** Whose channel it is */
export interface ChannelOwner {
  /** In the very turn in which it came: what comes behind it is already for a channel that is in use */
  onHello (channel: Channel, hello: Hello): void
  /** A frame that has not come before */
  onFrame: OnFrame
  /** A frame came that no credit counts */
  onUncounted (): void
  /** How often the two sides write */
  readonly reads: Reads
  /** What was written came: it may be so little and so often that the channel is over */
  onRead (channel: Channel, bytes: number): void
  fault (reason: string): void
  onSlow (channel: Channel): void
  onEnd (channel: Channel): void
}

/**
 * One stream to one neighbour, from hello to its end. What it carries belongs to the flight, which outlives it: the
 * channel counts the bytes of the frames that it brings, from where the two hellos say that they begin.
 */
export class Channel implements FrameStreamOwner {
  readonly connection: Connection
  number?: number
  readonly #init: ChannelInit
  readonly #writes = new Writes()
  readonly #pace = new Pace()
  #state: 'opening' | 'open' | 'ended' = 'opening'
  #stream?: FrameStream
  /** Aborts when it is over before its stream is open */
  #opening?: AbortController
  #helloTimer?: Timer
  #hello?: Uint8Array[]
  /** Where its next frame begins, in all that the other side sends in this pairing */
  #position = 0
  #isCreditDue = false
  #creditTimer?: Timer
  #creditAt = 0

  constructor (init: ChannelInit) {
    this.#init = init
    this.connection = init.connection
    this.number = init.number
    this.#helloTimer = init.clock.after(limits.HELLO_TIMEOUT, () => {
      this.abort(new ChannelEndedError('The neighbour did not say hello in time'))
    })
  }

  get signal (): AbortSignal {
    return (this.#opening ??= new AbortController()).signal
  }

  get isOver (): boolean {
    return this.#state === 'ended'
  }

  get heldBytes (): number {
    return this.#stream?.heldBytes ?? 0
  }

  attach (stream: Stream): void {
    const { clock, slowAfter } = this.#init
    stream.maxReadBufferLength = limits.MAX_HELD
    this.#opening = undefined
    this.#stream = new FrameStream({ stream, clock, owner: this, slowAfter, maxFrame: WHOLE, writes: this.#writes })
    this.#stream.read()
  }

  sayHello (hello: Hello): void {
    const { head, body } = frameOf(Kind.HELLO, encodeHello(hello))
    this.#hello = body == null ? [head] : [head, body]
    this.schedule(false)
  }

  /** Both have said hello: from now on the frames of the flight go here, and what comes is counted from `position` */
  begin (position: number): void {
    this.#state = 'open'
    this.#position = position
    // one that was said on an earlier channel may be lost
    this.#isCreditDue = position > 0
    this.schedule(true)
  }

  schedule (now: boolean): void {
    this.#stream?.schedule(now)
  }

  /** Reads no more until `go` */
  stop (): void {
    this.#stream?.stop()
  }

  go (): void {
    this.#stream?.go()
  }

  /** Tells the other side what was dealt with, if that is much; else a while later */
  grant (): void {
    const { flight, owner } = this.#init

    if (this.#state !== 'open' || this.#isCreditDue) {
      return
    }
    if (flight.isWorthAGrant || owner.reads.isWorthAGrant) {
      this.#isCreditDue = true
      this.schedule(false)
    } else if (flight.ungranted >= limits.GRANT_SOON_BYTES) {
      this.#grantAfter(limits.GRANT_SOON)
    } else if (flight.ungranted > 0) {
      this.#grantAfter(limits.GRANT_AFTER)
    }
  }

  #grantAfter (ms: number): void {
    const { flight, clock } = this.#init
    const at = clock.now() + ms

    if (this.#creditTimer == null || at < this.#creditAt) {
      this.#creditTimer?.cancel()
      this.#creditAt = at
      this.#creditTimer = clock.after(ms, () => {
        this.#creditTimer = undefined
        this.#isCreditDue = flight.ungranted > 0
        this.schedule(false)
      })
      this.#creditTimer.unref?.()
    }
  }

  /** Writes what there is, and resolves when the other side has read it; or when the signal aborts */
  async finish (options: AbortOptions): Promise<void> {
    await this.#stream?.finish(options)
  }

  abort (err: Error): void {
    if (this.#state !== 'ended') {
      this.#state = 'ended'
      this.#helloTimer?.cancel()
      this.#creditTimer?.cancel()
      this.#init.owner.onEnd(this)
      this.#opening?.abort(err)
      this.#stream?.abort(err)
    }
  }

  take (): Uint8Array[] | undefined {
    const { clock, flight, outbox } = this.#init

    if (this.#hello != null) {
      const hello = this.#hello
      this.#hello = undefined
      return hello
    }
    if (this.#state !== 'open') {
      return
    }
    if (this.#isCreditDue) {
      return [this.#credit()]
    }
    if (flight.hasAgain) {
      return flight.takeAgain()
    }

    const { inFlight, left } = flight
    const room = this.#pace.window - inFlight
    const taken = outbox.take(Math.min(limits.WRITE_SIZE, left), Math.min(left - limits.CONTROL_SHARE, room))

    if (taken == null) {
      if (room < left && !outbox.isEmpty) {
        this.#pace.limited(flight.sent)
      }
      return
    }

    // it is kept until it is dealt with, so it must not be a little piece of a large slab
    const parts = gather(taken, { owned: true })
    flight.push(parts, parts.reduce((sum, part) => sum + part.byteLength, 0))
    this.#pace.sent(flight.sent, flight.sent - flight.inFlight, clock.now())
    return parts
  }

  hasMore (): boolean {
    const { flight, outbox } = this.#init
    return this.#hello != null || (this.#state === 'open' && (!outbox.isEmpty || flight.hasAgain))
  }

  onRead (bytes: number): boolean {
    if (!this.isOver) {
      this.#init.owner.onRead(this, bytes)
    }

    return !this.isOver
  }

  onFrame (kind: number, body: Uint8Array, bytes: number): void {
    const { flight, owner } = this.#init

    if (this.isOver) {
      return
    }
    if (kind === Kind.HELLO || kind === Kind.CREDIT) {
      owner.onUncounted()
      kind === Kind.HELLO ? this.#onHello(body) : this.#onCredit(body)
      return
    }
    if (this.#state === 'opening') {
      throw new MalformedError('the first frame is not a hello')
    }

    const isKnown = this.#position < flight.received
    this.#position += bytes

    if (isKnown) {
      // it came on an earlier channel, after this one's hello
    } else if (flight.onReceive(bytes)) {
      owner.onFrame(kind, body, bytes)
      this.grant()
    } else {
      this.#fault('sent more than was granted')
    }
  }

  onMalformed (err: Error): void {
    this.#fault(`malformed: ${err.message}`)
  }

  onSlow (): void {
    this.#init.owner.onSlow(this)
  }

  onStreamEnd (): void {
    this.abort(new ChannelEndedError('The stream ended'))
  }

  #onHello (body: Uint8Array): void {
    if (this.#state !== 'opening') {
      throw new MalformedError('a second hello')
    }

    this.#helloTimer?.cancel()
    this.#init.owner.onHello(this, decodeHello(body))
  }

  #onCredit (body: Uint8Array): void {
    this.#writes.granted()
    // one that comes before the hello is of no pairing
    const { clock, flight } = this.#init
    const progress = this.#state === 'open' ? flight.onGrant(new Reader(body).uvarint()) : 'lie'

    if (progress === 'lie') {
      throw new MalformedError('granted more than was sent')
    }
    // those who are only granted something grant, too: each CREDIT is a short write
    this.grant()

    if (progress === 'more') {
      this.#pace.granted(flight.sent - flight.inFlight, clock.now())
      this.#stream?.noteProgress()
      this.schedule(true)
    }
  }

  #credit (): Uint8Array {
    const { clock, flight, owner } = this.#init
    const dealtWith = flight.grant()
    owner.reads.granted(clock.now())
    this.#isCreditDue = false
    this.#creditTimer?.cancel()
    this.#creditTimer = undefined
    return encodeFrame(Kind.CREDIT, uvarintLength(dealtWith), (target, at) => {
      writeUvarint(target, at, dealtWith)
    }).head
  }

  #fault (reason: string): void {
    if (!this.isOver) {
      this.#init.owner.fault(reason)
      this.abort(new ProtocolFaultError(reason))
    }
  }
}
