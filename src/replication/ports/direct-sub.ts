import type { DirectSub, Message, SubscriptionChange } from '../../pubsub/index.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Port, PortEvents, PortTopic } from '../port.ts'
import type { AbortOptions, PeerId } from '@libp2p/interface'

/** Milliseconds that neighbours have to say that they know of a topic: one that is asleep hears of it when it wakes. A guess */
const CONFIRMATION = 250

/** Speaks over DirectSub: it knows who listens, and leads to them over relays, too */
export function directSubPort (pubsub: DirectSub, clock: Clock): Port {
  return {
    maxMessageSize: pubsub.maxMessageSize,
    join: async (topic, events) => {
      const joined = new DirectSubTopic(pubsub, clock, topic, events)
      await joined.join()
      return joined
    }
  }
}

class DirectSubTopic implements PortTopic {
  readonly #pubsub: DirectSub
  readonly #clock: Clock
  readonly #topic: string
  readonly #events: PortEvents

  constructor (pubsub: DirectSub, clock: Clock, topic: string, events: PortEvents) {
    this.#pubsub = pubsub
    this.#clock = clock
    this.#topic = topic
    this.#events = events
  }

  readonly #onMessage = ({ detail: { topic, from, data } }: CustomEvent<Message>): void => {
    if (topic === this.#topic) {
      this.#events.onMessage(from, data)
    }
  }

  readonly #onChange = ({ detail: { peerId, subscriptions, reason } }: CustomEvent<SubscriptionChange>): void => {
    for (const { topic, subscribe } of subscriptions) {
      if (topic === this.#topic && subscribe) {
        this.#events.onPresent(peerId)
      } else if (topic === this.#topic) {
        this.#events.onAbsent(peerId, reason === 'retracted')
      }
    }
  }

  async join (): Promise<void> {
    // first of all, so that nothing comes too early
    this.#pubsub.addEventListener('message', this.#onMessage)
    this.#pubsub.addEventListener('subscription-change', this.#onChange)

    try {
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const subscribed = this.#pubsub.subscribe(this.#topic)
      const timer = this.#clock.after(CONFIRMATION, resolve)
      // some may be known from a subscription of somebody else on this node: then there is no event
      this.subscribers().forEach(peerId => { this.#events.onPresent(peerId) })
      await Promise.race([subscribed, late])
      timer.cancel()
      // leaving cancels it, and nobody waits for it any more
      subscribed.catch(() => {})
    } catch (err) {
      this.#unlisten()
      throw err
    }
  }

  subscribers (): PeerId[] {
    return this.#pubsub.getSubscribers(this.#topic)
  }

  broadcast (data: Uint8Array): void {
    // whoever does not get it asks for it
    this.#pubsub.publish(this.#topic, data).catch(() => {})
  }

  async send (to: PeerId, data: Uint8Array, options: AbortOptions = {}): Promise<void> {
    const { failed } = await this.#pubsub.publish(this.#topic, data, { to: [to], signal: options.signal })

    if (failed.length > 0) {
      throw new Error(`the pubsub could not send it: ${failed[0].reason}`)
    }
  }

  async leave (): Promise<void> {
    this.#unlisten()
    await this.#pubsub.unsubscribe(this.#topic)
  }

  #unlisten (): void {
    this.#pubsub.removeEventListener('message', this.#onMessage)
    this.#pubsub.removeEventListener('subscription-change', this.#onChange)
  }
}
