import type { Wanted } from './routing.ts'
import type { Effect, Gossip, Key, Update } from './types.ts'

/**
 * Announcements, and topics in them, that a neighbour is told again in a millisecond because it asks: 1,000 a second
 * are about 200 KiB
 */
const AGAIN_RATE = 1
/** Milliseconds of that at once, and then whatever one topic comes to: 10,000 are a topic that is half full */
const AGAIN_BURST = 10_000

/** All there is about what is said to one neighbour */
interface Neighbour {
  readonly key: Key
  readonly isRelay: boolean
  /** The newest of its own announcements that was dealt with */
  heard: number
  /** The newest that it was told to be dealt with */
  acked: number
  /** Whether it has said what it is on */
  isIntroduced: boolean
  /** Topics that it has asked about, and until when it may still want to know */
  readonly asked: Map<string, number>
  /** Topics of which it is to be told again, with the last request for each */
  readonly again: Map<string | undefined, number | undefined>
  /** When the next of these may go */
  againAt: number
  /** Origins of which it may have to hear */
  dirty: Set<Key>
  wanted: Map<Key, Wanted>
  requests: Gossip['requests']
  answers: number[]
  /** Somebody waits for it, or is misled until it is said: it does not wait for the next batch */
  isUrgent: boolean
  /** When the next batch may go, and how long after it the one behind it */
  nextAt: number
  interval: number
}

export interface UpdatesInit {
  /** Milliseconds between two batches: the first, doubling, and the longest */
  intervalFirst: number
  intervalCap: number
  /** Updates, requests and answers that fit in one message */
  maxItems: number
  /** Topics that one neighbour may have asked about */
  maxAsked: number
  /** What a neighbour has to hear of an origin, which counts as told from here on */
  tell (neighbour: Key, origin: Key): Update | 'lost' | undefined
  /** Marks all that `sayAgain` was called for. Returns how much of it the neighbour has been told before */
  tellAgain (neighbour: Key, topic?: string, number?: number): number
}

/**
 * What is to be said to each neighbour, and when. Of origins it only remembers which ones: what is said of them is
 * worked out when it leaves, so that whatever changed meanwhile is said once. Losses, requests and their answers, and
 * our own announcements go at once; what is only passed on goes in batches, further and further apart while more keeps
 * coming. What a neighbour asks for that it was told before has a rate.
 */
export class Updates {
  readonly #init: UpdatesInit
  readonly #neighbours = new Map<Key, Neighbour>()
  /** Neighbours that have something to hear */
  readonly #waiting = new Set<Neighbour>()
  /** Neighbours that are to be told again when they may be */
  readonly #owed = new Set<Neighbour>()

  constructor (init: UpdatesInit) {
    this.#init = init
  }

  get neighbours (): Key[] {
    return [...this.#neighbours.keys()]
  }

  get relays (): Key[] {
    return this.neighbours.filter(key => this.isRelay(key))
  }

  /** Origins and topics that neighbours may have to hear of */
  get queued (): number {
    return [...this.#neighbours.values()].reduce((sum, { dirty, again }) => sum + dirty.size + again.size, 0)
  }

  isRelay (key: Key): boolean {
    return this.#neighbours.get(key)?.isRelay === true
  }

  has (key: Key): boolean {
    return this.#neighbours.has(key)
  }

  up (key: Key, isRelay: boolean): void {
    this.#neighbours.set(key, {
      key,
      isRelay,
      heard: -1,
      acked: -1,
      isIntroduced: false,
      asked: new Map(),
      again: new Map(),
      againAt: -Infinity,
      dirty: new Set(),
      wanted: new Map(),
      requests: [],
      answers: [],
      isUrgent: false,
      nextAt: 0,
      interval: this.#init.intervalFirst
    })
  }

  down (key: Key): void {
    const neighbour = this.#neighbours.get(key)

    if (neighbour != null) {
      this.#neighbours.delete(key)
      this.#waiting.delete(neighbour)
      this.#owed.delete(neighbour)
    }
  }

  clear (): void {
    this.neighbours.forEach(key => { this.down(key) })
  }

  /** A neighbour may have to hear of an origin */
  mark (to: Key, origin: Key, isUrgent: boolean): void {
    this.#wait(to, isUrgent)?.dirty.add(origin)
  }

  want (to: Key, origin: Key, wanted: Wanted): void {
    this.#wait(to, true)?.wanted.set(origin, wanted)
  }

  request (to: Key, id: number, topic: string): void {
    this.#wait(to, true)?.requests.push({ id, topic })
  }

  answer (to: Key, id: number): void {
    this.#wait(to, true)?.answers.push(id)
  }

