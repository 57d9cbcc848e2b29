import { randomBytes } from '@libp2p/crypto'
import { concat } from 'uint8arrays/concat'
import * as limits from '../constants.ts'
import { Streams } from './streams.ts'
import type { StreamsInit } from './streams.ts'
import type { Port, PortEvents, PortTopic } from '../port.ts'
import type { AbortOptions, PeerId, TypedEventTarget } from '@libp2p/interface'

/** What is used of GossipSub: any pubsub of this shape will do */
export interface GossipSub extends Pick<TypedEventTarget<GossipSubEvents>, 'addEventListener' | 'removeEventListener'> {
  readonly globalSignaturePolicy: 'StrictSign' | 'StrictNoSign'
  subscribe (topic: string): void
  unsubscribe (topic: string): void
  publish (topic: string, data: Uint8Array): Promise<unknown>
  getSubscribers (topic: string): PeerId[]
}

type Message =
  | { type: 'signed', topic: string, from: PeerId, data: Uint8Array }
  | { type: 'unsigned', topic: string, data: Uint8Array }

interface GossipSubEvents {
  message: CustomEvent<Message>
  'subscription-change': CustomEvent<{ peerId: PeerId, subscriptions: Array<{ topic: string, subscribe: boolean }> }>
  'gossipsub:heartbeat': CustomEvent
}

export interface GossipSubPortInit extends Pick<StreamsInit, 'components' | 'clock' | 'random' | 'log'> {
  /** This node */
  self: PeerId
}

/**
 * Speaks over GossipSub: it says which neighbours listen, and carries what is for all of them. What is for one goes
 * over a stream of our own, so only those count that we are connected to.
 */
export class GossipSubPort implements Port {
  readonly maxMessageSize = limits.MAX_SENT
  readonly #pubsub: GossipSub
  readonly #self: PeerId
  readonly #streams: Streams
  readonly #topics = new Map<string, GossipSubTopic>()

  constructor (pubsub: GossipSub, init: GossipSubPortInit) {
    this.#pubsub = pubsub
    this.#self = init.self
    this.#streams = new Streams({
      ...init,
      onMessage: (from, topic, data) => { this.#topics.get(topic)?.receive(from, data) },
      onGoodbye: from => { this.#topics.forEach(topic => { topic.goodbye(from) }) },
      onConnection: () => { this.#topics.forEach(topic => { topic.look() }) }
    })
  }

  async start (): Promise<void> {
    this.#pubsub.addEventListener('message', this.#onMessage)
    await this.#streams.start()
  }

  async stop (): Promise<void> {
    this.#pubsub.removeEventListener('message', this.#onMessage)
    await this.#streams.stop()
  }

  async join (topic: string, events: PortEvents): Promise<PortTopic> {
    const joined = new GossipSubTopic({
      topic,
      events,
      pubsub: this.#pubsub,
      streams: this.#streams,
      onLeave: () => {
        if (this.#topics.get(topic) === joined) {
          this.#topics.delete(topic)
        }
      }
    })
    this.#topics.set(topic, joined)
    joined.join()
    return joined
  }

  /**
   * Listened to once for all topics: so a message costs the same however many logs are open. What is not signed may be
   * of anybody
   */
  readonly #onMessage = ({ detail }: CustomEvent<Message>): void => {
    if (detail.type === 'signed' && !this.#self.equals(detail.from) && detail.data.byteLength > limits.SALT_BYTES) {
      this.#topics.get(detail.topic)?.receive(detail.from, detail.data.subarray(limits.SALT_BYTES))
    }
  }
}

interface TopicInit {
  topic: string
  events: PortEvents
  pubsub: GossipSub
  streams: Streams
  onLeave (): void
}

class GossipSubTopic implements PortTopic {
  readonly #init: TopicInit
  readonly #present = new Map<string, PeerId>()
  /** Those that said goodbye, of whom GossipSub has not heard yet that they are gone */
  readonly #parted = new Set<string>()
  #isLeft = false

  constructor (init: TopicInit) {
    this.#init = init
  }

  join (): void {
    const { pubsub, topic } = this.#init
    pubsub.addEventListener('subscription-change', this.#onChange)
    pubsub.addEventListener('gossipsub:heartbeat', this.look)

    try {
      pubsub.subscribe(topic)
      this.look()
    } catch (err) {
      this.#unlisten()
      throw err
    }
  }

  subscribers (): PeerId[] {
    return [...this.#present.values()]
  }

  broadcast (data: Uint8Array): void {
    const { pubsub, topic } = this.#init

    if (pubsub.globalSignaturePolicy === 'StrictSign' && data.byteLength <= limits.MAX_BROADCAST) {
      // GossipSub may tell messages apart by their bytes: the same ones are meant to arrive each time.
      // Whoever does not get it asks for it
      pubsub.publish(topic, concat([randomBytes(limits.SALT_BYTES), data])).catch(() => {})
    } else {
      this.subscribers().forEach(peerId => { this.send(peerId, data).catch(() => {}) })
    }
  }

  /**
   * Also to who is not known to be here: what it sent over its stream may have been quicker than GossipSub's news of it
   */
  async send (to: PeerId, data: Uint8Array, options?: AbortOptions): Promise<void> {
    await this.#init.streams.send(to, this.#init.topic, data, options)
  }

  async leave (): Promise<void> {
    const { pubsub, topic } = this.#init
    this.#unlisten()

    try {
      pubsub.unsubscribe(topic)
    } catch {
      // it is stopped: its streams are closed, and nobody can be told
    }
  }

  /** Something came */
  receive (from: PeerId, data: Uint8Array): void {
    this.#init.events.onMessage(from, data)
  }

  /** It stops: GossipSub does not always manage to say so */
  goodbye (from: PeerId): void {
    this.#parted.add(from.toString())
    this.#lose(from, true)
    this.look()
  }

  /** Who is here may have changed. GossipSub says nothing of those it lost: that shows when it is asked */
  readonly look = (): void => {
    const { pubsub, topic, streams } = this.#init
    const now = new Map(pubsub.getSubscribers(topic)
      .filter(peerId => streams.isReachable(peerId)).map(peerId => [peerId.toString(), peerId]))

    this.#parted.forEach(key => { now.delete(key) || this.#parted.delete(key) })
    this.#present.forEach((peerId, key) => { now.has(key) || this.#lose(peerId, false) })
    now.forEach(peerId => { this.#find(peerId) })
  }

  readonly #onChange = ({ detail: { peerId, subscriptions } }: GossipSubEvents['subscription-change']): void => {
    const ours = subscriptions.filter(({ topic }) => topic === this.#init.topic)

    if (ours.some(({ subscribe }) => !subscribe)) {
      this.#lose(peerId, true)
    }
    if (ours.some(({ subscribe }) => subscribe)) {
      this.#parted.delete(peerId.toString())
    }

    this.look()
  }

  #find (peerId: PeerId): void {
    if (!this.#isLeft && !this.#present.has(peerId.toString())) {
      this.#present.set(peerId.toString(), peerId)
      this.#init.events.onPresent(peerId)
    }
  }

  #lose (peerId: PeerId, isSaid: boolean): void {
    if (!this.#isLeft && this.#present.delete(peerId.toString())) {
      this.#init.events.onAbsent(peerId, isSaid)
    }
  }

  #unlisten (): void {
    const { pubsub, onLeave } = this.#init
    this.#isLeft = true
    this.#present.clear()
    pubsub.removeEventListener('subscription-change', this.#onChange)
    pubsub.removeEventListener('gossipsub:heartbeat', this.look)
    onLeave()
  }
}
