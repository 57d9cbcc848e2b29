import { jitter } from '../../runtime/random.ts'
import * as limits from '../constants.ts'
import { GossipQueues } from './gossip.ts'
import { Relaying } from './relaying.ts'
import { Requests } from './requests.ts'
import { Routes } from './routes.ts'
import { Subscribers } from './subscribers.ts'
import { Topics } from './topics.ts'
import type { Settled } from './topics.ts'
import type { Announcement, Call, Change, Effect, Gossip, Key } from './types.ts'
import type { Random } from '../../runtime/random.ts'

export interface PubsubCoreInit {
  self: Key
  /** Larger than in any earlier life */
  epoch: number
  isRelay: boolean
  random: Random
  /** Milliseconds between subscribe() and its announcement; 0: the end of the tick */
  debounce: number
  refreshInterval: number
  maxTopicsPerPeer: number
  maxSubscribersPerTopic: number
  maxInterestTopics: number
}

/** What a neighbour says of itself when a session begins */
export interface Greeting {
  epoch: number
  isRelay: boolean
}

/**
 * Who listens to what, from what is called here, what neighbours say, and time: it decides what is said to whom and what
 * the user hears. Every method is an event; the effects are what the shell is to do. Nothing here waits.
 */
export class PubsubCore {
  readonly topics = new Topics()
  readonly subscribers: Subscribers
  readonly routes: Routes
  readonly gossip: GossipQueues
  readonly #init: PubsubCoreInit
  readonly #asked = new Map<string, number>()
  readonly #requests = new Requests()
  readonly #relaying: Relaying
  #epoch: number
  #seq = 0
  #flushAt = Infinity
  #refreshAt = Infinity
  /** When there are no topics any more that is said a few times, too */
  #refreshesLeft = 0
  #sweepAt = Infinity

  constructor (init: PubsubCoreInit) {
    const ttl = init.refreshInterval * limits.REFRESHES_UNTIL_EXPIRY
    this.#init = init
    this.#epoch = init.epoch
    this.gossip = new GossipQueues({
      intervalFirst: limits.GOSSIP_INTERVAL_FIRST,
      intervalCap: limits.GOSSIP_INTERVAL_CAP,
      maxAnnouncements: limits.MAX_ANNOUNCEMENTS,
      maxAsked: init.maxTopicsPerPeer
    })
    this.routes = new Routes({ maxRoutes: limits.MAX_ROUTES, ttl })
    this.subscribers = new Subscribers({
      isTracked: topic => this.isTracked(topic),
      isRelay: init.isRelay,
      maxTopicsPerPeer: init.maxTopicsPerPeer,
      maxSubscribersPerTopic: init.maxSubscribersPerTopic,
      maxTopics: init.maxInterestTopics,
      ttl
    })
    this.#relaying = new Relaying({ isRelay: init.isRelay, subscribers: this.subscribers, routes: this.routes, gossip: this.gossip })
  }

