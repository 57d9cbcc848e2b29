import * as limits from '../../src/pubsub/constants.ts'
import { PubsubCore } from '../../src/pubsub/core/pubsub.ts'
import { Alarm } from '../../src/runtime/alarm.ts'
import { Observer } from './observer.ts'
import type { Surroundings, Wire } from './surroundings.ts'
import type { Greeting } from '../../src/pubsub/core/pubsub.ts'
import type { Call, Effect, Gossip, Key } from '../../src/pubsub/core/types.ts'

/** What has gone through one node, in control messages and in announcements within them */
export interface Counts {
  sent: number
  received: number
  announcementsSent: number
  announcementsReceived: number
}

interface Running {
  core: PubsubCore
  alarm: Alarm
  observer?: Observer
  /** Neighbours that it believes to have */
  up: Set<Key>
}

interface Calling {
  call: Call
  at: number
}

/**
 * One node: a core, and around it what the shell of DirectSub does.
 */
export class SimNode {
  readonly key: Key
  readonly isRelay: boolean
  readonly links = new Map<Key, Wire>()
  readonly counts: Counts = { sent: 0, received: 0, announcementsSent: 0, announcementsReceived: 0 }
  /** What its user wants, in holders of each topic: the truth that others should know */
  readonly wanted = new Map<string, number>()
  /** Moves on with every start */
  life = 0
  readonly #network: Surroundings
  readonly #calls = new Map<string, Calling[]>()
  readonly #requests = new Map<Call, { topic: string, at: number }>()
  /** When it announced a topic that it is on */
  readonly #announcedAt = new Map<string, number>()
  /** Since when it keeps track of a topic */
  readonly #trackedSince = new Map<string, number>()
  #lastCall = 0
  #lastEpoch = 0
  #running?: Running

  constructor (network: Surroundings, key: Key, isRelay: boolean) {
    this.#network = network
    this.key = key
    this.isRelay = isRelay
  }

  get isRunning (): boolean {
    return this.#running != null
  }

  get core (): PubsubCore {
    if (this.#running == null) {
      throw new Error(`${this.key} is not running`)
    }
    return this.#running.core
  }

  get observer (): Observer | undefined {
    return this.#running?.observer
  }

  get greeting (): Greeting {
    return this.core.greeting
  }

  get lastEpoch (): number {
    return this.#lastEpoch
  }

  start (epoch: number): void {
    const { clock, debounce, observe, bounds } = this.#network
    const core = new PubsubCore({
      self: this.key,
      epoch,
      isRelay: this.isRelay,
      debounce,
      maxTopicsPerPeer: limits.MAX_TOPICS_PER_PEER,
      maxSubscribersPerTopic: limits.MAX_SUBSCRIBERS_PER_TOPIC,
      maxDirectoryBytes: limits.MAX_DIRECTORY_BYTES,
      ...bounds
    })
    this.#network.mutate?.(core)
    const alarm = new Alarm(clock, () => { this.wake() })
    const observer = observe ? new Observer(this.key, topic => core.isTracked(topic)) : undefined
    this.life++
    this.#lastEpoch = epoch
    this.#running = { core, alarm, observer, up: new Set() }
  }

  /** It is gone from one instant to the next; those who were connected hear of it some time later */
  crash (): void {
    this.#leave()
    const links = [...this.links.values()]
    links.forEach(link => { link.disconnect() })
  }

  /** It says goodbye first */
  stop (): void {
    this.#run(this.core.stop(this.#now))
    this.#checkOpen(this.observer?.open ?? [])
    this.#leave()
    const links = [...this.links.values()]
    links.forEach(link => { link.close(this) })
  }

  wake (): void {
    this.#run(this.core.wake(this.#now))
  }

  subscribe (topic: string): Call {
    const call = ++this.#lastCall
    this.#track(topic)
    this.observer?.called(call, topic)
    this.#calls.set(topic, [...this.#calls.get(topic) ?? [], { call, at: this.#now }])
    this.wanted.set(topic, (this.wanted.get(topic) ?? 0) + 1)
    this.#run(this.core.subscribe(topic, call, this.#now))
    return call
  }

  unsubscribe (topic: string, all = false): void {
    const holders = this.wanted.get(topic) ?? 0
    const { removed, effects } = this.core.unsubscribe(topic, all, this.#now)

    if (removed !== (holders > 0)) {
      this.#network.violation(`${this.key}: unsubscribe from ${topic} with ${holders} holders came to ${removed}`)
    }

    this.#release(topic, all ? holders : 1)
    this.#run(effects)
  }

  /** The signal of the newest call that still waits on `topic` aborts; false if none does */
  abort (topic: string): boolean {
    const calling = this.#calls.get(topic)?.at(-1)

    if (calling == null) {
      return false
    }

    this.#settle(calling.call)
    this.observer?.aborted(calling.call)
    this.#release(topic, 1)
    this.core.abort(topic, calling.call, this.#now)
    this.#run([])
    return true
  }

  request (topic: string): void {
    const call = ++this.#lastCall
    this.#track(topic)
    this.#requests.set(call, { topic, at: this.#now })
    this.#run(this.core.request(topic, call, this.#now))
  }

  up (peer: Key, greeting: Greeting): void {
    if (this.#running?.up.has(peer) === true) {
      this.#run(this.core.down(peer, this.#now))
    }

    this.#running?.up.add(peer)
    this.#run(this.core.up(peer, greeting, this.#now))
  }

  receive (peer: Key, gossip: Gossip): void {
    this.counts.received++
    this.counts.announcementsReceived += gossip.updates.length
    this.#run(this.core.receive(peer, gossip, this.#now))
  }

  /** It is noticed that a connection is gone: news only if it was the last one, and in the same life */
  lost (peer: Key, life: number): void {
    if (life === this.life && this.#running?.up.has(peer) === true && !this.links.has(peer)) {
      this.#running.up.delete(peer)
      this.#run(this.core.down(peer, this.#now))
    }
  }

  /** Since when its user wants to know of a topic; Infinity: not at all */
  trackedSince (topic: string): number {
    return this.wanted.has(topic) ? this.#trackedSince.get(topic) ?? Infinity : Infinity
  }

  get #now (): number {
    return this.#network.clock.now()
  }

  #track (topic: string): void {
    if (!this.wanted.has(topic)) {
      this.#trackedSince.set(topic, this.#now)
    }
  }

