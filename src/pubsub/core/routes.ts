import type { Key } from './types.ts'

interface Way {
  via: Key
  hops: number
  expires: number
  /** Not said again since the present session with `via` began */
  isStale: boolean
}

const NONE: never[] = []

export interface RoutesInit {
  maxRoutes: number
  /** Milliseconds that a way is believed without anything having come by it */
  ttl: number
}

/**
 * Which neighbour leads to whom. A way is learnt from what arrives by it, stays while it is confirmed, and is dropped when
 * the neighbour goes or says that it leads nowhere.
 *
 * The way in use is kept while it is good, so that messages keep their order: another one replaces it only if it is shorter.
 */
export class Routes {
  readonly #neighbours = new Set<Key>()
  /** Those not set for longest are the first: what is only confirmed stays where it is, since that happens all the time */
  readonly #ways = new Map<Key, Way[]>()
  readonly #init: RoutesInit
  /** No way expires before this */
  #expiresAt = Infinity
  /** Moves on with every change, for those who keep what they derived */
  version = 0

  constructor (init: RoutesInit) {
    this.#init = init
  }

  get size (): number {
    return this.#ways.size
  }

  isNeighbour (key: Key): boolean {
    return this.#neighbours.has(key)
  }

  /** The neighbour to hand to what is for `key` */
  next (key: Key, except?: Key): Key | undefined {
    if (this.#neighbours.has(key)) {
      return key
    }

    for (const { via } of this.#ways.get(key) ?? NONE) {
      if (via !== except) {
        return via
      }
    }
  }

  /** A session begins: what leads by it is to be said again, see `settle` */
  up (neighbour: Key): void {
    this.#neighbours.add(neighbour)
    this.version++

    for (const ways of this.#ways.values()) {
      for (const way of ways) {
        way.isStale ||= way.via === neighbour
      }
    }
  }

  /** The neighbour has said again all that it knows: ways that it did not speak of are over. Returns to whom */
  settle (neighbour: Key): Key[] {
    return [...this.#ways.keys()].filter(key => this.#drop(key, way => way.isStale && way.via === neighbour))
  }

  /** Something that `key` has signed came by `via`, over `hops` relays */
  learn (key: Key, via: Key, hops: number, now: number): void {
    if (key === via || !this.#neighbours.has(via)) {
      return
    }

    const ways = this.#ways.get(key) ?? []
    const known = ways.find(way => way.via === via)
    const expires = now + this.#init.ttl

    if (known?.hops === hops) {
      known.expires = expires
      known.isStale = false
      return
    }

    this.#expiresAt = Math.min(this.#expiresAt, expires)
    const first = ways[0]?.via
    const others = ways.filter(way => way !== known)
    // behind those that are as short: who was first stays first
    const at = others.findIndex(way => way.hops > hops)
    others.splice(at < 0 ? others.length : at, 0, { via, hops, expires, isStale: false })
    this.#set(key, others)

    if (others[0].via !== first) {
      this.version++
    }
  }

  /** What is for `key` does not arrive by `via`. False: that is known */
  fail (key: Key, via: Key): boolean {
    return this.#drop(key, way => way.via === via)
  }

  /** Returns to whom there is no way any more */
  gone (neighbour: Key): Key[] {
    this.#neighbours.delete(neighbour)
    this.version++
    return [...this.#ways.keys()].filter(key => this.#drop(key, way => way.via === neighbour) && this.next(key) == null)
  }

  /** Drops what nothing has come by for long, but for what `isHeld` says of where it leads */
  expire (now: number, isHeld: (key: Key) => boolean): void {
    if (now < this.#expiresAt) {
      return
    }

    this.#expiresAt = Infinity

    for (const [key, ways] of this.#ways) {
      let earliest = Infinity

      for (const way of ways) {
        if (way.expires <= now && isHeld(key)) {
          way.expires = now + this.#init.ttl
        }
        earliest = Math.min(earliest, way.expires)
      }

      if (earliest <= now) {
        this.#drop(key, way => way.expires <= now)
      }

      // a way that is left of those is later, and this is only when to look again
      this.#expiresAt = Math.min(this.#expiresAt, Math.max(earliest, now))
    }
  }

  clear (): void {
    this.#neighbours.clear()
    this.#ways.clear()
    this.#expiresAt = Infinity
    this.version++
  }

  #set (key: Key, ways: Way[]): void {
    this.#ways.delete(key)
    this.#ways.set(key, ways)

    if (this.#ways.size > this.#init.maxRoutes) {
      this.#ways.delete(this.#ways.keys().next().value as Key)
    }
  }

  #drop (key: Key, test: (way: Way) => boolean): boolean {
    const ways = this.#ways.get(key)

    if (ways == null || !ways.some(test)) {
      return false
    }

    const left = ways.filter(way => !test(way))
    this.version++

    if (left.length > 0) {
      this.#ways.set(key, left)
    } else {
      this.#ways.delete(key)
    }

    return true
  }
}
