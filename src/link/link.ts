import { Backoff } from '../runtime/backoff.ts'
import * as limits from './constants.ts'
import { Outbox } from './core/outbox.ts'
import { Sessions } from './core/sessions.ts'
import { SessionEndedError, SlowPeerError } from './errors.ts'
import { encodeAttach, Session } from './session.ts'
import type { Frame } from './core/frames.ts'
import type { Entry } from './core/outbox.ts'
import type { SessionEffect } from './core/sessions.ts'
import type { Hello, SessionOwner } from './session.ts'
import type { LruMap } from '../runtime/bounded.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { Connection, Logger, PeerId, Stream } from '@libp2p/interface'

/** What the floor above is told, and asked */
export interface LinkHandlers {
  /** What we say of ourselves to this neighbour when a session begins */
  greet (link: Link): Uint8Array
  /** A session begins: what was said on control in an earlier one may be lost. Throws if the greeting is of no use */
  onUp (link: Link, greeting: Uint8Array): void
  /** The last connection is gone */
  onDown (link: Link): void
  onFrame (link: Link, kind: number, body: Uint8Array, bytes: number): void
  /** There is a connection to this peer: it may become a neighbour */
  onArrive (peerId: PeerId): void
  /** It will not, for now: it does not speak our protocol, or is gone */
  onLeave (peerId: PeerId): void
}

/** What a peer has done wrong. It outlives its link, so that coming again does not wipe it out */
export interface Penalty {
  faults: number
  until: number
}

/** What all links of a node have in common */
export interface LinkContext {
  clock: Clock
  random: Random
  log: Logger
  handlers: LinkHandlers
  maxFrame: number
  laneCapacity: number
  slowAfter: number
  penalties: LruMap<string, Penalty>
  /** The connections to this neighbour that we may use, the best first */
  connections (peerId: PeerId): Connection[]
  openStreams (connection: Connection, signal: AbortSignal): Promise<[control: Stream, data: Stream]>
}

/** What is here of a session that the other side opens */
interface Half {
  timer: Timer
  control?: Session
  hello?: Hello
  data?: Stream
}

/**
 * One neighbour as one object: the streams to it, what waits to be sent, how it behaves.
 */
export class Link implements SessionOwner {
  readonly peerId: PeerId
  readonly outbox: Outbox
  readonly #context: LinkContext
  readonly #core: Sessions
  readonly #backoff: Backoff
  readonly #sessions = new Map<number, Session>()
  /** Streams that came before the other one of their session */
  #halves?: Map<string, Half>
  #current?: Session
  #remoteMaxFrame = 0
  #retry?: Timer
  #lost?: Timer
  #stopped = false

  /** `isOpener`: we open the streams. The one with the smaller id does */
  constructor (peerId: PeerId, isOpener: boolean, context: LinkContext) {
    this.peerId = peerId
    this.#context = context
    this.#core = new Sessions(isOpener)
    this.#backoff = new Backoff({ first: limits.REOPEN_FIRST, cap: limits.REOPEN_CAP, random: context.random })
    this.outbox = new Outbox({ capacity: context.laneCapacity, maxWaiting: limits.MAX_WAITING })
  }

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

