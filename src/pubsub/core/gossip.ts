import type { Announcement, Gossip, Key } from './types.ts'

/** All there is about what is said to one neighbour */
interface Neighbour {
  /** Whether it passes on what it hears of others */
  isRelay: boolean
  /** The newest of its own announcements that was dealt with, in this session of the link */
  heard: number
  /** What we said first in this session, until it was dealt with */
  opening?: number
  /** Whether it has said in this session what it is on */
  isIntroduced: boolean
  /** Topics that it has asked about in this session, and until when it may still want to know */
  asked?: Map<string, number>
  /** What waits to be told, the newest of each origin last */
  queue?: Map<Key, Set<Announcement>>
  requests: Gossip['requests']
  answers: number[]
  lost?: Set<Key>
  /** Something that somebody waits for: it does not wait for the next batch */
  isUrgent: boolean
  /** When the next batch may go, and how long after it the one behind it */
  nextAt: number
  interval: number
}

export interface GossipInit {
  intervalFirst: number
  intervalCap: number
  maxAnnouncements: number
  /** Topics that one neighbour may have asked about */
  maxAsked: number
}

/**
 * What is to be said to each neighbour, and when. What somebody waits for goes at once; what is only passed on goes at
 * once when it was quiet, and in batches further and further apart while more keeps coming: the control traffic of a
 * burst grows with the logarithm of its length, not with how many take part in it.
 */
export class GossipQueues {
  readonly #init: GossipInit
  readonly #neighbours = new Map<Key, Neighbour>()
  /** Those who have something to hear */
  readonly #waiting = new Set<Key>()

  constructor (init: GossipInit) {
    this.#init = init
  }

