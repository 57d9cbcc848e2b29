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
  onChange (change: Change): void
  /** There is no room for what a neighbour brought */
  onRefused (what: string, by: Key): void
}

/** Bytes that a peer takes beside its announcements, and each of its topics. Guesses */
const ROW_BYTES = 512
const TOPIC_BYTES = 128

/** All there is about what one peer announced. It weighs what it takes */
class Origin extends FairRow {
  /** A full announcement, and what followed it */
  history: Announcement[] = []
  /** The number of the newest announcement that changed what it is on */
  news = 0
  /** What it is on: all of it at a relay, what it is told of at a leaf */
  topics: string[] = []
  /** Whether it counts as a subscriber: there is a way to it */
  isShown: boolean

  constructor (key: Key, isShown: boolean) {
    super(key)
    this.isShown = isShown
  }

  get newest (): Announcement | undefined {
    return this.history[this.history.length - 1]
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
  readonly #byTopic = new Map<string, Set<Origin>>()
  /** Topics of which not all subscribers were remembered, for want of room */
  readonly #cut = new Set<string>()
  /** Moves on with every change of who is subscribed, for those who keep what they derived */
  version = 0

  constructor (init: SubscribersInit) {
    this.#init = init
    this.#origins = new FairRows(init.maxBytes)
  }

  /** `entries`: subscriptions that are remembered, in all */
  get sizes (): { origins: number, topics: number, entries: number } {
    const entries = [...this.#byTopic.values()].reduce((sum, { size }) => sum + size, 0)
    return { origins: this.#origins.size, topics: this.#byTopic.size, entries }
  }

  /** Whether some subscribers of a topic had to be left out */
  get isCut (): boolean {
    return this.#cut.size > 0
  }

  /** Whether what was evicted may be heard again */
  get hasRoom (): boolean {
    return this.#origins.hasRoom
  }

  /** Those known to be on `topic`, and reachable */
  of (topic: string): Key[] {
    return this.#on(topic).filter(({ isShown }) => isShown).map(({ key }) => key)
  }

  /** Those known to be on `topic`, reachable or not */
  known (topic: string): Key[] {
    return this.#on(topic).map(({ key }) => key)
  }

  isOn (key: Key, topic: string): boolean {
    const origin = this.#origins.get(key)
    return origin != null && this.#isOn(origin, topic)
  }

  topicsOf (key: Key): string[] {
    return this.#origins.get(key)?.topics ?? []
  }

  versionOf (key: Key): Version | undefined {
    return this.#origins.get(key)?.newest
  }

  /** The announcements that somebody lacks who knows all up to `since` */
  history (key: Key, since?: Version): Announcement[] {
    return newerThan(this.#origins.get(key)?.history ?? [], since)
  }

  /** Whether what it announced since `since` changed what it is on */
  hasNews (key: Key, since?: Version): boolean {
    const origin = this.#origins.get(key)
    return origin?.newest != null && (since == null || isNewer({ epoch: origin.newest.epoch, seq: origin.news }, since))
  }

  /** The announcement of this number, to compare with what is said to be it */
  find (key: Key, { epoch, seq }: Version): Announcement | undefined {
    const history = this.history(key)
    // they follow each other
    const found = history[seq - (history[0]?.seq ?? 0)]
    return found?.epoch === epoch ? found : undefined
  }

  /** A peer lives in this epoch: what an earlier life said is over */
  restart (key: Key, epoch: number): void {
    if (this.versionOf(key)?.epoch !== epoch) {
      this.forget(key, 'restarted')
    }
  }

  /**
   * Applies what a peer announced, in one step: the oldest first. What is known is passed over, but for a leaf that is
   * told all again, since it did not remember what it did not track. `by` is the neighbour that brought them
   */
  apply (key: Key, announcements: Announcement[], by: Key): Applied {
    const newest = announcements.at(-1)
    let known = this.versionOf(key)
    this.#own(key, by)

    if (newest == null || newest.epoch < (known?.epoch ?? 0)) {
      return 'known'
    }
    if (known != null && newest.epoch > known.epoch) {
      this.forget(key, 'restarted')
      known = undefined
    }

    const isAgain = !this.#init.isRelay && announcements[0].full && newest.seq >= (known?.seq ?? 0)
    const news = newerThan(announcements, isAgain ? undefined : known)

    if (news.length === 0) {
      return 'known'
    }

    const history = extend(isAgain ? [] : this.history(key), news)

    if (history == null || history.length > this.#init.maxHistory) {
      return 'gap'
    }

    let origin = this.#origins.get(key)

    if (origin == null) {
      origin = new Origin(key, this.#init.isReachable(key))
      this.#origins.add(origin, by)
    }

    this.#origins.touch(origin, by)
    this.#origins.adopt(origin, by)
    const topics = fold(origin.topics, news)

    const isSame = topics.size === origin.topics.length && origin.topics.every(topic => topics.has(topic))

    // what was before the first that is heard here nobody knows
    if (known == null || !isSame) {
      origin.news = newest.seq
    }

    origin.history = history
    this.#setTopics(origin, topics, by)
    this.#origins.weigh(origin, weightOf(origin) - origin.weight)
    return 'news'
  }

  /** Topics that have room again get those who were left out: their announcements are still here */
  refill (): void {
    const most = this.#init.maxSubscribersPerTopic * 7 / 8
    const topics = [...this.#cut].filter(topic => (this.#byTopic.get(topic)?.size ?? 0) <= most)
    topics.forEach(topic => this.#cut.delete(topic))

    for (const origin of topics.length > 0 ? this.#origins.values() : []) {
      const on = fold([], origin.history)

      if (topics.some(topic => on.has(topic) && !this.#isOn(origin, topic))) {
        this.#resume(origin, on)
      }
    }
  }

  /** A neighbour is gone: what it brought shares one quota with what others brought that are gone */
  gone (neighbour: Key): void {
    this.#origins.gone(neighbour)
  }

  /** Forgets what there is no room for */
  makeRoom (): void {
    this.#origins.makeRoom(origin => {
      this.#drop(origin, 'unreachable')
      this.#init.onForgotten(origin.key)
    })
  }

  /** There is a way to it, or none any more */
  show (key: Key, isShown: boolean): void {
    const origin = this.#origins.get(key)

    if (origin != null && origin.isShown !== isShown) {
      origin.isShown = isShown
      const reason = isShown ? 'announced' : 'unreachable'
      origin.topics.forEach(topic => { this.#change(key, topic, isShown, reason) })
    }
  }

  forget (key: Key, reason: ChangeReason): void {
    const origin = this.#origins.get(key)

    if (origin != null) {
      this.#origins.delete(origin)
      this.#drop(origin, reason)
    }
  }

  /** A topic becomes tracked: those who are known already are shown now */
  reveal (topic: string): void {
    this.of(topic).forEach(peer => { this.#init.onChange({ peer, topic, subscribe: true, reason: 'announced' }) })
  }

  /** Nobody tells us of a topic any more: only a relay goes on remembering */
  untrack (topic: string): void {
    if (!this.#init.isRelay) {
      this.#on(topic).forEach(origin => { this.#deleteAll(origin, [topic], 'retracted') })
    }
  }

  clear (): void {
    for (const origin of this.#origins.values()) {
      this.#origins.delete(origin)
    }

    this.#byTopic.clear()
    this.#cut.clear()
    this.version++
  }

  /** Throws where an invariant is broken. For tests and simulations */
  check (): void {
    let entries = 0
    this.#origins.check()

    for (const origin of this.#origins.values()) {
      const { key, topics, isShown, history } = origin
      entries += topics.length

      if (isShown !== this.#init.isReachable(key)) {
        throw new Error(`${key} is ${isShown ? '' : 'not '}shown, against what is known of ways to it`)
      }
      if (history[0]?.full !== true || history.some(({ seq }, i) => seq !== history[0].seq + i)) {
        throw new Error(`the history of ${key} has a gap`)
      }
      if (!topics.every(topic => this.#isOn(origin, topic))) {
        throw new Error(`${key} is on ${topics.join(', ')} and not counted for all of them`)
      }
    }
    if (entries !== this.sizes.entries) {
      throw new Error(`${entries} subscriptions, ${this.sizes.entries} are counted`)
    }
  }

  /** A neighbour's word about itself makes the row its own, and any word the row of a neighbour that is gone */
  #own (key: Key, by: Key): void {
    const origin = this.#origins.get(key)

    if (origin != null) {
      this.#origins.adopt(origin, by)
    }
    if (origin != null && by === key && origin.owner?.key !== by) {
      this.#origins.touch(origin, by)
      this.#resume(origin, fold([], origin.history))
    }
  }

  /** All that it announced may count again */
  #resume (origin: Origin, on: Set<string>): void {
    this.#setTopics(origin, on, origin.owner?.key ?? origin.key)
    this.#origins.weigh(origin, weightOf(origin) - origin.weight)
  }

  #on (topic: string): Origin[] {
    return [...this.#byTopic.get(topic) ?? []]
  }

  #isOn (origin: Origin, topic: string): boolean {
    return this.#byTopic.get(topic)?.has(origin) === true
  }

  /** Takes as long as there are topics, before and after */
  #setTopics (origin: Origin, topics: Set<string>, by: Key): void {
    this.#deleteAll(origin, origin.topics.filter(topic => !topics.has(topic)), 'retracted')
    let count = origin.topics.length
    const on: string[] = []

    for (const topic of topics) {
      if (this.#isOn(origin, topic)) {
        on.push(topic)
      } else if (this.#mayAdd(origin, topic, count, by)) {
        on.push(topic)
        count++
        this.#add(origin, topic)
      }
    }

    // mostly what it announced last, all of it: kept once. A copy has no room for more
    const last = origin.newest?.on
    origin.topics = last?.length === on.length && last.every((topic, i) => topic === on[i]) ? last : on.slice()
  }

  /** What is not asked for, or past a limit, is not remembered */
  #mayAdd (origin: Origin, topic: string, count: number, by: Key): boolean {
    const { isTold, isRelay, maxTopicsPerPeer, maxSubscribersPerTopic, onRefused } = this.#init

    if (!isRelay && !isTold(topic)) {
      return false
    }
    if (count >= maxTopicsPerPeer) {
      onRefused('topics of one peer', by)
      return false
    }
    // a neighbour's word about itself is always taken
    if ((this.#byTopic.get(topic)?.size ?? 0) < maxSubscribersPerTopic || origin.owner?.key === origin.key) {
      return true
    }

    this.#cut.add(topic)
    onRefused('subscribers of one topic', by)
    return this.#displace(topic, origin)
  }

  /** A topic is full: whoever brought most of its subscribers loses the oldest of them, so that others have a share */
  #displace (topic: string, newcomer: Origin): boolean {
    const byOwner = new Map<Origin['owner'], Origin[]>()
    let most: Origin[] = []

    for (const origin of this.#on(topic).filter(({ key, owner }) => owner?.key !== key)) {
      const rows = byOwner.get(origin.owner) ?? []
      byOwner.set(origin.owner, rows)
      rows.push(origin)
      most = rows.length > most.length ? rows : most
    }
    if (most.length <= (byOwner.get(newcomer.owner)?.length ?? 0) && most[0]?.owner !== newcomer.owner) {
      return false
    }

    // some at once: each look takes as long as there are subscribers
    most.slice(0, 1 + (most.length >> 6)).forEach(origin => { this.#deleteAll(origin, [topic], 'unreachable') })
    return most.length > 0
  }

  #drop (origin: Origin, reason: ChangeReason): void {
    this.#deleteAll(origin, origin.topics, reason)
  }

  /** It counts for the topic. The caller adds it to what the origin is on: all at once */
  #add (origin: Origin, topic: string): void {
    const subscribers = this.#byTopic.get(topic) ?? new Set()
    this.#byTopic.set(topic, subscribers.add(origin))

    if (origin.isShown) {
      this.#change(origin.key, topic, true, 'announced')
    }
  }

  #deleteAll (origin: Origin, topics: string[], reason: ChangeReason): void {
    for (const topic of topics) {
      const subscribers = this.#byTopic.get(topic)
      subscribers?.delete(origin)

      if (subscribers?.size === 0) {
        this.#byTopic.delete(topic)
      }
      if (origin.isShown) {
        this.#change(origin.key, topic, false, reason)
      }
    }
    if (topics.length > 0) {
      origin.topics = origin.topics.filter(topic => this.#isOn(origin, topic))
    }
  }

  #change (peer: Key, topic: string, subscribe: boolean, reason: ChangeReason): void {
    this.version++

    if (this.#init.isTracked(topic)) {
      this.#init.onChange({ peer, topic, subscribe, reason })
    }
  }
}

/** Announcements are in the order of their numbers: mostly it is all of them, and no copy */
function newerThan (announcements: Announcement[], since?: Version): Announcement[] {
  const first = since == null ? 0 : announcements.findIndex(announcement => isNewer(announcement, since))
  return first === 0 ? announcements : announcements.slice(first < 0 ? announcements.length : first)
}

/** Undefined: one is missing in between */
function extend (history: Announcement[], news: Announcement[]): Announcement[] | undefined {
  const full = news.findLastIndex(({ full }) => full)
  const last = full > 0 ? news.slice(full) : news
  const extended = full < 0 ? history.concat(news) : last
  const [first] = extended
  const isWhole = first.full && extended.every(({ epoch, seq }, i) => epoch === first.epoch && seq === first.seq + i)
  return isWhole ? extended : undefined
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

function weightOf ({ history, topics }: Origin): number {
  const announced = history.reduce((sum, { bytes, on }) => sum + (bytes?.byteLength ?? on.length * TOPIC_BYTES), 0)
  return ROW_BYTES + announced + topics.length * TOPIC_BYTES
}
