import { Neighbours } from '../link/index.ts'
import { Bundling } from './bundling.ts'
import * as limits from './constants.ts'
import { Context } from './context.ts'
import { rememberEpoch } from './epoch.ts'
import { keyOf } from './keys.ts'
import { Parcels } from './parcels.ts'
import { Publisher } from './publisher.ts'
import { Receipts } from './receipts.ts'
import { Receiving } from './receiving.ts'
import { Relaying } from './relaying.ts'
import { Subscriptions } from './subscriptions.ts'
import * as wire from './wire.ts'
import type { Arrived, ContextInit } from './context.ts'
import type { Change } from './core/types.ts'
import type { DirectSubDiagnostics, Message, TopicValidator } from './index.ts'
import type { Neighbour, NeighbourHandlers } from '../link/index.ts'
import type { PeerId } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export interface RouterInit extends ContextInit {
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
  readonly #datastore: Datastore
  readonly #parcels: Parcels
  readonly #bundling: Bundling
  readonly #receipts: Receipts
  readonly #receiving: Receiving
  #isOver = false

  constructor (init: RouterInit) {
    const { components, options, validators, onMessage, onChanges } = init
    const context = this.context = new Context(init)
    this.#datastore = components.datastore
    this.subscriptions = new Subscriptions({
      context,
      onChanges,
      onAnnounced: peer => { this.publisher.introduce(peer) },
      onOutlive: epoch => { void this.#outlive(epoch) }
    })
    const parcels = this.#parcels = new Parcels(context)
    const receipts = this.#receipts = new Receipts(context)
    const bundling = this.#bundling = new Bundling(context, parcels)
    this.publisher = new Publisher({ context, bundling, run: effects => { this.subscriptions.run(effects) } })
    this.#receiving = new Receiving({
      context,
      relaying: new Relaying(context, parcels, receipts),
      receipts,
      validators,
      onMessage,
      onReceipt: (receipt, by) => { this.publisher.onReceipt(receipt, by) }
    })
    this.neighbours = new Neighbours({
      ...options,
      components,
      handlers: this,
      maxFrame: options.maxMessageSize + limits.MESSAGE_OVERHEAD,
      laneCapacity: options.outboxSize,
      slowAfter: options.slowPeerTimeout
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
      peers: [...neighbours.values()].map(({ peerId, status, diagnostics }) => ({ peerId, status, ...diagnostics }))
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
    this.#receipts.stop()
    this.#isOver = true
    await this.neighbours.stop()
    this.context.inbound.stop()
    this.context.outbound.stop()
  }

  greet (): Uint8Array {
    return wire.encodeGreeting(this.context.core.greeting)
  }

  onUp (neighbour: Neighbour, greeting: Uint8Array): void {
    const { context } = this
    const said = wire.decodeGreeting(greeting)

    if (this.#isOver) {
      return
    }

    const before = context.peers.get(keyOf(neighbour.peerId))
    const peer = context.up(neighbour, said)

    // it lives anew: what was on its way is lost
    if (before != null) {
      this.publisher.down(peer.key)
    }

    this.#receiving.dedup.restart(peer.key, peer.epoch)
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
    const from = this.context.peers.get(keyOf(neighbour.peerId))

    if (this.#isOver || from == null) {
      return
    }

    try {
      this.#dispatch({ from, kind, bytes }, body)
    } catch (err: any) {
      this.context.failed(from, kind, err)
    }
  }

  #dispatch (arrived: Arrived, body: Uint8Array): void {
    switch (arrived.kind) {
      case wire.Kind.MESSAGE: this.#receiving.onMessage(arrived, body); break
      case wire.Kind.PARCEL: this.#receiving.onParcel(arrived, body); break
      case wire.Kind.GOSSIP: this.subscriptions.onGossip(arrived, body); break
      case wire.Kind.RECEIPT: this.#receiving.onReceipt(arrived, body); break
      case wire.Kind.FLOW: this.#parcels.onFlow(arrived.from, wire.decodeFlows(body)); break
      default: this.context.counters.add('frame of an unknown kind')
    }
  }

  /** Somewhere an earlier life of ours is remembered with a larger epoch: be younger, and say so to everybody */
  async #outlive (epoch: number): Promise<void> {
    if (epoch < this.epoch || this.#isOver) {
      return
    }

    this.context.core.epoch = epoch + 1
    await rememberEpoch(this.#datastore, this.epoch, this.context.log)

    for (const neighbour of this.neighbours.values()) {
      neighbour.restart()
    }
  }
}
