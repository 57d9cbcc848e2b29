import type { Id, Link, Owner, Subject } from './subject.ts'
import type { ResendTicket } from '../../../src/transfer/core/flight.ts'

/** Bytes of a fragment: no two sums of them are the same */
export const BYTES: Record<Id, number> = { 1: 1, 2: 10, 3: 100, 4: 1000 }

/** A fragment that was registered: the same id may be registered again when this one has gone */
interface Registered {
  id: Id
  owner: Owner
  link: Link
  isInFlight: boolean
}

/** A ticket, and the fragment that it was for */
export interface Held {
  ticket: ResendTicket<Id>
  registered: Registered
}

/**
 * Keeps the books beside a tracker, as slowly and as plainly as possible, and says what differs: the count, an index,
 * what an event releases. So a fragment that is released twice is seen, and one that comes back
 */
export class Judge {
  readonly #subject: Subject
  readonly #all: Registered[] = []
  readonly #dropped = new Set<Owner>()
  /** The first thing that was wrong */
  wrong?: string

  constructor (subject: Subject) {
    this.#subject = subject
  }

  register (id: Id, owner: Owner, link: Link): void {
    const isRight = this.#of(id) == null && !this.#dropped.has(owner)
    const isTaken = this.#subject.register(id, owner, BYTES[id], link)
    this.#expect(isTaken === isRight, `${id} of ${owner} was ${isTaken ? 'registered' : 'refused'}`)

    if (isRight) {
      this.#all.push({ id, owner, link, isInFlight: true })
    }
    this.#look()
  }

  ack (id: Id): void {
    this.#releases(`the ack of ${id}`, this.#subject.ack(id), fragment => fragment.id === id)
  }

  unsend (id: Id): void {
    this.#releases(`the failure to send ${id}`, this.#subject.unsend(id), fragment => fragment.id === id)
  }

  abandon (id: Id): void {
    this.#releases(`giving up ${id}`, this.#subject.abandon(id), fragment => fragment.id === id)
  }

  dropStream (owner: Owner): void {
    this.#dropped.add(owner)
    this.#releases(`the end of ${owner}`, this.#subject.dropStream(owner), fragment => fragment.owner === owner)
  }

  dropLink (link: Link): void {
    this.#releases(`the death of ${link}`, this.#subject.dropLink(link), fragment => fragment.link === link)
  }

  beginResend (id: Id): Held | undefined {
    const registered = this.#of(id)
    const ticket = this.#subject.beginResend(id)
    this.#expect((ticket == null) === (registered == null), `${id} ${ticket == null ? 'cannot' : 'can'} be sent again`)
    this.#look()
    return ticket == null || registered == null ? undefined : { ticket, registered }
  }

  commitResend (held: Held | undefined, link: Link): void {
    if (held != null) {
      const { ticket, registered } = held
      const isCommitted = this.#subject.commitResend(ticket, link)
      this.#expect(isCommitted === registered.isInFlight, `the resend of ${ticket.id} ${isCommitted ? 'counts' : 'does not count'}`)

      if (registered.isInFlight) {
        registered.link = link
      }
      this.#look()
    }
  }

  /** All has ended: nothing is in flight, and nobody has anything */
  rest (): void {
    this.#expect(this.#subject.bytes === 0 && this.#subject.size === 0, `${this.#subject.bytes} bytes of ${this.#subject.size} fragments are left`)
  }

  #of (id: Id): Registered | undefined {
    return this.#all.find(fragment => fragment.isInFlight && fragment.id === id)
  }

  #releases (what: string, released: number, which: (fragment: Registered) => boolean): void {
    const gone = this.#all.filter(fragment => fragment.isInFlight && which(fragment))
    gone.forEach(fragment => { fragment.isInFlight = false })
    const right = sum(gone)
    this.#expect(released === right, `${what} released ${released} bytes, not ${right}`)
    this.#look()
  }

  #look (): void {
    const subject = this.#subject
    const inFlight = this.#all.filter(({ isInFlight }) => isInFlight)
    const pairs: Array<[what: string, is: number, right: number]> = [
      ['bytes in flight', subject.bytes, sum(inFlight)],
      ['fragments in flight', subject.size, inFlight.length],
      ...[...new Set(this.#all.map(({ owner }) => owner))].map((owner): [string, number, number] => {
        return [`fragments of ${owner}`, subject.sizeOf(owner), inFlight.filter(fragment => fragment.owner === owner).length]
      }),
      ...[...new Set(this.#all.map(({ link }) => link))].map((link): [string, number, number] => {
        return [`bytes on ${link}`, subject.bytesOn(link), sum(inFlight.filter(fragment => fragment.link === link))]
      })
    ]

    pairs.forEach(([what, is, right]) => { this.#expect(is === right, `${is} ${what}, not ${right}`) })

    try {
      subject.check()
    } catch (err: any) {
      this.#expect(false, err.message)
    }
  }

  #expect (isRight: boolean, wrong: string): void {
    if (!isRight) {
      this.wrong ??= wrong
    }
  }
}

function sum (fragments: Registered[]): number {
  return fragments.reduce((sum, { id }) => sum + BYTES[id], 0)
}
