import { HOP_LIMIT } from '../constants.ts'
import type { GossipQueues } from './gossip.ts'
import type { Routes } from './routes.ts'
import type { Subscribers } from './subscribers.ts'
import type { Announcement, Key } from './types.ts'

export interface RelayingInit {
  isRelay: boolean
  subscribers: Subscribers
  routes: Routes
  gossip: GossipQueues
}

/**
 * What a relay tells its neighbours of others: other relays hear everything, the rest what concerns the topics that they
 * have announced or asked for. A peer that does not relay only corrects.
 */
export class Relaying {
  readonly #init: RelayingInit

  constructor (init: RelayingInit) {
    this.#init = init
  }

  /** News of others, to those who share one of its topics, those among them that it has left */
  passOn (from: Key, announcement: Announcement, before: string[], isChange: boolean): void {
    const { isRelay, gossip } = this.#init
    const { origin, on, off, hops } = announcement

    if (!isRelay || hops > HOP_LIMIT) {
      return
    }

    const topics = new Set([...on, ...off, ...before])

    for (const to of gossip.neighbours) {
      if (to !== from && to !== origin && (gossip.isRelay(to) || (isChange && this.#shares(to, topics)))) {
        gossip.announce(to, announcement, false)
      }
    }
  }

  /** There is a way to a peer again, by `from`: those for whom we vouch hear so, since they may have been told otherwise */
  reachable (peer: Key, from: Key, wasReachable: boolean): void {
    const { isRelay, routes, gossip } = this.#init

    if (wasReachable || !isRelay || routes.next(peer) == null) {
      return
    }

    for (const to of gossip.neighbours) {
      if (to !== from && to !== peer && !gossip.isRelay(to)) {
        this.tellOf(peer, to)
      }
    }
  }

  /** A neighbour is new here: other relays hear everything, others what concerns their topics when they name them */
  welcome (to: Key): void {
    const { isRelay, gossip, subscribers } = this.#init

    if (isRelay && gossip.isRelay(to)) {
      this.#tell(to, subscribers.announcements())
    }
  }

  /** A neighbour is new on these topics: what is known of them is new to it */
  tellAbout (topics: string[], to: Key): void {
    if (this.#init.isRelay && topics.length > 0) {
      this.#tell(to, this.#init.subscribers.announcements(topics))
    }
  }

  /** What is known of one peer, to a neighbour that would have been told of it as news */
  tellOf (peer: Key, to: Key): void {
    const { isRelay, subscribers, gossip } = this.#init

    if (isRelay && (gossip.isRelay(to) || this.#shares(to, new Set(subscribers.topicsOf(peer))))) {
      this.#tell(to, subscribers.announcementsOf(peer))
    }
  }

  /** What is known of a peer, to one who told us what is older: also if it is the only one that leads there */
  correct (peer: Key, to: Key): void {
    this.#tell(to, this.#init.subscribers.announcementsOf(peer), true)
  }

  /** The way to a peer that was on these topics has ended here */
  tellLost (peer: Key, from: Key, topics: string[], isLost: (to: Key) => boolean = () => true): void {
    const { isRelay, gossip } = this.#init
    const left = new Set(topics)

    for (const to of isRelay && left.size > 0 ? gossip.neighbours : []) {
      if (to !== from && isLost(to) && (gossip.isRelay(to) || this.#shares(to, left))) {
        gossip.lost(to, peer)
      }
    }
  }

  /** Not of those whom only `to` leads us to: it would take us for a way to them, and believe in them when they are gone */
  #tell (to: Key, announcements: Announcement[], isCorrection = false): void {
    const { routes, gossip } = this.#init

    for (const announcement of announcements) {
      const { origin, hops } = announcement

      if (origin !== to && hops <= HOP_LIMIT && (isCorrection || routes.next(origin, to) != null)) {
        gossip.announce(to, announcement, false)
      }
    }
  }

  #shares (peer: Key, topics: Set<string>): boolean {
    const { subscribers, gossip } = this.#init

    for (const topic of topics) {
      if (subscribers.isOn(peer, topic) || gossip.hasAsked(peer, topic)) {
        return true
      }
    }
    return false
  }
}
