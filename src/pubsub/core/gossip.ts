import type { Announcement, Gossip, Key } from './types.ts'

/** All there is about what is said to one neighbour */
interface Neighbour {
  /** Whether it passes on what it hears of others */
  isRelay: boolean
  /** The newest of its own announcements that was dealt with, in this session of the link */
  heard: number
  /** What waits to be told, the newest of each origin last */
  queue?: Map<Key, Announcement[]>
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
      isRelay, heard: 0, requests: [], answers: [], isUrgent: false, nextAt: 0, interval: this.#init.intervalFirst
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

    const { origin, epoch, full } = announcement
    const queue = neighbour.queue ??= new Map<Key, Announcement[]>()
    const waiting = queue.get(origin)

    if (waiting == null || full) {
      queue.set(origin, [announcement])
    } else if (!waiting.includes(announcement)) {
      queue.set(origin, [...waiting.filter(other => other.epoch >= epoch), announcement])
    }

    this.#wait(to, neighbour, isUrgent)
  }

  /** We lead to `key` no more: what waits to be told of it is over, too */
  lost (to: Key, key: Key): void {
    const neighbour = this.#neighbours.get(to)

    if (neighbour != null) {
      neighbour.queue?.delete(key)
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

  /** In as few messages as it fits in: what is lost first, acks and answers last, when all that they speak of was said */
  #takeAll (to: Key, neighbour: Neighbour, messages: Array<{ to: Key, gossip: Gossip }>): void {
    const announcements = [...neighbour.queue?.values() ?? []].flat()
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
    const first = Math.max(0, count(lost) - 1)
    const total = Math.max(first + count(announcements), count(lost), count(requests), count(answers), 1)

    for (let i = 0; i < total; i++) {
      messages.push({
        to,
        gossip: {
          ack: i === total - 1 ? heard : 0,
          lost: part(lost, i),
          announcements: part(announcements, i - first),
          requests: part(requests, i),
          answers: part(answers, i - total + count(answers))
        }
      })
    }
  }
}
