import type { DirectSub, Message, SubscriptionChange } from '../../pubsub/index.ts'
import type { Port, PortEvents, PortTopic } from '../port.ts'
import type { AbortOptions, PeerId } from '@libp2p/interface'

/** Speaks over DirectSub: it knows who listens, and leads to them over relays, too */
export function directSubPort (pubsub: DirectSub): Port {
  return {
    maxMessageSize: pubsub.maxMessageSize,
    join: async (topic, events) => {
      const joined = new DirectSubTopic(pubsub, topic, events)
      await joined.join()
      return joined
    }
  }
}

class DirectSubTopic implements PortTopic {
  readonly #pubsub: DirectSub
  readonly #topic: string
  readonly #events: PortEvents

  constructor (pubsub: DirectSub, topic: string, events: PortEvents) {
    this.#pubsub = pubsub
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
      const subscribed = this.#pubsub.subscribe(this.#topic)
      // some may be known from a subscription of somebody else on this node: then there is no event
      this.subscribers().forEach(peerId => { this.#events.onPresent(peerId) })
      await subscribed
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
