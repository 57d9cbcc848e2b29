import { LruMap } from '../../runtime/bounded.ts'
import * as limits from '../constants.ts'
import { Requests } from './requests.ts'
import { isNewer, MUTED, NO_WAY, Routing } from './routing.ts'
import { Subscribers } from './subscribers.ts'
import { Topics } from './topics.ts'
import { Updates } from './updates.ts'
import type { Version, Wanted } from './routing.ts'
import type { Settled } from './topics.ts'
import type { Announcement, Call, Change, Effect, Gossip, Key, Update } from './types.ts'

export interface PubsubCoreInit {
  self: Key
  /** Larger than in any earlier life */
  epoch: number
  isRelay: boolean
  /** Milliseconds between subscribe() and its announcement; 0: the end of the tick */
  debounce: number
  maxTopicsPerPeer: number
  maxSubscribersPerTopic: number
  maxDirectoryBytes: number
}

/** What a neighbour says of itself when it comes */
export interface Greeting {
  epoch: number
  isRelay: boolean
}

/**
 * Who listens to what, and by which way they are reached, from what is called here, what neighbours say, and time: it
 * decides what is said to whom and what the user hears. Every method is an event; the effects are what the shell is to
 * do.
 * Nothing here waits.
 *
 * Relays hear of everybody, so that whatever crosses them finds its way; a leaf hears of those who share its topics.
 */
export class PubsubCore {
  readonly topics = new Topics(limits.SUBSCRIBE_TIMEOUT)
  readonly subscribers: Subscribers
  readonly routing: Routing
  readonly updates: Updates
  readonly #init: PubsubCoreInit
  readonly #asked = new Map<string, number>()
  readonly #requests = new Requests()
  /** The epoch that each neighbour lives in */
  readonly #epochs = new Map<Key, number>()
  /** What a neighbour announced in a life that others take to be newer than the one it is in: it has to outlive that */
  readonly #outdated = new LruMap<Key, Announcement>(limits.MAX_OUTDATED)
  /** Peers that did not ack by any way: unless one says itself again by then, it is not believed to be reachable */
  readonly #doubted = new Map<Key, { version: Version, until: number }>()
  /** Our own announcements: a full one, and what followed it */
  #history: Announcement[] = []
  /** The newest of them that each neighbour was told of */
  readonly #told = new Map<Key, number>()
  #epoch: number
  #seq = -1
  #flushAt = Infinity
  #sweepAt = Infinity
  /** What the present event has changed */
  #changes: Change[] = []
  #now = 0

  constructor (init: PubsubCoreInit) {
    this.#init = init
    this.#epoch = init.epoch
    this.updates = new Updates({
      intervalFirst: limits.UPDATE_INTERVAL_FIRST,
      intervalCap: limits.UPDATE_INTERVAL_CAP,
      maxItems: limits.MAX_UPDATES,
      maxAsked: init.maxTopicsPerPeer,
      tell: (to, origin) => this.#tell(to, origin)
    })
    this.routing = new Routing({
      isRelay: init.isRelay,
      memory: limits.LOST_MEMORY,
      onDirty: (to, origin, isUrgent) => { this.updates.mark(to, origin, isUrgent) },
      onAsk: (to, origin, wanted) => { this.updates.want(to, origin, wanted) },
      onReachable: origin => { this.#show(origin) }
    })
    this.subscribers = new Subscribers({
      isTracked: topic => this.isTracked(topic),
      isTold: topic => this.isTracked(topic) || this.topics.isAnnounced(topic),
      isReachable: key => this.routing.isReachable(key),
      isRelay: init.isRelay,
      maxTopicsPerPeer: init.maxTopicsPerPeer,
      maxSubscribersPerTopic: init.maxSubscribersPerTopic,
      maxHistory: limits.MAX_HISTORY,
      maxBytes: init.maxDirectoryBytes,
      onForgotten: key => { this.routing.forget(key) }
    })
    this.#announceAll()
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
      neighbours: this.#epochs.size,
      origins,
      interestTopics: topics,
      interests: entries,
      routes: this.routing.size,
      updates: this.updates.queued
    }
  }

  get epoch (): number {
    return this.#epoch
  }

