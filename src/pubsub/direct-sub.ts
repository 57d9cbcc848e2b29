import { NotStartedError, serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import { Links } from '../link/index.ts'
import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { Control } from './control.ts'
import { nextEpoch, rememberEpoch } from './epoch.ts'
import { InvalidTopicError, PayloadTooLargeError, TooManyTopicsError } from './errors.ts'
import { Inbox } from './inbox.ts'
import { keyOf, peerOf } from './keys.ts'
import { Parcels } from './parcels.ts'
import { Plans } from './plans.ts'
import { aborted, Publisher } from './publisher.ts'
import { readSealed, Sealer, SealType, verifySealed } from './seal.ts'
import { makeShared } from './shared.ts'
import * as wire from './wire.ts'
import type { Change } from './core/types.ts'
import type { DirectSub as DirectSubInterface, DirectSubComponents, DirectSubDiagnostics, DirectSubEvents, DirectSubInit, Message, PublishOptions, PublishResult, RequestOptions, SubscriptionChange, TopicValidator, UnsubscribeOptions, WaitOptions } from './index.ts'
import type { Neighbour, Shared } from './shared.ts'
import type { Link, LinkHandlers } from '../link/index.ts'
import type { AbortOptions, Logger, PeerId, Startable } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'

/** Everything that lives from start() to stop() */
interface Running {
  shared: Shared
  links: Links
  control: Control
  plans: Plans
  parcels: Parcels
  inbox: Inbox
  publisher: Publisher
}

/** By this libp2p and others know a pubsub */
const pubsubSymbol: unique symbol = Symbol.for('@libp2p/pubsub')

/** Turns of signature checks: one that takes longer than this is given up; so many may wait for one neighbour */
const TURN_DEADLINE = 10_000
const TURN_CAPACITY = 65_536
/** Milliseconds that starting or stopping may take: closing streams to slow peers takes up to 30 s */
const LIFECYCLE_DEADLINE = 60_000

export class DirectSub extends SafeEventEmitter<DirectSubEvents> implements DirectSubInterface, Startable {
  readonly [serviceCapabilities] = ['@libp2p/pubsub']
  readonly [serviceDependencies] = ['@libp2p/identify']
  readonly [Symbol.toStringTag] = 'libp2p-sheaf/direct-sub'
  readonly [pubsubSymbol] = true
  readonly globalSignaturePolicy = 'StrictSign'
  readonly topicValidators = new Map<string, TopicValidator>()
  readonly #components: DirectSubComponents
  readonly #init: DirectSubInit
  readonly #log: Logger
  readonly #maxMessageSize: number
  readonly #maxTopics: number
  /** Those who wait for subscribers: called when there may be more */
  readonly #watchers = new Set<() => void>()
  /** Topics that all neighbours were asked about and not all have answered */
  readonly #asking = new Map<string, Promise<void>>()
  /** One start or stop at a time, whatever is called meanwhile: the last one decides */
  readonly #lifecycle: Mailboxes
  #epoch = 0
  #running?: Running

  constructor (components: DirectSubComponents, init: DirectSubInit = {}) {
    const log = components.logger.forComponent('libp2p:sheaf:direct-sub')
    super(err => { log.error('a listener of the user threw - %e', err) })
    this.#components = components
    this.#init = init
    this.#log = log
    this.#lifecycle = new Mailboxes({ name: 'pubsub lifecycle', clock: this.#clock, deadline: LIFECYCLE_DEADLINE, capacity: TURN_CAPACITY })
    this.#maxTopics = Math.min(init.maxTopicsPerPeer ?? limits.MAX_TOPICS_PER_PEER, limits.MAX_ANNOUNCED_TOPICS)
    this.#maxMessageSize = init.maxMessageSize ?? limits.MAX_MESSAGE_SIZE
    components.metrics?.registerMetricGroup('libp2p_sheaf_direct_sub', { label: 'of', calculate: () => this.diagnostics().sizes })
    components.metrics?.registerMetricGroup('libp2p_sheaf_direct_sub_dropped', { label: 'reason', calculate: () => this.diagnostics().dropped })
  }

  isStarted (): boolean {
    return this.#running != null
  }

  async start (): Promise<void> {
    await this.#lifecycle.turn('start and stop', async () => { await this.#start() })
  }

  /** While the connections are still there: so that those who listen to us hear that we go */
  async beforeStop (): Promise<void> {
    await this.stop()
  }

  async stop (): Promise<void> {
    await this.#lifecycle.turn('start and stop', async () => { await this.#stop() })
  }

  async subscribe (topic: string, options: AbortOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted()
    checkTopic(topic)
    const { control } = this.#started

    if (control.core.topics.size >= this.#maxTopics && !control.core.topics.isOn(topic)) {
      throw new TooManyTopicsError(`This node is on ${this.#maxTopics} topics, others would not remember more: unsubscribe from some, or raise maxTopicsPerPeer on all peers`)
    }

    return control.subscribe(topic, options.signal)
  }

  async unsubscribe (topic: string, options: UnsubscribeOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted()
    return this.#running?.control.unsubscribe(topic, options.all ?? false) ?? false
  }

  publish (topic: string, data: Uint8Array | Uint8ArrayList, options: PublishOptions = {}): Promise<PublishResult> {
    try {
      options.signal?.throwIfAborted()
      checkTopic(topic)
      this.#checkSize(data.byteLength, options)
      const { control, publisher } = this.#started
      const to = options.to?.map(keyOf) ?? []

      // while the answers are on their way, what comes later must not overtake what waits for them
      if (options.to == null ? control.core.isTracked(topic) && !this.#asking.has(topic) : to.length > 0) {
        return publisher.publish(topic, data.subarray(), to, options)
      }

      return options.to == null ? this.#publishElsewhere(topic, data, options) : Promise.resolve({ recipients: [], acked: [], failed: [] })
    } catch (err) {
      return Promise.reject(err)
    }
  }

  async requestSubscribers (topic: string, options: RequestOptions = {}): Promise<PeerId[]> {
    options.signal?.throwIfAborted()
    checkTopic(topic)
    await (options.from == null
      ? aborted(this.#ask(topic), options.signal)
      : this.#started.control.request(topic, keyOf(options.from), options.signal))
    return this.getSubscribers(topic)
  }

  async waitForSubscribers (topic: string, options: WaitOptions = {}): Promise<PeerId[]> {
    checkTopic(topic)
    const { signal, peers } = options
    const count = options.count ?? peers?.length ?? 1

    for (;;) {
      signal?.throwIfAborted()
      const { control, shared } = this.#started
      const subscribers = this.getSubscribers(topic)

      if (subscribers.length >= count && (peers ?? []).every(peerId => subscribers.some(other => other.equals(peerId)))) {
        return subscribers
      }

      // registered before it is asked: an answer cannot come too early
      const more = new Promise<void>(resolve => { this.#watchers.add(resolve) })
      const again = shared.clock.after(limits.ASKED_TTL / 2, () => { this.#wakeWatchers() })
      const onAbort = (): void => { this.#wakeWatchers() }
      signal?.addEventListener('abort', onAbort)

      try {
        if (!control.core.topics.isOn(topic)) {
          void this.#ask(topic)
        }
        await more
      } finally {
        again.cancel()
        signal?.removeEventListener('abort', onAbort)
      }
    }
  }

  getTopics (): string[] {
    return this.#running?.control.core.topics.subscribed() ?? []
  }

  getPeers (): PeerId[] {
    return [...this.#running?.shared.neighbours.values() ?? []].map(({ peerId }) => peerId)
  }

  getSubscribers (topic: string): PeerId[] {
    const core = this.#running?.control.core
    return core?.isTracked(topic) === true ? core.subscribers.of(topic).map(peerOf) : []
  }

  diagnostics (): DirectSubDiagnostics {
    if (this.#running == null) {
      return { epoch: this.#epoch, sizes: {}, dropped: {}, peers: [] }
    }

    const { shared, control, links, publisher, inbox } = this.#running

    return {
      epoch: this.#epoch,
      sizes: {
        ...control.core.sizes,
        ...publisher.sizes,
        links: links.size,
        windows: inbox.windows.size,
        waitingCalls: control.waiting,
        watchers: this.#watchers.size,
        busyMailboxes: shared.inbound.size + shared.outbound.size
      },
      dropped: shared.counters.toJSON(),
      peers: [...links.values()].map(link => ({ peerId: link.peerId, status: link.status, ...link.diagnostics }))
    }
  }

  async #start (): Promise<void> {
    if (this.#running == null) {
      this.#epoch = await nextEpoch(this.#components.datastore, this.#epoch, this.#clock, this.#log)
      this.#running = this.#build()
      await this.#running.links.start()
    }
  }

  async #stop (): Promise<void> {
    const running = this.#running

    if (running == null) {
      return
    }

    running.control.stop()
    running.publisher.stop()
    running.parcels.clear()
    running.inbox.stop()
    this.#running = undefined
    this.#wakeWatchers()
    await running.links.stop()
    running.shared.inbound.stop()
    running.shared.outbound.stop()
  }

  get #clock (): NonNullable<DirectSubInit['clock']> {
    return this.#init.clock ?? systemClock
  }

  get #started (): Running {
    if (this.#running == null) {
      throw new NotStartedError('This DirectSub is not started: start the libp2p node that it belongs to')
    }
    return this.#running
  }

  #build (): Running {
    const components = this.#components
    const init = this.#init
    const clock = this.#clock
    const random = init.random ?? systemRandom
    const mailboxes = (name: string): Mailboxes => new Mailboxes({ name, clock, deadline: TURN_DEADLINE, capacity: TURN_CAPACITY })
    const shared = makeShared({
      self: keyOf(components.peerId),
      clock,
      log: this.#log,
      sealer: new Sealer(components.privateKey),
      inbound: mailboxes('pubsub inbound'),
      outbound: mailboxes('pubsub outbound')
    })
    const control = new Control({
      shared,
      core: {
        random,
        isRelay: init.canRelay ?? true,
        debounce: init.subscriptionDebounce ?? 0,
        refreshInterval: init.refreshInterval ?? limits.REFRESH_INTERVAL,
        maxTopicsPerPeer: this.#maxTopics,
        maxSubscribersPerTopic: init.maxSubscribersPerTopic ?? limits.MAX_SUBSCRIBERS_PER_TOPIC,
        maxInterestTopics: init.maxInterestTopics ?? limits.MAX_INTEREST_TOPICS
      },
      onChanges: changes => { this.#onChanges(changes) },
      onIntroduced: neighbour => { this.#running?.publisher.introduce(neighbour) },
      onOutlive: epoch => { void this.#outlive(epoch) }
    }, this.#epoch)
    const { core } = control
    const plans = new Plans(core, shared)
    const parcels = new Parcels(shared, core)
    const publisher = new Publisher(shared, core, plans, parcels)
    const inbox = new Inbox({
      shared,
      core,
      validators: this.topicValidators,
      onMessage: message => { this.#onMessage(message) },
      onReceipt: (receipt, from) => { publisher.onReceipt(receipt, from) },
      onHeard: origin => { publisher.onHeard(origin) },
      sendReceipt: (to, receipt) => { parcels.sendReceipt(to, receipt) },
      forward: (from, parcel, sealed, bytes) => { parcels.forward(from, parcel, sealed, bytes) }
    })
    const links = new Links({
      components,
      clock,
      random,
      handlers: this.#handlers(),
      maxFrame: this.#maxMessageSize + limits.MESSAGE_OVERHEAD,
      laneCapacity: init.outboxSize ?? limits.OUTBOX_SIZE,
      slowAfter: init.slowPeerTimeout ?? limits.SLOW_PEER_TIMEOUT,
      runOnLimitedConnection: init.runOnLimitedConnection ?? false
    })

    return { shared, links, control, plans, parcels, inbox, publisher }
  }

  #handlers (): LinkHandlers {
    return {
      greet: () => wire.encodeGreeting(this.#started.control.core.greeting),
      onUp: (link, greeting) => { this.#onUp(link, greeting) },
      onDown: link => { this.#onDown(link) },
      onFrame: (link, kind, body, bytes) => { this.#onFrame(link, kind, body, bytes) },
      onArrive: peerId => { this.#running?.publisher.newcomers.arrive(keyOf(peerId)) },
      onLeave: peerId => { this.#running?.publisher.newcomers.leave(keyOf(peerId)) }
    }
  }

  #onUp (link: Link, bytes: Uint8Array): void {
    const running = this.#started
    const { shared, control, inbox } = running
    const { epoch, isRelay } = wire.decodeGreeting(bytes)
    const key = keyOf(link.peerId)
    const neighbour: Neighbour = { key, peerId: link.peerId, link, epoch, isRelay }
    shared.neighbours.set(key, neighbour)
    inbox.windows.restart(key, epoch)
    control.up(neighbour)
    running.publisher.onHeard(key)
  }

  #onDown (link: Link): void {
    const running = this.#running

    if (running == null) {
      return
    }

    const key = keyOf(link.peerId)
    running.shared.neighbours.delete(key)
    running.control.down(key)
    running.publisher.down(key)
  }

  #onFrame (link: Link, kind: number, body: Uint8Array, bytes: number): void {
    const running = this.#running
    const neighbour = running?.shared.neighbours.get(keyOf(link.peerId))

    if (running == null || neighbour == null) {
      return
    }

    try {
      switch (kind) {
        case wire.Kind.MESSAGE:
          running.inbox.onMessage(neighbour, body)
          break
        case wire.Kind.PARCEL:
          running.inbox.onParcel(neighbour, body, bytes)
          break
        case wire.Kind.GOSSIP:
          running.control.onGossip(neighbour, body)
          break
        case wire.Kind.RECEIPT:
          running.inbox.onReceipt(neighbour, body)
          break
        case wire.Kind.SEARCH:
          void this.#onSearch(running, neighbour, body)
          break
        default:
          running.shared.counters.add('frame of an unknown kind')
      }
    } catch (err: any) {
      running.shared.counters.add(`malformed frame of kind ${kind}`)
      link.fault(`frame of kind ${kind}: ${err.message}`)
    }
  }

  async #onSearch (running: Running, from: Neighbour, body: Uint8Array): Promise<void> {
    const { shared, control, publisher } = running

    try {
      const frame = wire.decodeSearchFrame(body)
      const sealed = readSealed(frame.sealed)
      const search = { origin: sealed.origin, epoch: sealed.epoch, hops: frame.hops, ...wire.decodeSearch(sealed.content) }

      if (sealed.type !== SealType.SEARCH || !await verifySealed(sealed)) {
        from.link.fault('a search whose signature is wrong')
        return
      }

      control.core.routes.learn(sealed.origin, from.key, frame.hops, shared.clock.now())
      publisher.onSearch(from.key, search, (to, hops) => {
        to.forEach(key => { shared.neighbours.get(key)?.link.sendControl(wire.encodeSearchFrame(hops, frame.sealed)) })
      })
    } catch (err: any) {
      shared.counters.add('malformed search')
      from.link.fault(`search: ${err.message}`)
    }
  }

  #onMessage (message: Message): void {
    if (this.listenerCount('message') > 0) {
      this.dispatchEvent(new CustomEvent('message', { detail: message }))
    }
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

    this.#wakeWatchers()
  }

  #wakeWatchers (): void {
    const watchers = [...this.#watchers]
    this.#watchers.clear()
    watchers.forEach(watcher => { watcher() })
  }

  /** Somewhere an earlier life of ours is remembered with a larger epoch: be younger than that, and say so to everybody */
  async #outlive (epoch: number): Promise<void> {
    if (epoch < this.#epoch || this.#running == null) {
      return
    }

    this.#epoch = epoch + 1
    this.#running.control.core.epoch = this.#epoch
    await rememberEpoch(this.#components.datastore, this.#epoch, this.#log)

    for (const link of this.#running?.links.values() ?? []) {
      link.restart()
    }
  }

  /** Nobody told us who is on a topic that we did not ask for: ask, and remember it for a while */
  async #publishElsewhere (topic: string, data: Uint8Array | Uint8ArrayList, options: PublishOptions): Promise<PublishResult> {
    await aborted(this.#ask(topic), options.signal)
    return this.#started.publisher.publish(topic, data.subarray(), [], options)
  }

  /** Asks all neighbours. Whoever wants to know while the answers are on their way waits for the same ones */
  #ask (topic: string): Promise<void> {
    let asking = this.#asking.get(topic)

    if (asking == null) {
      asking = this.#started.control.request(topic).finally(() => { this.#asking.delete(topic) })
      this.#asking.set(topic, asking)
    }

    return asking
  }

  #checkSize (size: number, { priority }: PublishOptions): void {
    const max = priority === 'control' ? Math.min(limits.MAX_CONTROL_MESSAGE, this.#maxMessageSize) : this.#maxMessageSize

    if (size > max) {
      throw new PayloadTooLargeError(`A message of ${size} bytes is larger than the limit of ${max}: send it as a transfer, or raise maxMessageSize on all peers`)
    }
  }
}

function checkTopic (topic: string): void {
  // three bytes a character at most: most topics need no counting
  if (typeof topic === 'string' && topic.length > 0 && topic.length * 3 <= limits.MAX_TOPIC_LENGTH) {
    return
  }

  const length = typeof topic === 'string' ? encodeString(topic).byteLength : 0

  if (length === 0 || length > limits.MAX_TOPIC_LENGTH) {
    throw new InvalidTopicError(`A topic is a string of 1 to ${limits.MAX_TOPIC_LENGTH} bytes, this one has ${length}`)
  }
}
