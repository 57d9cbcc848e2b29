import { Links } from '../link/index.ts'
import { systemClock } from '../runtime/clock.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { Control } from './control.ts'
import { rememberEpoch } from './epoch.ts'
import { Inbox } from './inbox.ts'
import { keyOf } from './keys.ts'
import { Parcels } from './parcels.ts'
import { Plans } from './plans.ts'
import { Publisher } from './publisher.ts'
import { readSealed, Sealer, SealType, verifySealed } from './seal.ts'
import { makeShared } from './shared.ts'
import * as wire from './wire.ts'
import type { Change } from './core/types.ts'
import type { DirectSubComponents, DirectSubDiagnostics, DirectSubInit, Message, TopicValidator } from './index.ts'
import type { Neighbour, Shared } from './shared.ts'
import type { Link, LinkHandlers } from '../link/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger, PeerId } from '@libp2p/interface'

/** Turns of signature checks: one that takes longer than this is given up; so many may wait for one neighbour */
const TURN_DEADLINE = 10_000
const TURN_CAPACITY = 65_536

export interface LifeInit {
  components: DirectSubComponents
  init: DirectSubInit
  epoch: number
  log: Logger
  maxMessageSize: number
  maxTopics: number
  validators: Map<string, TopicValidator>
  onMessage (message: Message): void
  onChanges (changes: Change[]): void
}

/**
 * One life of a DirectSub, from start() to stop(): all of its parts, and what comes in handed to the part that it concerns.
 */
export class Life implements LinkHandlers {
  readonly shared: Shared
  readonly control: Control
  readonly publisher: Publisher
  readonly links: Links
  readonly #init: LifeInit
  readonly #parcels: Parcels
  readonly #inbox: Inbox
  #isOver = false

