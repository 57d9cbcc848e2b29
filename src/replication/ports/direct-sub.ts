import type { DirectSub, Message, SubscriptionChange } from '../../pubsub/index.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Port, PortEvents } from '../port.ts'

/**
 * Milliseconds that neighbours have to say that they know of a topic: one that is asleep hears of it when it wakes. A
 * guess
 */
const CONFIRMATION = 250

/**
 * Speaks over DirectSub, which knows who listens, and leads to them over relays, too. The port listens once for all
 * topics, so a message costs the same however many logs are open.
 */
export function directSubPort (pubsub: DirectSub, clock: Clock): Port {
  const joined = new Map<string, PortEvents>()

  const onMessage = ({ detail: { topic, from, data } }: CustomEvent<Message>): void => {
    joined.get(topic)?.onMessage(from, data)
  }
  const onChange = ({ detail: { peerId, subscriptions, reason } }: CustomEvent<SubscriptionChange>): void => {
    for (const { topic, subscribe } of subscriptions) {
      if (subscribe) {
        joined.get(topic)?.onPresent(peerId)
      } else {
        joined.get(topic)?.onAbsent(peerId, reason === 'retracted')
      }
    }
  }
  const enter = (topic: string, events: PortEvents): void => {
    // first of all, so that nothing comes too early
    if (joined.size === 0) {
      pubsub.addEventListener('message', onMessage)
      pubsub.addEventListener('subscription-change', onChange)
    }

    joined.set(topic, events)
  }
  const leave = (topic: string, events: PortEvents): void => {
    // another one may be on it by now
    if (joined.get(topic) === events) {
      joined.delete(topic)
    }
    if (joined.size === 0) {
      pubsub.removeEventListener('message', onMessage)
      pubsub.removeEventListener('subscription-change', onChange)
    }
  }

  return {
    maxMessageSize: pubsub.maxMessageSize,
    join: async (topic, events) => {
      enter(topic, events)

      try {
        const { promise: late, resolve } = Promise.withResolvers<void>()
        const subscribed = pubsub.subscribe(topic)
        const timer = clock.after(CONFIRMATION, resolve)
        // some may be known from a subscription of somebody else on this node: then there is no event
        pubsub.getSubscribers(topic).forEach(peerId => { events.onPresent(peerId) })
        await Promise.race([subscribed, late])
        timer.cancel()
        // leaving cancels it, and nobody waits for it any more
        subscribed.catch(() => {})
      } catch (err) {
        leave(topic, events)
        throw err
      }

      return {
        subscribers: () => pubsub.getSubscribers(topic),
        broadcast: data => {
          // whoever does not get it asks for it
          pubsub.publish(topic, data).catch(() => {})
        },
        send: async (to, data, { signal } = {}) => {
          const { failed } = await pubsub.publish(topic, data, { to: [to], signal })

          if (failed.length > 0) {
            throw new Error(`the pubsub could not send it: ${failed[0].reason}`)
          }
        },
        leave: async () => {
          leave(topic, events)
          await pubsub.unsubscribe(topic)
        }
      }
    }
  }
}
