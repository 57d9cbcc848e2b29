import { Uint8ArrayList } from 'uint8arraylist'
import { FrameParser } from './core/frames.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { AbortOptions, Stream, StreamMessageEvent } from '@libp2p/interface'

/**
 * Bytes of the longest write: with the 12 of a yamux header it fills two records of noise (65,519 each). One byte more
 * would cost another record, and a record costs as much as encrypting 10 KiB; with half of it the other side would
 * grant twice as often, which costs it as much as a record
 */
const WRITE = 2 * 65_519 - 12

/** Parts shorter than this are gathered into one: a copy is cheaper than a part (a guess) */
const GATHER_BELOW = 4096

export interface PipeInit {
  stream: Stream
  clock: Clock
  owner: PipeOwner
  maxFrame: number
  /** Milliseconds without a write, while bytes wait, until the other side is too slow */
  slowAfter: number
}

/** Who uses a pipe, or some of them */
export interface PipeOwner {
  /** The next bytes to write, if there are any that may go now */
  take (pipe: Pipe): Uint8Array[] | undefined
  /** Whether bytes wait to be written, be it that they may not go yet */
  hasMore (pipe: Pipe): boolean
  onFrame (pipe: Pipe, kind: number, body: Uint8Array, bytes: number): void
  /** What came could not be parsed */
  onMalformed (err: Error): void
  /** The stream ended, or the other side said that it writes no more: called once */
  onPipeEnd (): void
  onSlow (): void
}

/**
 * One long-lived stream: what comes is parsed into frames, what goes is written as fast as the stream takes it.
 */
export class Pipe {
  readonly #init: PipeInit
  readonly #parser: FrameParser
  /** Taken, and not written yet */
  #carry: Uint8Array[] = []
  #carried = 0
  #scheduled = false
  #isBlocked = false
  #ended = false
  #closing = false
  #written = 0
  #stallTimer?: Timer
  #onIdle?: () => void
  #onEnd?: () => void

  constructor (init: PipeInit) {
    const { stream, owner, maxFrame } = init
    this.#init = init
    this.#parser = new FrameParser(maxFrame, (kind, body, bytes) => { owner.onFrame(this, kind, body, bytes) })
    stream.addEventListener('end', this)
  }

  get heldBytes (): number {
    return this.#parser.heldBytes
  }

  /** Begins to read. What came before is kept by the stream */
  read (): void {
    this.#init.stream.addEventListener('message', this)
  }

  /** One listener for all events, and few of them: each costs half a kilobyte for as long as there is a neighbour */
  handleEvent (event: StreamMessageEvent | Event): void {
    if ('data' in event) {
      this.#receive(event.data)
    } else {
      this.#end()
    }
  }

