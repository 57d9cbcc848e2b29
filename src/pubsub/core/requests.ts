import type { Call, Effect, Key } from './types.ts'

/** A question to neighbours that is not answered by all of them yet */
interface Request {
  call: Call
  unanswered: Set<Key>
  deadline: number
}

/** Who was asked who is on a topic, and has not answered: a call is settled by the last answer, or when time is over */
export class Requests {
  readonly #open = new Map<number, Request>()
  #last = 0

  get size (): number {
    return this.#open.size
  }

  get nextDeadline (): number {
    // all wait for as long
    const [oldest] = this.#open.values()
    return oldest?.deadline ?? Infinity
  }

  /** The number by which they answer */
  open (call: Call, asked: Key[], deadline: number): number {
    this.#open.set(++this.#last, { call, unanswered: new Set(asked), deadline })
    return this.#last
  }

  /** One request, or all of them, need not wait for this neighbour any more */
  answered (by: Key, only?: number): Effect[] {
    return this.#settle(({ unanswered }, id) => (only ?? id) === id && unanswered.delete(by) && unanswered.size === 0)
  }

  expire (now: number): Effect[] {
    return this.#settle(({ deadline }) => deadline <= now)
  }

  cancel (call: Call): void {
    this.#settle(request => request.call === call)
  }

  clear (): Effect[] {
    return this.#settle(() => true)
  }

  #settle (isOver: (request: Request, id: number) => boolean): Effect[] {
    const effects: Effect[] = []

    for (const [id, request] of this.#open) {
      if (isOver(request, id)) {
        this.#open.delete(id)
        effects.push({ type: 'request-settled', call: request.call })
      }
    }

    return effects
  }
}