  get neighbours (): Key[] {
    return [...this.#neighbours.keys()]
  }

  get relays (): Key[] {
    return this.neighbours.filter(key => this.isRelay(key))
  }

  get queued (): number {
    let sum = 0
    for (const { queue } of this.#neighbours.values()) {
      sum += queue?.size ?? 0
    }
    return sum
  }

  isRelay (key: Key): boolean {
    return this.#neighbours.get(key)?.isRelay === true
  }

  has (key: Key): boolean {
    return this.#neighbours.has(key)
  }

  /** A session begins: it has heard nothing, and we have heard nothing of it */
  up (key: Key, isRelay: boolean): void {
    this.#neighbours.set(key, {
      isRelay, heard: 0, isIntroduced: false, requests: [], answers: [], isUrgent: false, nextAt: 0, interval: this.#init.intervalFirst
    })
  }

  gone (key: Key): void {
    this.#neighbours.delete(key)
    this.#waiting.delete(key)
  }

  clear (): void {
    this.#neighbours.clear()
    this.#waiting.clear()
  }

  /** Tells `to`; a full announcement replaces what waits of the same origin */
  announce (to: Key, announcement: Announcement, isUrgent: boolean): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour == null) {
      return
    }

    const { origin, epoch, seq, full } = announcement
    const queue = neighbour.queue ??= new Map<Key, Set<Announcement>>()
    const waiting = queue.get(origin) ?? new Set<Announcement>()

    // what waits of an earlier life is over, and so is what a full announcement follows
    if (full || waiting.values().next().value?.epoch !== epoch) {
      queue.set(origin, new Set([announcement, ...[...waiting].filter(other => other.epoch === epoch && other.seq > seq)]))
    } else {
      waiting.add(announcement)
    }

    neighbour.lost?.delete(origin)
    this.#wait(to, neighbour, isUrgent)
  }

  /** We lead to `key` no more: what waits to be told of it is over, but for its goodbye */
  lost (to: Key, key: Key): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour != null) {
      const goodbyes = [...neighbour.queue?.get(key) ?? []].filter(({ on }) => on.length === 0)

      if (goodbyes.length > 0) {
        neighbour.queue?.set(key, new Set(goodbyes))
      } else {
        neighbour.queue?.delete(key)
      }

      neighbour.lost ??= new Set()
      neighbour.lost.add(key)
      this.#wait(to, neighbour, false)
    }
  }

  request (to: Key, id: number, topic: string): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour != null) {
      neighbour.requests.push({ id, topic })
      this.#wait(to, neighbour, true)
    }
  }

  answer (to: Key, id: number): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour != null) {
      neighbour.answers.push(id)
      this.#wait(to, neighbour, true)
    }
  }

  /** It wants to know who is on `topic`: now, and for a while */
  asks (from: Key, topic: string, until: number): void {
    const neighbour = this.#neighbours.get(from)

    if (neighbour != null) {
      const asked = neighbour.asked ??= new Map<string, number>()

      if (asked.has(topic) || asked.size < this.#init.maxAsked) {
        asked.set(topic, until)
      }
    }
  }

  hasAsked (key: Key, topic: string): boolean {
    return this.#neighbours.get(key)?.asked?.has(topic) === true
  }

  expire (now: number): void {
    for (const neighbour of this.#neighbours.values()) {
      for (const [topic, until] of neighbour.asked ?? []) {
        if (until <= now) {
          neighbour.asked?.delete(topic)
        }
      }
      if (neighbour.asked?.size === 0) {
        neighbour.asked = undefined
      }
    }
  }

  /** It says what it is on: true the first time in this session */
  introduces (from: Key): boolean {
    const neighbour = this.#neighbours.get(from)
    const isFirst = neighbour?.isIntroduced === false

    if (isFirst) {
      neighbour.isIntroduced = true
    }

    return isFirst
  }

  /** `seq` is the announcement that opens this session: see `opened` */
  open (to: Key, seq: number): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour != null) {
      neighbour.opening = seq
    }
  }

  /** True once a session, when what opened it has been dealt with */
  opened (from: Key, ack: number): boolean {
    const neighbour = this.#neighbours.get(from)

    if (neighbour?.opening == null || ack < neighbour.opening) {
      return false
    }

    neighbour.opening = undefined
    return true
  }

  /** Its own announcement of this number was dealt with: it hears so, at once if it waits for that */
  heard (from: Key, seq: number, isUrgent: boolean): void {
    const neighbour = this.#neighbours.get(from)

    if (neighbour != null) {
      neighbour.heard = Math.max(neighbour.heard, seq)
      this.#wait(from, neighbour, isUrgent)
    }
  }

  /** When the next message may go */
  nextAt (): number {
    let next = Infinity
    for (const key of this.#waiting) {
      const neighbour = this.#neighbours.get(key) as Neighbour
      next = Math.min(next, neighbour.isUrgent ? 0 : neighbour.nextAt)
    }
    return next
  }

  /** What goes now */
  take (now: number): Array<{ to: Key, gossip: Gossip }> {
    const messages: Array<{ to: Key, gossip: Gossip }> = []

    for (const to of this.#waiting) {
      const neighbour = this.#neighbours.get(to) as Neighbour

      if (neighbour.isUrgent || neighbour.nextAt <= now) {
        this.#waiting.delete(to)
        this.#takeAll(to, neighbour, messages)
        // it was quiet for a while: begin anew
        neighbour.interval = now > neighbour.nextAt + this.#init.intervalCap
          ? this.#init.intervalFirst
          : Math.min(neighbour.interval * 2, this.#init.intervalCap)
        neighbour.nextAt = now + neighbour.interval
      }
    }

    return messages
  }

  #wait (key: Key, neighbour: Neighbour, isUrgent: boolean): void {
    neighbour.isUrgent ||= isUrgent
    this.#waiting.add(key)
  }

  /** In as few messages as it fits in: what is lost behind what was said of it, acks and answers last, when all that they speak of was said */
  #takeAll (to: Key, neighbour: Neighbour, messages: Array<{ to: Key, gossip: Gossip }>): void {
    const announcements = [...neighbour.queue?.values() ?? []].flatMap(waiting => [...waiting])
    const lost = [...neighbour.lost ?? []]
    const { requests, answers, heard } = neighbour
    const max = this.#init.maxAnnouncements
    // nothing for those who have nothing to hear
    neighbour.queue = undefined
    neighbour.lost = undefined
    neighbour.requests = []
    neighbour.answers = []
    neighbour.isUrgent = false

    const count = (items: unknown[]): number => Math.ceil(items.length / max)
    const part = <T>(items: T[], i: number): T[] => i < 0 ? [] : items.slice(i * max, (i + 1) * max)
    const total = Math.max(count(announcements), 1) - 1 + Math.max(count(lost), count(requests), count(answers), 1)

    for (let i = 0; i < total; i++) {
      messages.push({
        to,
        gossip: {
          ack: i === total - 1 ? heard : 0,
          announcements: part(announcements, i),
          lost: part(lost, i - total + count(lost)),
          requests: part(requests, i - total + count(requests)),
          answers: part(answers, i - total + count(answers))
        }
      })
    }
  }
}