  #receive (data: Uint8Array | Uint8ArrayList): void {
    try {
      if (data instanceof Uint8Array) {
        this.#parser.push(data)
      } else {
        for (const part of data) {
          this.#parser.push(part)
        }
      }
    } catch (err: any) {
      this.#init.owner.onMalformed(err)
    }
  }

  /** There is something to write: now if so, else when this tick is over, so that what it adds goes with it */
  schedule (now = false): void {
    if (now) {
      this.#pump()
    } else if (!this.#scheduled) {
      this.#scheduled = true
      this.#init.clock.soon(() => {
        this.#scheduled = false
        this.#pump()
      })
    }
  }

  /** Writes what there is, and resolves when that is done */
  async flush (options: AbortOptions): Promise<void> {
    if (!this.#ended && this.#hasMore && options.signal?.aborted !== true) {
      this.schedule()
      await new Promise<void>(resolve => {
        this.#onIdle = resolve
        options.signal?.addEventListener('abort', () => { resolve() }, { once: true })
      })
    }
  }

  /** Writes what there is, says that no more comes, and resolves when both is done */
  async close (options: AbortOptions): Promise<void> {
    this.#closing = true
    await this.flush(options)
    await this.#init.stream.close(options)
  }

  /** Resolves when the other side writes no more: after our close() it has then read all. Or when the signal aborts */
  async ended ({ signal }: AbortOptions): Promise<void> {
    if (!this.#ended && signal?.aborted !== true) {
      await new Promise<void>(resolve => {
        this.#onEnd = resolve
        signal?.addEventListener('abort', () => { resolve() }, { once: true })
      })
    }
  }

  abort (err: Error): void {
    this.#init.stream.abort(err)
    this.#end()
  }

  get #hasMore (): boolean {
    return this.#carried > 0 || this.#init.owner.hasMore(this)
  }

  #pump (): void {
    const { stream } = this.#init

    try {
      while (!this.#ended && stream.writeStatus === 'writable' && !stream.writableNeedsDrain) {
        const parts = this.#nextParts()

        if (parts.length === 0) {
          break
        }

        this.#written++
        stream.send(gather(parts))
      }
    } catch (err: any) {
      // the stream closed under our hands: its 'close' event tells the rest
      this.abort(err)
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

  /** As much as one write takes; where a long part does not fit it is cut */
  #nextParts (): Uint8Array[] {
    for (let parts = this.#take(); parts != null; parts = this.#take()) {
      for (const part of parts) {
        this.#carry.push(part)
        this.#carried += part.byteLength
      }
    }

    const parts = this.#carry
    let left = WRITE
    let count = 0

    while (count < parts.length && parts[count].byteLength <= left) {
      left -= parts[count++].byteLength
    }

    this.#carry = parts.splice(count)

    if (this.#carry.length > 0 && left >= GATHER_BELOW) {
      parts.push(this.#carry[0].subarray(0, left))
      this.#carry[0] = this.#carry[0].subarray(left)
      left = 0
    }

    this.#carried -= WRITE - left
    return parts
  }

  #take (): Uint8Array[] | undefined {
    return this.#carried < WRITE ? this.#init.owner.take(this) : undefined
  }

  /** A timer only while bytes wait */
  #watch (): void {
    if (this.#stallTimer != null || this.#ended) {
      return
    }

    const written = this.#written
    this.#stallTimer = this.#init.clock.after(this.#init.slowAfter, () => {
      this.#stallTimer = undefined

      if (this.#ended || !this.#hasMore) {
        return
      }
      if (this.#written === written) {
        this.#init.owner.onSlow()
      } else {
        this.#watch()
      }
    })
  }

  #end (): void {
    if (this.#ended) {
      return
    }

    this.#ended = true
    this.#stallTimer?.cancel()
    this.#onIdle?.()
    this.#onEnd?.()

    if (!this.#closing) {
      this.#init.owner.onPipeEnd()
    }
  }
}

/** Parts that lie one behind the other are one already; of the others, short ones are put together */
function gather (parts: Uint8Array[]): Uint8Array | Uint8ArrayList {
  const runs = joinNeighbours(parts)

  if (runs.length === 1) {
    return runs[0]
  }

  const gathered: Uint8Array[] = []

  for (let i = 0; i < runs.length;) {
    let size = 0
    let end = i

    while (end < runs.length && runs[end].byteLength < GATHER_BELOW) {
      size += runs[end++].byteLength
    }

    if (end - i < 2) {
      gathered.push(runs[i++])
      continue
    }

    const run = new Uint8Array(size)
    let offset = 0

    for (; i < end; i++) {
      run.set(runs[i], offset)
      offset += runs[i].byteLength
    }

    gathered.push(run)
  }

  return gathered.length === 1 ? gathered[0] : new Uint8ArrayList(...gathered)
}

function joinNeighbours (parts: Uint8Array[]): Uint8Array[] {
  const runs: Uint8Array[] = []

  for (let i = 0; i < parts.length;) {
    const { buffer, byteOffset } = parts[i]
    const first = i
    let end = byteOffset + parts[i++].byteLength

    while (i < parts.length && parts[i].buffer === buffer && parts[i].byteOffset === end) {
      end += parts[i++].byteLength
    }

    runs.push(i - first === 1 ? parts[first] : new Uint8Array(buffer, byteOffset, end - byteOffset))
  }

  return runs
}
