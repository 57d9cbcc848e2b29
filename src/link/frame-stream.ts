import { Uint8ArrayList } from 'uint8arraylist'
import { MalformedError } from '../runtime/errors.ts'
import { MAX_HELD } from './constants.ts'
import { FrameParser, gather, SHORT } from './core/frames.ts'
import type { OnFrame } from './core/frames.ts'
import type { Writes } from './core/writes.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { AbortOptions, Stream, StreamMessageEvent } from '@libp2p/interface'

/**
 * Bytes of the longest write: with the 12 of a yamux header it fills two records of noise (65,519 each). One byte more
 * would cost another record, and a record costs as much as encrypting 10 KiB; with half of it the other side would
 * grant twice as often, which costs it as much as a record
 */
const WRITE = 2 * 65_519 - 12

export interface FrameStreamInit {
  stream: Stream
  clock: Clock
  owner: FrameStreamOwner
  /** Bytes of the largest frame */
  maxFrame: number
  /** Milliseconds without progress, while bytes wait, until the other side is too slow */
  slowAfter: number
  /** How often it may write what is short: by default as often as there is something */
  writes?: Writes
}

/** Who uses a stream of frames */
export interface FrameStreamOwner {
  /** The next bytes to write, if there are any that may go now */
  take (): Uint8Array[] | undefined
  /** Whether bytes wait to be written, be it that they may not go yet */
  hasMore (): boolean
  /** So many bytes came at once. False: the stream is over */
  onRead? (bytes: number): boolean
  onFrame: OnFrame
  /** What came could not be parsed */
  onMalformed (err: Error): void
  /** The stream ended, or the other side said that it writes no more: called once */
  onStreamEnd (): void
  onSlow (): void
}

/** One long-lived stream: what comes is parsed into frames, what goes is written as fast as the stream takes it. */
export class FrameStream {
  readonly #init: FrameStreamInit
  readonly #parser: FrameParser
  /** Taken, and not written yet */
  #carry: Uint8Array[] = []
  #carried = 0
  #isScheduled = false
  #isPumping = false
  #isBlocked = false
  /** While a short write waits for more */
  #pause?: Timer
  /** Nothing more comes */
  #hasEnded = false
  #isOver = false
  /** Counts what shows that the other side takes something in */
  #progress = 0
  #stallTimer?: Timer
  #onIdle?: () => void
  #onOver?: () => void

  constructor (init: FrameStreamInit) {
    const { stream, owner, maxFrame } = init
    this.#init = init
    this.#parser = new FrameParser(maxFrame, (kind, body, bytes) => { owner.onFrame(kind, body, bytes) })
    stream.addEventListener('end', this)
  }

  get heldBytes (): number {
    return this.#parser.heldBytes
  }

  /** Begins to read. What came before is kept by the stream, but nobody tells again of an end that came before */
  read (): void {
    const { stream, clock } = this.#init
    stream.addEventListener('message', this)

    if (stream.readableEnded) {
      clock.soon(() => { this.#onEnd() })
    }
  }

  /** One listener for all events, and few of them: each costs half a kilobyte for as long as there is a neighbour */
  handleEvent (event: StreamMessageEvent | Event): void {
    if ('data' in event) {
      if (this.#init.owner.onRead?.(event.data.byteLength) === false) {
        return
      }

      this.#parse(() => {
        for (const part of event.data instanceof Uint8Array ? [event.data] : event.data) {
          this.#parser.push(part)
        }
        if (this.#parser.isStopped && this.#parser.heldBytes > MAX_HELD) {
          throw new MalformedError('more was sent than was granted')
        }
      })
    } else {
      this.#onEnd()
    }
  }

  /**
   * Hands on no more frames until `go`. What credit allows comes meanwhile and is held here: a stream of libp2p that is
   * paused takes a second to hand on 4 MiB that came in small pieces
   */
  stop (): void {
    this.#parser.stop()
  }

  go (): void {
    if (!this.#isOver && this.#parser.isStopped) {
      this.#parse(() => { this.#parser.go() })
      this.#progress++

      if (this.#hasEnded && !this.#parser.isStopped) {
        this.#end()
      }
    }
  }