  /** Begins a new life; the shell greets every neighbour anew */
  set epoch (epoch: number) {
    this.#epoch = epoch
    this.topics.restart()
    this.#told.clear()
    this.#announceAll()
  }

  isTracked (topic: string): boolean {
    return this.topics.isOn(topic) || this.#asked.has(topic)
  }

  /** Whether all that neighbours can tell of the subscribers of a topic has been told: relays hear of everybody */
  isInformed (topic: string): boolean {
    return this.#asked.has(topic) || (this.topics.isOn(topic) && (this.#init.isRelay || this.topics.isKnown(topic)))
  }

  /** When `wake` is to be called: the past means as soon as this tick is over */
  nextWake (): number {
    let next = Math.min(this.#flushAt, this.#sweepAt, this.updates.nextAt(), this.topics.nextDeadline(), this.#requests.nextDeadline)

    for (const { until } of this.#doubted.values()) {
      next = Math.min(next, until)
    }

    return next
  }

  subscribe (topic: string, call: Call, now: number): Effect[] {
    return this.#event(now, () => {
      const wasTracked = this.isTracked(topic)
      const settled = this.topics.subscribe(topic, call, now)
      this.#reveal(topic, wasTracked)
      return settle(settled)
    })
  }

  unsubscribe (topic: string, all: boolean, now: number): { removed: boolean, effects: Effect[] } {
    const { isRemoved, settled } = this.topics.unsubscribe(topic, all)
    return { removed: isRemoved, effects: this.#event(now, () => { this.#untrack(topic); return settle(settled) }) }
  }

  abort (topic: string, call: Call, now: number): void {
    if (this.topics.abort(topic, call)) {
      this.#event(now, () => { this.#untrack(topic); return [] })
    }
  }

  /** Asks neighbours (or one of them) who is on `topic`; what they say is kept for a while */
  request (topic: string, call: Call, now: number, from?: Key): Effect[] {
    return this.#event(now, () => {
      const wasTracked = this.isTracked(topic)
      this.#asked.set(topic, now + limits.ASKED_TTL)
      this.#reveal(topic, wasTracked)
      const neighbours = from == null ? this.updates.neighbours : [from].filter(key => this.updates.has(key))

      if (neighbours.length === 0) {
        return [{ type: 'request-settled', call }]
      }

      const id = this.#requests.open(call, neighbours, now + limits.REQUEST_TIMEOUT)
      neighbours.forEach(to => { this.updates.request(to, id, topic) })
      return []
    })
  }

  cancelRequest (call: Call): void {
    this.#requests.cancel(call)
  }

  /** A neighbour came, or lives anew: it knows nothing of us, and we know nothing of what it leads to */
  up (peer: Key, { epoch, isRelay }: Greeting, now: number): Effect[] {
    return this.#event(now, () => {
      const before = this.subscribers.versionOf(peer)

      if (before != null && before.epoch > epoch) {
        this.#outdated.set(peer, this.subscribers.history(peer)[0])
      }

      this.#changes.push(...this.subscribers.restart(peer, epoch))
      const effects = this.updates.has(peer) ? this.#leave(peer) : []
      this.#epochs.set(peer, epoch)
      this.updates.up(peer, isRelay)
      this.topics.up(peer)
      this.routing.up(peer, isRelay)
      this.#show(peer)
      this.updates.mark(peer, this.#init.self, true)

      if ((this.#outdated.get(peer)?.epoch ?? 0) > epoch) {
        this.updates.mark(peer, peer, true)
      } else {
        this.#outdated.delete(peer)
      }
      // what an earlier neighbour was asked this one does not know
      for (const topic of this.#asked.keys()) {
        this.updates.request(peer, 0, topic)
      }

      return effects
    })
  }

  /** The last connection to a neighbour is gone */
  down (peer: Key, now: number): Effect[] {
    return this.#event(now, () => {
      const effects = this.#leave(peer)
      this.#show(peer)
      return effects
    })
  }

  /** A neighbour says something. The shell has verified all announcements */
  receive (from: Key, gossip: Gossip, now: number): Effect[] {
    if (!this.updates.has(from)) {
      return []
    }

    return this.#event(now, () => {
      const effects = gossip.ack < 0 ? [] : settle(this.topics.confirmed(from, gossip.ack))

      for (const update of gossip.updates) {
        effects.push(...this.#receiveUpdate(from, update))
      }
      for (const key of gossip.lost) {
        this.routing.hearLost(from, key, now)
      }
      for (const { origin, ...wanted } of gossip.wanted) {
        this.#receiveWanted(from, origin, wanted)
      }
      for (const { id, topic } of gossip.requests) {
        this.#receiveRequest(from, id, topic)
      }
      for (const id of gossip.answers) {
        effects.push(...this.#requests.answered(from, id))
      }

      return effects
    })
  }

  /** Whether what was for a peer arrived by a neighbour */
  acked (peer: Key, via: Key, isDelivered: boolean, now: number): Effect[] {
    return this.#event(now, () => {
      this.routing.acked(peer, via, isDelivered)

      if (isDelivered) {
        this.#doubted.delete(peer)
      }

      return []
    })
  }

  /** A peer acked nothing, by no way: it is to say itself again, or it is not believed to be reachable */
  doubt (peer: Key, now: number): Effect[] {
    return this.#event(now, () => {
      if (!this.routing.isNeighbour(peer) && !this.#doubted.has(peer)) {
        const version = this.routing.doubt(peer)

        if (version != null) {
          this.#doubted.set(peer, { version, until: now + limits.DOUBT_TIMEOUT })
        }
      }

      return []
    })
  }

  /** Time has come for something: see `nextWake` */
  wake (now: number): Effect[] {
    return this.#event(now, () => {
      const effects: Effect[] = []

      if (this.#flushAt <= now) {
        effects.push(...this.#flush())
      }
      if (this.#sweepAt <= now) {
        this.#sweepAt = Infinity
        this.#sweep()
      }
      for (const [peer, { version, until }] of this.#doubted) {
        if (until <= now) {
          this.#doubted.delete(peer)
          this.routing.disbelieve(peer, version, now)
        }
      }

      effects.push(...settle(this.topics.expire(now)), ...this.#requests.expire(now))
      return [...effects, ...this.#take()]
    })
  }

  /** Retracts everything, settles everybody, forgets everything */
  stop (now: number): Effect[] {
    const effects = settle(this.topics.stop())
    this.#now = now
    effects.push(...this.#flush(), ...this.#take(), ...this.#requests.clear())
    this.#asked.clear()
    this.#doubted.clear()
    this.#outdated.clear()
    this.#epochs.clear()
    this.#told.clear()
    this.subscribers.clear()
    this.routing.clear()
    this.updates.clear()
    this.#flushAt = this.#sweepAt = Infinity
    return effects
  }

  /** Throws where an invariant is broken. For tests and simulations */
  check (): void {
    this.routing.check()
    this.subscribers.check()
  }

  /** What an event comes to, and what it changed on the way */
  #event (now: number, run: () => Effect[]): Effect[] {
    this.#now = now
    const effects = run()
    this.subscribers.makeRoom(this.#changes)
    const changes = this.#changes
    this.#changes = []
    this.#schedule()
    return changes.length > 0 ? [{ type: 'changes', changes }, ...effects] : effects
  }

  /** A neighbour knows nothing of us any more, and leads nowhere */
  #leave (peer: Key): Effect[] {
    this.#epochs.delete(peer)
    this.#told.delete(peer)
    this.updates.down(peer)
    this.routing.down(peer, this.#now)
    this.subscribers.gone(peer)
    return [...settle(this.topics.down(peer)), ...this.#requests.answered(peer)]
  }

  #take (): Effect[] {
    return this.updates.take(this.#now).map(({ to, gossip }) => ({ type: 'gossip', to, gossip }))
  }

  /** All that we are on, under a new number */
  #announceAll (): void {
    this.#history = [{ origin: this.#init.self, epoch: this.#epoch, seq: ++this.#seq, full: true, on: this.topics.announced, off: [] }]
  }

  #flush (): Effect[] {
    this.#flushAt = Infinity
    const { on, off, settled } = this.topics.announce(this.#seq + 1, this.#now)
    this.#announce(on, off)
    off.forEach(topic => { this.#untrack(topic) })
    return settle(settled)
  }

  #announce (on: string[], off: string[]): void {
    if (on.length + off.length === 0) {
      return
    }

    const items = this.#history.reduce((sum, { full, on, off }) => full ? sum : sum + 1 + on.length + off.length, 0)

    // when what follows a full one has become as long, say it all: so nobody ever has to hear more than twice as much
    if (items > Math.min(limits.MAX_HISTORY / 2, limits.MIN_HISTORY + this.topics.announced.length)) {
      this.#announceAll()
    } else {
      this.#history = [...this.#history, { origin: this.#init.self, epoch: this.#epoch, seq: ++this.#seq, full: false, on, off }]
    }

    for (const to of this.updates.neighbours) {
      this.updates.mark(to, this.#init.self, true)
      on.forEach(topic => { this.updates.request(to, 0, topic) })
    }
  }

  #sweep (): void {
    for (const [topic, until] of this.#asked) {
      if (until <= this.#now) {
        this.#asked.delete(topic)
        this.#untrack(topic)
      }
    }

    this.updates.expire(this.#now)
    this.routing.expire(this.#now).forEach(key => { this.#changes.push(...this.subscribers.forget(key, 'unreachable')) })
  }

  #tell (to: Key, origin: Key): Update | 'lost' | undefined {
    if (origin === this.#init.self) {
      return this.#tellOwn(to)
    }
    if (origin === to) {
      const outdated = this.#outdated.get(to)
      return outdated == null ? undefined : { origin, epoch: outdated.epoch, seq: outdated.seq, hops: NO_WAY, announcements: [outdated] }
    }

    const isConcerned = this.#isConcerned(to, origin)

    if (!isConcerned && this.routing.known(to, origin) == null) {
      return
    }
    if (isConcerned && this.routing.known(to, origin)?.seq === MUTED) {
      this.routing.sayAgain(to, origin)
    }

    const known = this.routing.known(to, origin)
    const told = this.routing.tell(to, origin, since => this.subscribers.hasNews(origin, since))

    if (!isConcerned) {
      this.routing.mute(to, origin)
    }
    if (told === 'lost') {
      return told
    }
    if (told == null) {
      return this.#correct(to, origin)
    }

    // also those that are newer than what its way was told by: the older ones may be part of a full one by now
    return { origin, ...told, announcements: this.subscribers.history(origin, known) }
  }

  /**
   * A neighbour that claims a way to an earlier life hears of the later one, so that who lives in neither may outlive
   * both
   */
  #correct (to: Key, origin: Key): Update | undefined {
    const [known, newest] = [this.routing.known(to, origin), this.subscribers.versionOf(origin)]

    if (known != null && newest != null && known.epoch < newest.epoch) {
      return { origin, epoch: newest.epoch, seq: newest.seq, hops: NO_WAY, announcements: this.subscribers.history(origin) }
    }
  }

  #tellOwn (to: Key): Update | undefined {
    const told = this.#told.get(to) ?? -1

    if (told < this.#seq) {
      const announcements = this.#history.filter(({ seq }) => seq > told)
      this.#told.set(to, this.#seq)
      return { origin: this.#init.self, epoch: this.#epoch, seq: this.#seq, hops: 0, announcements }
    }
  }

  /** Relays hear of everybody, a leaf of those who share a topic with it or are on one that it asked about */
  #isConcerned (to: Key, origin: Key): boolean {
    if (this.updates.isRelay(to)) {
      return true
    }
    for (const topic of this.subscribers.topicsOf(origin)) {
      if (this.subscribers.isOn(to, topic) || this.updates.hasAsked(to, topic)) {
        return true
      }
    }

    return false
  }

  /** A leaf is new on these topics: it did not remember what it was told of those who are on them */
  #tellAbout (topics: Iterable<string>, to: Key, isUrgent: boolean): void {
    for (const topic of topics) {
      for (const origin of this.subscribers.known(topic)) {
        this.routing.sayAgain(to, origin)
        this.updates.mark(to, origin, isUrgent)
      }
    }
  }

  #receiveUpdate (from: Key, update: Update): Effect[] {
    const { origin, epoch, seq, announcements } = update
    const lives = this.#epochs.get(origin)
    // what the origin signed: the epoch of the update is only the neighbour's word
    const newest = announcements.at(-1)

    if (origin === this.#init.self) {
      // said in an earlier life, with an epoch that was larger: nobody would listen to this one
      return newest != null && newest.epoch > this.#epoch ? [{ type: 'outlive', epoch: newest.epoch }] : []
    }
    if (from === origin && epoch === lives) {
      this.updates.heard(from, seq)
    } else if (from === origin) {
      return []
    } else if (lives != null && newest != null && newest.epoch > lives) {
      this.#outdated.set(origin, newest)
      this.updates.mark(origin, origin, true)
      return []
    }

    return this.#apply(from, update)
  }

  #apply (from: Key, update: Update): Effect[] {
    const { origin } = update
    const before = new Set(from === origin && !this.updates.introduces(from) ? this.subscribers.topicsOf(origin) : [])
    const refused: string[] = []
    const applied = this.subscribers.apply(origin, update.announcements, from, this.#changes, refused)
    const newest = this.subscribers.versionOf(origin)

    if (newest != null) {
      this.#hear(from, update, newest)
    }
    if (from === origin && applied === 'news' && this.#init.isRelay && !this.updates.isRelay(from)) {
      this.#tellAbout(this.subscribers.topicsOf(origin).filter(topic => !before.has(topic)), from, false)
    }

    return refused.map((what): Effect => ({ type: 'refused', what, from }))
  }

  #hear (from: Key, update: Update, newest: Version): void {
    const { origin } = update

    if (update.hops === NO_WAY) {
      // whatever it claimed was of a life that it now knows to be over
      this.routing.hearLost(from, origin, this.#now)
    } else if (!isNewer(update, newest)) {
      // nobody signed a version that is not known
      this.routing.hear(from, origin, update, this.#now)
    }
    for (const neighbour of this.routing.claimants(origin)) {
      if ((this.routing.known(neighbour, origin)?.epoch ?? newest.epoch) < newest.epoch) {
        this.updates.mark(neighbour, origin, true)
      }
    }
  }

  /** The origin takes one step, never more, however large the number is that is asked for */
  #receiveWanted (from: Key, origin: Key, wanted: Wanted): void {
    if (origin !== this.#init.self) {
      this.routing.request(from, origin, wanted)
      return
    }
    // of a life that is not ours we have nothing to say: whoever remembers it has shown, or will show, what proves it
    if (wanted.epoch > this.#epoch) {
      return
    }
    if (wanted.epoch === this.#epoch && wanted.seq > this.#seq) {
      this.#announceAll()
    }

    this.#told.delete(from)
    this.updates.mark(from, origin, true)
  }

  #receiveRequest (from: Key, id: number, topic: string): void {
    if (this.topics.tellEarly(topic)) {
      this.#announce([topic], [])
    }
    if (!this.updates.isRelay(from)) {
      // it remembers the answers for ASKED_TTL, so that long it hears what changes
      this.updates.asks(from, topic, this.#now + 2 * limits.ASKED_TTL)

      if (this.#init.isRelay) {
        this.#tellAbout([topic], from, true)
      }
      // also of one that is to be retracted: it may be subscribed to again before that is said
      if (this.topics.isAnnounced(topic)) {
        this.#told.delete(from)
        this.updates.mark(from, this.#init.self, true)
      }
    }
    // 0: it does not wait for an answer
    if (id !== 0) {
      this.updates.answer(from, id)
    }
  }

  #show (peer: Key): void {
    this.#changes.push(...this.subscribers.show(peer, this.routing.isReachable(peer)))
  }

  #reveal (topic: string, wasTracked: boolean): void {
    if (!wasTracked) {
      this.#changes.push(...this.subscribers.reveal(topic))
    }
  }

  #untrack (topic: string): void {
    if (!this.isTracked(topic) && !this.topics.isAnnounced(topic)) {
      this.subscribers.untrack(topic)
    }
  }

  #schedule (): void {
    if (this.#flushAt === Infinity && this.topics.isDirty) {
      this.#flushAt = this.#now + this.#init.debounce
    }
    if (this.#sweepAt === Infinity && (this.#asked.size > 0 || this.routing.size > 0)) {
      this.#sweepAt = this.#now + limits.SWEEP_INTERVAL
    }
  }
}

function settle (settled: Settled): Effect[] {
  return settled.map(({ call, outcome }) => ({ type: 'subscribe-settled', call, outcome }))
}