  constructor (life: LifeInit) {
    const { components, init } = life
    const clock = init.clock ?? systemClock
    const random = init.random ?? systemRandom
    this.#init = life
    this.shared = shareWith(life, clock)
    this.control = new Control({
      shared: this.shared,
      core: {
        random,
        isRelay: init.canRelay ?? true,
        debounce: init.subscriptionDebounce ?? 0,
        refreshInterval: init.refreshInterval ?? limits.REFRESH_INTERVAL,
        maxTopicsPerPeer: life.maxTopics,
        maxSubscribersPerTopic: init.maxSubscribersPerTopic ?? limits.MAX_SUBSCRIBERS_PER_TOPIC,
        maxInterestTopics: init.maxInterestTopics ?? limits.MAX_INTEREST_TOPICS
      },
      onChanges: changes => { life.onChanges(changes) },
      onIntroduced: neighbour => { this.publisher.introduce(neighbour) },
      onOutlive: epoch => { void this.#outlive(epoch) }
    }, life.epoch)
    this.#parcels = new Parcels(this.shared, this.control.core)
    this.publisher = new Publisher(this.shared, this.control.core, new Plans(this.control.core, this.shared), this.#parcels)
    this.#inbox = new Inbox({
      shared: this.shared,
      core: this.control.core,
      validators: life.validators,
      onMessage: message => { life.onMessage(message) },
      onReceipt: (receipt, from) => {
        if (receipt.status === 'unreachable') {
          this.control.failed(receipt.about, from)
        }
        this.publisher.onReceipt(receipt)
      },
      onHeard: origin => { this.publisher.onHeard(origin) },
      sendReceipt: (to, receipt) => { this.#parcels.sendReceipt(to, receipt) },
      forward: (from, parcel, sealed, bytes) => { this.#parcels.forward(from, parcel, sealed, bytes) }
    })
    this.links = new Links({
      components,
      clock,
      random,
      handlers: this,
      maxFrame: life.maxMessageSize + limits.MESSAGE_OVERHEAD,
      laneCapacity: init.outboxSize ?? limits.OUTBOX_SIZE,
      slowAfter: init.slowPeerTimeout ?? limits.SLOW_PEER_TIMEOUT,
      runOnLimitedConnection: init.runOnLimitedConnection ?? false
    })
  }

  get epoch (): number {
    return this.control.core.epoch
  }

  get diagnostics (): DirectSubDiagnostics {
    const { shared, control, links, publisher } = this

    return {
      epoch: this.epoch,
      sizes: {
        ...control.core.sizes,
        ...publisher.sizes,
        links: links.size,
        windows: this.#inbox.windows.size,
        waitingCalls: control.waiting,
        busyMailboxes: shared.inbound.size + shared.outbound.size
      },
      dropped: shared.counters.toJSON(),
      peers: [...links.values()].map(link => ({ peerId: link.peerId, status: link.status, ...link.diagnostics }))
    }
  }

  async start (): Promise<void> {
    await this.links.start()
  }

  /** Says goodbye, settles everybody, then lets go of the streams */
  async stop (): Promise<void> {
    this.control.stop()
    this.publisher.stop()
    this.#parcels.clear()
    this.#inbox.stop()
    this.#isOver = true
    await this.links.stop()
    this.shared.inbound.stop()
    this.shared.outbound.stop()
  }

  greet (): Uint8Array {
    return wire.encodeGreeting(this.control.core.greeting)
  }

  onUp (link: Link, greeting: Uint8Array): void {
    const { epoch, isRelay } = wire.decodeGreeting(greeting)

    if (this.#isOver) {
      return
    }

    const key = keyOf(link.peerId)
    const neighbour: Neighbour = { key, peerId: link.peerId, link, epoch, isRelay }
    this.shared.neighbours.set(key, neighbour)
    this.#inbox.windows.restart(key, epoch)
    this.control.up(neighbour)
    this.publisher.onHeard(key)
  }

  onDown (link: Link): void {
    if (!this.#isOver) {
      const key = keyOf(link.peerId)
      this.shared.neighbours.delete(key)
      this.control.down(key)
      this.publisher.down(key)
    }
  }

  onArrive (peerId: PeerId): void {
    if (!this.#isOver) {
      this.publisher.newcomers.arrive(keyOf(peerId))
    }
  }

  onLeave (peerId: PeerId): void {
    this.publisher.newcomers.leave(keyOf(peerId))
  }

  onFrame (link: Link, kind: number, body: Uint8Array, bytes: number): void {
    const neighbour = this.shared.neighbours.get(keyOf(link.peerId))

    if (this.#isOver || neighbour == null) {
      return
    }

    try {
      this.#dispatch(neighbour, kind, body, bytes)
    } catch (err: any) {
      this.shared.counters.add(`malformed frame of kind ${kind}`)
      link.fault(`frame of kind ${kind}: ${err.message}`)
    }
  }

  #dispatch (from: Neighbour, kind: number, body: Uint8Array, bytes: number): void {
    switch (kind) {
      case wire.Kind.MESSAGE:
        this.#inbox.onMessage(from, body)
        break
      case wire.Kind.PARCEL:
        this.#inbox.onParcel(from, body, bytes)
        break
      case wire.Kind.GOSSIP:
        this.control.onGossip(from, body)
        break
      case wire.Kind.RECEIPT:
        this.#inbox.onReceipt(from, body)
        break
      case wire.Kind.SEARCH:
        void this.#onSearch(from, body)
        break
      default:
        this.shared.counters.add('frame of an unknown kind')
    }
  }

  async #onSearch (from: Neighbour, body: Uint8Array): Promise<void> {
    const { shared, control, publisher } = this

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

  /** Somewhere an earlier life of ours is remembered with a larger epoch: be younger than that, and say so to everybody */
  async #outlive (epoch: number): Promise<void> {
    if (epoch < this.epoch || this.#isOver) {
      return
    }

    this.control.core.epoch = epoch + 1
    await rememberEpoch(this.#init.components.datastore, this.epoch, this.shared.log)

    for (const link of this.links.values()) {
      link.restart()
    }
  }
}

function shareWith ({ components, log }: LifeInit, clock: Clock): Shared {
  const mailboxes = (name: string): Mailboxes => new Mailboxes({ name, clock, deadline: TURN_DEADLINE, capacity: TURN_CAPACITY })

  return makeShared({
    self: keyOf(components.peerId),
    clock,
    log,
    sealer: new Sealer(components.privateKey),
    inbound: mailboxes('pubsub inbound'),
    outbound: mailboxes('pubsub outbound')
  })
}
