import { Neighbours } from '../link/index.ts'
import { systemClock } from '../runtime/clock.ts'
import { systemRandom } from '../runtime/random.ts'
import { Bundling } from './bundling.ts'
import * as limits from './constants.ts'
import { Context } from './context.ts'
import { PubsubCore } from './core/pubsub.ts'
import { Signer } from './envelope.ts'
import { rememberEpoch } from './epoch.ts'
import { keyOf } from './keys.ts'
import { Parcels } from './parcels.ts'
import { Publisher } from './publisher.ts'
import { Receiving } from './receiving.ts'
import { Relaying } from './relaying.ts'
import { Subscriptions } from './subscriptions.ts'
import * as wire from './wire.ts'
import type { Peer } from './context.ts'
import type { Change } from './core/types.ts'
import type { DirectSubComponents, DirectSubDiagnostics, DirectSubInit, Message, TopicValidator } from './index.ts'
import type { Traffic } from './traffic.ts'
import type { Neighbour, NeighbourHandlers } from '../link/index.ts'
import type { Logger, PeerId } from '@libp2p/interface'

export interface RouterInit {
  components: DirectSubComponents
  init: DirectSubInit
  epoch: number
  log: Logger
  maxMessageSize: number
  maxTopics: number
  traffic: Traffic
  validators: Map<string, TopicValidator>
  onMessage (message: Message): void
  onChanges (changes: Change[]): void
}

/**
 * All parts of a DirectSub from start() to stop(): it wires them, and hands what comes in to the part that it concerns.
 */
export class Router implements NeighbourHandlers {
  readonly context: Context
  readonly subscriptions: Subscriptions
  readonly publisher: Publisher
  readonly neighbours: Neighbours
  readonly #init: RouterInit
  readonly #parcels: Parcels
  readonly #bundling: Bundling
  readonly #receiving: Receiving
  #isOver = false

  constructor (router: RouterInit) {
    const { components, init, epoch, log, maxTopics, maxMessageSize, traffic, validators, onMessage, onChanges } = router
    const clock = init.clock ?? systemClock
    const self = keyOf(components.peerId)
    this.#init = router
    this.context = new Context({
      self,
      clock,
      log,
      traffic,
      signer: new Signer(components.privateKey),
      core: new PubsubCore({
        self,
        epoch,
        isRelay: init.canRelay ?? true,
        debounce: init.subscriptionDebounce ?? 0,
        maxTopicsPerPeer: maxTopics,
        maxSubscribersPerTopic: init.maxSubscribersPerTopic ?? limits.MAX_SUBSCRIBERS_PER_TOPIC,
        maxDirectoryBytes: init.maxDirectoryBytes ?? limits.MAX_DIRECTORY_BYTES
      })
    })
    this.subscriptions = new Subscriptions({
      context: this.context,
      onChanges,
      onAnnounced: peer => { this.publisher.introduce(peer) },
      onOutlive: epoch => { void this.#outlive(epoch) }
    })
    this.#parcels = new Parcels(this.context)
    this.#bundling = new Bundling(this.context, this.#parcels)
    this.publisher = new Publisher({
      context: this.context,
      bundling: this.#bundling,
      run: effects => { this.subscriptions.run(effects) }
    })
    this.#receiving = new Receiving({
      context: this.context,
      relaying: new Relaying(this.context, this.#parcels),
      validators,
      onMessage,
      onReceipt: (receipt, by) => { this.publisher.onReceipt(receipt, by) }
    })
    this.neighbours = new Neighbours({
      components,
      clock,
      random: init.random ?? systemRandom,
      handlers: this,
      maxFrame: maxMessageSize + limits.MESSAGE_OVERHEAD,
      laneCapacity: init.outboxSize ?? limits.OUTBOX_SIZE,
      slowAfter: init.slowPeerTimeout ?? limits.SLOW_PEER_TIMEOUT,
      runOnLimitedConnection: init.runOnLimitedConnection ?? false
    })
  }

  get epoch (): number {
    return this.context.core.epoch
  }

