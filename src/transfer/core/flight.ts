/** What is on its way: since when, for whom, by what, and how many bytes it counts for */
export interface Flying<Id, Owner, Link> {
  readonly id: Id
  readonly owner: Owner
  readonly bytes: number
  link: Link
  /** The how manieth of all that were sent this was, the first time and the last */
  readonly first: number
  order: number
  sentAt: number
}

/** Names a fragment that is being sent again. It has no bytes: nothing can be put in flight with it */
export interface ResendTicket<Id> {
  readonly id: Id
  readonly entry: object
}

/** It is in flight already: its bytes would be counted twice */
export class DuplicateFragmentError extends Error {
  static name = 'DuplicateFragmentError'
  name = 'DuplicateFragmentError'
}

/** Its owner has ended: nobody would release its bytes */
export class OwnerDroppedError extends Error {
  static name = 'OwnerDroppedError'
  name = 'OwnerDroppedError'
}

/** Owners that are remembered as ended. A guess: those whose producers may still be at work */
const TOMBSTONES = 4096

/**
 * Which fragments are in flight, and whose they are.
 *
 * | event        | in flight before           | in flight after           | bytes     |
 * |--------------|----------------------------|---------------------------|-----------|
 * | register     | no, and its owner lives    | yes                       | + its own |
 * | ack, abandon | yes; no: nothing happens   | no                        | - its own |
 * | dropStream   | all of an owner            | none, and none ever again | - theirs  |
 * | dropLink     | all on a link              | none; they are returned   | - theirs  |
 * | beginResend  | yes                        | yes                       |           |
 * | commitResend | the very same, or nothing  | the same                  |           |
 *
 * Invariants (`check`): `bytes` is the sum over what is in flight; all indexes agree; what is in flight leaves it once.
 * `register` alone inserts, before the fragment is sent, so a fragment that was dropped while it was being sent again
 * cannot come back.
 */
export class FlightTracker<Id, Owner, Link = undefined> {
  readonly #entries = new Map<Id, Flying<Id, Owner, Link>>()
  readonly #byOwner = new Map<Owner, Set<Id>>()
  readonly #byLink = new Map<Link, { ids: Set<Id>, bytes: number }>()
  readonly #dropped = new Set<Owner>()
  #bytes = 0
  #orders = 0

  get bytes (): number {
    return this.#bytes
  }

  get size (): number {
    return this.#entries.size
  }

  bytesOn (link: Link): number {
    return this.#byLink.get(link)?.bytes ?? 0
  }

  sizeOf (owner: Owner): number {
    return this.#byOwner.get(owner)?.size ?? 0
  }

  get (id: Id): Readonly<Flying<Id, Owner, Link>> | undefined {
    return this.#entries.get(id)
  }

  * of (owner: Owner): Generator<Readonly<Flying<Id, Owner, Link>>> {
    for (const id of this.#byOwner.get(owner) ?? []) {
      yield this.#entries.get(id) as Flying<Id, Owner, Link>
    }
  }

  /** Before it is sent, in the same tick. Throws a DuplicateFragmentError or an OwnerDroppedError */
  register (id: Id, owner: Owner, bytes: number, link: Link, now: number): void {
    if (this.#entries.has(id)) {
      throw new DuplicateFragmentError(`${String(id)} is in flight already`)
    }
    if (this.#dropped.has(owner)) {
      throw new OwnerDroppedError(`${String(owner)} has ended: it sends nothing more`)
    }

    const order = ++this.#orders
    const entry = { id, owner, bytes, link, first: order, order, sentAt: now }
    const ofOwner = this.#byOwner.get(owner) ?? new Set()
    this.#entries.set(id, entry)
    this.#byOwner.set(owner, ofOwner.add(id))
    this.#enter(entry)
    this.#bytes += bytes
  }

  /** It arrived. Returns the bytes that this releases: none, if it is not in flight */
  ack (id: Id): number {
    return this.#release(id)
  }

