import { LruMap } from '../../runtime/bounded.ts'
import type { Call, Key } from './types.ts'

/** A question that relays pass on until it reaches whom it is about */
export interface Search {
  origin: Key
  epoch: number
  id: number
  target: Key
  /** Relays that it crossed */
  hops: number
}

export interface SearchesInit {
  self: Key
  isRelay: boolean
  timeout: number
  hopLimit: number
  maxSeen: number
}

export type SearchEffect =
  | { type: 'search', to: Key[], search: Search }
  /** It is us who is searched for: answer its origin */
  | { type: 'found', search: Search }
  | { type: 'search-settled', call: Call }

/**
 * Finding a way to a peer when none is known. Each search is passed on once by each relay, over a bounded number of hops.
 */
export class Searches {
  readonly #init: SearchesInit
  readonly #pending = new Map<Key, { calls: Call[], deadline: number }>()
  readonly #seen: LruMap<string, true>
  #lastId = 0

  constructor (init: SearchesInit) {
    this.#init = init
    this.#seen = new LruMap(init.maxSeen)
  }

  get size (): number {
    return this.#pending.size
  }

  nextAt (): number {
    let next = Infinity
    for (const { deadline } of this.#pending.values()) {
      next = Math.min(next, deadline)
    }
    return next
  }

  /** One search for a target at a time: who else asks waits for the same answer */
  start (target: Key, call: Call, epoch: number, relays: Key[], now: number): SearchEffect[] {
    const pending = this.#pending.get(target)

    if (pending != null) {
      pending.calls.push(call)
      return []
    }
    if (relays.length === 0) {
      return [{ type: 'search-settled', call }]
    }

    this.#pending.set(target, { calls: [call], deadline: now + this.#init.timeout })
    return [{ type: 'search', to: relays, search: { origin: this.#init.self, epoch, id: ++this.#lastId, target, hops: 0 } }]
  }

  receive (from: Key, search: Search, isNeighbour: (key: Key) => boolean, relays: Key[]): SearchEffect[] {
    const { self, isRelay, hopLimit } = this.#init
    const name = `${search.epoch} ${search.id} ${search.origin}`

    if (search.origin === self || this.#seen.has(name)) {
      return []
    }

    this.#seen.set(name, true)

    if (search.target === self) {
      return [{ type: 'found', search }]
    }
    if (!isRelay || search.hops + 1 > hopLimit) {
      return []
    }

    const to = isNeighbour(search.target) ? [search.target] : relays.filter(key => key !== from && key !== search.origin)
    return to.length > 0 ? [{ type: 'search', to, search: { ...search, hops: search.hops + 1 } }] : []
  }

  /** A way to `target` is known now */
  found (target: Key): SearchEffect[] {
    const pending = this.#pending.get(target)
    this.#pending.delete(target)
    return pending?.calls.map(call => ({ type: 'search-settled', call })) ?? []
  }

  wake (now: number): SearchEffect[] {
    return [...this.#pending].flatMap(([target, { deadline }]) => deadline <= now ? this.found(target) : [])
  }

  stop (): SearchEffect[] {
    this.#seen.clear()
    return [...this.#pending.keys()].flatMap(target => this.found(target))
  }
}
