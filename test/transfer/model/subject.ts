import { FlightTracker } from '../../../src/transfer/core/flight.ts'
import type { Flying, ResendTicket } from '../../../src/transfer/core/flight.ts'

export type Id = number
export type Owner = string
export type Link = string

/** What the checker looks at: the tracker itself, or one with a bug */
export interface Subject {
  readonly bytes: number
  readonly size: number
  sizeOf (owner: Owner): number
  bytesOn (link: Link): number
  has (id: Id): boolean
  /** False: it was refused */
  register (id: Id, owner: Owner, bytes: number, link: Link): boolean
  ack (id: Id): number
  /** What a send that threw comes to */
  unsend (id: Id): number
  abandon (id: Id): number
  dropStream (owner: Owner): number
  dropLink (link: Link): number
  beginResend (id: Id): ResendTicket<Id> | undefined
  commitResend (ticket: ResendTicket<Id>, link: Link): boolean
  check (): void
}

/** The tracker as it is */
export class Real implements Subject {
  protected readonly tracker = new FlightTracker<Id, Owner, Link>()
  /** What a bug adds to the count without any fragment, or takes from it */
  protected skew = 0

  get bytes (): number {
    return this.tracker.bytes + this.skew
  }

  get size (): number {
    return this.tracker.size
  }

  sizeOf (owner: Owner): number {
    return this.tracker.sizeOf(owner)
  }

  bytesOn (link: Link): number {
    return this.tracker.bytesOn(link)
  }

  has (id: Id): boolean {
    return this.tracker.get(id) != null
  }

  register (id: Id, owner: Owner, bytes: number, link: Link): boolean {
    try {
      this.tracker.register(id, owner, bytes, link, 0)
      return true
    } catch {
      // a duplicate, or its owner has ended: the checker knows which of them may be
      return false
    }
  }

  ack (id: Id): number {
    return this.tracker.ack(id)
  }

  unsend (id: Id): number {
    return this.tracker.abandon(id)
  }

  abandon (id: Id): number {
    return this.tracker.abandon(id)
  }

  dropStream (owner: Owner): number {
    return this.tracker.dropStream(owner)
  }

  dropLink (link: Link): number {
    return this.tracker.dropLink(link).reduce((sum, { bytes }: Flying<Id, Owner, Link>) => sum + bytes, 0)
  }

  beginResend (id: Id): ResendTicket<Id> | undefined {
    return this.tracker.beginResend(id)
  }

  commitResend (ticket: ResendTicket<Id>, link: Link): boolean {
    return this.tracker.commitResend(ticket, link, 0)
  }

  check (): void {
    this.tracker.check()
  }
}
