import type { Wanted } from './routing.ts'
import type { Gossip, Key, Update } from './types.ts'

/** All there is about what is said to one neighbour */
interface Neighbour {
  isRelay: boolean
  /** The newest of its own announcements that was dealt with */
  heard: number
  /** The newest that it was told to be dealt with */
  acked: number
  /** Whether it has said what it is on */
  isIntroduced: boolean
  /** Topics that it has asked about, and until when it may still want to know */
  asked?: Map<string, number>
  /** Origins of which it may have to hear */
  dirty?: Set<Key>
  wanted?: Map<Key, Wanted>
  requests?: Gossip['requests']
  answers?: number[]
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
}

/**
 * What is to be said to each neighbour, and when. Of origins it only remembers which ones: what is said of them is
 * worked
 * out when it leaves, so that whatever changed meanwhile is said once. Losses, requests and their answers, and our own
 * announcements go at once; what is only passed on goes in batches, further and further apart while more keeps coming.
 */
export class Updates {
  readonly #init: UpdatesInit
  readonly #neighbours = new Map<Key, Neighbour>()
  /** Neighbours that have something to hear */
  readonly #waiting = new Set<Key>()

  constructor (init: UpdatesInit) {
    this.#init = init
  }

  get neighbours (): Key[] {
    return [...this.#neighbours.keys()]
  }

  get relays (): Key[] {
    return this.neighbours.filter(key => this.isRelay(key))
  }

  /** Origins that neighbours may have to hear of */
  get queued (): number {
    let sum = 0

    for (const { dirty } of this.#neighbours.values()) {
      sum += dirty?.size ?? 0
    }

    return sum
  }

  isRelay (key: Key): boolean {
    return this.#neighbours.get(key)?.isRelay === true
  }

  has (key: Key): boolean {
    return this.#neighbours.has(key)
  }

  up (key: Key, isRelay: boolean): void {
    this.#neighbours.set(key, {
      isRelay, heard: -1, acked: -1, isIntroduced: false, isUrgent: false, nextAt: 0, interval: this.#init.intervalFirst
    })
  }

  down (key: Key): void {
    this.#neighbours.delete(key)
    this.#waiting.delete(key)
  }

  clear (): void {
    this.#neighbours.clear()
    this.#waiting.clear()
  }

  /** A neighbour may have to hear of an origin */
  mark (to: Key, origin: Key, isUrgent: boolean): void {
    this.#wait(to, isUrgent, neighbour => {
      neighbour.dirty ??= new Set()
      neighbour.dirty.add(origin)
    })
  }

  want (to: Key, origin: Key, wanted: Wanted): void {
    this.#wait(to, true, neighbour => {
      neighbour.wanted ??= new Map()
      neighbour.wanted.set(origin, wanted)
    })
  }

  request (to: Key, id: number, topic: string): void {
    this.#wait(to, true, neighbour => {
      neighbour.requests ??= []
      neighbour.requests.push({ id, topic })
    })
  }

  answer (to: Key, id: number): void {
    this.#wait(to, true, neighbour => {
      neighbour.answers ??= []
      neighbour.answers.push(id)
    })
  }

  /** A neighbour's own announcement of this number was dealt with: it waits to hear so */
  heard (from: Key, seq: number): void {
    this.#wait(from, true, neighbour => { neighbour.heard = Math.max(neighbour.heard, seq) })
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

  #wait (key: Key, isUrgent: boolean, change: (neighbour: Neighbour) => void): void {
    const neighbour = this.#neighbours.get(key)

    if (neighbour != null) {
      change(neighbour)
      neighbour.isUrgent ||= isUrgent
      this.#waiting.add(key)
    }
  }

  /** In as few messages as it fits in. Acks and answers go last, when all that they speak of was said */
  #takeAll (to: Key, neighbour: Neighbour, messages: Array<{ to: Key, gossip: Gossip }>): void {
    const updates: Update[] = []
    const lost: Key[] = []

    for (const origin of neighbour.dirty ?? []) {
      const told = this.#init.tell(to, origin)

      if (told === 'lost') {
        lost.push(origin)
      } else if (told != null) {
        updates.push(told)
      }
    }

    const wanted = [...neighbour.wanted ?? []].map(([origin, wanted]) => ({ origin, ...wanted }))
    const { requests = [], answers = [], heard } = neighbour
    const hasAck = heard > neighbour.acked
    // nothing for those who have nothing to hear
    neighbour.dirty = neighbour.wanted = neighbour.requests = neighbour.answers = undefined
    neighbour.isUrgent = false
    neighbour.acked = heard

    const { maxItems } = this.#init
    const longest = Math.max(updates.length, lost.length, wanted.length, requests.length, answers.length)
    const total = Math.max(Math.ceil(longest / maxItems), hasAck ? 1 : 0)
    const part = <T>(items: T[], i: number): T[] => i < 0 ? [] : items.slice(i * maxItems, (i + 1) * maxItems)

    for (let i = 0; i < total; i++) {
      const isLast = i === total - 1

      messages.push({
        to,
        gossip: {
          ack: isLast && hasAck ? heard : -1,
          updates: part(updates, i),
          lost: part(lost, i),
          wanted: part(wanted, i),
          requests: part(requests, i),
          answers: part(answers, i - total + Math.ceil(answers.length / maxItems))
        }
      })
    }
  }
}
