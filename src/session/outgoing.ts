import { Fifo } from '../runtime/bounded.ts'
import { then } from '../runtime/then.ts'
import { OUTGOING_BYTES, OUTGOING_FRAMES, PUBLISHING_BYTES } from './constants.ts'
import { encodeHead, signedBytes, withSignature } from './core/wire.ts'
import type { Outgoing as Frame, Sealing } from './core/events.ts'
import type { XWingQueue } from './crypto/x-wing-queue.ts'
import type { Sign } from '../runtime/ed25519.ts'

export interface OutgoingInit {
  crypto: XWingQueue
  sign: Sign
  /** Hands a frame to DirectSub. Resolves when that has taken it, or has not */
  publish (bytes: Uint8Array, isRound: boolean): Promise<void>
  /** A frame is dropped: the session repeats what matters */
  onDropped (reason: string): void
}

/** Bytes that are added to a body: head, tag */
const OVERHEAD = 64

/**
 * What leaves for one peer, in order: each frame when what it depends on is stored, and DirectSub has room for it. A
 * frame is sealed or signed only then, so nothing is computed for a peer that does not take it.
 */
export class Outgoing {
  readonly #init: OutgoingInit
  readonly #frames = new Fifo<{ frame: Frame, after: number }>()
  /** Bytes of the sealed frames that wait */
  #bytes = 0
  /** Frames of rounds among those that wait */
  #rounds = 0
  /** Bytes that DirectSub has been handed and has not taken yet */
  #publishing = 0
  #stored = 0
  #isEncoding = false
  #isStopped = false

  constructor (init: OutgoingInit) {
    this.#init = init
  }

  get bytes (): number {
    return this.#bytes
  }

  push (frame: Frame, after: number): void {
    const bytes = bytesOf(frame)
    const isFull = isSealed(frame) ? this.#bytes + bytes > OUTGOING_BYTES : this.#rounds >= OUTGOING_FRAMES

    if (this.#isStopped || isFull) {
      wipe(frame)
      this.#init.onDropped(this.#isStopped ? 'stopped' : 'congested')
      return
    }

    this.#frames.push({ frame, after })
    this.#bytes += bytes
    this.#rounds += isSealed(frame) ? 0 : 1
    this.#pump()
  }

  /** Everything up to this revision is stored */
  stored (revision: number): void {
    this.#stored = revision
    this.#pump()
  }

  /** Nothing leaves any more. What is with DirectSub already does */
  stop (): void {
    this.#isStopped = true
    this.#frames.clear().forEach(({ frame }) => { wipe(frame) })
    this.#bytes = this.#rounds = 0
  }

  #pump (): void {
    while (!this.#isEncoding && this.#publishing < PUBLISHING_BYTES) {
      const next = this.#frames.peek()

      if (next == null || next.after > this.#stored) {
        return
      }

      this.#frames.shift()
      this.#bytes -= bytesOf(next.frame)
      this.#rounds -= isSealed(next.frame) ? 0 : 1
      this.#leave(next.frame)
    }
  }

  #leave (frame: Frame): void {
    const isRound = !isSealed(frame)
    const encoded = this.#encode(frame)

    if (!(encoded instanceof Promise)) {
      this.#publish(encoded, isRound)
      return
    }

    this.#isEncoding = true
    encoded.then(bytes => { this.#publish(bytes, isRound) }, () => {
      // only when the worker, or the key of the node, is gone: the session says it again
      this.#init.onDropped('not-encoded')
    }).finally(() => {
      this.#isEncoding = false
      this.#pump()
    })
  }

  #encode (frame: Frame): Uint8Array | Promise<Uint8Array> {
    const { crypto, sign } = this.#init

    if (frame.kind === 'confirm') {
      return frame.encoded
    }
    if (isSealed(frame)) {
      const head = encodeHead(frame.head)
      return then(crypto.seal(frame.key, head, frame.body), sealed => withSignature(head, sealed))
    }

    return then(sign(signedBytes(frame.encoded)), signature => withSignature(frame.encoded, signature))
  }

  #publish (bytes: Uint8Array, isRound: boolean): void {
    if (this.#isStopped) {
      return
    }

    this.#publishing += bytes.byteLength
    void this.#init.publish(bytes, isRound).finally(() => {
      this.#publishing -= bytes.byteLength
      this.#pump()
    })
  }
}

function isSealed (frame: Frame): frame is Sealing {
  return 'head' in frame
}

function bytesOf (frame: Frame): number {
  return isSealed(frame) ? frame.body.byteLength + OVERHEAD : 0
}

function wipe (frame: Frame): void {
  if (isSealed(frame)) {
    frame.key.fill(0)
  }
}
