import type { Announcement, Change, ChangeReason, Key } from './types.ts'

export interface SubscribersInit {
  /** Topics that this node wants to know the subscribers of */
  isTracked (topic: string): boolean
  /** A relay remembers for others what nobody here asked for */
  isRelay: boolean
  maxTopicsPerPeer: number
  maxSubscribersPerTopic: number
  maxTopics: number
  /** Milliseconds that what came over a relay is believed without being said again */
  ttl: number
}

/** The newest word of one peer on one topic. `on: false` stays a while, so that an older word that comes late is not believed */
interface Entry {
  on: boolean
  seq: number
  /** When it is forgotten: what was left after a while, what is doubted unless it is said again, all else with its origin */
  expires: number
  announcement: Announcement
}

/** All there is about what one peer announced */
interface Origin {
  epoch: number
  /** All that is older than its last full announcement says nothing any more */
  fullSeq: number
  /** While it is a neighbour its word does not expire: the link tells when it goes */
  isNeighbour: boolean
  /** When it is forgotten unless it says something again */
  expires: number
  topics: Map<string, Entry>
}

export interface Applied {
  /** Something in it was not known, be it only that its origin still says so: relays pass it on to each other */
  isNews: boolean
  /** It changes who is on what: worth telling everybody who shares the topics */
  isChange: boolean
  changes: Change[]
  /** It is of an earlier life than the one we know; this is the epoch that we know */
  staleBy?: number
  refused: string[]
}

/**
 * Who listens to what: for each peer and topic the newest of what the peer itself said counts, whichever way it came.
 */
export class Subscribers {
  readonly #init: SubscribersInit
  readonly #origins = new Map<Key, Origin>()
  readonly #byTopic = new Map<string, Map<Key, Entry>>()
  /** Nothing expires before this */
  #expiresAt = Infinity
  /** Moves on with every change of who is subscribed, for those who keep what they derived */
  version = 0

  constructor (init: SubscribersInit) {
    this.#init = init
  }

  get size (): number {
    return this.#origins.size
  }

