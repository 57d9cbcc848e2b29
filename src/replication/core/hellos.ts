import { TokenBucket } from '../../runtime/token-bucket.ts'
import type { Key } from './types.ts'
import type { TokenBucketInit } from '../../runtime/token-bucket.ts'

/**
 * Which hellos go to which peer, and when: whatever a peer does, it costs us so many hellos a second.
 *
 * | peer | event | peer after | effect |
 * |---|---|---|---|
 * | idle, has a token | a hello is wanted | sending | send |
 * | idle, no token | a hello is wanted | waiting | none |
 * | waiting | another one is wanted | waiting | none: one hello does for both |
 * | waiting | a token is there | sending | send |
 * | sending | a hello is wanted | sending, one more is wanted | none |
 * | sending | the peer has taken it, or it could not be sent | idle, or waiting if one more is wanted | none |
 * | waiting | the peer is gone | idle | none |
 * | idle, full bucket, told long ago | sweep | forgotten | none |
 *
 * A hello that answers tells what third parties keep at most once in `interval`.
 */
export interface Hello {
  peer: Key
  /** Whether the peer is to say hello, too */
  isAsking: boolean
  /** Whether it says what third parties keep */
  tellsOthers: boolean
}

interface Peer {
  readonly bucket: TokenBucket
  isSending: boolean
  wanted?: { asks: boolean, answers: boolean }
  toldAt: number
}

export interface HellosInit {
  bucket: TokenBucketInit
  /** Milliseconds between two hellos to one peer that say what third parties keep */
  interval: number
  maxPeers: number
}

export class Hellos {
  readonly #init: HellosInit
  readonly #peers = new Map<Key, Peer>()
  /** Those to whom a hello is wanted and none is being sent */
  readonly #waiting = new Map<Key, Peer>()

  constructor (init: HellosInit) {
    this.#init = init
  }

  get size (): number {
    return this.#peers.size
  }

  /** A hello that asks, or one that answers */
  want (key: Key, kind: 'ask' | 'answer', now: number): void {
    const peer = this.#touch(key, now)

    if (peer != null) {
      const { asks = false, answers = false } = peer.wanted ?? {}
      peer.wanted = { asks: asks || kind === 'ask', answers: answers || kind === 'answer' }
      peer.isSending || this.#waiting.set(key, peer)
    }
  }

  /** What is to be sent now. `sent` is to be called for each */
  next (now: number): Hello[] {
    const hellos: Hello[] = []

    for (const [key, peer] of this.#waiting) {
      if (peer.wanted != null && peer.bucket.take(1, now)) {
        const { asks, answers } = peer.wanted
        const tellsOthers = answers && now - peer.toldAt >= this.#init.interval
        peer.toldAt = tellsOthers ? now : peer.toldAt
        peer.wanted = undefined
        peer.isSending = true
        this.#waiting.delete(key)
        hellos.push({ peer: key, isAsking: asks, tellsOthers })
      }
    }

    return hellos
  }

  /** The last hello to this peer is on its way, or could not be sent */
  sent (key: Key): void {
    const peer = this.#peers.get(key)

    if (peer != null) {
      peer.isSending = false
      peer.wanted != null && this.#waiting.set(key, peer)
    }
  }

  gone (key: Key): void {
    const peer = this.#peers.get(key)

    if (peer != null) {
      peer.wanted = undefined
      this.#waiting.delete(key)
    }
  }

  nextWake (now: number): number {
    let next = Infinity
    this.#waiting.forEach(({ bucket }) => { next = Math.min(next, now + Math.ceil(bucket.wait(1, now))) })
    return next
  }

  /** Forgets peers of whom there is nothing to remember */
  sweep (now: number): void {
    const { bucket: { burst }, interval } = this.#init

    for (const [key, { bucket, isSending, wanted, toldAt }] of this.#peers) {
      if (!isSending && wanted == null && bucket.level(now) >= burst && now - toldAt >= interval) {
        this.#peers.delete(key)
      }
    }
  }

  clear (): void {
    this.#peers.clear()
    this.#waiting.clear()
  }

  #touch (key: Key, now: number): Peer | undefined {
    let peer = this.#peers.get(key)

    if (peer == null) {
      this.#peers.size >= this.#init.maxPeers && this.sweep(now)

      if (this.#peers.size >= this.#init.maxPeers) {
        return
      }
      peer = { bucket: new TokenBucket(this.#init.bucket, now), isSending: false, toldAt: -Infinity }
      this.#peers.set(key, peer)
    }

    return peer
  }
}
