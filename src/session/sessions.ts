import { InvalidParametersError, NotStartedError, serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import { keyOf } from '../pubsub/keys.ts'
import { aborted } from '../runtime/aborted.ts'
import { StoreInUseError } from '../runtime/errors.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { tooLarge } from './calls.ts'
import * as limits from './constants.ts'
import { cryptoProvider } from './crypto/platform.ts'
import { XWingQueue } from './crypto/x-wing-queue.ts'
import { ProtocolHandledError, QueueFullError } from './errors.ts'
import { Life } from './life.ts'
import {
  checkCloseOptions, checkData, checkHandler, checkPeer, checkRekeyOptions, checkSendOptions, optionsOf
} from './options.ts'
import { encodePayload } from './payload.ts'
import { Records } from './records.ts'
import { Traffic } from './traffic.ts'
import { Unhandled } from './unhandled.ts'
import type {
  CloseOptions, RekeyOptions, SendOptions, SessionEvents, SessionHandler, SessionMessage, Sessions as SessionsFace,
  SessionsComponents, SessionsDiagnostics, SessionsInit, SessionState
} from './index.ts'
import type { Options } from './options.ts'
import type { Payload } from './payload.ts'
import type { DirectSub } from '../pubsub/index.ts'
import type { Timer } from '../runtime/clock.ts'
import type { Logger, PeerId, Startable } from '@libp2p/interface'
import type { EventHandler } from 'main-event'

type State =
  | { type: 'stopped' }
  /** The records cannot be opened: somebody else has them, or the disk fails. It is tried again */
  | { type: 'waiting', err: Error, timer: Timer }
  | { type: 'open', life: Life }

/** The service: what a program calls, and when there are sessions at all */
export class Sessions extends SafeEventEmitter<SessionEvents> implements SessionsFace, Startable {
  readonly [serviceCapabilities] = ['libp2p-sheaf/sessions']
  readonly [serviceDependencies] = ['@libp2p/pubsub']
  readonly [Symbol.toStringTag] = 'libp2p-sheaf/sessions'
  readonly #components: SessionsComponents
  readonly #options: Options
  readonly #log: Logger
  readonly #traffic = new Traffic()
  readonly #handlers = new Map<string, SessionHandler>()
  readonly #unhandled: Unhandled
  /** One start or stop at a time, whatever is called meanwhile: the last one decides */
  readonly #lifecycle: Mailboxes
  #state: State = { type: 'stopped' }

  constructor (components: SessionsComponents, init: SessionsInit) {
    const options = optionsOf(init)
    const log = components.logger.forComponent('libp2p:sheaf:sessions')
    super(err => { log.error('a listener of the user threw - %e', err) })
    this.#components = components
    this.#options = options
    this.#log = log
    this.#unhandled = new Unhandled(options.clock, count => { this.#traffic.dropped.add('unhandled-protocol', count) })
    this.#lifecycle = new Mailboxes({
      name: 'sessions lifecycle',
      clock: options.clock,
      deadline: limits.LIFECYCLE_DEADLINE,
      capacity: limits.LIFECYCLE_CAPACITY
    })

    if (components.metrics != null) {
      this.#traffic.register(components.metrics, () => this.diagnostics())
    }
  }

  isStarted (): boolean {
    return this.#state.type !== 'stopped'
  }

  start (): void {}

  /** DirectSub is started by now */
  async afterStart (): Promise<void> {
    await this.#lifecycle.turn('start and stop', async () => {
      if (this.#state.type === 'stopped') {
        this.#unhandled.begin()
        await this.#open(this.#findPubsub())
      }
    })
  }

  /** While the connections are still there: so that the peers hear that we go */
  async beforeStop (): Promise<void> {
    await this.stop()
  }

  async stop (): Promise<void> {
    await this.#lifecycle.turn('start and stop', async () => {
      const state = this.#state
      this.#state = { type: 'stopped' }
      this.#unhandled.end()

      if (state.type === 'open') {
        await state.life.stop()
      } else if (state.type === 'waiting') {
        state.timer.cancel()
      }
    })
  }

  send (peerId: PeerId, data: Uint8Array, options: SendOptions = {}): Promise<void> {
    try {
      return this.#send(peerId, data, options)
    } catch (err) {
      return Promise.reject(err)
    }
  }

  /** Throws at once what can be said at once: a promise more costs more than a check */
  #send (peerId: PeerId, data: Uint8Array, options: SendOptions): Promise<void> {
    checkSendOptions(options)
    checkPeer(peerId, this.#components.peerId)
    checkData(data)
    options.signal?.throwIfAborted()
    // now: the caller may change its bytes as soon as this returns a promise
    const payload = encodePayload(options.protocol ?? '', data, options.once)

    if (payload == null) {
      throw tooLarge()
    }

    const life = this.#life()

    if (life.queuedBytes + payload.byteLength > this.#options.nodeQueueBytes) {
      throw new QueueFullError('As much waits for all peers together as nodeQueueBytes allows: ' +
        'wait for some of it to be delivered')
    }

    this.#traffic.add('sent_messages')
    this.#traffic.add('sent_bytes', data.byteLength)
    return life.session(peerId).send(payload, options.mode ?? this.#options.mode, options)
  }

  async rekey (peerId: PeerId, options: RekeyOptions = {}): Promise<number> {
    checkRekeyOptions(options)
    checkPeer(peerId, this.#components.peerId)
    options.signal?.throwIfAborted()
    return this.#life().session(peerId).rekey(options)
  }

  state (peerId: PeerId): SessionState | undefined {
    checkPeer(peerId, this.#components.peerId)
    return this.#state.type === 'open' ? this.#state.life.find(keyOf(peerId))?.state : undefined
  }

  async close (peerId: PeerId, options: CloseOptions = {}): Promise<void> {
    checkCloseOptions(options)
    checkPeer(peerId, this.#components.peerId)
    options.signal?.throwIfAborted()

    if (this.#state.type === 'open') {
      await aborted(this.#state.life.close(keyOf(peerId)), options.signal)
    }
  }

  addEventListener<K extends keyof SessionEvents> (
    type: K, listener: EventHandler<SessionEvents[K]> | null, options?: boolean | AddEventListenerOptions
  ): void {
    super.addEventListener(type, listener, options)

    if (type === 'message' && listener != null) {
      this.#unhandled.take('').forEach(detail => { this.safeDispatchEvent('message', { detail }) })
    }
  }

  handle (protocol: string, handler: SessionHandler): void {
    checkHandler(protocol, handler)

    if (this.#handlers.has(protocol)) {
      throw new ProtocolHandledError(`'${protocol}' has a handler already: unhandle() it first`)
    }

    this.#handlers.set(protocol, handler)
    this.#unhandled.take(protocol).forEach(message => { this.#hand(protocol, handler, message) })
  }

  unhandle (protocol: string): void {
    this.#handlers.delete(protocol)
  }

  diagnostics (): SessionsDiagnostics {
    const state = this.#state
    const life = state.type === 'open' ? state.life : undefined
    return {
      ...(state.type === 'waiting' ? { problem: state.err.message } : {}),
      mode: this.#options.mode,
      crypto: { by: life?.crypto.by ?? 'none', waiting: life?.crypto.waiting ?? 0 },
      sizes: { handlers: this.#handlers.size, ...life?.sizes, crypto: life?.crypto.waiting ?? 0 },
      dropped: this.#traffic.dropped.toJSON(),
      peers: life?.states ?? []
    }
  }

  #life (): Life {
    const { type } = this.#state

    switch (type) {
      case 'open':
        return this.#state.life
      case 'waiting':
        throw this.#state.err
      case 'stopped':
        throw new NotStartedError('The sessions are not started: start the libp2p node that they belong to')
    }
  }

  async #open (pubsub: DirectSub): Promise<void> {
    const { datastore, privateKey, logger } = this.#components
    const { clock, crypto: where, createWorker } = this.#options
    const provider = cryptoProvider()
    let records: Records

    try {
      records = await Records.open({ datastore, privateKey, crypto: provider, clock })
    } catch (err: any) {
      this.#wait(err)
      return
    }

    const log = logger.forComponent('libp2p:sheaf:sessions:crypto')
    const crypto = new XWingQueue({ provider, where, createWorker, clock, log })
    const life = new Life({
      components: this.#components,
      options: this.#options,
      pubsub,
      records,
      crypto,
      traffic: this.#traffic,
      log: this.#log,
      onMessage: (from, payload) => { this.#deliver(from, payload) },
      onEpoch: (peerId, epoch) => { this.safeDispatchEvent('session:epoch', { detail: { peerId, epoch } }) },
      onResync: (peerId, reason) => { this.safeDispatchEvent('session:resync', { detail: { peerId, reason } }) },
      onPeerClosed: peerId => { this.safeDispatchEvent('session:closed', { detail: { peerId } }) },
      onLost: err => { this.#lost(life, err) }
    })
    crypto.start()
    this.#state = { type: 'open', life }
    life.start()
  }

  /** A second tab of a page, or a second process, has no sessions as long as the first one has them */
  #wait (err: Error): void {
    const again = async (): Promise<void> => {
      await this.#lifecycle.turn('start and stop', async () => {
        if (this.#state.type === 'waiting') {
          await this.#open(this.#findPubsub())
        }
      })
    }
    const timer = this.#options.clock.after(limits.STORE_AGAIN, () => {
      again().catch(err => { this.#log.error('the sessions do not open - %e', err) })
    })
    timer.unref?.()
    this.#state = { type: 'waiting', err, timer }
    this.#log.error('there are no sessions at present - %e', err)
  }

  #lost (life: Life, err: StoreInUseError): void {
    if (this.#state.type === 'open' && this.#state.life === life) {
      life.abandon(err)
      this.#wait(err)
    }
  }

  #deliver (from: PeerId, { protocol, data }: Payload): void {
    const message = { from, data }
    const handler = this.#handlers.get(protocol)

    if (protocol === '' && this.listenerCount('message') > 0) {
      this.safeDispatchEvent('message', { detail: message })
    } else if (handler != null) {
      this.#hand(protocol, handler, message)
    } else {
      this.#unhandled.add(protocol, message)
    }
  }

  #hand (protocol: string, handler: SessionHandler, message: SessionMessage): void {
    const report = (err: unknown): void => { this.#log.error('the handler of %s threw - %e', protocol, err) }

    try {
      Promise.resolve(handler(message)).catch(report)
    } catch (err) {
      report(err)
    }
  }

  #findPubsub (): DirectSub {
    const name = this.#options.pubsub
    let pubsub: Partial<DirectSub> | undefined

    try {
      pubsub = (this.#components as unknown as Record<string, Partial<DirectSub> | undefined>)[name]
    } catch {
      // how libp2p says that nothing has this name
    }

    if (typeof pubsub?.requestSubscribers !== 'function') {
      throw new InvalidParametersError(`What is registered as '${name}' is not DirectSub: register directSub() in ` +
        "services under it, or name another one: sessions({ pubsub: 'name' })")
    }

    return pubsub as DirectSub
  }
}