  get sizes (): { origins: number, topics: number, entries: number } {
    let entries = 0
    for (const { topics } of this.#origins.values()) {
      entries += topics.size
    }
    return { origins: this.#origins.size, topics: this.#byTopic.size, entries }
  }

  /** Those known to be on `topic` */
  of (topic: string): Key[] {
    const keys: Key[] = []
    for (const [key, entry] of this.#byTopic.get(topic) ?? []) {
      if (entry.on) {
        keys.push(key)
      }
    }
    return keys
  }

  isOn (key: Key, topic: string): boolean {
    return this.#byTopic.get(topic)?.get(key)?.on === true
  }

  epochOf (key: Key): number | undefined {
    return this.#origins.get(key)?.epoch
  }

  /** Whether an announcement of this number can say nothing new, and the one it would be if it is known */
  known (key: Key, epoch: number, seq: number): { isOld: boolean, announcement?: Announcement } {
    const origin = this.#origins.get(key)

    if (origin == null || epoch !== origin.epoch) {
      return { isOld: origin != null && epoch < origin.epoch }
    }

    const announcement = this.announcementsOf(key).find(known => known.seq === seq)
    return { isOld: seq < origin.fullSeq, announcement }
  }

  /** Whether its origin has said all that counts since, or this very thing: nothing in it can be news */
  isPast ({ origin: key, epoch, seq, on }: Announcement): boolean {
    const origin = this.#origins.get(key)

    if (origin?.epoch !== epoch || seq > origin.fullSeq) {
      return false
    }

    // What was heard before we asked for a topic was not remembered, and what is doubted needs to be heard again: it
    // counts when it is said again
    return on.every(topic => {
      const entry = origin.topics.get(topic)
      return entry == null ? seq < origin.fullSeq || !this.#init.isTracked(topic) : !entry.on || entry.expires === Infinity
    })
  }

  /** The same announcement came by fewer hops than it was known by: what is told of it from now on leads further */
  shorten ({ origin: key, epoch, seq }: Announcement, hops: number): Announcement | undefined {
    const origin = this.#origins.get(key)

    if (origin?.epoch !== epoch) {
      return
    }
    const entries = [...origin.topics.values()].filter(({ announcement }) => announcement.seq === seq && announcement.hops > hops)

    if (entries.length > 0) {
      const announcement = { ...entries[0].announcement, hops }
      entries.forEach(entry => { entry.announcement = announcement })
      return announcement
    }
  }

  /** What it is on, as far as is known */
  topicsOf (key: Key): string[] {
    const topics: string[] = []

    for (const [topic, { on }] of this.#origins.get(key)?.topics ?? []) {
      if (on) {
        topics.push(topic)
      }
    }

    return topics
  }

  /** All topics that it has spoken of lately, also those that it has left */
  heardOf (key: Key): string[] {
    return [...this.#origins.get(key)?.topics.keys() ?? []]
  }

  /** All that counts of what it said, also what it left: an older announcement may still name that */
  announcementsOf (key: Key): Announcement[] {
    const topics = this.#origins.get(key)?.topics.values() ?? []
    return [...new Set([...topics].map(({ announcement }) => announcement))].sort((a, b) => a.seq - b.seq)
  }

  /** What others would need to hear to know all who are on these topics (on any, if none are named), the older first */
  announcements (topics?: Iterable<string>): Announcement[] {
    const origins = new Set<Key>()

    for (const topic of topics ?? this.#byTopic.keys()) {
      this.of(topic).forEach(key => origins.add(key))
    }

    return [...origins].flatMap(key => this.announcementsOf(key))
  }

  /** A link to it begins, in this life of its */
  neighbour (key: Key, epoch: number): Change[] {
    const changes = this.raise(key, epoch, true)
    const origin = this.#origins.get(key) ?? { epoch, fullSeq: -1, isNeighbour: true, expires: Infinity, topics: new Map() }
    origin.isNeighbour = true
    origin.expires = Infinity
    this.#origins.set(key, origin)

    return changes
  }

  /** A way to it is gone: it is still believed while another one leads to it */
  gone (key: Key, isReachable: boolean, now: number): Change[] {
    const origin = this.#origins.get(key)

    if (origin == null) {
      return []
    }
    if (!isReachable) {
      return this.#forget(key, 'unreachable')
    }

    if (origin.isNeighbour) {
      origin.isNeighbour = false
      origin.expires = this.#expires(now)
    }

    this.#tidy(key, origin)
    return []
  }

  /** The last way to it is gone: what it said is believed for a while, and longer only if it is said again */
  doubt (key: Key, now: number): void {
    for (const entry of this.#origins.get(key)?.topics.values() ?? []) {
      entry.expires = Math.min(entry.expires, this.#expires(now))
    }
  }

  /** It lives in this epoch: what an earlier life said is over. A neighbour's own word counts even if it is smaller */
  raise (key: Key, epoch: number, isOwnWord = false): Change[] {
    const origin = this.#origins.get(key)

    if (origin == null || epoch === origin.epoch || (epoch < origin.epoch && !isOwnWord)) {
      return []
    }

    return this.#forget(key, 'restarted')
  }

  apply (announcement: Announcement, now: number): Applied {
    const { origin: key, epoch, seq } = announcement
    const known = this.#origins.get(key)
    const applied: Applied = { isNews: false, isChange: false, changes: [], refused: [] }

    if (known != null && epoch < known.epoch) {
      return { ...applied, staleBy: known.epoch }
    }

    // that what it said in an earlier life is over is news, also when it has nothing else to say
    applied.isNews = applied.isChange = known != null && epoch > known.epoch && known.topics.size > 0
    const wasNeighbour = known?.isNeighbour === true
    applied.changes.push(...this.raise(key, epoch))
    const origin = this.#origins.get(key) ?? { epoch, fullSeq: -1, isNeighbour: wasNeighbour, expires: Infinity, topics: new Map<string, Entry>() }

    // be it an older word: whoever leads there believes it, too, and will tell when that changes
    announcement.on.forEach(topic => { this.#trust(origin, topic) })

    if (seq < origin.fullSeq) {
      return applied
    }

    this.#origins.set(key, origin)
    origin.expires = origin.isNeighbour ? Infinity : this.#expires(now)

    for (const topic of announcement.on) {
      this.#set(key, origin, topic, { on: true, seq, expires: Infinity, announcement }, applied)
    }
    for (const topic of announcement.off) {
      this.#set(key, origin, topic, { on: false, seq, expires: this.#expires(now), announcement }, applied)
    }
    if (announcement.full) {
      this.#applyFull(key, origin, announcement, applied)
    }

    this.#tidy(key, origin)
    return applied
  }

  /** A topic becomes tracked: those who are known already are shown now */
  reveal (topic: string): Change[] {
    return this.of(topic).map(peer => ({ peer, topic, subscribe: true, reason: 'announced' }))
  }

  /** A topic is no longer tracked: only a relay goes on remembering */
  untrack (topic: string): void {
    if (this.#init.isRelay) {
      return
    }
    for (const key of [...this.#byTopic.get(topic)?.keys() ?? []]) {
      const origin = this.#origins.get(key) as Origin
      this.#delete(key, origin, topic)
      this.#tidy(key, origin)
    }
  }

  /** Drops what was not said again in time, but for what `isHeld` says of whom. Returns whose last word it was, too */
  expire (now: number, isHeld: (key: Key) => boolean): { changes: Change[], gone: Array<{ key: Key, topics: string[] }> } {
    const changes: Change[] = []
    const gone: Array<{ key: Key, topics: string[] }> = []

    if (now < this.#expiresAt) {
      return { changes, gone }
    }

    this.#expiresAt = Infinity

    for (const [key, origin] of this.#origins) {
      if (origin.expires <= now && isHeld(key)) {
        origin.expires = now + this.#init.ttl
      }
      if (origin.expires <= now) {
        gone.push({ key, topics: this.heardOf(key) })
        changes.push(...this.#forget(key, 'expired'))
      } else {
        this.#expireEntries(key, origin, now, changes)
      }
    }

    return { changes, gone }
  }

  #expireEntries (key: Key, origin: Origin, now: number, changes: Change[]): void {
    this.#expiresAt = Math.min(this.#expiresAt, origin.expires)

    for (const [topic, entry] of origin.topics) {
      if (entry.expires <= now) {
        this.#delete(key, origin, topic)
        this.#change(changes, key, topic, entry.on, false, 'expired')
      } else {
        this.#expiresAt = Math.min(this.#expiresAt, entry.expires)
      }
    }

    this.#tidy(key, origin)
  }

  clear (): Change[] {
    return [...this.#origins.keys()].flatMap(key => this.#forget(key, 'stopped'))
  }

  #trust (origin: Origin, topic: string): void {
    const entry = origin.topics.get(topic)

    if (entry?.on === true) {
      entry.expires = Infinity
    }
  }

  #expires (now: number): number {
    const expires = now + this.#init.ttl
    this.#expiresAt = Math.min(this.#expiresAt, expires)
    return expires
  }

  #applyFull (key: Key, origin: Origin, announcement: Announcement, applied: Applied): void {
    origin.fullSeq = announcement.seq

    for (const [topic, entry] of origin.topics) {
      if (entry.seq < announcement.seq) {
        this.#delete(key, origin, topic)
        this.#change(applied.changes, key, topic, entry.on, false, 'retracted')
        applied.isNews = true
        applied.isChange ||= entry.on
      }
    }
  }

  #set (key: Key, origin: Origin, topic: string, entry: Entry, applied: Applied): void {
    const before = origin.topics.get(topic)

    if (before != null && before.seq >= entry.seq) {
      return
    }
    if (before == null && !this.#mayAdd(origin, topic, applied)) {
      return
    }

    let subscribers = this.#byTopic.get(topic)

    if (subscribers == null) {
      this.#byTopic.set(topic, subscribers = new Map())
    }

    subscribers.set(key, entry)
    origin.topics.set(topic, entry)
    applied.isNews = true
    applied.isChange ||= (before?.on === true) !== entry.on
    this.#change(applied.changes, key, topic, before?.on === true, entry.on, entry.on ? 'announced' : 'retracted')
  }

  /** What is not asked for, or past a limit, is not remembered */
  #mayAdd (origin: Origin, topic: string, applied: Applied): boolean {
    const { isTracked, isRelay, maxTopicsPerPeer, maxSubscribersPerTopic, maxTopics } = this.#init

    if (!isTracked(topic)) {
      if (!isRelay) {
        return false
      }
      if (this.#byTopic.size >= maxTopics && !this.#byTopic.has(topic)) {
        applied.refused.push('topics to remember for others')
        return false
      }
    }
    if (origin.topics.size >= maxTopicsPerPeer) {
      applied.refused.push('topics of one peer')
      return false
    }
    if ((this.#byTopic.get(topic)?.size ?? 0) >= maxSubscribersPerTopic) {
      applied.refused.push('subscribers of one topic')
      return false
    }

    return true
  }

  #forget (key: Key, reason: ChangeReason): Change[] {
    const origin = this.#origins.get(key) as Origin
    const changes: Change[] = []

    for (const [topic, entry] of origin.topics) {
      this.#delete(key, origin, topic)
      this.#change(changes, key, topic, entry.on, false, reason)
    }

    this.#origins.delete(key)
    return changes
  }

  #delete (key: Key, origin: Origin, topic: string): void {
    origin.topics.delete(topic)
    const subscribers = this.#byTopic.get(topic)
    subscribers?.delete(key)

    if (subscribers?.size === 0) {
      this.#byTopic.delete(topic)
    }
  }

  /** A peer of which nothing is known has no entry, but for neighbours, whose epoch counts */
  #tidy (key: Key, origin: Origin): void {
    if (origin.topics.size === 0 && !origin.isNeighbour) {
      this.#origins.delete(key)
    }
  }

  #change (changes: Change[], peer: Key, topic: string, before: boolean, after: boolean, reason: ChangeReason): void {
    if (before === after) {
      return
    }

    this.version++

    if (this.#init.isTracked(topic)) {
      changes.push({ peer, topic, subscribe: after, reason })
    }
  }
}
