import { keyOf } from '../pubsub/keys.ts'
import { orMalformed, MalformedError } from '../runtime/errors.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { signWith } from '../runtime/signing.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import * as limits from './constants.ts'
import { TooManySessionsError } from './errors.ts'
import { decodePayload } from './payload.ts'
import { PeerSession } from './peer-session.ts'
import type { Key } from './core/state.ts'
import type { XWingQueue } from './crypto/x-wing-queue.ts'
import type { ResyncReason, SessionsComponents, SessionState } from './index.ts'
import type { Options } from './options.ts'
import type { Payload } from './payload.ts'
import type { Surroundings } from './peer-session.ts'
import type { Records } from './records.ts'
import type { Traffic } from './traffic.ts'
import type { DirectSub, Message, SubscriptionChange } from '../pubsub/index.ts'
import type { Sign } from '../runtime/ed25519.ts'
import type { StoreInUseError } from '../runtime/errors.ts'
import type { Logger, PeerId, PublicKey } from '@libp2p/interface'

export interface LifeInit {
  components: SessionsComponents
  options: Options
  pubsub: DirectSub
  records: Records
  crypto: XWingQueue
  traffic: Traffic
  log: Logger
  onMessage (from: PeerId, payload: Payload): void
  onEpoch (peerId: PeerId, epoch: number): void
  onResync (peerId: PeerId, reason: ResyncReason): void
  onPeerClosed (peerId: PeerId): void
  onLost (err: StoreInUseError): void
}

/**
 * All sessions of a node, from the moment that it owns their records until it does not any more: which there are, who
 * is there, and what they may hold together.
 */
export class Life implements Surroundings {
  readonly me: Key
  readonly options: Options
  readonly records: Records
  readonly crypto: XWingQueue
  readonly sign: Sign
  readonly inbox: Mailboxes
  readonly traffic: Traffic
  readonly log: Logger
  readonly #init: LifeInit
  /** Those that were used last at the end */
  readonly #sessions = new Map<Key, PeerSession>()
  /** Sessions whose last record is being written: the next one with that peer waits for it */
  readonly #ending = new Map<Key, Promise<void>>()
  /** Who is on the topic */
  readonly #present = new Set<Key>()
  readonly #strangers: TokenBucket
  readonly #keys = new Map<Key, PublicKey>()
  #queuedBytes = 0
  #earlyBytes = 0

  constructor (init: LifeInit) {
    const { components, options, records, crypto, traffic, log } = init
    this.#init = init
    this.me = keyOf(components.peerId)
    this.options = options
    this.records = records
    this.crypto = crypto
    this.sign = signWith(components.privateKey)
    this.traffic = traffic
    this.log = log
    this.#strangers = new TokenBucket(limits.STRANGERS, options.clock.now())
    this.inbox = new Mailboxes({
      name: 'session frames', clock: options.clock, deadline: limits.CRYPTO_DEADLINE, capacity: limits.INBOX_FRAMES
    })
  }

  get earlyBytes (): number {
    return this.#earlyBytes
  }

  get queuedBytes (): number {
    return this.#queuedBytes
  }

  get sizes (): Record<string, number> {
    return {
      sessions: this.#sessions.size,
      ending: this.#ending.size,
      present: this.#present.size,
      records: this.records.size,
      queuedBytes: this.#queuedBytes,
      earlyBytes: this.#earlyBytes,
      busyMailboxes: this.inbox.size
    }
  }