  get diagnostics (): DirectSubDiagnostics {
    const { context, neighbours, publisher, subscriptions } = this

    return {
      epoch: this.epoch,
      sizes: {
        ...context.core.sizes,
        ...publisher.sizes,
        ...this.#parcels.sizes,
        channels: neighbours.size,
        duplicates: this.#receiving.dedup.size,
        waitingCalls: subscriptions.waiting,
        busyMailboxes: context.inbound.size + context.outbound.size
      },
      dropped: context.counters.toJSON(),
      peers: [...neighbours.values()].map(neighbour => ({ peerId: neighbour.peerId, status: neighbour.status, ...neighbour.diagnostics }))
    }
  }

  async start (): Promise<void> {
    await this.neighbours.start()
  }

  /** Says goodbye, settles everybody, then lets go of the streams */
  async stop (): Promise<void> {
    this.subscriptions.stop()
    this.publisher.stop()
    this.#bundling.stop()
    this.#parcels.stop()
    this.#receiving.stop()
    this.#isOver = true
    await this.neighbours.stop()
    this.context.stop()
  }

  greet (): Uint8Array {
    return wire.encodeGreeting(this.context.core.greeting)
  }

  onUp (neighbour: Neighbour, greeting: Uint8Array): void {
    const { epoch, isRelay } = wire.decodeGreeting(greeting)

    if (this.#isOver) {
      return
    }

    const key = keyOf(neighbour.peerId)

    // it lives anew: what was on its way is lost
    const before = this.context.peers.get(key)
    const peer = this.context.up(neighbour, { key, epoch, isRelay })

    if (before != null) {
      this.publisher.down(key)
    }

    this.#receiving.dedup.restart(key, epoch)
    this.subscriptions.up(peer)

    if (before != null) {
      this.#parcels.down(before)
    }
  }

  onDown (neighbour: Neighbour): void {
    const key = keyOf(neighbour.peerId)
    const peer = this.context.peers.get(key)

    if (!this.#isOver && peer != null) {
      this.context.peers.delete(key)
      this.subscriptions.down(key)
      this.#receiving.dedup.gone(key)
      this.#parcels.down(peer)
      this.publisher.down(key)
    }
  }

  onArrive (peerId: PeerId): void {
    if (!this.#isOver) {
      this.publisher.unannounced.arrive(keyOf(peerId))
    }
  }

  onLeave (peerId: PeerId): void {
    this.publisher.unannounced.leave(keyOf(peerId))
  }

  onFrame (neighbour: Neighbour, kind: number, body: Uint8Array, bytes: number): void {
    const peer = this.context.peers.get(keyOf(neighbour.peerId))

    if (this.#isOver || peer == null) {
      return
    }

    try {
      this.#dispatch(peer, kind, body, bytes)
    } catch (err: any) {
      this.context.counters.add(`malformed frame of kind ${kind}`)
      neighbour.fault(`frame of kind ${kind}: ${err.message}`)
    }
  }

  #dispatch (from: Peer, kind: number, body: Uint8Array, bytes: number): void {
    switch (kind) {
      case wire.Kind.MESSAGE:
        this.#receiving.onMessage(from, body, bytes)
        break
      case wire.Kind.PARCEL:
        this.#receiving.onParcel(from, body, bytes)
        break
      case wire.Kind.GOSSIP:
        this.subscriptions.onGossip(from, body)
        break
      case wire.Kind.RECEIPT:
        this.#receiving.onReceipt(from, body)
        break
      case wire.Kind.FLOW:
        this.#parcels.onFlow(from, wire.decodeFlows(body))
        break
      default:
        this.context.counters.add('frame of an unknown kind')
    }
  }

  /**
   * Somewhere an earlier life of ours is remembered with a larger epoch: be younger than that, and say so to everybody
   */
  async #outlive (epoch: number): Promise<void> {
    if (epoch < this.epoch || this.#isOver) {
      return
    }

    this.context.core.epoch = epoch + 1
    await rememberEpoch(this.#init.components.datastore, this.epoch, this.context.log)

    for (const neighbour of this.neighbours.values()) {
      neighbour.restart()
    }
  }
}
