import { FairRow, FairRows } from './fair-rows.ts'
import { isNewer } from './routing.ts'
import type { Version } from './routing.ts'
import type { Announcement, Change, ChangeReason, Key } from './types.ts'

export interface SubscribersInit {
  /** Topics that this node wants to know the subscribers of */
  isTracked (topic: string): boolean
  /** Topics whose subscribers it is told of: also one that it left, until others hear so */
  isTold (topic: string): boolean
  /** Who can be reached: only those are subscribers */
  isReachable (key: Key): boolean
  /** A relay remembers for others what nobody here asked for */
  isRelay: boolean
  maxTopicsPerPeer: number
  maxSubscribersPerTopic: number
  /** Announcements of one peer that may follow a full one: past it only another full one counts */
  maxHistory: number
  /** Bytes of what is remembered of peers that are no neighbours. Each neighbour that brought some has a fair share */
  maxBytes: number
  /** There is no room for what was remembered of this one */
  onForgotten (key: Key): void
}

/** Bytes that a peer takes beside its announcements, and each of its topics. Guesses */
const ROW_BYTES = 512
const TOPIC_BYTES = 128

/**
 * All there is about what one peer announced. It weighs what it takes, and belongs to the neighbour that brought it
 * first
 */
class Origin extends FairRow implements Version {
  readonly epoch: number
  seq: number
  /** A full announcement, and what followed it */
  history: Announcement[] = []
  /** The newest announcement that changed what it is on */
  news: number
  /** What it is on: all of it at a relay, what it is told of at a leaf */
  topics: string[] = []
  /** Whether it counts as a subscriber: there is a way to it */
  isShown: boolean

  constructor (key: Key, { epoch, seq }: Version, isShown: boolean) {
    super(key)
    this.epoch = epoch
    this.seq = seq
    this.news = seq
    this.isShown = isShown
  }
}

/**
 * What became of an announcement. 'gap': one before it is missing, so it says nothing until the peer announces all
 * again
 */
export type Applied = 'news' | 'known' | 'gap'

/**
 * Who listens to what, by what each peer itself has said: its announcements are applied in the order of their numbers,
 * whichever way they come.
 *
 * Invariants: `topics` of an origin is what its history comes to. A peer is counted for a topic exactly while it is
 * on it and shown.
 */
export class Subscribers {
  readonly #init: SubscribersInit
  readonly #origins: FairRows<Origin>
  readonly #byTopic = new Map<string, Set<Key>>()
  /** Subscriptions that are remembered, in all */
  #entries = 0
  /** Moves on with every change of who is subscribed, for those who keep what they derived */
  version = 0

  constructor (init: SubscribersInit) {
    this.#init = init
    this.#origins = new FairRows(init.maxBytes)
  }