  get states (): SessionState[] {
    return [...this.#sessions.values()].flatMap(({ state }) => state ?? [])
  }

  /** Nothing comes too early: events are listened to first */
  start (): void {
    const { pubsub } = this.#init
    pubsub.addEventListener('message', this.#onMessage)
    pubsub.addEventListener('subscription-change', this.#onChange)
    // resolves when all neighbours know it, which nobody here waits for. It fails only when DirectSub stops
    pubsub.subscribe(limits.TOPIC).catch(err => { this.log('not subscribed - %e', err) })
    pubsub.getSubscribers(limits.TOPIC).forEach(peerId => { this.#appeared(keyOf(peerId)) })
    this.#trim()
  }

  /** The sessions end as if their peers were told, and have what they know stored, if the disk is quick enough */
  async stop (): Promise<void> {
    const { clock } = this.options
    this.#unlisten()
    const ended = [...this.#sessions.values()].map(async session => this.#end(session))
    const patience = new Promise<void>(resolve => { clock.after(limits.STOP_PATIENCE, resolve).unref?.() })
    await Promise.race([Promise.all([...ended, ...this.#ending.values()]), patience])
    this.inbox.stop()
    this.crypto.stop()
    await Promise.race([this.records.close(), patience])
  }

  /** The store is somebody else's: nothing is written, and nothing said, any more */
  abandon (err: Error): void {
    this.#unlisten()
    this.#sessions.forEach(session => { session.abandon(err) })
    this.#sessions.clear()
    this.inbox.stop()
    this.crypto.stop()
    void this.records.close()
  }

  find (peer: Key): PeerSession | undefined {
    return this.#sessions.get(peer)
  }

  /** The session with this peer, now the one that was used last. Throws a TooManySessionsError */
  session (peerId: PeerId): PeerSession {
    const peer = keyOf(peerId)
    const known = this.#sessions.get(peer)

    if (known != null) {
      this.#sessions.delete(peer)
      this.#sessions.set(peer, known)
      return known
    }

    this.#makeRoom()
    const session = new PeerSession(peerId, peer, this)
    this.#sessions.set(peer, session)
    void session.begin(this.#ending.get(peer))
    return session
  }

  async close (peer: Key): Promise<void> {
    const session = this.#sessions.get(peer)
    await (session == null ? this.#ending.get(peer) : this.#end(session))
  }

  // what sessions need

  async publish (peerId: PeerId, frame: Uint8Array, isRound: boolean): Promise<void> {
    try {
      const priority = isRound ? 'control' : 'data'
      const { failed } = await this.#init.pubsub.publish(limits.TOPIC, frame, { to: [peerId], priority })
      failed.forEach(({ reason }) => this.traffic.dropped.add(`unsent-${reason}`))
    } catch (err) {
      // DirectSub is stopped, or takes only smaller messages. The session sends again what matters
      this.traffic.dropped.add('unsent')
      this.log('a frame was not sent - %e', err)
    }
  }

  isPresent (peer: Key): boolean {
    return this.#present.has(peer)
  }

  publicKeyOf (peerId: PeerId): PublicKey | undefined {
    const { connectionManager } = this.#init.components
    const [neighbour] = connectionManager?.getConnections(peerId) ?? []
    return peerId.publicKey ?? this.#keys.get(keyOf(peerId)) ?? neighbour?.remotePeer.publicKey
  }

  onBytes (queued: number, early: number): void {
    this.#queuedBytes += queued
    this.#earlyBytes += early
  }

  onMessage (from: PeerId, bytes: Uint8Array): void {
    const payload = orMalformed(() => decodePayload(bytes))

    if (payload instanceof MalformedError) {
      this.traffic.dropped.add('malformed-payload')
      return
    }

    this.traffic.add('delivered_messages')
    this.traffic.add('delivered_bytes', payload.data.byteLength)
    this.#init.onMessage(from, payload)
  }

  onEpoch (peerId: PeerId, epoch: number): void {
    this.#init.onEpoch(peerId, epoch)
  }

  onResync (peerId: PeerId, reason: ResyncReason): void {
    this.traffic.resync(reason)
    this.#init.onResync(peerId, reason)
  }

  onPeerClosed (peerId: PeerId): void {
    this.#init.onPeerClosed(peerId)
  }

  onFailed (session: PeerSession): void {
    if (this.#sessions.get(session.peer) === session) {
      this.#sessions.delete(session.peer)
    }
  }

  onLost (err: StoreInUseError): void {
    this.#init.onLost(err)
  }

  readonly #onMessage = ({ detail }: CustomEvent<Message>): void => {
    if (detail.topic !== limits.TOPIC) {
      return
    }

    const peer = keyOf(detail.from)

    if (this.#sessions.has(peer) || this.#mayBegin(detail.from, peer)) {
      this.#frame(detail, peer)
    }
  }

  readonly #onChange = ({ detail: { peerId, subscriptions } }: CustomEvent<SubscriptionChange>): void => {
    const peer = keyOf(peerId)

    for (const { topic, subscribe } of subscriptions) {
      if (topic === limits.TOPIC && subscribe) {
        this.#appeared(peer)
      } else if (topic === limits.TOPIC) {
        this.#vanished(peer)
      }
    }
  }

  #frame (message: Message, peer: Key): void {
    try {
      const session = this.session(message.from)

      if (message.type === 'signed' && session.peerId.publicKey == null) {
        // an RSA key does not fit into a peer id: this is the one that DirectSub has verified the sender with
        this.#keys.set(peer, message.key)
      }

      session.frame(message.data)
    } catch (err) {
      if (!(err instanceof TooManySessionsError)) {
        throw err
      }
      this.traffic.dropped.add('too-many-sessions')
    }
  }

  /** A peer without a session here speaks: it may have one stored, else it is a stranger */
  #mayBegin (from: PeerId, peer: Key): boolean {
    if (this.options.allow != null && !this.#isAllowed(from)) {
      this.traffic.dropped.add('not-allowed')
      return false
    }
    if (!this.records.has(peer) && !this.#strangers.take(1, this.options.clock.now())) {
      this.traffic.dropped.add('too-many-strangers')
      return false
    }

    return true
  }

  #isAllowed (peerId: PeerId): boolean {
    try {
      return this.options.allow?.(peerId) === true
    } catch (err) {
      this.log.error('allow() threw - %e', err)
      return false
    }
  }

  #appeared (peer: Key): void {
    if (peer !== this.me && !this.#present.has(peer)) {
      this.#present.add(peer)
      this.#sessions.get(peer)?.connected()
    }
  }

  #vanished (peer: Key): void {
    if (this.#present.delete(peer)) {
      this.#sessions.get(peer)?.disconnected()
    }
  }

  /** Those that never came to a key go first, then the one that was used least lately */
  #makeRoom (): void {
    if (this.#sessions.size < this.options.maxSessions) {
      return
    }

    const idle = [...this.#sessions.values()].filter(({ isIdle }) => isIdle)
    const victim = idle.find(({ hasKey }) => !hasKey) ?? idle[0]

    if (victim == null) {
      throw new TooManySessionsError(`${this.#sessions.size} sessions are busy: wait, close some, or raise maxSessions`)
    }

    void this.#end(victim, true)
  }

  async #end (session: PeerSession, isSilent = false): Promise<void> {
    const { peer } = session
    this.#sessions.delete(peer)
    this.#keys.delete(peer)
    const ending = session.close(isSilent).finally(() => {
      if (this.#ending.get(peer) === ending) {
        this.#ending.delete(peer)
        this.#trim()
      }
    })
    this.#ending.set(peer, ending)
    await ending
  }

  /** Records that no session uses are as many as MAX_RECORDS allows: strangers may have come and gone all day */
  #trim (): void {
    this.records.trim(peer => this.#sessions.has(peer) || this.#ending.has(peer))
      .catch(err => { this.log.error('old records stay - %e', err) })
  }

  #unlisten (): void {
    const { pubsub } = this.#init
    pubsub.removeEventListener('message', this.#onMessage)
    pubsub.removeEventListener('subscription-change', this.#onChange)
    pubsub.unsubscribe(limits.TOPIC).catch(err => { this.log('not unsubscribed - %e', err) })
  }
}
