import { LruMap } from '../../runtime/bounded.ts'
import type { Key } from './types.ts'

/** Bits of a window at first: it grows while there are gaps in what came */
const FIRST_BITS = 64

/**
 * Which sequence numbers were seen: all up to `floor`, and above it those whose bit is set. In order it stays at 64 bits
 * for ever; gaps make it grow, up to a bound past which the oldest gap counts as seen.
 */
export class Window {
  readonly #maxBits: number
  #bits = new Uint32Array(FIRST_BITS / 32)
  #floor: number
  #high: number

  /** `first` is the first number that came: a few before it may still be on their way */
  constructor (maxBits: number, first: number) {
    this.#maxBits = maxBits
    this.#high = first - 1
    this.#floor = Math.max(-1, first - FIRST_BITS)
  }

  /** True once for each number */
  accept (seq: number): boolean {
    if (seq <= this.#floor) {
      return false
    }
    if (seq > this.#high) {
      this.#raise(seq)
    } else if (this.#has(seq)) {
      return false
    }

    this.#set(this.#bits, seq)
    return true
  }

  get #size (): number {
    return this.#bits.length * 32
  }

  #has (seq: number): boolean {
    const index = seq % this.#size
    return (this.#bits[index >>> 5] & (1 << (index & 31))) !== 0
  }

  #set (bits: Uint32Array, seq: number): void {
    const index = seq % (bits.length * 32)
    bits[index >>> 5] |= 1 << (index & 31)
  }

  #clear (seq: number): void {
    const index = seq % this.#size
    this.#bits[index >>> 5] &= ~(1 << (index & 31))
  }

  #raise (seq: number): void {
    if (seq - this.#floor > this.#size) {
      this.#makeRoom(seq)
    }

    this.#high = seq
  }

  #makeRoom (seq: number): void {
    // what was seen without a gap needs no bits
    while (this.#floor < this.#high && this.#has(this.#floor + 1)) {
      this.#clear(++this.#floor)
    }

    if (seq - this.#floor > this.#size && this.#size < this.#maxBits) {
      this.#grow(seq - this.#floor)
    }

    const floor = Math.max(this.#floor, seq - this.#size)

    if (floor >= this.#high) {
      this.#bits.fill(0)
    } else {
      for (let old = this.#floor + 1; old <= floor; old++) {
        this.#clear(old)
      }
    }

    this.#floor = floor
  }

  #grow (wanted: number): void {
    let size = this.#size

    while (size < wanted && size < this.#maxBits) {
      size *= 2
    }

    const bits = new Uint32Array(size / 32)

    for (let seq = this.#floor + 1; seq <= this.#high; seq++) {
      if (this.#has(seq)) {
        this.#set(bits, seq)
      }
    }

    this.#bits = bits
  }
}

interface OriginWindows {
  epoch: number
  heardAt: number
  topics: LruMap<string, Window>
}

export interface WindowsInit {
  maxOrigins: number
  maxTopics: number
  bits: number
  ttl: number
}

/**
 * Delivers each message at most once: (origin, epoch, topic, seq) names it for ever.
 */
export class Windows {
  readonly #init: WindowsInit
  readonly #origins: LruMap<Key, OriginWindows>

  constructor (init: WindowsInit) {
    this.#init = init
    this.#origins = new LruMap(init.maxOrigins)
  }

  get size (): number {
    return this.#origins.size
  }

  /** True the first time. What is of an earlier life is not delivered any more */
  accept (origin: Key, epoch: number, topic: string, seq: number, now: number): boolean {
    let windows = this.#origins.get(origin)

    if (windows == null || epoch > windows.epoch) {
      windows = { epoch, heardAt: now, topics: new LruMap(this.#init.maxTopics) }
      this.#origins.set(origin, windows)
    } else if (epoch < windows.epoch) {
      return false
    }

    windows.heardAt = now
    let window = windows.topics.get(topic)

    if (window == null) {
      windows.topics.set(topic, window = new Window(this.#init.bits, seq))
    }

    return window.accept(seq)
  }

  /** The origin itself says in which epoch it lives: also one that is smaller is a new life */
  restart (origin: Key, epoch: number): void {
    const windows = this.#origins.get(origin)

    if (windows != null && windows.epoch !== epoch) {
      this.#origins.delete(origin)
    }
  }

  expire (now: number): void {
    for (const [origin, { heardAt }] of [...this.#origins.entries()]) {
      if (heardAt + this.#init.ttl <= now) {
        this.#origins.delete(origin)
      }
    }
  }

  clear (): void {
    this.#origins.clear()
  }
}