  get greeting (): Greeting {
    return { epoch: this.#epoch, isRelay: this.#init.isRelay }
  }

  get sizes (): Record<string, number> {
    const { origins, topics, entries } = this.subscribers.sizes
    return {
      topics: this.topics.size,
      asked: this.#asked.size,
      requests: this.#requests.size,
      neighbours: this.gossip.neighbours.length,
      origins,
      interestTopics: topics,
      interests: entries,
      routes: this.routes.size,
      gossip: this.gossip.queued
    }
  }

  get epoch (): number {
    return this.#epoch
  }

  /** Begins a new life; the shell greets every neighbour anew */
  set epoch (epoch: number) {
    this.#epoch = epoch
  }

  isTracked (topic: string): boolean {
    return this.topics.isOn(topic) || this.#asked.has(topic)
  }

  /** When `wake` is to be called: the past means as soon as this tick is over */
  nextWake (): number {
    return Math.min(
      this.#flushAt, this.#refreshAt, this.#sweepAt, this.gossip.nextAt(), this.topics.nextDeadline(), this.#requests.nextDeadline
    )
  }

  subscribe (topic: string, call: Call, now: number): Effect[] {
    const wasTracked = this.isTracked(topic)
    const settled = this.topics.subscribe(topic, call)
    this.#schedule(now)
    return [...settle(settled), ...wasTracked ? [] : changes(this.subscribers.reveal(topic))]
  }

  unsubscribe (topic: string, all: boolean, now: number): { removed: boolean, effects: Effect[] } {
    const { removed, settled } = this.topics.unsubscribe(topic, all)
    this.#schedule(now)
    this.#untrack(topic)
    return { removed, effects: settle(settled) }
  }

  abort (topic: string, call: Call, now: number): void {
    if (this.topics.abort(topic, call)) {
      this.#schedule(now)
      this.#untrack(topic)
    }
  }

  /** Asks neighbours (or one of them) who is on `topic`; what they say is kept for a while */
  request (topic: string, call: Call, now: number, from?: Key): Effect[] {
    const wasTracked = this.isTracked(topic)
    this.#asked.set(topic, now + limits.ASKED_TTL)
    this.#schedule(now)
    const revealed = wasTracked ? [] : changes(this.subscribers.reveal(topic))
    const neighbours = from == null ? this.gossip.neighbours : [from].filter(key => this.gossip.has(key))

    if (neighbours.length === 0) {
      return [...revealed, { type: 'request-settled', call }]
    }

    const id = this.#requests.open(call, neighbours, now + limits.REQUEST_TIMEOUT)
    neighbours.forEach(to => { this.gossip.request(to, id, topic) })
    return revealed
  }

  cancelRequest (call: Call): void {
    this.#requests.cancel(call)
  }

  /** A session with a neighbour begins */
  up (peer: Key, { epoch, isRelay }: Greeting, now: number): Effect[] {
    const before = this.subscribers.epochOf(peer) === epoch ? [] : this.subscribers.heardOf(peer)
    const wasReachable = this.routes.next(peer) != null
    const effects = changes(this.subscribers.neighbour(peer, epoch))
    this.gossip.up(peer, isRelay)
    this.routes.up(peer)
    const announcement = this.#announcement(this.topics.full([peer]), [], true)
    this.gossip.announce(peer, announcement, true)
    this.topics.awaits(peer, announcement.seq, now + limits.SUBSCRIBE_TIMEOUT)
    this.gossip.open(peer, announcement.seq)
    // what was asked in an earlier session it may not know any more
    for (const topic of this.#asked.keys()) {
      this.gossip.request(peer, 0, topic)
    }

    this.#relaying.welcome(peer)
    // it may have nothing to say any more that would tell those who believe what it said in an earlier life
    this.#relaying.tellLost(peer, peer, before)
    this.#relaying.reachable(peer, peer, wasReachable)
    this.#schedule(now)
    return effects
  }

  /** The last connection to a neighbour is gone */
  down (peer: Key, now: number): Effect[] {
    this.gossip.gone(peer)
    this.routes.gone(peer).forEach(key => { this.subscribers.doubt(key, now) })
    const settled = this.topics.gone(peer)
    const effects = [...settle(settled), ...this.#requests.answered(peer), ...this.#gone(peer, peer, now)]
    this.#schedule(now)
    return effects
  }

  /** A neighbour says something. Announcements that crossed a relay were verified by the shell */
  receive (from: Key, gossip: Gossip, now: number): Effect[] {
    if (!this.gossip.has(from)) {
      return []
    }

    const effects = settle(this.topics.acked(from, gossip.ack))

    for (const announcement of gossip.announcements) {
      effects.push(...this.#receiveAnnouncement(from, announcement, now))
    }
    for (const key of gossip.lost) {
      const wasWay = this.routes.fail(key, from)

      if (this.routes.isNeighbour(key)) {
        // from us it heard nothing of it as long as it was the one who told us
        this.#relaying.tellOf(key, from)
      } else if (wasWay || this.routes.next(key) == null) {
        effects.push(...this.#gone(key, from, now))
      }
    }
    for (const { id, topic } of gossip.requests) {
      this.#receiveRequest(from, id, topic, now)
    }
    for (const id of gossip.answers) {
      effects.push(...this.#requests.answered(from, id))
    }

    effects.push(...this.#settle(from, gossip.ack, now))
    this.#schedule(now)
    return effects
  }

  /**
   * What was for a peer did not arrive by a neighbour. The peer is still believed in, until that neighbour says that it is lost, or a
   * search finds it; but whoever is the only one that leads there must not take us for another way
   */
  failed (peer: Key, via: Key): void {
    if (this.routes.fail(peer, via) && this.routes.next(peer) != null) {
      this.#relaying.tellLost(peer, via, this.subscribers.heardOf(peer), to => this.routes.next(peer, to) == null)
    }
  }

  /** Time has come for something: see `nextWake` */
  wake (now: number): Effect[] {
    const effects: Effect[] = []

    if (this.#flushAt <= now) {
      this.#flushAt = Infinity
      effects.push(...this.#flush(now))
    }
    if (this.#refreshAt <= now) {
      this.#refreshAt = now + jitter(this.#init.random, this.#init.refreshInterval)
      this.#refresh()
    }
    if (this.#sweepAt <= now) {
      this.#sweepAt = Infinity
      effects.push(...this.#sweep(now))
    }

    effects.push(...settle(this.topics.expire(now)), ...this.#requests.expire(now))

    for (const { to, gossip } of this.gossip.take(now)) {
      effects.push({ type: 'gossip', to, gossip })
    }

    this.#schedule(now)
    return effects
  }

  /** Retracts everything, settles everybody, forgets everything */
  stop (now: number): Effect[] {
    const effects = settle(this.topics.stop())
    effects.push(...this.#flush(now))

    for (const { to, gossip } of this.gossip.take(now)) {
      effects.push({ type: 'gossip', to, gossip })
    }

    effects.push(...this.#requests.clear())
    this.#asked.clear()
    this.subscribers.clear()
    this.routes.clear()
    this.gossip.clear()
    this.#flushAt = this.#refreshAt = this.#sweepAt = Infinity
    this.#refreshesLeft = 0
    return effects
  }

  #announcement (on: string[], off: string[], full = false): Announcement {
    return { origin: this.#init.self, epoch: this.#epoch, seq: ++this.#seq, full, on, off, hops: 0 }
  }

  #flush (now: number): Effect[] {
    const sent = new Map<Key, number>()
    let on: string[] = []

    for (const flushed of this.topics.flush(this.gossip.neighbours)) {
      const announcement = this.#announcement(flushed.on, flushed.off)
      on = flushed.on

      for (const to of flushed.to) {
        this.gossip.announce(to, announcement, true)
        flushed.on.forEach(topic => { this.gossip.request(to, 0, topic) })
        sent.set(to, announcement.seq)
      }
    }

    return settle(this.topics.announced(on, sent, now + limits.SUBSCRIBE_TIMEOUT))
  }

  /** Says everything again, so that nobody has to believe what is old */
  #refresh (): void {
    const { neighbours } = this.gossip
    const announcement = this.#announcement(this.topics.full(neighbours), [], true)
    neighbours.forEach(to => { this.gossip.announce(to, announcement, false) })
    this.#refreshesLeft = announcement.on.length > 0 ? limits.REFRESHES_UNTIL_EXPIRY : this.#refreshesLeft - 1
  }

  #sweep (now: number): Effect[] {
    for (const [topic, until] of this.#asked) {
      if (until <= now) {
        this.#asked.delete(topic)
        this.#untrack(topic)
      }
    }

    // Relays say it again to each other, and to others only when it changes: to those a relay that is here vouches for
    // what it said, until it says that it is over. So what is known of a peer and a way to it hold each other
    const isLeaf = !this.#init.isRelay
    this.gossip.expire(now)
    this.routes.expire(now, key => isLeaf && this.subscribers.heardOf(key).length > 0)
    const { changes: expired, gone } = this.subscribers.expire(now, key => isLeaf && this.routes.next(key) != null)

    gone.forEach(({ key, topics }) => { this.#relaying.tellLost(key, key, topics) })
    return changes(expired)
  }

  #receiveAnnouncement (from: Key, heard: Announcement, now: number): Effect[] {
    const { origin, epoch, seq } = heard

    if (origin === this.#init.self) {
      // said in an earlier life, with an epoch that was larger: nobody would listen to this one
      return epoch > this.#epoch ? [{ type: 'outlive', epoch }] : []
    }
    if (from === origin) {
      // what it says again nobody waits for
      this.gossip.heard(from, seq, !heard.full)
    } else if (this.routes.isNeighbour(origin) && epoch > (this.subscribers.epochOf(origin) ?? 0)) {
      // an earlier life of a neighbour that is here: it is for itself to outlive it
      this.gossip.announce(origin, heard, false)
      return []
    }

    const { isRelay } = this.#init
    const wasReachable = this.routes.next(origin) != null

    if (from === origin) {
      // others may have told us of it before it did so itself: what it needs to hear has not been told for that
      const before = this.gossip.introduces(from) ? [] : this.subscribers.topicsOf(origin)
      this.#relaying.tellAbout(heard.on.filter(topic => !before.includes(topic)), from)
    }
    if (this.subscribers.isPast(heard)) {
      // by another way: in a crowd most of what comes is this
      this.routes.learn(origin, from, heard.hops, now)
      this.#relaying.reachable(origin, from, wasReachable)
      const shorter = isRelay ? this.subscribers.shorten(heard, heard.hops + 1) : undefined

      if (shorter != null) {
        this.#relaying.passOn(from, shorter, [], false)
      }
      return []
    }

    const left = isRelay ? this.subscribers.topicsOf(origin) : []
    const announcement = isRelay ? { ...heard, hops: heard.hops + 1 } : heard
    const applied = this.subscribers.apply(announcement, now)

    if (applied.staleBy != null) {
      this.#relaying.correct(origin, from)
    } else if (this.subscribers.epochOf(origin) != null) {
      this.routes.learn(origin, from, heard.hops, now)
    }
    if (applied.isNews && isRelay) {
      this.#relaying.passOn(from, announcement, left, applied.isChange || !wasReachable)
    } else {
      this.#relaying.reachable(origin, from, wasReachable)
    }

    const refused = applied.refused.map((what): Effect => ({ type: 'refused', what }))
    return refused.length > 0 ? [...changes(applied.changes), ...refused] : changes(applied.changes)
  }

  /**
   * Once a neighbour has dealt with what we said when the session began, it has told us all that it knows on our topics:
   * what it did not speak of, it does not lead to any more
   */
  #settle (from: Key, ack: number, now: number): Effect[] {
    return this.gossip.opened(from, ack) ? this.routes.settle(from).flatMap(key => this.#gone(key, from, now)) : []
  }

  /** A way to a peer is gone. If it was the last one the peer is, and those who took it through us hear so */
  #gone (peer: Key, from: Key, now: number): Effect[] {
    const isReachable = this.routes.next(peer) != null

    // also to those who are the only ones to lead us there: it would lead them back to us
    this.#relaying.tellLost(peer, from, this.subscribers.heardOf(peer), to => this.routes.next(peer, to) == null)
    return changes(this.subscribers.gone(peer, isReachable, now))
  }

  #receiveRequest (from: Key, id: number, topic: string, now: number): void {
    if (this.topics.asked(topic, from)) {
      this.gossip.announce(from, this.#announcement([topic], []), true)
    }
    if (this.#init.isRelay) {
      // it remembers the answers for ASKED_TTL, so that long it hears what changes
      this.gossip.asks(from, topic, now + 2 * limits.ASKED_TTL)
      this.#relaying.tellAbout([topic], from)
    }
    // 0: it does not wait for an answer
    if (id !== 0) {
      this.gossip.answer(from, id)
    }
  }

  #untrack (topic: string): void {
    if (!this.isTracked(topic)) {
      this.subscribers.untrack(topic)
    }
  }

  #schedule (now: number): void {
    const { refreshInterval, debounce, random } = this.#init

    if (this.#flushAt === Infinity && this.topics.needsFlush) {
      this.#flushAt = now + debounce
    }
    if (this.topics.size > 0) {
      this.#refreshesLeft = limits.REFRESHES_UNTIL_EXPIRY
    }
    if (this.#refreshesLeft === 0) {
      this.#refreshAt = Infinity
    } else if (this.#refreshAt === Infinity) {
      this.#refreshAt = now + jitter(random, refreshInterval)
    }
    if (this.#sweepAt === Infinity && (this.#asked.size > 0 || this.routes.size > 0 || this.subscribers.size > 0)) {
      this.#sweepAt = now + refreshInterval / 2
    }
  }
}

function settle (settled: Settled): Effect[] {
  return settled.map(({ call, outcome }) => ({ type: 'subscribe-settled', call, outcome }))
}

function changes (changed: Change[]): Effect[] {
  return changed.length > 0 ? [{ type: 'changes', changes: changed }] : []
}
