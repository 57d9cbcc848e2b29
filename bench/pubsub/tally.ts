import { sharedNow, sleep } from '../clock.ts'

export interface Count {
  received: number
  duplicates: number
  /** When the last one came that counts, on the shared clock */
  last: number
}

/**
 * Counts what arrives in one round, each number once
 */
export class Tally {
  private round = -1
  private stamping = false
  private seen = new Uint8Array(1 << 16)
  private count: Count = { received: 0, duplicates: 0, last: 0 }

  reset (round: number): void {
    this.round = round
    this.seen.fill(0)
    this.count = { received: 0, duplicates: 0, last: sharedNow() }
  }

  /**
   * A message that says which one it is
   */
  message (data: Uint8Array): void {
    // a straggler of an earlier round is not counted in this one
    if (readUint32(data, 0) !== this.round) {
      return
    }

    const index = readUint32(data, 4)
    this.grow(index)

    if (this.seen[index] === 1) {
      this.count.duplicates++
    } else {
      this.seen[index] = 1
      this.anonymous(1)
    }
  }

  /**
   * Messages of which only the number is known
   */
  anonymous (count: number): void {
    this.count.received += count

    // one look at the clock for all that come at once: it would be a tenth of what a message costs
    if (!this.stamping) {
      this.stamping = true
      queueMicrotask(this.stamp)
    }
  }

  /**
   * Resolves when all have come, or when none has for `idle` milliseconds
   */
  async collect (expected: number, idle: number, deadline: number): Promise<Count> {
    const end = sharedNow() + deadline
    const started = sharedNow()

    while (this.count.received < expected) {
      const now = sharedNow()

      if (now > end || now - Math.max(this.count.last, started) > idle) {
        break
      }

      await sleep(2)
    }

    return { ...this.count }
  }

  private readonly stamp = (): void => {
    this.stamping = false
    this.count.last = sharedNow()
  }

  private grow (index: number): void {
    if (index < this.seen.length) {
      return
    }

    const larger = new Uint8Array(Math.max(index + 1, this.seen.length * 2))
    larger.set(this.seen)
    this.seen = larger
  }
}

/** Bytes that are made at a time, cut into messages: an array of its own for each would cost more than to publish it */
const SLAB = 64 * 1024

/**
 * Makes the messages of a round. All are new memory, each starts with the round and its number.
 */
export class MessageMaker {
  private readonly size: number
  private readonly round: number
  private slab = new Uint8Array()
  private view = new DataView(this.slab.buffer)
  private at = 0
  private made = 0

  constructor (size: number, round: number) {
    this.size = size
    this.round = round
  }

  next (): Uint8Array {
    if (this.at + this.size > this.slab.length) {
      this.slab = new Uint8Array(Math.max(SLAB, this.size)).fill(FILLING)
      this.view = new DataView(this.slab.buffer)
      this.at = 0
    }

    this.view.setUint32(this.at, this.round)
    this.view.setUint32(this.at + 4, this.made++)
    const message = this.slab.subarray(this.at, this.at + this.size)
    this.at += this.size

    return message
  }
}

/** What the messages are filled with */
const FILLING = 0x5a

function readUint32 (data: Uint8Array, at: number): number {
  return ((data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]) >>> 0
}