  get sizes (): { origins: number, topics: number, entries: number } {
    return { origins: this.#origins.size, topics: this.#byTopic.size, entries: this.#entries }
  }

  /** Those known to be on `topic`, and reachable */
  of (topic: string): Key[] {
    return [...this.#byTopic.get(topic) ?? []].filter(key => this.#origins.get(key)?.isShown === true)
  }

  /** Those known to be on `topic`, reachable or not */
  known (topic: string): Iterable<Key> {
    return this.#byTopic.get(topic) ?? []
  }

  isOn (key: Key, topic: string): boolean {
    return this.#byTopic.get(topic)?.has(key) === true
  }

  topicsOf (key: Key): string[] {
    return this.#origins.get(key)?.topics ?? []
  }

  versionOf (key: Key): Version | undefined {
    return this.#origins.get(key)
  }

  /** The announcements that somebody lacks who knows all up to `since` */
  history (key: Key, since?: Version): Announcement[] {
    const history = this.#origins.get(key)?.history ?? []
    return since == null ? history : history.filter(announcement => isNewer(announcement, since))
  }

  /** Whether what it announced since `since` changed what it is on */
  hasNews (key: Key, since?: Version): boolean {
    const origin = this.#origins.get(key)
    return origin != null && (since == null || isNewer({ epoch: origin.epoch, seq: origin.news }, since))
  }

  /** The announcement of this number, to compare with what is said to be it */
  find (key: Key, { epoch, seq }: Version): Announcement | undefined {
    return this.#origins.get(key)?.history.find(announcement => announcement.epoch === epoch && announcement.seq === seq)
  }

  /** A peer lives in this epoch: what an earlier life said is over */
  restart (key: Key, epoch: number): Change[] {
    const origin = this.#origins.get(key)
    return origin == null || origin.epoch === epoch ? [] : this.forget(key, 'restarted')
  }

  /**
   * Applies what a peer announced, in one step: the oldest first. What is known is passed over, but for a leaf that is
   * told
   * all again, since it did not remember what it did not track. `by` is the neighbour that brought them
   */
  apply (key: Key, announcements: Announcement[], by: Key, changes: Change[], refused: string[]): Applied {
    const newest = announcements[announcements.length - 1]
    let origin = this.#origins.get(key)

    if (newest == null || (origin != null && newest.epoch < origin.epoch)) {
      return 'known'
    }
    if (origin != null && newest.epoch > origin.epoch) {
      changes.push(...this.forget(key, 'restarted'))
      origin = undefined
    }

    const isAgain = origin != null && !this.#init.isRelay && announcements[0].full && newest.seq >= origin.seq
    const news = isAgain ? announcements : announcements.filter(announcement => origin == null || isNewer(announcement, origin))

    if (news.length === 0) {
      return 'known'
    }

    const history = extend(isAgain ? [] : origin?.history ?? [], news)

    if (history == null || history.length > this.#init.maxHistory) {
      return 'gap'
    }
    if (origin == null) {
      origin = new Origin(key, newest, this.#init.isReachable(key))
      this.#origins.add(origin, by)
    }

    this.#origins.touch(origin, by)
    this.#origins.adopt(origin, by)

    const topics = fold(origin.topics, news)

    if (!isSame(topics, origin.topics)) {
      origin.news = newest.seq
    }

    origin.seq = newest.seq
    origin.history = history
    this.#setTopics(key, origin, topics, changes, refused)
    this.#origins.weigh(origin, weightOf(origin) - origin.weight)
    return 'news'
  }

  /** A neighbour is gone: what it brought shares one quota with what others brought that are gone */
  gone (neighbour: Key): void {
    this.#origins.gone(neighbour)
  }

  /** Forgets what there is no room for */
  makeRoom (changes: Change[]): void {
    this.#origins.makeRoom(origin => {
      this.#drop(origin, 'unreachable', changes)
      this.#init.onForgotten(origin.key)
    })
  }

  /** There is a way to it, or none any more */
  show (key: Key, isShown: boolean): Change[] {
    const origin = this.#origins.get(key)
    const changes: Change[] = []

    if (origin != null && origin.isShown !== isShown) {
      origin.isShown = isShown
      origin.topics.forEach(topic => { this.#change(changes, key, topic, isShown, isShown ? 'announced' : 'unreachable') })
    }

    return changes
  }

  forget (key: Key, reason: ChangeReason): Change[] {
    const origin = this.#origins.get(key)
    const changes: Change[] = []

    if (origin != null) {
      this.#origins.delete(origin)
      this.#drop(origin, reason, changes)
    }

    return changes
  }

  /** A topic becomes tracked: those who are known already are shown now */
  reveal (topic: string): Change[] {
    return this.of(topic).map(peer => ({ peer, topic, subscribe: true, reason: 'announced' }))
  }

  /** Nobody tells us of a topic any more: only a relay goes on remembering */
  untrack (topic: string): void {
    if (!this.#init.isRelay) {
      for (const key of [...this.known(topic)]) {
        this.#delete(key, this.#origins.get(key) as Origin, topic, 'retracted', [])
      }
    }
  }

  clear (): void {
    for (const origin of [...this.#origins.values()]) {
      this.#origins.delete(origin)
    }

    this.#byTopic.clear()
    this.#entries = 0
    this.version++
  }

  /** Throws where an invariant is broken. For tests and simulations */
  check (): void {
    let entries = 0
    this.#origins.check()

    for (const { key, topics, isShown, history, seq } of this.#origins.values()) {
      entries += topics.length

      if (isShown !== this.#init.isReachable(key)) {
        throw new Error(`${key} is ${isShown ? '' : 'not '}shown, against what is known of ways to it`)
      }
      if (history.at(-1)?.seq !== seq || !history[0].full) {
        throw new Error(`the history of ${key} does not lead to its newest announcement`)
      }
      for (const topic of topics) {
        if (!this.isOn(key, topic)) {
          throw new Error(`${key} is on ${topic} and not counted for it`)
        }
      }
    }
    if (entries !== this.#entries) {
      throw new Error(`${entries} subscriptions, ${this.#entries} are counted`)
    }
  }

  #setTopics (key: Key, origin: Origin, topics: Set<string>, changes: Change[], refused: string[]): void {
    for (const topic of [...origin.topics]) {
      if (!topics.has(topic)) {
        this.#delete(key, origin, topic, 'retracted', changes)
      }
    }
    for (const topic of topics) {
      if (!this.isOn(key, topic) && this.#mayAdd(origin, topic, changes, refused)) {
        this.#add(key, origin, topic, changes)
      }
    }
  }

  /** What is not asked for, or past a limit, is not remembered */
  #mayAdd (origin: Origin, topic: string, changes: Change[], refused: string[]): boolean {
    const { isTold, isRelay, maxTopicsPerPeer, maxSubscribersPerTopic } = this.#init

    if (!isRelay && !isTold(topic)) {
      return false
    }
    if (origin.topics.length >= maxTopicsPerPeer) {
      refused.push('topics of one peer')
      return false
    }
    // a neighbour's word about itself is always taken
    if ((this.#byTopic.get(topic)?.size ?? 0) < maxSubscribersPerTopic || origin.owner?.key === origin.key) {
      return true
    }

    refused.push('subscribers of one topic')
    return this.#displace(topic, origin, changes)
  }

  /** A topic is full: whoever brought most of its subscribers loses the oldest of them, so that others have a share */
  #displace (topic: string, newcomer: Origin, changes: Change[]): boolean {
    const byOwner = new Map<Key, Origin[]>()

    for (const key of this.known(topic)) {
      const origin = this.#origins.get(key) as Origin
      const owner = origin.owner?.key

      if (owner != null && owner !== key) {
        const others = byOwner.get(owner)
        others == null ? byOwner.set(owner, [origin]) : others.push(origin)
      }
    }

    const [owner, most] = [...byOwner].reduce((one, other) => one[1].length >= other[1].length ? one : other, ['', []])

    if (most.length <= (byOwner.get(newcomer.owner?.key ?? '')?.length ?? 0) && owner !== newcomer.owner?.key) {
      return false
    }

    // some at once: each look takes as long as there are subscribers
    for (const origin of most.slice(0, 1 + (most.length >> 6))) {
      this.#delete(origin.key, origin, topic, 'unreachable', changes)
    }

    return most.length > 0
  }

  #drop (origin: Origin, reason: ChangeReason, changes: Change[]): void {
    for (const topic of origin.topics) {
      this.#delete(origin.key, origin, topic, reason, changes)
    }
  }

  #add (key: Key, origin: Origin, topic: string, changes: Change[]): void {
    let subscribers = this.#byTopic.get(topic)

    if (subscribers == null) {
      this.#byTopic.set(topic, subscribers = new Set())
    }

    subscribers.add(key)
    origin.topics = origin.topics.concat(topic)
    this.#entries++

    if (origin.isShown) {
      this.#change(changes, key, topic, true, 'announced')
    }
  }

