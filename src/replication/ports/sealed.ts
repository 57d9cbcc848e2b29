import { toString } from 'uint8arrays/to-string'
import { keyOf } from '../../pubsub/keys.ts'
import { aborted } from '../../runtime/aborted.ts'
import { encodeString } from '../../runtime/codec.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { directSubPort } from './direct-sub.ts'
import type { DirectSub } from '../../pubsub/index.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Sessions } from '../../session/index.ts'
import type { Port, PortEvents, PortTopic } from '../port.ts'
import type { AbortOptions, PeerId } from '@libp2p/interface'

/** Bytes of the largest message: that of a session, without the name of its protocol */
const MAX_MESSAGE_SIZE = 1024 * 1024 - 2048
/** Bytes under way to one peer before send() waits. A session holds four times as many. A guess */
const MAX_UNDER_WAY = 1024 * 1024

/**
 * Speaks through sessions: DirectSub says only who is there. Relays see a hash instead of the name of the topic, and
 * the sizes and times of what is sealed.
 */
export function sealedPort (pubsub: DirectSub, sessions: Sessions, clock: Clock): Port {
  const presence = directSubPort(pubsub, clock)
  return {
    maxMessageSize: MAX_MESSAGE_SIZE,
    join: async (topic, events) => {
      const name = `sealed/${toString(sha256(encodeString(topic)), 'base64url')}`
      const joined = new SealedTopic(sessions, name, events)
      await joined.join(presence)
      return joined
    }
  }
}

class SealedTopic implements PortTopic {
  readonly #sessions: Sessions
  readonly #name: string
  readonly #events: PortEvents
  /** Who is there, the bytes under way to it, and what ends the wait for them when it goes */
  readonly #present = new Map<string, { controller: AbortController, bytes: number }>()
  #topic?: PortTopic

  constructor (sessions: Sessions, name: string, events: PortEvents) {
    this.#sessions = sessions
    this.#name = name
    this.#events = events
  }

  async join (presence: Port): Promise<void> {
    this.#sessions.handle(this.#name, ({ from, data }) => { this.#events.onMessage(from, data) })

    try {
      this.#topic = await presence.join(this.#name, {
        // nobody publishes here: what comes in clear is of somebody who wants it to be taken for sealed
        onMessage: () => {},
        onPresent: peerId => {
          this.#appeared(peerId)
          this.#events.onPresent(peerId)
        },
        onAbsent: (peerId, isSaid) => {
          this.#vanished(keyOf(peerId))
          this.#events.onAbsent(peerId, isSaid)
        }
      })
    } catch (err) {
      this.#end()
      throw err
    }
  }

  subscribers (): PeerId[] {
    return this.#topic?.subscribers() ?? []
  }

  broadcast (data: Uint8Array): void {
    // whoever does not get it asks for it
    this.subscribers().forEach(peerId => { this.send(peerId, data).catch(() => {}) })
  }

  /** Resolves before it is delivered, as long as little is under way */
  async send (to: PeerId, data: Uint8Array, { signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    const peer = this.#present.get(keyOf(to))

    if (peer == null) {
      throw new Error('it is not on the topic')
    }

    const sent = this.#sessions.send(to, data, { protocol: this.#name, signal: peer.controller.signal })
    peer.bytes += data.byteLength
    const done = sent.finally(() => { peer.bytes -= data.byteLength })

    if (peer.bytes > MAX_UNDER_WAY) {
      await aborted(done, signal)
    } else {
      // a full queue says so at once; what fails later is asked for again
      await Promise.race([done, Promise.resolve()])
      done.catch(() => {})
    }
  }

  async leave (): Promise<void> {
    this.#end()
    await this.#topic?.leave()
  }

  #appeared (peerId: PeerId): void {
    const key = keyOf(peerId)

    if (!this.#present.has(key)) {
      this.#present.set(key, { controller: new AbortController(), bytes: 0 })
    }
  }

  #vanished (key: string): void {
    this.#present.get(key)?.controller.abort(new Error('it is not on the topic any more'))
    this.#present.delete(key)
  }

  #end (): void {
    this.#sessions.unhandle(this.#name)
    ;[...this.#present.keys()].forEach(key => { this.#vanished(key) })
  }
}
