import { serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { keyOf, peerOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { LruMap } from '../runtime/bounded.ts'
import { systemClock } from '../runtime/clock.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import { ANYTHING, checkOptions } from '../runtime/options.ts'
import { systemRandom } from '../runtime/random.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import * as limits from './constants.ts'
import { Candidates } from './core/candidates.ts'
import { answerWith, ask } from './exchange.ts'
import type { Named } from './exchange.ts'
import type {
  PeerDiagnostics, StayConnected as StayConnectedFace, StayConnectedComponents, StayConnectedInit
} from './index.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Rule } from '../runtime/options.ts'
import type { IdentifyResult, Logger, PeerId, Startable } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

const MIN: Rule = [value => Number.isSafeInteger(value) && value >= 0, 'a whole number']
const ADDRESSES: Rule = [
  value => typeof value !== 'string' && typeof value?.[Symbol.iterator] === 'function', 'addresses'
]

/** The service: which peers there are, and what becomes of their connections */
export class StayConnected implements StayConnectedFace, Startable {
  readonly [serviceCapabilities] = ['libp2p-sheaf/stay-connected']
  readonly [serviceDependencies] = ['@libp2p/identify']
  readonly [Symbol.toStringTag] = 'libp2p-sheaf/stay-connected'
  readonly #components: StayConnectedComponents
  readonly #clock: Clock
  readonly #log: Logger
  readonly #wanted: number
  readonly #candidates: Candidates
  readonly #alarm: Alarm
  /** How often each peer was asked, and when it may be asked again; and what it may still ask */
  readonly #asked = new LruMap<string, { times: number, nextAt: number }>(limits.MAX_MET)
  readonly #answers = new LruMap<string, TokenBucket>(limits.MAX_MET)
  #dialling = 0
  #life?: AbortController
  #look?: Timer

  constructor (components: StayConnectedComponents, init: StayConnectedInit) {
    checkOptions('stayConnected()', init, { known: [ADDRESSES], min: [MIN], clock: [ANYTHING], random: [ANYTHING] })
    const { known = [], min = limits.WANTED, clock = systemClock, random = systemRandom } = init
    this.#components = components
    this.#clock = clock
    this.#log = components.logger.forComponent('libp2p:sheaf:stay-connected')
    this.#wanted = min
    this.#candidates = new Candidates(keyOf(components.peerId), random)
    this.#alarm = new Alarm(clock, () => { this.#dial() })

    for (const address of known) {
      this.#know(address)
    }
  }

  isStarted (): boolean {
    return this.#life != null
  }

  async start (): Promise<void> {
    if (this.#life == null) {
      const { registrar, events } = this.#components
      this.#life = new AbortController()
      events.addEventListener('peer:identify', this.#onIdentify)
      events.addEventListener('peer:connect', this.#onConnect)
      events.addEventListener('peer:disconnect', this.#onDisconnect)
      await registrar.handle(limits.PROTOCOL, (stream, { remotePeer }) => {
        answerWith(stream, async () => this.#isAnswered(keyOf(remotePeer)) ? this.#namedTo(remotePeer) : [])
      })
    }
  }

  /** What dials needs the whole node */
  async afterStart (): Promise<void> {
    for (const { id } of await this.#components.peerStore.all({
      filters: [({ tags }) => tags.has(limits.TAG)], limit: limits.MAX_MET
    })) {
      this.#candidates.met(keyOf(id), this.#clock.now())
    }

    // browsers say so, and a page that is shown again may have slept
    globalThis.addEventListener?.('online', this.#onBack)
    globalThis.document?.addEventListener('visibilitychange', this.#onBack)
    this.#lookLater(this.#clock.now())
    this.#dial()
  }

  async stop (): Promise<void> {
    const life = this.#life
    this.#life = undefined

    if (life != null) {
      const { registrar, events } = this.#components
      life.abort(new Error('The node stops'))
      this.#look?.cancel()
      this.#alarm.set(Infinity)
      globalThis.removeEventListener?.('online', this.#onBack)
      globalThis.document?.removeEventListener('visibilitychange', this.#onBack)
      events.removeEventListener('peer:identify', this.#onIdentify)
      events.removeEventListener('peer:connect', this.#onConnect)
      events.removeEventListener('peer:disconnect', this.#onDisconnect)
      await registrar.unhandle(limits.PROTOCOL)
    }
  }

  add (address: Multiaddr | string): void {
    this.#know(address)
    this.#dial()
  }

  remove (address: Multiaddr | string): void {
    this.#candidates.forget(read(address).toString())
  }

  diagnostics (): { wanted: number, connected: number, peers: PeerDiagnostics[] } {
    const now = this.#clock.now()
    return {
      wanted: this.#wanted,
      connected: this.#candidates.connected,
      peers: this.#candidates.list.map(({ name, isKnown, state, failures, nextAt }) => ({
        name: isKnown ? name : peerOf(name).toString(),
        isKnown,
        state,
        failures,
        retryIn: Math.max(0, Math.ceil(nextAt - now))
      }))
    }
  }

  #know (address: Multiaddr | string): void {
    const known = read(address)
    const id = known.getComponents().findLast(({ name }) => name === 'p2p')?.value

    // a list of all may be the same at each of them
    if (id === this.#components.peerId.toString()) {
      return
    }

    const connected = this.#components.connectionManager.getConnections()
      .find(({ remotePeer }) => remotePeer.toString() === id)
    const peer = connected == null ? undefined : keyOf(connected.remotePeer)
    this.#candidates.know(known.toString(), peer, this.#clock.now())
    peer != null && this.#candidates.connectedTo(peer)
  }

  /** Dials who is due, a few at a time */
  #dial (): void {
    const now = this.#clock.now()

    if (this.#life == null) {
      return
    }

    while (this.#dialling < limits.DIALS_AT_ONCE) {
      const candidate = this.#candidates.next(this.#wanted, now)

      if (candidate == null) {
        break
      }

      this.#dialling++
      this.#connect(candidate.name, candidate.isKnown, this.#life.signal).finally(() => {
        this.#dialling--
        this.#dial()
      })
    }

    this.#alarm.set(this.#dialling < limits.DIALS_AT_ONCE ? this.#candidates.nextAt(this.#wanted) : Infinity)
  }

  async #connect (name: string, isKnown: boolean, life: AbortSignal): Promise<void> {
    const { connectionManager } = this.#components
    const late = new AbortController()
    const timer = this.#clock.after(limits.DIAL_TIMEOUT, () => { late.abort(new Error('It took too long')) })

    try {
      const signal = AbortSignal.any([life, late.signal])
      const { remotePeer } = await connectionManager.openConnection(
        isKnown ? multiaddr(name) : peerOf(name), { signal }
      )
      this.#candidates.connectedTo(keyOf(remotePeer), name)
    } catch (err) {
      this.#log('could not dial %s - %e', isKnown ? name : peerOf(name), err)
      this.#candidates.failed(name, this.#clock.now())
    } finally {
      timer.cancel()
    }
  }

  /** A peer that speaks our protocol is one to stay connected to, whoever dialled */
  readonly #onIdentify = ({ detail: { peerId, protocols } }: CustomEvent<IdentifyResult>): void => {
    if (protocols.includes(limits.PROTOCOL)) {
      this.#candidates.met(keyOf(peerId), this.#clock.now())
      this.#candidates.connectedTo(keyOf(peerId))
      this.#ask(peerId)
      // the next life looks for it. Where that cannot be stored, it has to be named again
      this.#components.peerStore.merge(peerId, { tags: { [limits.TAG]: {} } }).catch(err => {
        this.#log('%p is not remembered - %e', peerId, err)
      })
    }
  }

  readonly #onConnect = ({ detail }: CustomEvent<PeerId>): void => {
    this.#candidates.connectedTo(keyOf(detail))
  }

  readonly #onDisconnect = ({ detail }: CustomEvent<PeerId>): void => {
    this.#candidates.disconnected(keyOf(detail), this.#clock.now())
    this.#asked.delete(keyOf(detail))
    this.#dial()
  }

  /** The machine, or its network, is back: connections may be dead, and nobody said so */
  readonly #onBack = (): void => {
    if (globalThis.document?.visibilityState !== 'hidden') {
      this.#candidates.wake(this.#clock.now())
      this.#components.connectionManager.getConnections().forEach(connection => {
        this.#ping(connection.remotePeer).catch(err => { connection.abort(err) })
      })
      this.#dial()
    }
  }

  /** Now and then: whether the machine slept, and whether more peers are wanted than are known */
  #lookLater (last: number): void {
    this.#look = this.#clock.after(limits.LOOK, () => {
      const now = this.#clock.now()

      if (now - last > limits.SLEPT) {
        this.#onBack()
      }
      if (this.#candidates.connected < this.#wanted) {
        this.#components.connectionManager.getConnections().forEach(({ remotePeer }) => { this.#ask(remotePeer) })
      }

      this.#lookLater(now)
    })
    this.#look.unref?.()
  }

  /** Any answer will do; one that does not speak our protocol has answered, too */
  async #ping (peerId: PeerId): Promise<void> {
    await this.#exchange(peerId, limits.PING_TIMEOUT).catch(err => {
      if (err.name !== 'UnsupportedProtocolError') {
        throw err
      }
    })
  }

  /** Who else is there. Not too often, and only while more are wanted */
  #ask (peerId: PeerId): void {
    const peer = keyOf(peerId)
    const now = this.#clock.now()
    const isCandidate = this.#candidates.list.some(candidate =>
      candidate.peer === peer && candidate.state === 'connected')

    const { times, nextAt } = this.#asked.get(peer) ?? { times: 0, nextAt: now }

    if (isCandidate && nextAt <= now) {
      this.#asked.set(peer, { times: times + 1, nextAt: now + Math.min(limits.ASK_CAP, limits.ASK_FIRST * 2 ** times) })
      this.#exchange(peerId, limits.ANSWER_TIMEOUT).catch(err => {
        this.#log('%p did not say who is there - %e', peerId, err)
      })
    }
  }

  async #exchange (peerId: PeerId, ms: number): Promise<void> {
    const { connectionManager } = this.#components
    const late = new AbortController()
    const timer = this.#clock.after(ms, () => { late.abort(new Error('It did not answer in time')) })

    try {
      const signal = AbortSignal.any([late.signal, ...this.#life == null ? [] : [this.#life.signal]])

      for (const named of await ask(await connectionManager.openStream(peerId, limits.PROTOCOL, { signal }), signal)) {
        await this.#meet(named)
      }
    } finally {
      timer.cancel()
    }

    this.#dial()
  }

  /** A record is signed by whom it is of: nobody makes us dial somebody else's address for it */
  async #meet ({ peer, record }: Named): Promise<void> {
    const { peerId: self, peerStore } = this.#components

    try {
      const peerId = peerOf(keyOfBytes(peer))

      // false: it is not of that peer, or is known
      if (!peerId.equals(self) &&
        (await peerStore.consumePeerRecord(record, { expectedPeer: peerId }) || await peerStore.has(peerId))) {
        this.#candidates.met(keyOf(peerId), this.#clock.now())
      }
    } catch (err) {
      this.#log('a record of a peer is none - %e', err)
    }
  }

  #isAnswered (peer: string): boolean {
    const bucket = this.#answers.get(peer) ?? new TokenBucket(limits.ANSWERS, this.#clock.now())
    this.#answers.set(peer, bucket)
    return bucket.take(1, this.#clock.now())
  }

  /** Those that are connected here, and run this service */
  async #namedTo (peerId: PeerId): Promise<Named[]> {
    const named: Named[] = []

    for (const { peer, state } of this.#candidates.list) {
      if (peer != null && state === 'connected' && peer !== keyOf(peerId) && named.length < limits.MAX_NAMED) {
        const { peerRecordEnvelope: record } = await this.#components.peerStore.get(peerOf(peer))
          .catch(() => ({ peerRecordEnvelope: undefined }))

        if (record != null && record.byteLength <= limits.MAX_RECORD) {
          named.push({ peer: bytesOfKey(peer), record })
        }
      }
    }

    return named
  }
}

/** Throws an InvalidOptionsError */
function read (address: Multiaddr | string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (err: any) {
    throw new InvalidOptionsError(`An address is such as /dns4/relay.example.org/tcp/4001, not '${String(address)}': ` +
      `${err.message}`)
  }
}