  #delete (key: Key, origin: Origin, topic: string, reason: ChangeReason, changes: Change[]): void {
    const subscribers = this.#byTopic.get(topic)
    origin.topics = origin.topics.filter(other => other !== topic)
    subscribers?.delete(key)
    this.#entries--

    if (subscribers?.size === 0) {
      this.#byTopic.delete(topic)
    }
    if (origin.isShown) {
      this.#change(changes, key, topic, false, reason)
    }
  }

  #change (changes: Change[], peer: Key, topic: string, subscribe: boolean, reason: ChangeReason): void {
    this.version++

    if (this.#init.isTracked(topic)) {
      changes.push({ peer, topic, subscribe, reason })
    }
  }
}

/** Undefined: one is missing in between */
function extend (history: Announcement[], news: Announcement[]): Announcement[] | undefined {
  let extended = history

  for (const announcement of news) {
    const last = extended[extended.length - 1]

    if (announcement.full) {
      extended = [announcement]
    } else if (last == null || announcement.epoch !== last.epoch || announcement.seq !== last.seq + 1) {
      return
    } else {
      extended = [...extended, announcement]
    }
  }

  return extended
}

/** What somebody is on that was on `topics` before it announced `news` */
function fold (topics: string[], news: Announcement[]): Set<string> {
  const folded = new Set(topics)

  for (const { full, on, off } of news) {
    if (full) {
      folded.clear()
    }

    off.forEach(topic => folded.delete(topic))
    on.forEach(topic => folded.add(topic))
  }

  return folded
}

function isSame (one: Set<string>, other: string[]): boolean {
  return one.size === other.length && other.every(topic => one.has(topic))
}

function weightOf ({ history, topics }: Origin): number {
  return ROW_BYTES + history.reduce((sum, { bytes, on }) => sum + (bytes?.byteLength ?? on.length * TOPIC_BYTES), 0) + topics.length * TOPIC_BYTES
}
