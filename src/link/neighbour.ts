import { Backoff } from '../runtime/backoff.ts'
import { MalformedError } from '../runtime/errors.ts'
import { randomInt } from '../runtime/random.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import { Channel } from './channel.ts'
import * as limits from './constants.ts'
import { Channels } from './core/channels.ts'
import { Flight } from './core/flight.ts'
import { Kind, Slots } from './core/frames.ts'
import { placeOf } from './core/newcomers.ts'
import { Outbox, WHOLE } from './core/outbox.ts'
import { FULL, Reads } from './core/writes.ts'
import { ChannelEndedError, ProtocolFaultError, SlowPeerError } from './errors.ts'
import { Reading } from './reading.ts'
import type { ChannelOwner, Hello } from './channel.ts'
import type { ChannelEffect } from './core/channels.ts'
import type { Newcomers } from './core/newcomers.ts'
import type { Entry } from './core/outbox.ts'
import type { LruMap } from '../runtime/bounded.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { AbortOptions, Connection, Logger, PeerId, Stream } from '@libp2p/interface'

/** What the floor above is told, and asked */
export interface NeighbourHandlers {
  /** What this node says of itself to this neighbour when a channel begins */
  greet (neighbour: Neighbour): Uint8Array
  /**
   * This node and the neighbour have met: the first time, or anew, because one of them has begun anew. Without an
   * `onDown`
   * in between, too: then what was sent before and had not arrived is lost. Throws if the greeting is of no use
   */
  onUp (neighbour: Neighbour, greeting: Uint8Array): void
  /** It is out of reach: the last connection is gone, or there was no channel for too long */
  onDown (neighbour: Neighbour): void
  /**
   * Between an `onUp` and the next one or `onDown` each frame comes once and in order, whatever carries it. Lanes and
   * flows overtake each other
   */
  onFrame (neighbour: Neighbour, kind: number, body: Uint8Array, bytes: number): void
  /** There is a connection to this peer: it may become a neighbour */
  onArrive (peerId: PeerId): void
  /** It will not, for now: it does not speak our protocol, or is gone */
  onLeave (peerId: PeerId): void
}

/** What a peer has done wrong. It outlives its neighbour, so that coming again does not wipe it out */
export interface Penalty {
  faults: number
  until: number
}

/** What all neighbours of a node have in common */
export interface NeighbourContext {
  clock: Clock
  random: Random
  log: Logger
  handlers: NeighbourHandlers
  maxFrame: number
  laneCapacity: number
  slowAfter: number
  penalties: LruMap<string, Penalty>
  /** The budget of reading of all that came lately */
  newcomers: Newcomers
  /** The connections to this neighbour that may be used, the best first */
  connections (peerId: PeerId): Connection[]
  openStream (connection: Connection, signal: AbortSignal): Promise<Stream>
}

/** More lives than anybody begins */
const LIVES = 2 ** 48

/**
 * One neighbour as one object: the stream to it, what waits to be sent, how it behaves.
 */
export class Neighbour implements ChannelOwner {
  readonly peerId: PeerId
  readonly reads: Reads
  readonly #context: NeighbourContext
  readonly #core: Channels
  readonly #flight: Flight
  readonly #outbox: Outbox
  readonly #slots: Slots
  readonly #backoff: Backoff
  readonly #channels = new Set<Channel>()
  #current?: Channel
  #maxFrame = 0
  #retry?: Timer
  #lost?: Timer
  #pardon?: Timer
  #isStopped = false
  /** Channels that may still be opened, by whichever side opens them */
  readonly #openings: TokenBucket
  #refused = 0
  readonly #reading: Reading

