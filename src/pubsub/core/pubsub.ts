import { LruMap } from '../../runtime/bounded.ts'
import * as limits from '../constants.ts'
import { Requests } from './requests.ts'
import { isNewer, MUTED, NO_WAY, Routing } from './routing.ts'
import { Subscribers } from './subscribers.ts'
import { Topics } from './topics.ts'
import { Updates } from './updates.ts'
import type { Version, Wanted } from './routing.ts'
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

/** A request for all that somebody was told, in the place of one for an announcement of itself */
const ALL: Wanted = { epoch: 0, seq: 0, hops: 0 }

interface Neighbour {
  /** The epoch that it lives in */
  readonly epoch: number
  /** The newest of our announcements that it was told of; none: -1 */
  told: number
  /** Something that it told was forgotten for want of room: it believes that we know it */
  isCut: boolean
  /** When it may next be told all again */
  againAt: number
}

/**
 * Who listens to what, and by which way they are reached, from what is called here, what neighbours say, and time: it
 * decides what is said to whom and what the user hears. Every method is an event; the effects are what the shell is to
 * do. Nothing here waits.
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
  readonly #neighbours = new Map<Key, Neighbour>()
  /** What a neighbour announced in a life that others take to be newer than the one it is in: it has to outlive that */
  readonly #outdated = new LruMap<Key, Announcement>(limits.MAX_OUTDATED)
  /** Peers that did not ack by any way: unless one says itself again by then, it is not believed to be reachable */
  readonly #doubted = new Map<Key, { version: Version, until: number }>()
  /** Our own announcements: a full one, and what followed it */
  #history: Announcement[] = []
  #epoch: number
  #seq = -1
  #flushAt = Infinity
  #sweepAt = Infinity
  /** What the present event has changed, and comes to besides */
  #changes: Change[] = []
  #effects: Effect[] = []
  #now = 0

  constructor (init: PubsubCoreInit) {
    this.#init = init
    this.#epoch = init.epoch
    this.updates = new Updates({
      intervalFirst: limits.UPDATE_INTERVAL_FIRST,
      intervalCap: limits.UPDATE_INTERVAL_CAP,
      maxItems: limits.MAX_UPDATES,
      maxAsked: init.maxTopicsPerPeer,
      tell: (to, origin) => this.#tell(to, origin),
      tellAgain: (to, topic, number) => this.#tellAgain(to, topic, number)
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
      onForgotten: key => { this.#forget(key) },
      onChange: change => { this.#changes.push(change) },
      onRefused: (what, from) => { this.#effects.push({ type: 'refused', what, from }) }
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
      neighbours: this.#neighbours.size,
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
    this.#neighbours.forEach(neighbour => { neighbour.told = -1 })
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
    // the oldest is the first, and all wait for as long
    const [doubted] = this.#doubted.values()
    return Math.min(
      this.#flushAt, this.#sweepAt, doubted?.until ?? Infinity,
      this.updates.nextAt(), this.topics.nextDeadline(), this.#requests.nextDeadline
    )
  }

  subscribe (topic: string, call: Call, now: number): Effect[] {
    return this.#event(now, () => {
      this.#reveal(topic)
      this.#effects.push(...this.topics.subscribe(topic, call, now))
    })
  }

  unsubscribe (topic: string, all: boolean, now: number): { removed: boolean, effects: Effect[] } {
    const { isRemoved: removed, settled } = this.topics.unsubscribe(topic, all)
    const effects = this.#event(now, () => {
      this.#untrack(topic)
      this.#effects.push(...settled)
    })
    return { removed, effects }
  }

  abort (topic: string, call: Call, now: number): void {
    if (this.topics.abort(topic, call)) {
      this.#event(now, () => { this.#untrack(topic) })
    }
  }

  /** Asks neighbours (or one of them) who is on `topic`; what they say is kept for a while */
  request (topic: string, call: Call, now: number, from?: Key): Effect[] {
    return this.#event(now, () => {
      this.#reveal(topic)
      this.#asked.set(topic, now + limits.ASKED_TTL)
      const neighbours = this.updates.neighbours.filter(key => from == null || key === from)

      if (neighbours.length > 0) {
        const id = this.#requests.open(call, neighbours, now + limits.REQUEST_TIMEOUT)
        neighbours.forEach(to => { this.updates.request(to, id, topic) })
      } else {
        this.#effects.push({ type: 'request-settled', call })
      }
    })
  }

  cancelRequest (call: Call): void {
    this.#requests.cancel(call)
  }

  /** A neighbour came, or lives anew: it knows nothing of us, and we know nothing of what it leads to */
  up (peer: Key, { epoch, isRelay }: Greeting, now: number): Effect[] {
    return this.#event(now, () => {
      const [before] = this.subscribers.history(peer)

      if (before != null && before.epoch > epoch) {
        this.#outdated.set(peer, before)
      }

      this.subscribers.restart(peer, epoch)

      if (this.updates.has(peer)) {
        this.#leave(peer)
      }

      this.#neighbours.set(peer, { epoch, told: -1, isCut: false, againAt: -Infinity })
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
    })
  }

  /** The last connection to a neighbour is gone */
  down (peer: Key, now: number): Effect[] {
    return this.#event(now, () => {
      this.#leave(peer)
      this.#show(peer)
    })
  }

  /** A neighbour says something. The shell has verified all announcements */
  receive (from: Key, { ack, updates, lost, wanted, requests, answers }: Gossip, now: number): Effect[] {
    if (!this.updates.has(from)) {
      return []
    }

    return this.#event(now, () => {
      if (ack >= 0) {
        this.#effects.push(...this.topics.confirmed(from, ack))
      }

      updates.forEach(update => { this.#receiveUpdate(from, update) })
      lost.forEach(key => { this.routing.hearLost(from, key, now) })
      wanted.forEach(({ origin, ...wanted }) => { this.#receiveWanted(from, origin, wanted) })
      requests.forEach(({ id, topic }) => { this.#receiveRequest(from, id, topic) })
      answers.forEach(id => this.#effects.push(...this.#requests.answered(from, id)))
    })
  }

  /** Whether what was for a peer arrived by a neighbour */
  acked (peer: Key, via: Key, isDelivered: boolean, now: number): Effect[] {
    return this.#event(now, () => {
      this.routing.acked(peer, via, isDelivered)

      if (isDelivered) {
        this.#doubted.delete(peer)
      }
    })
  }

  /** A peer acked nothing, by no way: it is to say itself again, or it is not believed to be reachable */
  doubt (peer: Key, now: number): Effect[] {
    return this.#event(now, () => {
      const isDoubted = this.routing.isNeighbour(peer) || this.#doubted.has(peer)
      const version = isDoubted ? undefined : this.routing.doubt(peer)

      if (version != null) {
        this.#doubted.set(peer, { version, until: now + limits.DOUBT_TIMEOUT })
      }
    })
  }

  /** Time has come for something: see `nextWake` */
  wake (now: number): Effect[] {
    return this.#event(now, () => {
      if (this.#flushAt <= now) {
        this.#flush()
      }
      if (this.#sweepAt <= now) {
        this.#sweep()
      }
      for (const [peer, { version, until }] of this.#doubted) {
        if (until <= now) {
          this.#doubted.delete(peer)
          this.routing.disbelieve(peer, version, now)
        }
      }

      this.#effects.push(...this.topics.expire(now), ...this.#requests.expire(now), ...this.updates.take(now))
    })
  }

  /** Retracts everything, settles everybody, forgets everything */
  stop (now: number): Effect[] {
    return this.#event(now, () => {
      this.#effects.push(...this.topics.stop())
      this.#flush()
      this.#effects.push(...this.updates.take(now), ...this.#requests.clear())
      this.#asked.clear()
      this.#doubted.clear()
      this.#outdated.clear()
      this.#neighbours.clear()
      this.subscribers.clear()
      this.routing.clear()
      this.updates.clear()
      this.#sweepAt = Infinity
    })
  }

  /** Throws where an invariant is broken. For tests and simulations */
  check (): void {
    this.routing.check()
    this.subscribers.check()
  }

  /** What an event comes to, and what it changed on the way */
  #event (now: number, run: () => void): Effect[] {
    this.#now = now
    run()
    this.subscribers.makeRoom()
    this.#schedule()
    const [changes, effects] = [this.#changes, this.#effects]
    this.#changes = []
    this.#effects = []
    return changes.length > 0 ? [{ type: 'changes', changes }, ...effects] : effects
  }

  /** A neighbour knows nothing of us any more, and leads nowhere */
  #leave (peer: Key): void {
    this.#neighbours.delete(peer)
    this.updates.down(peer)
    this.routing.down(peer, this.#now)
    this.subscribers.gone(peer)
    this.#effects.push(...this.topics.down(peer), ...this.#requests.answered(peer))
  }

  /** All that we are on, under a new number */
  #announceAll (): void {
    this.#history = [this.#next(true, this.topics.announced, [])]
  }

  #next (full: boolean, on: string[], off: string[]): Announcement {
    return { origin: this.#init.self, epoch: this.#epoch, seq: ++this.#seq, full, on, off }
  }

  #flush (): void {
    this.#flushAt = Infinity
    const { on, off, settled } = this.topics.announce(this.#seq + 1, this.#now)
    this.#announce(on, off)
    off.forEach(topic => { this.#untrack(topic) })
    this.#effects.push(...settled)
  }

  #announce (on: string[], off: string[]): void {
    if (on.length + off.length === 0) {
      return
    }

    const [, ...more] = this.#history

    // when what follows a full one has become as long, say it all: so nobody ever has to hear more than twice as much
    if (itemsOf(more) > Math.min(limits.MAX_HISTORY / 2, limits.MIN_HISTORY + this.topics.announced.length)) {
      this.#announceAll()
    } else {
      this.#history = [...this.#history, this.#next(false, on, off)]
    }

    for (const to of this.updates.neighbours) {
      this.updates.mark(to, this.#init.self, true)
      on.forEach(topic => { this.updates.request(to, 0, topic) })
    }
  }

  #sweep (): void {
    this.#sweepAt = Infinity

    for (const [topic, until] of this.#asked) {
      if (until <= this.#now) {
        this.#asked.delete(topic)
        this.#untrack(topic)
      }
    }

    const memory = this.#isCut || this.subscribers.isCut ? limits.LOST_MEMORY_SHORT : limits.LOST_MEMORY
    this.updates.expire(this.#now)
    this.routing.expire(this.#now, memory).forEach(key => { this.subscribers.forget(key, 'unreachable') })
    this.subscribers.refill()

    for (const [to, neighbour] of this.subscribers.hasRoom ? this.#neighbours : []) {
      if (neighbour.isCut) {
        neighbour.isCut = false
        this.updates.want(to, this.#init.self, ALL)
      }
    }
  }

  get #isCut (): boolean {
    return [...this.#neighbours.values()].some(({ isCut }) => isCut)
  }

  /** There is no room for this one. Whoever told of it is asked again when there is */
  #forget (origin: Key): void {
    for (const key of this.routing.claimants(origin)) {
      const neighbour = this.#neighbours.get(key)

      if (neighbour != null) {
        neighbour.isCut = true
      }
    }

    this.routing.forget(origin)
  }

  #tell (to: Key, origin: Key): Update | 'lost' | undefined {
    const { routing, subscribers } = this

    if (origin === this.#init.self) {
      return this.#tellOwn(to)
    }
    if (origin === to) {
      const outdated = this.#outdated.get(to)
      return outdated == null ? undefined : updateOf([outdated], NO_WAY)
    }

    const isConcerned = this.#isConcerned(to, origin)
    let known = routing.known(to, origin)

    if (!isConcerned && known == null) {
      return
    }
    if (isConcerned && known?.seq === MUTED) {
      routing.sayAgain(to, origin)
      known = routing.known(to, origin)
    }

    const told = routing.tell(to, origin, since => subscribers.hasNews(origin, since))

    if (!isConcerned) {
      routing.mute(to, origin)
    }
    if (told != null) {
      // also those that are newer than what its way was told by: the older ones may be part of a full one by now
      return told === 'lost' ? told : { origin, ...told, announcements: subscribers.history(origin, known) }
    }
    // one that claims a way to an earlier life hears of the later one, so that who lives in neither may outlive both
    if (this.#isOutdated(to, origin)) {
      return updateOf(subscribers.history(origin), NO_WAY)
    }
  }

  #tellOwn (to: Key): Update | undefined {
    const neighbour = this.#neighbours.get(to)

    if (neighbour != null && neighbour.told < this.#seq) {
      const announcements = this.#history.filter(({ seq }) => seq > neighbour.told)
      neighbour.told = this.#seq
      return updateOf(announcements, 0)
    }
  }

  /** Whether what a neighbour is known to have of an origin is of a life that is over */
  #isOutdated (neighbour: Key, origin: Key): boolean {
    const [known, newest] = [this.routing.known(neighbour, origin), this.subscribers.versionOf(origin)]
    return known != null && newest != null && known.epoch < newest.epoch
  }

  /** Relays hear of everybody, a leaf of those who share a topic with it or are on one that it asked about */
  #isConcerned (to: Key, origin: Key): boolean {
    const { updates, subscribers } = this
    const isShared = (topic: string): boolean => subscribers.isOn(to, topic) || updates.hasAsked(to, topic)
    return updates.isRelay(to) || subscribers.topicsOf(origin).some(isShared)
  }

  /**
   * A leaf is new on a topic, or asks who is on it: it did not remember what it was told of those. Or a neighbour asks
   * for our own announcement: the topic is none. Returns how much of that it was told before
   */
  #tellAgain (to: Key, topic?: string, number?: number): number {
    const neighbour = this.#neighbours.get(to)
    let again = 0

    for (const origin of topic != null && this.#init.isRelay ? this.subscribers.known(topic) : []) {
      if ((this.routing.known(to, origin)?.seq ?? -1) >= 0) {
        again += itemsOf(this.subscribers.history(origin))
        this.routing.sayAgain(to, origin)
      }

      this.updates.mark(to, origin, number != null)
    }

    // the origin takes one step, never more, however large the number is that is asked for
    if (topic == null && number != null && number > this.#seq) {
      this.#announceAll()
    }
    // also of a topic that is to be retracted: it may be subscribed to again before that is said
    if (neighbour != null && number != null && (topic == null || this.topics.isAnnounced(topic))) {
      again += neighbour.told < 0 ? 0 : itemsOf(this.#history)
      neighbour.told = -1
      this.updates.mark(to, this.#init.self, true)
    }
    if (topic != null) {
      this.#answer(to, number)
    }

    return again
  }

  /** 0: it does not wait for an answer */
  #answer (to: Key, id = 0): void {
    if (id !== 0) {
      this.updates.answer(to, id)
    }
  }

  #receiveUpdate (from: Key, update: Update): void {
    const { origin, epoch, seq, announcements } = update
    const lives = this.#neighbours.get(origin)?.epoch
    // what the origin signed: the epoch of the update is only the neighbour's word
    const newest = announcements.at(-1)

    if (origin === this.#init.self) {
      // said in an earlier life, with an epoch that was larger: nobody would listen to this one
      if (newest != null && newest.epoch > this.#epoch) {
        this.#effects.push({ type: 'outlive', epoch: newest.epoch })
      }
    } else if (from === origin) {
      if (epoch === lives) {
        this.updates.heard(from, seq)
        this.#apply(from, update)
      }
    } else if (lives != null && newest != null && newest.epoch > lives) {
      this.#outdated.set(origin, newest)
      this.updates.mark(origin, origin, true)
    } else {
      this.#apply(from, update)
    }
  }

  #apply (from: Key, update: Update): void {
    const { origin, announcements } = update
    const before = new Set(from === origin && !this.updates.introduces(from) ? this.subscribers.topicsOf(origin) : [])
    const applied = this.subscribers.apply(origin, announcements, from)
    const newest = this.subscribers.versionOf(origin)

    if (newest != null) {
      this.#hear(from, update, newest)
    }
    if (from === origin && applied === 'news' && this.#init.isRelay && !this.updates.isRelay(from)) {
      const topics = this.subscribers.topicsOf(origin).filter(topic => !before.has(topic))
      topics.forEach(topic => { this.updates.sayAgain(from, topic, undefined, this.#now) })
    }
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
      if (this.#isOutdated(neighbour, origin)) {
        this.updates.mark(neighbour, origin, true)
      }
    }
  }

  #receiveWanted (from: Key, origin: Key, wanted: Wanted): void {
    if (origin === from) {
      this.#sayAllAgain(from)
    } else if (origin !== this.#init.self) {
      this.routing.request(from, origin, wanted)
    } else if (wanted.epoch <= this.#epoch) {
      // of a later life we have nothing to say: whoever remembers it has shown, or will show, what proves it
      this.updates.sayAgain(from, undefined, wanted.epoch === this.#epoch ? wanted.seq : 0, this.#now)
    }
  }

  /** A neighbour forgot something of what it was told. It costs as much as a new neighbour */
  #sayAllAgain (to: Key): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour == null || this.#now < neighbour.againAt) {
      return
    }

    neighbour.againAt = this.#now + limits.AGAIN_INTERVAL
    neighbour.told = -1
    this.updates.mark(to, this.#init.self, false)

    for (const origin of this.#init.isRelay ? this.routing.origins : []) {
      if (origin !== to && (this.routing.known(to, origin)?.seq ?? -1) >= 0 && this.#isConcerned(to, origin)) {
        this.routing.sayAgain(to, origin)
        this.updates.mark(to, origin, false)
      }
    }
  }

  #receiveRequest (from: Key, id: number, topic: string): void {
    if (this.topics.tellEarly(topic)) {
      this.#announce([topic], [])
    }
    if (this.updates.isRelay(from)) {
      this.#answer(from, id)
    } else {
      // it remembers the answers for ASKED_TTL, so that long it hears what changes
      this.updates.asks(from, topic, this.#now + 2 * limits.ASKED_TTL)
      this.updates.sayAgain(from, topic, id, this.#now)
    }
  }

  #show (peer: Key): void {
    this.subscribers.show(peer, this.routing.isReachable(peer))
  }

  /** A topic is about to be tracked */
  #reveal (topic: string): void {
    if (!this.isTracked(topic)) {
      this.subscribers.reveal(topic)
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
    if (this.#sweepAt === Infinity && (this.#asked.size > 0 || this.routing.size > 0 || this.#isCut)) {
      this.#sweepAt = this.#now + limits.SWEEP_INTERVAL
    }
  }
}

function updateOf (announcements: Announcement[], hops: number): Update {
  const { origin, epoch, seq } = announcements[announcements.length - 1]
  return { origin, epoch, seq, hops, announcements }
}

/** Announcements, and topics in them */
function itemsOf (announcements: Announcement[]): number {
  return announcements.reduce((sum, { on, off }) => sum + 1 + on.length + off.length, 0)
}
