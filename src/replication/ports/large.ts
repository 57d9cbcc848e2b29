import { toString } from 'uint8arrays/to-string'
import { MAX_DATA_BYTES } from '../../log/core/entry.ts'
import { keyOf } from '../../pubsub/keys.ts'
import { encodeString } from '../../runtime/codec.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { Tally } from '../../runtime/tally.ts'
import * as limits from '../constants.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Offer, Transfers } from '../../transfer/index.ts'
import type { Key } from '../core/types.ts'
import type { Port, PortEvents, PortTopic } from '../port.ts'
import type { AbortOptions, PeerId } from '@libp2p/interface'

/** Bytes of the largest message: one with the largest entry */
const MAX_MESSAGE_SIZE = MAX_DATA_BYTES + limits.MAX_ENTRY_OVERHEAD
/** Bytes from which on a message goes as a transfer: small entries that go together make no such message */
const LARGE = limits.BATCH_BYTES + limits.MAX_ENTRY_OVERHEAD
/** Bytes of large messages on their way in, of one peer and of all. Guesses: some of the largest */
const MAX_OF_PEER = 2 * MAX_MESSAGE_SIZE
const MAX_OF_ALL = 8 * MAX_MESSAGE_SIZE
/** Milliseconds that one may take, and for each byte. A guess: 32 KiB a second */
const LATENCY = 20_000
const MS_A_BYTE = 1000 / (32 * 1024)

export interface LargePortInit {
  transfers: Transfers
  clock: Clock
  confidential: boolean
}

/** A port whose large messages go as transfers: each takes its time, and keeps no other message waiting */
export function largePort (port: Port, { transfers, clock, confidential }: LargePortInit): Port {
  const incoming = new Tally()
  return {
    maxMessageSize: MAX_MESSAGE_SIZE,
    start: async () => port.start?.(),
    stop: async () => port.stop?.(),
    join: async (topic, events) => {
      const protocol = `log/${toString(sha256(encodeString(topic)), 'base64url')}`
      const joined = new LargeTopic({
        transfers, clock, confidential, protocol, incoming, events, largest: Math.min(LARGE, port.maxMessageSize)
      })
      await joined.join(port, topic)
      return joined
    }
  }
}

interface LargeTopicInit extends LargePortInit {
  protocol: string
  incoming: Tally
  events: PortEvents
  /** Bytes of the largest message that is no transfer */
  largest: number
}

class LargeTopic implements PortTopic {
  readonly #init: LargeTopicInit
  readonly #outgoing = new Tally()
  readonly #left = new AbortController()
  #topic?: PortTopic

  constructor (init: LargeTopicInit) {
    this.#init = init
  }

  async join (port: Port, topic: string): Promise<void> {
    const { transfers, protocol, events } = this.#init
    transfers.handle(protocol, async offer => this.#onOffer(offer))

    try {
      this.#topic = await port.join(topic, events)
    } catch (err) {
      transfers.unhandle(protocol)
      throw err
    }
  }

  subscribers (): PeerId[] {
    return this.#topic?.subscribers() ?? []
  }

  broadcast (data: Uint8Array): void {
    this.#topic?.broadcast(data)
  }

  /** A large one resolves when it has arrived */
  async send (to: PeerId, data: Uint8Array, options: AbortOptions = {}): Promise<void> {
    const { transfers, protocol, confidential, largest } = this.#init

    if (data.byteLength <= largest) {
      await this.#topic?.send(to, data, options)
      return
    }

    const signal = AbortSignal.any([this.#left.signal, ...options.signal == null ? [] : [options.signal]])
    const peer = keyOf(to)
    this.#outgoing.add(peer, data.byteLength)

    try {
      await transfers.send(to, data, { protocol, confidential, signal }).done
    } finally {
      this.#outgoing.add(peer, -data.byteLength)
    }
  }

  isBusy (peer: Key): boolean {
    return this.#outgoing.of(peer) + this.#init.incoming.of(peer) > 0
  }

  async leave (): Promise<void> {
    this.#init.transfers.unhandle(this.#init.protocol)
    this.#left.abort(new Error('the log is closed'))
    await this.#topic?.leave()
  }

  /** From who is on the topic, and as much as memory allows: who is refused tries again */
  async #onOffer (offer: Offer): Promise<void> {
    const { clock, confidential, incoming, events } = this.#init
    const { from, size = Infinity, isConfidential } = offer
    const peer = keyOf(from)
    const isWelcome = isConfidential === confidential && this.subscribers().some(peerId => peerId.equals(from))

    if (!isWelcome || size > MAX_MESSAGE_SIZE || incoming.of(peer) + size > MAX_OF_PEER ||
      incoming.total + size > MAX_OF_ALL) {
      offer.reject()
      return
    }

    const late = new AbortController()
    const timer = clock.after(LATENCY + size * MS_A_BYTE, () => { late.abort(new Error('it took too long')) })
    incoming.add(peer, size)

    try {
      const data = await offer.accept({ signal: AbortSignal.any([this.#left.signal, late.signal]) })
        .bytes(MAX_MESSAGE_SIZE)
      this.#left.signal.aborted || events.onMessage(from, data)
    } catch {
      // the other side hears of it as well, and what matters is sent again
    } finally {
      timer.cancel()
      incoming.add(peer, -size)
    }
  }
}