  /** `isOpener`: this side opens the streams. The one with the smaller id does */
  constructor (peerId: PeerId, isOpener: boolean, context: NeighbourContext) {
    const { clock, newcomers, random, laneCapacity, maxFrame } = context
    this.peerId = peerId
    this.#context = context
    this.reads = new Reads(clock.now())
    this.#openings = new TokenBucket(limits.OPENINGS, clock.now())
    this.#reading = new Reading({
      clock,
      newcomers,
      place: () => placeOf(String(context.connections(peerId)[0]?.remoteAddr ?? '')),
      onPaused: isPaused => { isPaused ? this.#current?.stop() : this.#current?.go() }
    })
    this.#flight = new Flight({ window: limits.RECEIVE_WINDOW, newLife: () => 1 + randomInt(random, LIVES) })
    this.#core = new Channels(isOpener, this.#flight)
    this.#backoff = new Backoff({ first: limits.REOPEN_FIRST, cap: limits.REOPEN_CAP, random })
    this.#slots = new Slots({ maxFrame, onFrame: (kind, body, bytes) => { this.#passLarge(kind, body, bytes) } })
    this.#outbox = new Outbox({
      capacity: laneCapacity,
      controlCapacity: limits.CONTROL_LANE,
      ownCapacity: limits.CONTROL_CAPACITY,
      maxWaiting: limits.MAX_WAITING,
      maxWaitingBytes: limits.MAX_WAITING_BYTES
    })
  }

  /** Whether there is a channel to it now */
  get isUp (): boolean {
    return this.#current != null
  }

  get status (): string {
    return this.#core.state.status
  }

  get faults (): number {
    return this.#penalty?.faults ?? 0
  }

  /** It broke the protocol too often: it is let be for now */
  get isBlocked (): boolean {
    return this.#context.clock.now() < (this.#penalty?.until ?? 0)
  }

  /** The largest frame that this neighbour takes */
  get maxFrame (): number {
    return this.#maxFrame
  }

  get diagnostics (): Record<string, number> {
    let held = this.#slots.heldBytes
    this.#channels.forEach(({ heldBytes }) => { held += heldBytes })

    return {
      outbox: this.#outbox.bytes,
      ...this.#outbox.laneBytes,
      waiting: this.#outbox.waiting,
      inFlight: this.#flight.inFlight,
      kept: this.#flight.kept,
      held,
      channels: this.#channels.size,
      refused: this.#refused,
      faults: this.faults
    }
  }

  get #penalty (): Penalty | undefined {
    return this.#context.penalties.get(this.peerId.toString())
  }

  /** Queues a frame: see `Outbox.push` for what comes back */
  send (entry: Entry): 'admitted' | 'waiting' | 'refused' {
    if (!this.#core.isNeighbour || this.#isStopped) {
      return 'refused'
    }

    const outcome = this.#outbox.push(entry)

    if (outcome === 'refused' && entry.isOwn === true && this.#current != null) {
      this.#disconnect(this.#current.connection, `left ${limits.CONTROL_CAPACITY} bytes of control frames waiting`)
    }

    this.#current?.schedule(this.#outbox.bytes > limits.WRITE_SIZE)
    return outcome
  }

  /** Takes back an entry of which nothing was sent yet. What it was to call it calls no more */
  withdraw (entry: Entry): boolean {
    return this.#outbox.withdraw(entry)
  }

  /**
   * For an `onSent`: what just left is waited for, until the other side has dealt with it or nobody can tell any more
   */
  whenTaken (onTaken: () => void, onLost: () => void): void {
    this.#flight.mark(onTaken, onLost)
  }

  /**
   * Keeps `bytes` of what just came from being granted, until the function it returns is called: for frames that are
   * being passed on
   */
  keep (bytes: number): () => void {
    const release = this.#flight.keep(bytes)

    return () => {
      release()
      this.#current?.grant()
    }
  }

  /** A frame of it has cost so many milliseconds of work: see `Reading` */
  spend (ms: number): void {
    this.#reading.spend(ms)
  }

  /** It sent something that it must not: enough of it and it is let be for a while */
  fault (reason: string, weight = 1): void {
    const { log, clock, penalties } = this.#context
    log('%p: %s', this.peerId, reason)

    const penalty = this.#penalty ?? { faults: 0, until: 0 }
    const before = Math.floor(penalty.faults / limits.MAX_FAULTS)
    penalties.set(this.peerId.toString(), penalty)
    penalty.faults += weight

    if (Math.floor(penalty.faults / limits.MAX_FAULTS) > before) {
      log.error('%p broke the protocol %d times and is let be for a while', this.peerId, penalty.faults)
      penalty.until = clock.now() + limits.FAULT_PENALTY
      this.update()
    }
  }

  /** This node begins anew: what waits is dropped, and the neighbour is told anew */
  restart (): void {
    const effects = this.#core.handle({ type: 'restart' })
    this.#current = undefined
    this.#act(effects)
    this.#slots.clear()
    this.#outbox.clear()
  }

  /** Connections came or went */
  update (): void {
    const best = this.isBlocked || this.#isStopped ? undefined : this.#context.connections(this.peerId)[0]
    this.#act(this.#core.handle({ type: 'connections', best: best?.id }))
    this.#pardonLater()
  }

  /** A stream that the other side opened */
  accept (connection: Connection, stream: Stream): void {
    if (this.isBlocked || this.#isStopped || !this.#openings.take(1, this.#context.clock.now())) {
      this.#refused++
      stream.abort(new ProtocolFaultError('This peer is let be for a while'))
      return
    }

    this.#channel(connection).attach(stream)
  }

  /** Lets it take what waits, until the signal aborts, then ends it */
  async stop (options: AbortOptions): Promise<void> {
    this.#isStopped = true
    await this.#current?.finish(options)
    this.update()
    this.#reading.stop()
  }

  onHello (channel: Channel, hello: Hello): void {
    const { number = hello.channel, connection: { id } } = channel

    if (number !== hello.channel) {
      this.fault('answered a hello that was not said')
      channel.abort(new ProtocolFaultError('It answered a hello that was not said'))
      return
    }

    const isAnswer = channel.number != null
    channel.number = number
    const effects = this.#core.handle({ type: 'hello', channel: number, connection: id, hello, window: hello.window })

    // before the channel that it replaces ends, which would be news otherwise
    for (const effect of effects) {
      if (effect.type === 'up') {
        this.#begin(channel, hello, effect.met, isAnswer)
      } else if (effect.type === 'fault') {
        this.fault('no peer can stand where its hello says')
        channel.abort(new ProtocolFaultError('No peer can stand where its hello says'))
        // what the two know of each other is of no use
        this.restart()
      }
    }

    this.#act(effects)
  }

  onFrame (kind: number, body: Uint8Array, bytes: number): void {
    if (kind === Kind.PIECE) {
      this.#slots.push(body)
    } else {
      this.#pass(kind, body, bytes)
    }
    this.#reading.onFrame()
  }

  onUncounted (): void {
    this.spend(limits.UNCOUNTED_COST)
  }

  /** Who writes crumbs one by one costs us more than itself for as long as it is connected, whatever we do with them */
  onRead (channel: Channel, bytes: number): void {
    if (!this.reads.came(bytes, this.#context.clock.now())) {
      this.fault('wrote each crumb by itself', limits.MAX_FAULTS)
      this.#disconnect(channel.connection, 'wrote each crumb by itself', ProtocolFaultError)
      channel.abort(new ProtocolFaultError('Each crumb came by itself'))
    } else if (bytes < FULL) {
      this.spend(limits.SHORT_READ_COST)
    }
  }

  onSlow ({ connection }: Channel): void {
    this.#disconnect(connection, `did not take in a byte for ${this.#context.slowAfter} ms`)
  }

  onEnd (channel: Channel): void {
    const wasCurrent = channel === this.#current
    // an opener that began anew also counts anew: a channel of its earlier life may have the number of the present one
    const isOther = !wasCurrent && channel.number === this.#current?.number
    this.#channels.delete(channel)
    this.#current = wasCurrent ? undefined : this.#current

    if (channel.number != null && !isOther) {
      this.#act(this.#core.handle({ type: 'ended', channel: channel.number }))
    }
  }

  #begin (channel: Channel, hello: Hello, met: 'resumed' | 'paired' | 'other-life', isAnswer: boolean): void {
    this.#backoff.reset()
    this.#lost?.cancel()
    this.#maxFrame = hello.maxFrame
    this.#current = channel

    if (met === 'other-life') {
      // before anything is said to the new life: this was for the earlier one
      this.#slots.clear()
      this.#outbox.clear()
    }
    if (!isAnswer) {
      channel.sayHello(this.#hello(hello.channel))
    }

    this.reads.granted(this.#context.clock.now())
    channel.begin(isAnswer ? hello.from : this.#flight.received)

    if (this.#reading.isPaused) {
      channel.stop()
    }
    if (met !== 'resumed') {
      this.#greeted(channel, hello)
    }
  }

  #greeted (channel: Channel, { greeting }: Hello): void {
    try {
      this.#context.handlers.onUp(this, greeting)
    } catch (err: any) {
      this.fault(`greeting: ${err.message}`)
      this.restart()
      channel.abort(err)
    }
  }

  /** Thousands of small ones in a piece would be dealt with at once, where each frame is a chance for others */
  #passLarge (kind: number, body: Uint8Array, bytes: number): void {
    if (bytes <= WHOLE) {
      throw new MalformedError(`a frame of ${bytes} bytes came in pieces: those of up to ${WHOLE} go whole`)
    }

    this.#pass(kind, body, bytes)
  }

  #pass (kind: number, body: Uint8Array, bytes: number): void {
    if (kind >= Kind.FIRST_FREE) {
      this.#context.handlers.onFrame(this, kind, body, bytes)
    }
  }

  #channel (connection: Connection, number?: number): Channel {
    const { clock, slowAfter } = this.#context
    const channel = new Channel({
      clock, owner: this, connection, number, slowAfter, outbox: this.#outbox, flight: this.#flight
    })
    this.#channels.add(channel)
    return channel
  }

  async #open (number: number, id: string): Promise<void> {
    const connection = this.#context.connections(this.peerId).find(connection => connection.id === id)

    if (connection == null) {
      this.#act(this.#core.handle({ type: 'ended', channel: number }))
      return
    }

    const channel = this.#channel(connection, number)
    this.#openings.spend(1, this.#context.clock.now())

    try {
      const stream = await this.#context.openStream(connection, channel.signal)

      if (channel.isOver) {
        // it ended meanwhile: nobody else knows this stream
        stream.abort(new ChannelEndedError('The channel ended while its stream was opened'))
      } else {
        channel.attach(stream)
        channel.sayHello({ ...this.#hello(number), from: 0 })
      }
    } catch (err: any) {
      this.#context.log('could not open a stream to %p - %e', this.peerId, err)
      channel.abort(err)
    }
  }

  #hello (channel: number): Hello {
    const { maxFrame, handlers } = this.#context
    return {
      ...this.#flight.standing, channel, window: limits.RECEIVE_WINDOW, maxFrame, greeting: handlers.greet(this)
    }
  }

  #disconnect (
    connection: Connection, reason: string, NamedError: new (message: string) => Error = SlowPeerError
  ): void {
    this.#context.log.error('%p %s: disconnecting from it', this.peerId, reason)
    connection.abort(new NamedError(`${this.peerId} ${reason}`))
  }

  /** A timer of this neighbour's own: whatever happened to the one that was faulted, this one comes back */
  #pardonLater (): void {
    const { clock } = this.#context

    if (this.#isStopped || !this.isBlocked) {
      this.#pardon?.cancel()
      this.#pardon = undefined
    } else if (this.#pardon == null) {
      // a timer may ring a little early: then it is set once more
      this.#pardon = clock.after((this.#penalty?.until ?? 0) - clock.now(), () => {
        this.#pardon = undefined
        this.update()
      })
    }
  }

  #act (effects: ChannelEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'open':
          void this.#open(effect.channel, effect.connection)
          break
        case 'end':
          this.#end(effect.channel)
          break
        case 'retry-later':
          this.#retry?.cancel()
          this.#retry = this.#after(this.#retryIn(), { type: 'retry' })
          break
        case 'lost-later':
          this.#lost?.cancel()
          this.#lost = this.#after(limits.REOPEN_DEADLINE, { type: 'lost' })
          break
        case 'close':
          this.#close()
          break
        case 'down':
          this.#lost?.cancel()
          this.#slots.clear()
          this.#context.handlers.onDown(this)
          this.#outbox.clear()
          break
        case 'up':
        case 'fault':
          // onHello has the channel at hand, and did it
          break
      }
    }
  }

  /**
   * Milliseconds until a stream is opened again. A neighbour that says hello and ends each channel brings the backoff
   * back to its beginning, and may be told everything each time: so there is a rate, too, the one that it would refuse
   */
  #retryIn (): number {
    return Math.max(this.#backoff.next(), this.#openings.wait(1, this.#context.clock.now()))
  }

  #after (ms: number, event: { type: 'retry' | 'lost' }): Timer {
    return this.#context.clock.after(ms, () => { this.#act(this.#core.handle(event)) })
  }

  #end (number: number): void {
    for (const channel of this.#channels) {
      if (channel.number === number && channel !== this.#current) {
        channel.abort(new ChannelEndedError('Another channel has taken its place'))
      }
    }
  }

  #close (): void {
    this.#current = undefined
    this.#retry?.cancel()

    for (const channel of [...this.#channels]) {
      channel.abort(new ChannelEndedError('The last connection is gone'))
    }
  }
}
