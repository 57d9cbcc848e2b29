import { keyOf } from '../pubsub/keys.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { LEAF_BYTES, MESSAGE_OVERHEAD, MIN_FRAGMENT, TOPIC } from './constants.ts'
import type { DirectSub, Message, SubscriptionChange } from '../pubsub/index.ts'
import type { AbortOptions, Logger, PeerId } from '@libp2p/interface'

/** In which lane a message goes */
export type Lane = 'control' | 'data' | 'bulk'

export interface PortEvents {
  /** `data` is a view of what arrived */
  onMessage (port: Port, from: PeerId, data: Uint8Array): void
  onPresent (peer: string): void
  onAbsent (peer: string): void
  /** It said that it takes no part any more, as a node does that stops: nothing that was under way goes on */
  onGone (peer: string): void
}

/**
 * What carries the messages of transfers. Those of one lane to one peer arrive in their order, as long as no relay dies
 */
export interface Port {
  readonly isConfidential: boolean
  /** Bytes of the largest piece of a payload that goes into one message */
  readonly maxFragment: number
  /** Rejects if it did not leave */
  send (to: PeerId, message: Uint8Array, lane: Lane): Promise<void>
  stop (): void
}

/** DirectSub: in the clear. It says who is there, for the other port, too */
export class ClearPort implements Port {
  readonly isConfidential = false
  readonly maxFragment: number
  readonly #pubsub: DirectSub
  readonly #events: PortEvents
  readonly #log: Logger

  constructor (pubsub: DirectSub, events: PortEvents, log: Logger) {
    this.#pubsub = pubsub
    this.#events = events
    this.#log = log
    this.maxFragment = Math.min(LEAF_BYTES, pubsub.maxMessageSize - MESSAGE_OVERHEAD)

    if (this.maxFragment < MIN_FRAGMENT) {
      const least = MIN_FRAGMENT + MESSAGE_OVERHEAD
      throw new InvalidOptionsError(`transfers() need messages of at least ${least} bytes: ` +
        `directSub({ maxMessageSize: ${least} }), or more`)
    }
  }

  /** Nothing comes too early: events are listened to first */
  start (): void {
    this.#pubsub.addEventListener('message', this.#onMessage)
    this.#pubsub.addEventListener('subscription-change', this.#onChange)
    // resolves when all neighbours know it, which nobody here waits for. It fails only when DirectSub stops
    this.#pubsub.subscribe(TOPIC).catch(err => { this.#log('not subscribed - %e', err) })
    this.#pubsub.getSubscribers(TOPIC).forEach(peerId => { this.#events.onPresent(keyOf(peerId)) })
  }

  async send (to: PeerId, message: Uint8Array, priority: Lane): Promise<void> {
    const { failed: [failure] } = await this.#pubsub.publish(TOPIC, message, { to: [to], priority })

    if (failure != null) {
      throw new Error(`DirectSub could not send it: ${failure.reason}`)
    }
  }

  stop (): void {
    this.#pubsub.removeEventListener('message', this.#onMessage)
    this.#pubsub.removeEventListener('subscription-change', this.#onChange)
    this.#pubsub.unsubscribe(TOPIC).catch(err => { this.#log('not unsubscribed - %e', err) })
  }

  readonly #onMessage = ({ detail }: CustomEvent<Message>): void => {
    if (detail.topic === TOPIC) {
      this.#events.onMessage(this, detail.from, detail.data)
    }
  }

  readonly #onChange = ({ detail: { peerId, subscriptions, reason } }: CustomEvent<SubscriptionChange>): void => {
    for (const { topic, subscribe } of subscriptions) {
      if (topic === TOPIC) {
        subscribe ? this.#events.onPresent(keyOf(peerId)) : this.#events.onAbsent(keyOf(peerId))
        !subscribe && reason === 'retracted' && this.#events.onGone(keyOf(peerId))
      }
    }
  }
}

/** What transfers need of the service `sessions()`, which lives on the same floor */
export interface Sealing {
  /** Resolves when the other side has it */
  send (to: PeerId, data: Uint8Array, options: AbortOptions & { protocol: string }): Promise<void>
  handle (protocol: string, handler: (message: { from: PeerId, data: Uint8Array }) => void): void
  unhandle (protocol: string): void
}

/** Sessions: sealed from end to end. Who is there, the other port says */
export class SealedPort implements Port {
  readonly isConfidential = true
  readonly maxFragment = LEAF_BYTES
  readonly #sessions: Sealing
  /** What is being sent to each, and what ends that when it is not there any more */
  readonly #sending = new Map<string, { controller: AbortController, count: number }>()

  constructor (sessions: Sealing, events: PortEvents) {
    this.#sessions = sessions
    sessions.handle(TOPIC, ({ from, data }) => { events.onMessage(this, from, data) })
  }

  async send (to: PeerId, message: Uint8Array): Promise<void> {
    const peer = keyOf(to)
    const sending = this.#sending.get(peer) ?? { controller: new AbortController(), count: 0 }
    this.#sending.set(peer, sending)
    sending.count++

    try {
      await this.#sessions.send(to, message, { protocol: TOPIC, signal: sending.controller.signal })
    } finally {
      // anybody may have us answer, also who is never told to be absent
      if (--sending.count === 0 && this.#sending.get(peer) === sending) {
        this.#sending.delete(peer)
      }
    }
  }

  absent (peer: string): void {
    this.#sending.get(peer)?.controller.abort(new Error('it is out of reach'))
    this.#sending.delete(peer)
  }

  stop (): void {
    this.#sessions.unhandle(TOPIC)
    ;[...this.#sending.keys()].forEach(peer => { this.absent(peer) })
  }
}
