import { InvalidParametersError, NotStartedError, serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import { aborted } from '../runtime/aborted.ts'
import { Bell } from '../runtime/bell.ts'
import { encodeString } from '../runtime/codec.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { nextEpoch } from './epoch.ts'
import { InvalidTopicError, PayloadTooLargeError, TooManyTopicsError, TopicNotAllowedError } from './errors.ts'
import { keyOf, peerOf } from './keys.ts'
import {
  checkPublishOptions, checkRequestOptions, checkSubscribeOptions, checkUnsubscribeOptions, checkWaitOptions, optionsOf
} from './options.ts'
import { Router } from './router.ts'
import { Traffic } from './traffic.ts'
import type { Change } from './core/types.ts'
import type {
  DirectSubComponents, DirectSubDiagnostics, DirectSubEvents, DirectSubInit, DirectSub as DirectSubInterface,
  PublishOptions, PublishResult, RequestOptions, SubscriptionChange, TopicValidator, UnsubscribeOptions, WaitOptions
} from './index.ts'
import type { Options } from './options.ts'
import type { AbortOptions, Logger, PeerId, Startable } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'

/** By this libp2p and others know a pubsub */
const pubsubSymbol: unique symbol = Symbol.for('@libp2p/pubsub')

/** Calls of start() and stop() that may wait for each other */
const LIFECYCLE_CAPACITY = 64
/** Milliseconds that starting or stopping may take. The streams are given a second to be closed: the rest is a guess */
const LIFECYCLE_DEADLINE = 60_000

export class DirectSub extends SafeEventEmitter<DirectSubEvents> implements DirectSubInterface, Startable {
  readonly [serviceCapabilities] = ['@libp2p/pubsub']
  readonly [serviceDependencies] = ['@libp2p/identify']
  readonly [Symbol.toStringTag] = 'libp2p-sheaf/direct-sub'
  readonly [pubsubSymbol] = true
  readonly globalSignaturePolicy = 'StrictSign'
  readonly topicValidators = new Map<string, TopicValidator>()
  readonly #components: DirectSubComponents
  readonly #options: Options
  readonly #log: Logger
  readonly #allowedTopics?: Set<string>
  readonly #traffic = new Traffic()
  /** For those who wait for subscribers */
  readonly #changed = new Bell()
  /** Topics that all neighbours were asked about and not all have answered */
  readonly #asking = new Map<string, Promise<void>>()
  /** One start or stop at a time, whatever is called meanwhile: the last one decides */
  readonly #lifecycle: Mailboxes
  #epoch = 0
  #router?: Router

  constructor (components: DirectSubComponents, init: DirectSubInit = {}) {
    const options = optionsOf(init)
    const log = components.logger.forComponent('libp2p:sheaf:direct-sub')
    super(err => { log.error('a listener of the user threw - %e', err) })
    this.#components = components
    this.#options = options
    this.#log = log
    this.#lifecycle = new Mailboxes({
      name: 'pubsub lifecycle',
      clock: options.clock,
      deadline: LIFECYCLE_DEADLINE,
      capacity: LIFECYCLE_CAPACITY
    })
    this.#allowedTopics = init.allowedTopics == null ? undefined : new Set(init.allowedTopics)

    if (components.metrics != null) {
      this.#traffic.register(components.metrics, () => this.diagnostics())
    }
  }

  get maxMessageSize (): number {
    return this.#options.maxMessageSize
  }

  isStarted (): boolean {
    return this.#router != null
  }

  async start (): Promise<void> {
    await this.#lifecycle.turn('start and stop', async () => {
      if (this.#router == null) {
        this.#epoch = await nextEpoch(this.#components.datastore, this.#epoch, this.#options.clock, this.#log)
        this.#router = new Router({
          components: this.#components,
          options: this.#options,
          epoch: this.#epoch,
          log: this.#log,
          traffic: this.#traffic,
          validators: this.topicValidators,
          onMessage: detail => { this.safeDispatchEvent('message', { detail }) },
          onChanges: changes => { this.#onChanges(changes) }
        })
        await this.#router.start()
      }
    })
  }

  /** While the connections are still there: so that those who listen to us hear that we go */
  async beforeStop (): Promise<void> {
    await this.stop()
  }

  async stop (): Promise<void> {
    await this.#lifecycle.turn('start and stop', async () => {
      const router = this.#router

      if (router != null) {
        this.#router = undefined
        this.#epoch = router.epoch
        const stopped = router.stop()
        this.#changed.ring()
        await stopped
      }
    })
  }

  async subscribe (topic: string, options: AbortOptions = {}): Promise<boolean> {
    checkSubscribeOptions(options)
    options.signal?.throwIfAborted()
    this.#checkAllowed(topic)
    const { context: { core }, subscriptions } = this.#started
    const { maxTopicsPerPeer } = this.#options

    if (core.topics.size >= maxTopicsPerPeer && !core.topics.isOn(topic)) {
      throw new TooManyTopicsError(`This node is on ${maxTopicsPerPeer} topics, others would not remember more: ` +
        'unsubscribe from some, or raise maxTopicsPerPeer on all peers')
    }

    return subscriptions.subscribe(topic, options.signal)
  }

  async unsubscribe (topic: string, options: UnsubscribeOptions = {}): Promise<boolean> {
    checkUnsubscribeOptions(options)
    options.signal?.throwIfAborted()
    return this.#router?.subscriptions.unsubscribe(topic, options.all ?? false) ?? false
  }

  publish (topic: string, data: Uint8Array | Uint8ArrayList, options: PublishOptions = {}): Promise<PublishResult> {
    try {
      checkPublishOptions(options)
      options.signal?.throwIfAborted()
      this.#checkAllowed(topic)
      this.#checkPayload(data, options)
      const { context: { core }, publisher } = this.#started
      const to = options.to?.map(keyOf)

      if (to?.length === 0) {
        return Promise.resolve({ recipients: [], acked: [], failed: [] })
      }
      // while the answers are on their way, what comes later must not overtake what waits for them
      if (to == null && (!core.isInformed(topic) || this.#asking.has(topic))) {
        return this.#publishElsewhere(topic, data, options)
      }

      return publisher.publish(topic, data.subarray(), to ?? [], options)
    } catch (err) {
      return Promise.reject(err)
    }
  }

  async requestSubscribers (topic: string, options: RequestOptions = {}): Promise<PeerId[]> {
    checkRequestOptions(options)
    options.signal?.throwIfAborted()
    checkTopic(topic)
    await (options.from == null
      ? aborted(this.#ask(topic), options.signal)
      : this.#started.subscriptions.request(topic, keyOf(options.from), options.signal))
    return this.getSubscribers(topic)
  }

  async waitForSubscribers (topic: string, options: WaitOptions = {}): Promise<PeerId[]> {
    checkWaitOptions(options)
    checkTopic(topic)
    const { signal, peers } = options
    const count = options.count ?? peers?.length ?? 1

    for (;;) {
      signal?.throwIfAborted()
      const { context: { core, clock } } = this.#started
      const subscribers = this.getSubscribers(topic)

      const isThere = (peerId: PeerId): boolean => subscribers.some(other => other.equals(peerId))

      if (subscribers.length >= count && peers?.every(isThere) !== false) {
        return subscribers
      }

      // registered before it is asked: an answer cannot come too early
      const more = this.#changed.rung({ signal })
      const again = clock.after(limits.ASKED_TTL / 2, () => { this.#changed.ring() })

      try {
        if (!core.topics.isOn(topic)) {
          void this.#ask(topic)
        }
        await more
      } finally {
        again.cancel()
      }
    }
  }

  getTopics (): string[] {
    return this.#router?.context.core.topics.subscribed() ?? []
  }

  getPeers (): PeerId[] {
    return [...this.#router?.context.peers.values() ?? []].map(({ peerId }) => peerId)
  }

  getSubscribers (topic: string): PeerId[] {
    const core = this.#router?.context.core
    return core?.isTracked(topic) === true ? core.subscribers.of(topic).map(peerOf) : []
  }

  diagnostics (): DirectSubDiagnostics {
    const diagnostics = this.#router?.diagnostics ?? { epoch: this.#epoch, sizes: {}, dropped: {}, peers: [] }
    return { ...diagnostics, sizes: { ...diagnostics.sizes, watchers: this.#changed.waiting } }
  }

  get #started (): Router {
    if (this.#router == null) {
      throw new NotStartedError('This DirectSub is not started: start the libp2p node that it belongs to')
    }
    return this.#router
  }

  #onChanges (changes: Change[]): void {
    const byPeer = new Map<string, SubscriptionChange>()

    for (const { peer, topic, subscribe, reason } of changes) {
      const name = `${reason} ${peer}`
      const change = byPeer.get(name) ?? { peerId: peerOf(peer), subscriptions: [], reason }
      change.subscriptions.push({ topic, subscribe })
      byPeer.set(name, change)
    }
    for (const detail of byPeer.values()) {
      this.safeDispatchEvent('subscription-change', { detail })
    }

    this.#changed.ring()
  }

  /** Nobody told us who is on a topic that we did not ask for: ask, and remember it for a while */
  async #publishElsewhere (
    topic: string, data: Uint8Array | Uint8ArrayList, options: PublishOptions
  ): Promise<PublishResult> {
    await aborted(this.#ask(topic), options.signal)
    return this.#started.publisher.publish(topic, data.subarray(), [], options)
  }

  /** Asks all neighbours. Whoever wants to know while the answers are on their way waits for the same ones */
  #ask (topic: string): Promise<void> {
    let asking = this.#asking.get(topic)

    if (asking == null) {
      asking = this.#started.subscriptions.request(topic).finally(() => { this.#asking.delete(topic) })
      this.#asking.set(topic, asking)
    }

    return asking
  }

  #checkAllowed (topic: string): void {
    checkTopic(topic)

    if (this.#allowedTopics?.has(topic) === false) {
      throw new TopicNotAllowedError(
        `'${topic}' is none of the allowedTopics of this node: name it there, or leave the option out`)
    }
  }

  #checkPayload (data: Uint8Array | Uint8ArrayList, { priority }: PublishOptions): void {
    if (typeof data?.subarray !== 'function') {
      throw new InvalidParametersError(`What is published is a Uint8Array or a Uint8ArrayList, not ${typeof data}`)
    }

    const size = data.byteLength
    const { maxMessageSize } = this.#options
    const max = priority === 'control' ? Math.min(limits.MAX_CONTROL_MESSAGE, maxMessageSize) : maxMessageSize

    if (size > max) {
      throw new PayloadTooLargeError(`A message of ${size} bytes is larger than the limit of ${max}: ` +
        'send it as a transfer, or raise maxMessageSize on all peers')
    }
  }
}

function checkTopic (topic: string): void {
  // half a character does not survive the wire
  if (typeof topic === 'string' && !topic.isWellFormed()) {
    throw new InvalidTopicError('A topic is well-formed Unicode, this one has half of a surrogate pair')
  }

  const length = typeof topic === 'string' ? lengthOf(topic) : 0

  if (length === 0 || length > limits.MAX_TOPIC_LENGTH) {
    throw new InvalidTopicError(`A topic is a string of 1 to ${limits.MAX_TOPIC_LENGTH} bytes, this one has ${length}`)
  }
}

/** Of UTF-8, or more: a character has three bytes at most, so most topics need no counting */
function lengthOf (topic: string): number {
  return topic.length * 3 <= limits.MAX_TOPIC_LENGTH ? topic.length * 3 : encodeString(topic).byteLength
}
