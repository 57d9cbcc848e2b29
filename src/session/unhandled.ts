import { keyOf } from '../pubsub/keys.ts'
import { HANDLER_PATIENCE, UNHANDLED_BYTES, UNHANDLED_BYTES_A_PEER } from './constants.ts'
import type { Key } from './core/state.ts'
import type { SessionMessage } from './index.ts'
import type { Clock, Timer } from '../runtime/clock.ts'

interface Waiting {
  protocol: string
  message: SessionMessage
}

/** Bytes that a message takes beside its data. A guess */
const OVERHEAD = 256

/**
 * Messages that the program does not take yet: their protocol has no handler, or they have no protocol and nobody
 * listens. A program registers its handlers while its node starts, and a peer that was waiting for the node may be
 * faster: its message was acked, so nobody would send it again. For some time after the start such messages wait,
 * within bounds. Later, a protocol without a handler is one that the program does not have.
 */
export class Unhandled {
  readonly #clock: Clock
  readonly #onDropped: (count: number) => void
  #waiting: Waiting[] = []
  /** What waits of each peer */
  readonly #bytes = new Map<Key, number>()
  #timer?: Timer

  constructor (clock: Clock, onDropped: (count: number) => void) {
    this.#clock = clock
    this.#onDropped = onDropped
  }

  /** The node has started */
  begin (): void {
    this.#timer = this.#clock.after(HANDLER_PATIENCE, () => { this.end() })
    this.#timer.unref?.()
  }

  add (protocol: string, message: SessionMessage): void {
    const peer = keyOf(message.from)
    const bytes = (this.#bytes.get(peer) ?? 0) + bytesOf(message)
    const all = [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, bytesOf(message))

    if (this.#timer == null || bytes > UNHANDLED_BYTES_A_PEER || all > UNHANDLED_BYTES) {
      this.#onDropped(1)
      return
    }

    this.#bytes.set(peer, bytes)
    // the data is a view of all that arrived with it
    this.#waiting.push({ protocol, message: { ...message, data: Uint8Array.from(message.data) } })
  }

  /** Those of a protocol, in the order in which they came */
  take (protocol: string): SessionMessage[] {
    const taken = this.#waiting.filter(waiting => waiting.protocol === protocol).map(({ message }) => message)
    this.#waiting = this.#waiting.filter(waiting => waiting.protocol !== protocol)

    for (const message of taken) {
      const peer = keyOf(message.from)
      this.#bytes.set(peer, (this.#bytes.get(peer) ?? 0) - bytesOf(message))
    }

    return taken
  }

  /** The node stops, or has run for so long that nobody will handle them */
  end (): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#waiting.length > 0 && this.#onDropped(this.#waiting.length)
    this.#waiting = []
    this.#bytes.clear()
  }
}

function bytesOf ({ data }: SessionMessage): number {
  return data.byteLength + OVERHEAD
}
