import { FrameStream } from '../../link/frame-stream.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { Fifo } from '../../runtime/bounded.ts'
import * as limits from '../constants.ts'
import type { Frame } from '../../link/core/frames.ts'
import type { FrameStreamOwner } from '../../link/frame-stream.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { AbortOptions, Connection, Stream } from '@libp2p/interface'

export interface SenderInit {
  clock: Clock
  random: Random
  /** Throws if there is none that may be used */
  connection (): Connection
}

type State =
  /** The next message opens a stream */
  | { type: 'idle' }
  | { type: 'opening', controller: AbortController }
  | { type: 'open', stream: FrameStream, since: number }
  /** The last stream ended, or could not be opened: what comes meanwhile waits */
  | { type: 'pausing', timer: Timer }
  | { type: 'ended' }

interface Waiting {
  frame: Frame
  resolve (): void
  reject (err: Error): void
}

/**
 * What goes to one peer: it waits here, in order, until the one stream to that peer takes it. A stream that ends is
 * opened again when there is something to send.
 */
export class Sender implements FrameStreamOwner {
  readonly #init: SenderInit
  readonly #waiting = new Fifo<Waiting>()
  readonly #backoff: Backoff
  #state: State = { type: 'idle' }
  #bytes = 0

  constructor (init: SenderInit) {
    this.#init = init
    this.#backoff = new Backoff({ first: limits.REOPEN_FIRST, cap: limits.REOPEN_CAP, random: init.random })
  }

  /** Resolves when the stream has taken it */
  async send (frame: Frame, { signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()

    if (this.#bytes + frame.bytes > limits.MAX_WAITING_BYTES) {
      throw new Error('more waits for this peer than it takes in')
    }

    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { frame, resolve, reject }
    const onAbort = (): void => {
      this.#bytes -= this.#waiting.remove(other => other === waiting).length * frame.bytes
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort)
    this.#waiting.push(waiting)
    this.#bytes += frame.bytes
    this.#pump()

    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** The peer is out of reach */
  end (err: Error): void {
    const state = this.#state
    this.#state = { type: 'ended' }
    this.#rejectAll(err)

    if (state.type === 'opening') {
      state.controller.abort(err)
    } else if (state.type === 'open') {
      state.stream.abort(err)
    } else if (state.type === 'pausing') {
      state.timer.cancel()
    }
  }

  /** Only this is sent still, if there is a stream for it: it arrives behind what that has taken */
  async close (last: Frame, options: AbortOptions): Promise<void> {
    const err = new Error('nothing is sent any more')
    this.#rejectAll(err)

    if (this.#state.type === 'open') {
      const { stream } = this.#state
      this.send(last).catch(() => {})
      this.#state = { type: 'ended' }
      // a connection that is closed meanwhile may take it with it
      await stream.finish(options)
    }

    this.end(err)
  }

  take (): Uint8Array[] | undefined {
    const waiting = this.#waiting.shift()

    if (waiting == null) {
      return
    }

    const { head, body, bytes } = waiting.frame
    this.#bytes -= bytes
    waiting.resolve()
    return body == null ? [head] : [head, body]
  }

  hasMore (): boolean {
    return this.#waiting.length > 0
  }

  /** The other side has streams of its own to say something */
  onFrame (): void {}

  onMalformed (err: Error): void {
    this.#abort(err)
  }

  onSlow (): void {
    const err = new Error(`it did not take in a byte for ${limits.SLOW_TIMEOUT} ms`)
    this.#rejectAll(err)
    this.#abort(err)
  }

  onStreamEnd (): void {
    if (this.#state.type !== 'open') {
      return
    }
    if (this.#init.clock.now() - this.#state.since > limits.REOPEN_CAP) {
      this.#backoff.reset()
    }
    this.#pause()
  }

  #abort (err: Error): void {
    if (this.#state.type === 'open') {
      this.#state.stream.abort(err)
    }
  }

  #pump (): void {
    if (this.#state.type === 'open') {
      this.#state.stream.schedule()
    } else if (this.#state.type === 'idle' && this.hasMore()) {
      void this.#open()
    } else if (this.#state.type === 'ended') {
      this.#rejectAll(new Error('it is out of reach'))
    }
  }

  async #open (): Promise<void> {
    const { clock, connection } = this.#init
    const controller = new AbortController()
    const state = this.#state = { type: 'opening', controller }
    const timer = clock.after(limits.OPEN_TIMEOUT, () => {
      controller.abort(new Error(`no stream within ${limits.OPEN_TIMEOUT} ms`))
    })

    try {
      const stream = await connection().newStream(limits.SEND_PROTOCOL, { signal: controller.signal })

      if (this.#state === state) {
        this.#opened(stream)
      } else {
        stream.abort(new Error('nothing is sent any more'))
      }
    } catch (err: any) {
      if (this.#state === state) {
        this.#rejectAll(err)
        this.#pause()
      }
    } finally {
      timer.cancel()
    }
  }

  #opened (stream: Stream): void {
    const { clock } = this.#init
    const frames = new FrameStream({
      stream, clock, owner: this, maxFrame: limits.MAX_SEND_FRAME, slowAfter: limits.SLOW_TIMEOUT
    })
    this.#state = { type: 'open', stream: frames, since: clock.now() }
    frames.read()
    frames.schedule()
  }

  #pause (): void {
    const timer = this.#init.clock.after(this.#backoff.next(), () => {
      this.#state = { type: 'idle' }
      this.#pump()
    })
    this.#state = { type: 'pausing', timer }
  }

  #rejectAll (err: Error): void {
    this.#bytes = 0
    this.#waiting.clear().forEach(({ reject }) => { reject(err) })
  }
}