  get #penalty (): Penalty | undefined {
    return this.#context.penalties.get(this.peerId.toString())
  }

  get diagnostics (): Record<string, number> {
    return {
      outbox: this.outbox.bytes,
      waiting: this.outbox.waiting,
      sessions: this.#sessions.size,
      halves: this.#halves?.size ?? 0,
      faults: this.faults,
      ...(this.#current?.diagnostics ?? { control: 0, inFlight: 0, kept: 0, held: 0 })
    }
  }

  /** The largest frame that this neighbour takes */
  get maxFrame (): number {
    return this.#remoteMaxFrame
  }

  /** Connections came or went */
  update (): void {
    const best = this.isBlocked ? undefined : this.#context.connections(this.peerId)[0]
    this.#act(this.#core.handle({ type: 'connections', best: this.#stopped ? undefined : best?.id }))
  }

  sendControl (frame: Frame): void {
    this.#current?.sendControl(frame)
  }

  /** Queues a frame of data: see `Outbox.push` for what comes back */
  send (entry: Entry): 'admitted' | 'waiting' | 'refused' {
    const outcome = this.outbox.push(entry)
    this.#current?.schedule(this.outbox.bytes > limits.WRITE_SIZE)
    return outcome
  }

  /** See `Session.keep`: for frames that are being passed on and did not leave yet */
  keep (bytes: number): () => void {
    return this.#current?.keep(bytes) ?? (() => {})
  }

  /** It sent something that it must not: enough of it and it is let be for a while */
  fault (reason: string): void {
    this.#context.log('%p: %s', this.peerId, reason)

    const penalty = this.#penalty ?? { faults: 0, until: 0 }
    this.#context.penalties.set(this.peerId.toString(), penalty)

    if (++penalty.faults % limits.MAX_FAULTS === 0) {
      this.#context.log.error('%p broke the protocol %d times and is let be for a while', this.peerId, penalty.faults)
      penalty.until = this.#context.clock.now() + limits.FAULT_PENALTY
      this.update()
      // after the update, which cancels what is to be tried again
      this.#retry = this.#context.clock.after(limits.FAULT_PENALTY, () => {
        // a timer may ring a little early
        penalty.until = 0
        this.update()
      })
    }
  }

  /** Begins a new session: what we say of ourselves has changed */
  restart (): void {
    this.#current?.abort(new SessionEndedError('It begins anew'))
  }

  /** Lets it write what it has to say, then ends it */
  async stop (): Promise<void> {
    this.#stopped = true
    await this.#current?.retire()
    this.update()
    this.#retry?.cancel()
    this.#lost?.cancel()
  }

  /** A control stream that the other side opened */
  acceptControl (connection: Connection, stream: Stream): void {
    this.#session(connection).attachControl(stream)
  }

  /** A data stream that the other side opened, for the session of this number */
  acceptData (connection: Connection, number: number, stream: Stream): void {
    this.#pair(connection, number, { data: stream })
  }

  /** We say hello when both streams are here: so nothing comes on the data stream before it has a session */
  #pair (connection: Connection, number: number, part: { control?: Session, hello?: Hello, data?: Stream }): void {
    const halves = this.#halves ??= new Map()
    // an opener that comes again, by another connection, begins to count anew
    const name = `${number} of ${connection.id}`
    const half = halves.get(name) ?? { timer: this.#context.clock.after(limits.HELLO_TIMEOUT, () => { this.#unpair(name) }) }
    halves.set(name, half)
    Object.assign(half, part)
    const { control, hello, data } = half

    if (control != null && hello != null && data != null) {
      half.timer.cancel()
      this.#forgetHalf(name)

      if (control.isOver) {
        data.abort(new SessionEndedError('The control stream of this session has ended'))
        return
      }

      control.attachData(data)
      control.sayHello(this.#hello(number))
      this.#opened(number, control, hello)
    }
  }

  #unpair (name: string): void {
    const err = new SessionEndedError('The other stream of this session did not come')
    const half = this.#halves?.get(name)
    this.#forgetHalf(name)
    half?.timer.cancel()
    half?.control?.abort(err)
    half?.data?.abort(err)
  }

  /** Most neighbours have no halves most of the time: then there is no map either */
  #forgetHalf (name: string): void {
    this.#halves?.delete(name)

    if (this.#halves?.size === 0) {
      this.#halves = undefined
    }
  }

  onHello (session: Session, hello: Hello): void {
    if (session.number != null) {
      this.#opened(session.number, session, hello)
    } else {
      this.#pair(session.connection, hello.session, { control: session, hello })
    }
  }

  onFrame (kind: number, body: Uint8Array, bytes: number): void {
    this.#context.handlers.onFrame(this, kind, body, bytes)
  }

  onSlow ({ connection }: Session): void {
    this.#context.log.error('%p takes nothing in any more: disconnecting from it', this.peerId)
    connection.abort(new SlowPeerError(`${this.peerId} did not take in a byte for ${this.#context.slowAfter} ms`))
  }

  onEnd (session: Session): void {
    const { number } = session

    if (number != null && this.#sessions.get(number) === session) {
      this.#ended(number)
    }
  }

  async #open (number: number, id: string): Promise<void> {
    const connection = this.#context.connections(this.peerId).find(connection => connection.id === id)

    if (connection == null) {
      this.#ended(number)
      return
    }

    const session = this.#session(connection, number)
    this.#sessions.set(number, session)

    try {
      const [control, data] = await this.#context.openStreams(connection, session.signal)

      if (session.isOver) {
        // it ended meanwhile: nobody else knows these streams
        const err = new SessionEndedError('The session ended while its streams were opened')
        control.abort(err)
        data.abort(err)
        return
      }

      session.attachControl(control)
      session.attachData(data)
      session.sayHello(this.#hello(number))
      data.send(encodeAttach(number))
    } catch (err: any) {
      this.#context.log('could not open streams to %p - %e', this.peerId, err)
      session.abort(err)
    }
  }

  #hello (session: number): Hello {
    return { session, window: limits.RECEIVE_WINDOW, maxFrame: this.#context.maxFrame, greeting: this.#context.handlers.greet(this) }
  }

  #session (connection: Connection, number?: number): Session {
    const { clock, maxFrame, slowAfter } = this.#context
    return new Session({ clock, owner: this, connection, number, maxFrame, slowAfter, outbox: this.outbox })
  }

  #opened (number: number, session: Session, hello: Hello): void {
    const old = this.#sessions.get(number)

    if (old !== session) {
      // an opener that restarted begins to count anew: what had this number is of its earlier life
      old?.abort(new SessionEndedError('The neighbour lives anew'))
    }

    session.number = number
    this.#sessions.set(number, session)
    const effects = this.#core.handle({ type: 'opened', session: number, connection: session.connection.id })

    if (effects.some(({ type }) => type === 'up')) {
      this.#backoff.reset()
      this.#lost?.cancel()
      this.#remoteMaxFrame = hello.maxFrame
      this.#current = session
      this.outbox.restart()
      session.makeCurrent(hello)
      this.#greeted(session, hello)
    }

    this.#act(effects)
  }

  #greeted (session: Session, hello: Hello): void {
    try {
      this.#context.handlers.onUp(this, hello.greeting)
      session.read()
    } catch (err: any) {
      this.fault(`greeting: ${err.message}`)
      session.abort(err)
    }
  }

  #ended (number: number): void {
    if (this.#sessions.get(number) === this.#current) {
      this.#current = undefined
    }

    this.#sessions.delete(number)
    this.#act(this.#core.handle({ type: 'ended', session: number }))
  }

  #act (effects: SessionEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'open':
          void this.#open(effect.session, effect.connection)
          break
        case 'retire':
          void this.#sessions.get(effect.session)?.retire()
          break
        case 'retry-later':
          this.#retry?.cancel()
          this.#retry = this.#context.clock.after(this.#backoff.next(), () => { this.#act(this.#core.handle({ type: 'retry' })) })
          break
        case 'lost-later':
          this.#lost?.cancel()
          this.#lost = this.#context.clock.after(limits.REOPEN_DEADLINE, () => { this.#act(this.#core.handle({ type: 'lost' })) })
          break
        case 'close':
          this.#close()
          break
        case 'down':
          this.#lost?.cancel()
          this.#context.handlers.onDown(this)
          this.outbox.clear()
          break
        case 'up':
          // #opened has the session at hand, and did it
          break
      }
    }
  }

  #close (): void {
    const err = new SessionEndedError('The last connection is gone')
    this.#current = undefined
    this.#retry?.cancel()

    for (const session of [...this.#sessions.values()]) {
      session.abort(err)
    }
    for (const name of [...this.#halves?.keys() ?? []]) {
      this.#unpair(name)
    }

    this.#sessions.clear()
  }
}