  /** There is something to write: now if so, else when this tick is over, so that what it adds goes with it */
  schedule (now = false): void {
    if (now) {
      this.#pump()
    } else if (!this.#isScheduled) {
      this.#isScheduled = true
      this.#init.clock.soon(() => {
        this.#isScheduled = false
        this.#pump()
      })
    }
  }

  /** The other side has dealt with something, so it is not dead, however slow */
  noteProgress (): void {
    this.#progress++
  }

  /**
   * Writes what there is and says that no more comes. Resolves when the other side has said so, too: then it has read
   * all. Or when the signal aborts, or the stream ends
   */
  async finish ({ signal }: AbortOptions): Promise<void> {
    if (this.#hasMore) {
      this.schedule()
      await this.#until(resolve => { this.#onIdle = resolve }, signal)
    }
    if (!this.#isOver && signal?.aborted !== true) {
      await this.#init.stream.close({ signal }).catch(err => { this.abort(err) })
    }

    await this.#until(resolve => { this.#onOver = resolve }, signal)
  }

  abort (err: Error): void {
    this.#init.stream.abort(err)
    this.#end()
  }

  /** No more comes, but what is held may have to be handed on yet */
  #onEnd (): void {
    this.#hasEnded = true

    if (!this.#parser.isStopped) {
      this.#end()
    }
  }

  #parse (read: () => void): void {
    try {
      read()
    } catch (err: any) {
      this.#init.owner.onMalformed(err)
    }
  }

  async #until (wait: (resolve: () => void) => void, signal?: AbortSignal): Promise<void> {
    if (!this.#isOver && signal?.aborted !== true) {
      await new Promise<void>(resolve => {
        wait(resolve)
        signal?.addEventListener('abort', () => { resolve() }, { once: true })
      })
    }
  }

  get #hasMore (): boolean {
    return this.#carried > 0 || this.#init.owner.hasMore()
  }

  #pump (): void {
    const { stream } = this.#init

    // what is called when a frame is taken may add others, which this loop takes, too
    if (this.#isPumping) {
      return
    }

    this.#isPumping = true

    try {
      while (!this.#isOver && stream.writeStatus === 'writable' && !stream.writableNeedsDrain) {
        this.#takeMore()

        if (this.#carried === 0 || this.#isTooEarly()) {
          break
        }

        const before = this.#carried
        const runs = gather(this.#nextParts(), { owned: false })
        const bytes = before - this.#carried
        this.#progress++
        this.#init.writes?.wrote(bytes)
        stream.send(runs.length === 1 ? runs[0] : new Uint8ArrayList(...runs))
      }
    } catch (err: any) {
      // the stream closed under our hands
      this.abort(err)
    } finally {
      this.#isPumping = false
    }

    if (this.#hasMore) {
      this.#waitForDrain()
      this.#watch()
    } else {
      this.#onIdle?.()
    }
  }

  /** By the event, looking again when it came: `onDrain()` resolves once and for ever */
  #waitForDrain (): void {
    const { stream } = this.#init

    if (!this.#isBlocked && stream.writableNeedsDrain) {
      this.#isBlocked = true
      stream.addEventListener('drain', () => {
        this.#isBlocked = false
        this.schedule()
      }, { once: true })
    }
  }

  /** A short write may have to wait for more */
  #isTooEarly (): boolean {
    const { writes, clock } = this.#init
    const wait = writes?.waitFor(this.#carried) ?? 0

    if (wait > 0 && this.#pause == null) {
      this.#pause = clock.after(wait, () => {
        this.#pause = undefined
        writes?.waited()
        this.#pump()
      })
    }

    return wait > 0
  }

  #takeMore (): void {
    for (let more = this.#take(); more != null; more = this.#take()) {
      for (const part of more) {
        this.#carry.push(part)
        this.#carried += part.byteLength
      }
    }
  }

  /** As much as one write takes. A long part that does not fit is cut, unless little of the write is free */
  #nextParts (): Uint8Array[] {
    const parts = this.#carry
    let left = WRITE
    let count = 0

    while (count < parts.length && parts[count].byteLength <= left) {
      left -= parts[count++].byteLength
    }

    this.#carry = parts.splice(count)

    if (this.#carry.length > 0 && left >= SHORT) {
      parts.push(this.#carry[0].subarray(0, left))
      this.#carry[0] = this.#carry[0].subarray(left)
      left = 0
    }

    this.#carried -= WRITE - left
    return parts
  }

  #take (): Uint8Array[] | undefined {
    return this.#carried < WRITE ? this.#init.owner.take() : undefined
  }

  /** A timer only while bytes wait */
  #watch (): void {
    if (this.#stallTimer != null || this.#isOver) {
      return
    }

    const progress = this.#progress
    this.#stallTimer = this.#init.clock.after(this.#init.slowAfter, () => {
      this.#stallTimer = undefined

      if (this.#isOver || !this.#hasMore) {
        return
      }
      // what the other side granted is not heard while this side does not listen
      if (this.#progress === progress && !this.#parser.isStopped) {
        this.#init.owner.onSlow()
      } else {
        this.#watch()
      }
    })
  }

  #end (): void {
    if (!this.#isOver) {
      this.#isOver = true
      this.#stallTimer?.cancel()
      this.#pause?.cancel()
      this.#onIdle?.()
      this.#onOver?.()
      this.#init.owner.onStreamEnd()
    }
  }
}