  /** It was not sent, or nobody waits for it any more */
  abandon (id: Id): number {
    return this.#release(id)
  }

  /** The owner has ended. Returns the bytes that this releases: none, the second time */
  dropStream (owner: Owner): number {
    const before = this.#bytes
    ;[...this.#byOwner.get(owner) ?? []].forEach(id => { this.#release(id) })
    this.#dropped.delete(owner)
    this.#dropped.add(owner)

    if (this.#dropped.size > TOMBSTONES) {
      const [oldest] = this.#dropped
      this.#dropped.delete(oldest)
    }

    return before - this.#bytes
  }

  /** What was sent by this does not arrive any more: it is to be sent anew, by whatever leads there */
  dropLink (link: Link): Array<Flying<Id, Owner, Link>> {
    const entries = [...this.#byLink.get(link)?.ids ?? []].map(id => this.#entries.get(id) as Flying<Id, Owner, Link>)
    entries.forEach(({ id }) => { this.#release(id) })
    return entries
  }

  /** It stays in flight, and whose it is */
  beginResend (id: Id): ResendTicket<Id> | undefined {
    const entry = this.#entries.get(id)
    return entry == null ? undefined : { id, entry }
  }

  /** False: it is not in flight any more, and nothing happens */
  commitResend ({ id, entry }: ResendTicket<Id>, link: Link, now: number): boolean {
    const present = this.#entries.get(id)

    // another one may have got the id since
    if (present == null || present !== entry) {
      return false
    }

    this.#leave(present)
    present.link = link
    present.order = ++this.#orders
    present.sentAt = now
    this.#enter(present)
    return true
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    const sum = (entries: Iterable<{ bytes: number }>): number => [...entries]
      .reduce((sum, { bytes }) => sum + bytes, 0)
    const ofOwners = [...this.#byOwner]
      .flatMap(([owner, ids]) => [...ids].map(id => [owner, this.#entries.get(id)?.owner]))
    const ofLinks = [...this.#byLink]
      .flatMap(([link, { ids }]) => [...ids].map(id => [link, this.#entries.get(id)?.link]))

    if (this.#bytes < 0 || sum(this.#entries.values()) !== this.#bytes || sum(this.#byLink.values()) !== this.#bytes) {
      throw new Error(`${this.#bytes} bytes in flight, ` +
        `${sum(this.#entries.values())} of ${this.#entries.size} fragments`)
    }
    for (const pairs of [ofOwners, ofLinks]) {
      if (pairs.length !== this.#entries.size || pairs.some(([a, b]) => a !== b)) {
        throw new Error(`an index has ${pairs.length} of ${this.#entries.size} fragments, or a wrong one`)
      }
    }
    if ([...this.#dropped].some(owner => this.#byOwner.has(owner))) {
      throw new Error('an owner that has ended has something in flight')
    }
  }

  #release (id: Id): number {
    const entry = this.#entries.get(id)

    if (entry == null) {
      return 0
    }

    const ofOwner = this.#byOwner.get(entry.owner)
    this.#entries.delete(id)
    ofOwner?.delete(id)

    if (ofOwner?.size === 0) {
      this.#byOwner.delete(entry.owner)
    }

    this.#leave(entry)
    this.#bytes -= entry.bytes
    return entry.bytes
  }

  #enter ({ id, bytes, link }: Flying<Id, Owner, Link>): void {
    const ofLink = this.#byLink.get(link) ?? { ids: new Set(), bytes: 0 }
    ofLink.ids.add(id)
    ofLink.bytes += bytes
    this.#byLink.set(link, ofLink)
  }

  #leave ({ id, bytes, link }: Flying<Id, Owner, Link>): void {
    const ofLink = this.#byLink.get(link)

    if (ofLink?.ids.delete(id) === true) {
      ofLink.bytes -= bytes
    }
    if (ofLink?.ids.size === 0) {
      this.#byLink.delete(link)
    }
  }
}
