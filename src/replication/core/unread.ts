import { Fifo } from '../../runtime/bounded.ts'
import { TokenBucket } from '../../runtime/token-bucket.ts'
import type { Key } from './types.ts'
import type { TokenBucketInit } from '../../runtime/token-bucket.ts'

/**
 * Documents that wait to be verified. The peer that sent a document pays for it, whoever its owner is.
 *
 * A sender is in credit (it has a token) or in debt. It is owed a question from when a document of it was dropped until
 * we ask it again for its own document: so nothing is lost for ever.
 *
 * | sender | event | tokens | what happens |
 * |---|---|---|---|
 * | in credit | a document that is known, or waits already in its queue | 0 | nothing |
 * | in credit, with room | a document that is news | -1 | the document waits in the sender's queue |
 * | in credit, no room | a document that is news | 0 | the document is dropped, and the sender is owed a question |
 * | in debt | any document | 0 | the document is dropped unread, and the sender is owed a question |
 * | any | its document has become known before its turn | +1 | nothing |
 * | any | its document is true | 0 | the document counts |
 * | any | its document is forged or malformed | -cost | in debt, all in its queue is dropped, and it is owed a question |
 * | owed, in credit | time goes by | 0 | ask |
 * | owed nothing, full bucket, nothing waits | sweep | | the sender is forgotten |
 *
 * One document that several senders sent is stored and verified once, and waits in each one's queue. So a sender that
 * is dropped takes no document along that another one sent, and none that is forged takes the place of a true one.
 * Senders take turns, document by document.
 */
export interface Waiting<T> {
  readonly value: T
  readonly name: string
  readonly owner: Key
  readonly bytes: number
  /** Queues that it is in */
  holders: number
  /** Whether it is true, once somebody knows */
  verdict?: boolean
}

interface Sender<T> {
  readonly bucket: TokenBucket
  readonly queue: Fifo<Waiting<T>>
  readonly names: Set<string>
  bytes: number
  /** Documents in the queue whose owner is the sender */
  own: number
  isOwed: boolean
}

export interface UnreadInit {
  bucket: TokenBucketInit
  forgedCost: number
  /** Documents and bytes of one sender that may wait, and bytes of all senders */
  maxWaiting: number
  maxBytes: number
  maxAllBytes: number
  maxSenders: number
}

export class Unread<T> {
  readonly #init: UnreadInit
  readonly #senders = new Map<Key, Sender<T>>()
  /** Senders whose documents wait, in the order of their turns */
  readonly #turns = new Map<Key, Sender<T>>()
  readonly #waiting = new Map<string, Waiting<T>>()
  readonly #owed = new Map<Key, Sender<T>>()
  #bytes = 0

  constructor (init: UnreadInit) {
    this.#init = init
  }

  /** Documents that wait */
  get size (): number {
    return this.#waiting.size
  }

  get bytes (): number {
    return this.#bytes
  }

  get senders (): number {
    return this.#senders.size
  }

  /** Whether a document waits that its owner sent itself */
  hasOwn (owner: Key): boolean {
    return (this.#turns.get(owner)?.own ?? 0) > 0
  }

  /** Whether a document of this sender is looked at. If not, the sender is owed a question */
  mayRead (from: Key, now: number): boolean {
    const sender = this.#touch(from, now)
    return sender != null && (sender.bucket.level(now) >= 1 || this.#owe(from, sender))
  }

  /** A document that is news. `make` makes what waits, if it does not wait already. False: it is dropped */
  add (from: Key, name: string, owner: Key, make: () => T, now: number): boolean {
    const sender = this.#touch(from, now)

    if (sender == null || sender.names.has(name)) {
      return sender != null
    }

    const { maxWaiting, maxBytes, maxAllBytes } = this.#init
    const bytes = name.length
    const known = this.#waiting.get(name)
    const hasRoom = sender.queue.length < maxWaiting && sender.bytes + bytes <= maxBytes &&
      (known != null || this.#bytes + bytes <= maxAllBytes)

    if (!hasRoom || !sender.bucket.take(1, now)) {
      return this.#owe(from, sender)
    }

    const item = known ?? { value: make(), name, owner, bytes, holders: 0 }
    item.holders++
    this.#bytes += known == null ? bytes : 0
    this.#waiting.set(name, item)
    this.#turns.set(from, sender)
    sender.queue.push(item)
    sender.names.add(name)
    sender.bytes += bytes
    sender.own += owner === from ? 1 : 0
    return true
  }

  /** The document whose turn it is, and who sent it. It waits no more */
  next (): { from: Key, item: Waiting<T> } | undefined {
    const [turn] = this.#turns

    if (turn == null) {
      return
    }

    const [from, sender] = turn
    const item = this.#shift(from, sender)
    this.#turns.delete(from)
    sender.queue.length > 0 && this.#turns.set(from, sender)
    return { from, item }
  }

  /** What `next` gave out had become known meanwhile */
  wasKnown (from: Key, now: number): void {
    this.#senders.get(from)?.bucket.spend(-1, now)
  }

  /** A document of this sender is forged or malformed. Returns how many others of it are dropped for that */
  punish (from: Key, now: number): number {
    const sender = this.#touch(from, now)
    let dropped = 0

    if (sender != null) {
      sender.bucket.spend(this.#init.forgedCost, now)
      this.#owe(from, sender)

      for (; sender.bucket.level(now) < 0 && sender.queue.length > 0; dropped++) {
        this.#shift(from, sender)
      }
      sender.queue.length === 0 && this.#turns.delete(from)
    }

    return dropped
  }

  nextWake (now: number): number {
    let next = Infinity
    this.#owed.forEach(({ bucket }) => { next = Math.min(next, now + Math.ceil(bucket.wait(1, now))) })
    return next
  }

  /** Senders to ask now for their own documents */
  asks (now: number): Key[] {
    const due = [...this.#owed].filter(([, { bucket }]) => bucket.level(now) >= 1)

    for (const [key, sender] of due) {
      sender.isOwed = false
      this.#owed.delete(key)
    }

    return due.map(([key]) => key)
  }

  /** Forgets senders of whom there is nothing to remember */
  sweep (now: number): void {
    for (const [key, { bucket, queue, isOwed }] of this.#senders) {
      if (!isOwed && queue.length === 0 && bucket.level(now) >= this.#init.bucket.burst) {
        this.#senders.delete(key)
      }
    }
  }

  clear (): void {
    this.#senders.clear()
    this.#turns.clear()
    this.#waiting.clear()
    this.#owed.clear()
    this.#bytes = 0
  }

  #touch (from: Key, now: number): Sender<T> | undefined {
    let sender = this.#senders.get(from)

    if (sender == null) {
      this.#senders.size >= this.#init.maxSenders && this.sweep(now)

      if (this.#senders.size >= this.#init.maxSenders) {
        return
      }
      const bucket = new TokenBucket(this.#init.bucket, now)
      sender = { bucket, queue: new Fifo(), names: new Set(), bytes: 0, own: 0, isOwed: false }
      this.#senders.set(from, sender)
    }

    return sender
  }

  /** Always false: what was dropped */
  #owe (from: Key, sender: Sender<T>): false {
    sender.isOwed = true
    this.#owed.set(from, sender)
    return false
  }

  #shift (from: Key, sender: Sender<T>): Waiting<T> {
    const item = sender.queue.shift() as Waiting<T>
    sender.names.delete(item.name)
    sender.bytes -= item.bytes
    sender.own -= item.owner === from ? 1 : 0

    if (--item.holders === 0) {
      this.#waiting.delete(item.name)
      this.#bytes -= item.bytes
    }

    return item
  }
}
