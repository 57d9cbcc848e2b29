import { BYTES } from './judge.ts'
import { Real } from './subject.ts'
import type { Id, Link, Owner, Subject } from './subject.ts'
import type { ResendTicket } from '../../../src/transfer/core/flight.ts'

/** What a send that goes on without asking does: it puts the fragment in flight, under whatever name it can */
const STRANGER = 'control'

class RemoveOnResend extends Real {
  readonly #out = new Map<Id, { owner: Owner, link: Link }>()

  override register (id: Id, owner: Owner, bytes: number, link: Link): boolean {
    const isTaken = super.register(id, owner, bytes, link)
    isTaken && this.#out.set(id, { owner, link })
    return isTaken
  }

  override beginResend (id: Id): ResendTicket<Id> | undefined {
    const ticket = super.beginResend(id)
    // it counts on, and nobody has it
    this.skew += this.tracker.abandon(id)
    return ticket
  }

  override commitResend (ticket: ResendTicket<Id>, link: Link): boolean {
    const { owner } = this.#out.get(ticket.id) ?? { owner: STRANGER }
    const isTaken = super.register(ticket.id, owner, BYTES[ticket.id], link)
    this.skew -= isTaken ? BYTES[ticket.id] : 0
    return isTaken
  }
}

class InsertOnResend extends Real {
  override commitResend (ticket: ResendTicket<Id>, link: Link): boolean {
    if (this.has(ticket.id)) {
      return super.commitResend(ticket, link)
    }

    // it is tracked again, and its bytes were released
    this.tracker.register(ticket.id, STRANGER, BYTES[ticket.id], link, 0)
    this.skew -= BYTES[ticket.id]
    return true
  }
}

class NoDrop extends Real {
  override dropStream (): number {
    return 0
  }
}

class AckReleasesAlways extends Real {
  override ack (id: Id): number {
    const released = super.ack(id)
    this.skew -= released === 0 ? BYTES[id] : 0
    return BYTES[id]
  }
}

class SendAfterDrop extends Real {
  override register (id: Id, owner: Owner, bytes: number, link: Link): boolean {
    return super.register(id, owner, bytes, link) || (!this.has(id) && super.register(id, STRANGER, bytes, link))
  }
}

class ExplicitSecondRelease extends Real {
  override unsend (id: Id): number {
    const released = super.unsend(id)
    // 'it was never tracked': another way out had it already
    this.skew -= released === 0 ? BYTES[id] : 0
    return released
  }
}

class LeakOnSendFailure extends Real {
  override unsend (): number {
    return 0
  }
}

/** Knows a fragment by its id: another one may have got that since */
class CommitById extends Real {
  override commitResend (ticket: ResendTicket<Id>, link: Link): boolean {
    const now = super.beginResend(ticket.id)
    return now != null && super.commitResend(now, link)
  }
}

/** The fragments of a dead link are counted until somebody acks them */
class LinkKeepsItsBytes extends Real {
  override dropLink (): number {
    return 0
  }
}

export const mutants: Record<string, () => Subject> = {
  'removed from the tracker while it is sent again': () => new RemoveOnResend(),
  'put in by the end of a resend': () => new InsertOnResend(),
  'not released when its stream ends': () => new NoDrop(),
  'released by each ack': () => new AckReleasesAlways(),
  'sent after its stream has ended': () => new SendAfterDrop(),
  'released by hand beside what the tracker does': () => new ExplicitSecondRelease(),
  'left in flight by a send that failed': () => new LeakOnSendFailure(),
  'known by its id alone': () => new CommitById(),
  'left in flight by a link that died': () => new LinkKeepsItsBytes()
}