  /**
   * A neighbour asks who is on `topic`, by request `number`, or for our own announcement of that number; none: it is
   * new on the topic. It is told at once, or when what it was told again has become little enough
   */
  sayAgain (to: Key, topic: string | undefined, number: number | undefined, now: number): void {
    const neighbour = this.#neighbours.get(to)

    // what there is no room for is not answered: the asker's time is over first
    if (neighbour != null && (neighbour.again.has(topic) || neighbour.again.size <= this.#init.maxAsked)) {
      const earlier = neighbour.again.get(topic)
      neighbour.again.set(topic, earlier == null || (number ?? 0) > 0 ? number : earlier)
      this.#owed.add(neighbour)
      this.#tellAgain(neighbour, now)
    }
  }

  /** A neighbour's own announcement of this number was dealt with: it waits to hear so */
  heard (from: Key, seq: number): void {
    const neighbour = this.#wait(from, true)

    if (neighbour != null) {
      neighbour.heard = Math.max(neighbour.heard, seq)
    }
  }

  /** A neighbour says what it is on: true the first time */
  introduces (from: Key): boolean {
    const neighbour = this.#neighbours.get(from)
    const isFirst = neighbour?.isIntroduced === false

    if (isFirst) {
      neighbour.isIntroduced = true
    }

    return isFirst
  }

  /** A neighbour wants to know who is on `topic`: now, and for a while */
  asks (from: Key, topic: string, until: number): void {
    const asked = this.#neighbours.get(from)?.asked

    if (asked != null && (asked.has(topic) || asked.size < this.#init.maxAsked)) {
      asked.set(topic, until)
    }
  }

  hasAsked (key: Key, topic: string): boolean {
    return this.#neighbours.get(key)?.asked.has(topic) === true
  }

  expire (now: number): void {
    for (const { asked } of this.#neighbours.values()) {
      asked.forEach((until, topic) => until <= now && asked.delete(topic))
    }
  }

  /** When the next message may go */
  nextAt (): number {
    let next = Infinity

    for (const { isUrgent, nextAt } of this.#waiting) {
      next = Math.min(next, isUrgent ? 0 : nextAt)
    }
    for (const { againAt } of this.#owed) {
      next = Math.min(next, againAt)
    }

    return next
  }

  /** What goes now */
  take (now: number): Array<Effect & { type: 'gossip' }> {
    const messages: Array<Effect & { type: 'gossip' }> = []
    const { intervalFirst, intervalCap } = this.#init
    this.#owed.forEach(neighbour => { this.#tellAgain(neighbour, now) })

    for (const neighbour of this.#waiting) {
      const { key: to, isUrgent, nextAt, interval } = neighbour

      if (isUrgent || nextAt <= now) {
        this.#waiting.delete(neighbour)
        this.#takeAll(neighbour).forEach(gossip => { messages.push({ type: 'gossip', to, gossip }) })
        // it was quiet for a while: begin anew
        neighbour.interval = now > nextAt + intervalCap ? intervalFirst : Math.min(interval * 2, intervalCap)
        neighbour.nextAt = now + neighbour.interval
      }
    }

    return messages
  }

  #wait (key: Key, isUrgent: boolean): Neighbour | undefined {
    const neighbour = this.#neighbours.get(key)

    if (neighbour != null) {
      neighbour.isUrgent ||= isUrgent
      this.#waiting.add(neighbour)
    }

    return neighbour
  }

  #tellAgain (neighbour: Neighbour, now: number): void {
    for (const [topic, number] of neighbour.again) {
      if (neighbour.againAt > now) {
        return
      }

      const again = this.#init.tellAgain(neighbour.key, topic, number)
      neighbour.again.delete(topic)
      neighbour.againAt = Math.max(neighbour.againAt, now - AGAIN_BURST) + again / AGAIN_RATE
    }

    this.#owed.delete(neighbour)
  }

  /** In as few messages as it fits in. Acks and answers go last, when all that they speak of was said */
  #takeAll (neighbour: Neighbour): Gossip[] {
    const { key, heard, requests, answers } = neighbour
    const { maxItems } = this.#init
    const updates: Update[] = []
    const lost: Key[] = []

    for (const origin of neighbour.dirty) {
      const told = this.#init.tell(key, origin)

      if (told === 'lost') {
        lost.push(origin)
      } else if (told != null) {
        updates.push(told)
      }
    }

    const wanted = [...neighbour.wanted].map(([origin, wanted]) => ({ origin, ...wanted }))
    const hasAck = heard > neighbour.acked
    // telling may have asked for something more: it goes with this
    Object.assign(neighbour, {
      dirty: new Set(), wanted: new Map(), requests: [], answers: [], isUrgent: false, acked: heard
    })

    const longest = Math.max(updates.length, lost.length, wanted.length, requests.length, answers.length)
    const total = Math.max(Math.ceil(longest / maxItems), hasAck ? 1 : 0)
    const part = <T>(items: T[], i: number): T[] => i < 0 ? [] : items.slice(i * maxItems, (i + 1) * maxItems)

    return Array.from({ length: total }, (_, i) => ({
      ack: hasAck && i === total - 1 ? heard : -1,
      updates: part(updates, i),
      lost: part(lost, i),
      wanted: part(wanted, i),
      requests: part(requests, i),
      answers: part(answers, i - total + Math.ceil(answers.length / maxItems))
    }))
  }
}