  #leave (): void {
    this.#running?.alarm.set(Infinity)
    this.#network.collect(this.observer)
    this.#running = undefined
    this.wanted.clear()
    this.#calls.clear()
    this.#requests.clear()
    this.#trackedSince.clear()
    this.#announcedAt.clear()
  }

  #release (topic: string, holders: number): void {
    const left = (this.wanted.get(topic) ?? 0) - holders
    left > 0 ? this.wanted.set(topic, left) : this.wanted.delete(topic)

    if (left <= 0) {
      this.#announcedAt.delete(topic)
    }
  }

  #run (effects: Effect[]): void {
    this.observer?.effects(effects)
    this.#network.stepped(this)

    for (const effect of effects) {
      switch (effect.type) {
        case 'gossip':
          this.#send(effect.to, effect.gossip)
          break
        case 'subscribe-settled':
          this.#settled(effect.call, effect.outcome === 'subscribed')
          break
        case 'outlive':
          this.#outlive(effect.epoch)
          break
        case 'request-settled':
          this.#answered(effect.call)
          break
        case 'refused':
          // where there is a bound that is meant to be reached
          if (this.#network.bounds == null || Object.keys(this.#network.bounds).length === 0) {
            this.#network.violation(`${this.key}: refused more ${effect.what}`)
          }
          break
        case 'changes':
          break
      }
    }

    this.#noteAnnounced()
    this.#running?.alarm.set(this.#running.core.nextWake())
  }

  #noteAnnounced (): void {
    for (const topic of this.wanted.keys()) {
      if (this.#running?.core.topics.isAnnounced(topic) !== true) {
        this.#announcedAt.delete(topic)
      } else if (!this.#announcedAt.has(topic)) {
        this.#announcedAt.set(topic, this.#now)
      }
    }
  }

  #send (to: Key, gossip: Gossip): void {
    this.counts.sent++
    this.counts.announcementsSent += gossip.updates.length
    this.links.get(to)?.send(this, gossip)
  }

  #outlive (epoch: number): void {
    if (epoch >= this.core.epoch) {
      this.core.epoch = epoch + 1
      this.#lastEpoch = epoch + 1
      this.links.forEach(link => { link.breakSession() })
    }
  }

  #settle (call: Call): { topic: string, at: number } | undefined {
    for (const [topic, calls] of this.#calls) {
      const index = calls.findIndex(calling => calling.call === call)

      if (index >= 0) {
        const [{ at }] = calls.splice(index, 1)
        return { topic, at }
      }
    }
  }

  /**
   * Whoever was a neighbour all the time and wanted to know before it was announced must know it by now, unless the deadline
   * is past. Who began to want that later asks for it.
   */
  #settled (call: Call, isSubscribed: boolean): void {
    const calling = this.#settle(call)

    if (calling == null || !isSubscribed || calling.at + limits.SUBSCRIBE_TIMEOUT <= this.#now || !this.core.topics.isOn(calling.topic)) {
      return
    }

    for (const link of this.links.values()) {
      const other = link.other(this)

      if (link.upSince < calling.at && other.trackedSince(calling.topic) < (this.#announcedAt.get(calling.topic) ?? 0) && !other.core.subscribers.isOn(this.key, calling.topic)) {
        this.#network.violation(`${this.key}: subscribed to ${calling.topic}, and its neighbour ${other.key} does not know it`)
      }
    }
  }

  /** Whoever was a neighbour, and on the topic, since before it was asked must be known by now, unless the deadline is past */
  #answered (call: Call): void {
    const request = this.#requests.get(call)
    this.#requests.delete(call)

    if (request == null || request.at + limits.REQUEST_TIMEOUT <= this.#now || !this.core.isTracked(request.topic)) {
      return
    }

    for (const link of this.links.values()) {
      const other = link.other(this)

      if (link.upSince < request.at && other.trackedSince(request.topic) < request.at && !this.core.subscribers.isOn(other.key, request.topic)) {
        this.#network.violation(`${this.key}: was told who is on ${request.topic}, but not that its neighbour ${other.key} is`)
      }
    }
  }

  #checkOpen (open: Call[]): void {
    if (open.length > 0) {
      this.#network.violation(`${this.key}: stopped, and calls ${open.join(', ')} are not settled`)
    }
  }
}
