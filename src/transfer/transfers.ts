import { NotStartedError, serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import { toString } from 'uint8arrays/to-string'
import { keyOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { LruMap } from '../runtime/bounded.ts'
import { Counters } from '../runtime/counters.ts'
import { InvalidOptionsError, MalformedError, orMalformed } from '../runtime/errors.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { Pacer } from '../runtime/pacer.ts'
import { Tally } from '../runtime/tally.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import * as limits from './constants.ts'
import { Budget } from './core/budget.ts'
import { FlightTracker } from './core/flight.ts'
import { Destination } from './destination.ts'
import { failure, TooManyTransfersError } from './errors.ts'
import { Inbound } from './inbound.ts'
import { checkProtocol, checkSend, optionsOf } from './options.ts'
import { Outbound } from './outbound.ts'
import { ClearPort, SealedPort } from './port.ts'
import { sourceOf } from './source.ts'
import { Traffic } from './traffic.ts'
import { decodeMessage, encodeMessage, EndReason } from './wire.ts'
import type { Context } from './context.ts'
import type { Fragment } from './core/outgoing.ts'
import type { Origin } from './inbound.ts'
import type {
  Offer, OfferHandler, OutboundTransfer, SendOptions, TransferEvents, Transfers as TransfersFace, TransfersComponents,
  TransfersDiagnostics, TransfersInit, TransferSource
} from './index.ts'
import type { Options } from './options.ts'
import type { Port, PortEvents, Sealing } from './port.ts'
import type { Message, Terms } from './wire.ts'
import type { DirectSub } from '../pubsub/index.ts'
import type { PeerId, Startable } from '@libp2p/interface'

/** What there is between start and stop */
interface Ports {
  clear: ClearPort
  sealed?: SealedPort
}

/** The service: which transfers there are, and what belongs to which */
export class Transfers extends SafeEventEmitter<TransferEvents> implements TransfersFace, Startable, PortEvents {
  readonly [serviceCapabilities] = ['libp2p-sheaf/transfers']
  readonly [serviceDependencies] = ['@libp2p/pubsub']
  readonly [Symbol.toStringTag] = 'libp2p-sheaf/transfers'
  readonly #components: TransfersComponents
  readonly #options: Options
  readonly #context: Context
  readonly #traffic = new Traffic()
  readonly #handlers = new Map<string, OfferHandler>()
  readonly #alarm: Alarm
  readonly #outbound = new Map<string, Outbound>()
  readonly #destinations = new Map<string, Destination>()
  readonly #budget = new Budget({
    node: limits.NODE_BUDGET, peer: limits.PEER_BUDGET, min: limits.WINDOW_MIN, max: limits.WINDOW
  })

  readonly #lists = new Tally()
  readonly #inbound = new Set<Inbound>()
  /** By what is in a message: the port, the peer, and the id that it gave the transfer */
  readonly #origins = new Map<string, { origin: Origin, inbound: Inbound }>()
  /** By what is offered: several that offer the same serve one transfer */
  readonly #byContent = new Map<string, Inbound>()
  /**
   * How those ended that may still be asked about, and when; of each peer, so that none has us forget those of others
   */
  readonly #ended = new LruMap<string, LruMap<string, { reason: EndReason, at: number }>>(limits.MAX_PEERS)
  readonly #answers = new LruMap<string, TokenBucket>(limits.MAX_PEERS)
  #lastOwner = 0
  #ports?: Ports

  constructor (components: TransfersComponents, init: TransfersInit) {
    const options = optionsOf(init)
    const log = components.logger.forComponent('libp2p:sheaf:transfers')
    super(err => { log.error('a listener of the user threw - %e', err) })
    this.#components = components
    this.#options = options
    this.#alarm = new Alarm(options.clock, () => { this.#tick() })
    this.#context = {
      clock: options.clock,
      log,
      pacer: new Pacer(options.clock, limits.HASH_TURN),
      dropped: new Counters(),
      flight: new FlightTracker<Fragment, number, string>(),
      newOwner: () => ++this.#lastOwner,
      arm: () => { this.#arm() }
    }

    if (components.metrics != null) {
      this.#traffic.register(components.metrics, () => this.diagnostics())
    }
  }

  isStarted (): boolean {
    return this.#ports != null
  }

  start (): void {}

  /** DirectSub, and sessions, are started by now */
  afterStart (): void {
    if (this.#ports == null) {
      const { pubsub, sessions } = this.#options
      const directSub = this.#find<DirectSub>(pubsub)
      const sealing = this.#find<Sealing>(sessions)

      if (typeof directSub?.publish !== 'function') {
        throw new InvalidOptionsError('transfers() needs DirectSub: ' +
          `register it as '${pubsub}', or say under which name it is, transfers({ pubsub: 'name' })`)
      }

      this.#ports = {
        clear: new ClearPort(directSub as DirectSub, this, this.#context.log),
        sealed: typeof sealing?.handle === 'function' ? new SealedPort(sealing as Sealing, this) : undefined
      }
      this.#ports.clear.start()
    }
  }

  /** While the connections are still there: so that the peers hear that we go */
  async beforeStop (): Promise<void> {
    await this.stop()
  }

  async stop (): Promise<void> {
    const ports = this.#ports

    if (ports != null) {
      const err = failure(this.#components.peerId, 'node-stopped')
      ;[...this.#outbound.values()].forEach(outbound => { outbound.settle(EndReason.NODE_STOP, err) })
      ;[...this.#inbound].forEach(inbound => { inbound.settle(EndReason.NODE_STOP, err) })
      this.#ports = undefined
      this.#alarm.set(Infinity)
      this.#destinations.clear()
      this.#ended.clear()
      ports.sealed?.stop()
      ports.clear.stop()
    }
  }

  send (peerId: PeerId, source: TransferSource, options: SendOptions = {}): OutboundTransfer {
    checkSend(peerId, this.#components.peerId, source, options)
    options.signal?.throwIfAborted()
    const port = this.#portFor(options.confidential === true)

    if (this.#outbound.size >= limits.MAX_OUTBOUND) {
      throw new TooManyTransfersError(`${this.#outbound.size} transfers go out: wait for some of them to end`)
    }

    // what is no source is said here, before anything is kept of it
    const leaves = sourceOf(source)
    const id = globalThis.crypto.getRandomValues(new Uint8Array(limits.ID_BYTES))
    const key = nameOf(port, keyOf(peerId), id)
    const destination = this.#destination(port, peerId)
    const outbound = new Outbound({
      context: this.#context,
      destination,
      id,
      key,
      peerId,
      source: leaves,
      options: { ...options, meta: options.meta?.slice() },
      onOver: outbound => {
        this.#outbound.delete(key)
        destination.remove(outbound)
        destination.isIdle && this.#destinations.delete(destination.key)
      }
    })
    this.#traffic.add('sent_transfers')
    this.#outbound.set(key, outbound)
    destination.add(outbound)
    this.#arm()
    outbound.done.then(() => {
      this.#traffic.add('completed_transfers')
      this.#traffic.add('sent_bytes', outbound.progress.bytes)
    }, () => { this.#traffic.add('failed_transfers') })
    return outbound
  }

  handle (protocol: string, handler: OfferHandler): void {
    checkProtocol(protocol)

    if (this.#handlers.has(protocol)) {
      throw new InvalidOptionsError(`Offers of '${protocol}' are handled already: unhandle() it first`)
    }

    this.#handlers.set(protocol, handler)
  }

  unhandle (protocol: string): void {
    this.#handlers.delete(protocol)
  }

  diagnostics (): TransfersDiagnostics {
    const incoming = [...this.#inbound]
    return {
      sizes: {
        outbound: this.#outbound.size,
        destinations: this.#destinations.size,
        inFlight: this.#context.flight.size,
        inFlightBytes: this.#context.flight.bytes,
        inbound: incoming.length,
        offers: incoming.filter(({ state }) => state === 'offered').length,
        keptBytes: incoming.reduce((sum, { keptBytes }) => sum + keptBytes, 0),
        budgetBytes: this.#budget.bytes,
        listBytes: this.#lists.total,
        ended: [...this.#ended.values()].reduce((sum, { size }) => sum + size, 0)
      },
      dropped: this.#context.dropped.toJSON(),
      transfers: [
        ...[...this.#outbound.values()].map(({ id, peerId, state, progress }) => ({
          id, peerId, direction: 'out' as const, state, ...progress
        })),
        ...incoming.flatMap(inbound => [...inbound.origins].map(({ peerId }) => ({
          id: inbound.id, peerId, direction: 'in' as const, state: inbound.state, ...inbound.progress
        })))
      ]
    }
  }

  // what ports tell

  onPresent (peer: string): void {
    for (const destination of this.#destinations.values()) {
      destination.peer === peer && destination.present()
    }
  }

  onAbsent (peer: string): void {
    this.#ports?.sealed?.absent(peer)

    for (const destination of this.#destinations.values()) {
      destination.peer === peer && destination.absent()
    }
  }

  /** libp2p stops all services of a node at once: DirectSub takes no more of our words then, but says that it goes */
  onGone (peer: string): void {
    for (const outbound of [...this.#outbound.values()]) {
      keyOf(outbound.peerId) === peer && outbound.settle(EndReason.NODE_STOP, failure(outbound.peerId, 'node-stopped'))
    }

    [...this.#inbound].forEach(inbound => { inbound.onGone(peer) })
  }

  onMessage (port: Port, from: PeerId, data: Uint8Array): void {
    const message = orMalformed(() => decodeMessage(data))

    if (message instanceof MalformedError) {
      this.#context.dropped.add('malformed')
      return
    }

    const name = nameOf(port, keyOf(from), message.id)

    if (message.type === 'status' || (message.type === 'end' && !message.isSender)) {
      this.#toOutbound(port, from, name, message)
    } else {
      this.#toInbound(port, from, name, message as Extract<Message, { type: 'offer' | 'data' | 'probe' }>)
    }

    this.#arm()
  }

  #toOutbound (
    port: Port, from: PeerId, name: string, message: Extract<Message, { type: 'status' } | { type: 'end' }>
  ): void {
    const outbound = this.#outbound.get(name)

    if (outbound != null) {
      outbound.onMessage(message)
    } else if (message.type === 'status') {
      this.#answer(port, from, { type: 'end', id: message.id, isSender: true, reason: EndReason.UNKNOWN })
    }
  }

  #toInbound (
    port: Port, from: PeerId, name: string,
    message: Extract<Message, { type: 'offer' } | { type: 'data' } | { type: 'probe' } | { type: 'end' }>
  ): void {
    const known = this.#origins.get(name)
    const ended = this.#ended.get(keyOf(from))?.get(name)

    if (known != null) {
      known.inbound.onMessage(known.origin, message)
    } else if (ended != null && ended.at > this.#context.clock.now() - limits.ENDED_FOR) {
      // what was under way when it ended is no question
      message.type !== 'data' && message.type !== 'end' &&
        this.#answer(port, from, { type: 'end', id: message.id, isSender: false, reason: ended.reason })
    } else if (message.type === 'offer') {
      this.#onOffer(port, from, name, message.id, message.terms)
    } else if (message.type !== 'end') {
      this.#context.dropped.add(`unknown-${message.type}`)
      this.#answer(port, from, { type: 'end', id: message.id, isSender: false, reason: EndReason.UNKNOWN })
    }
  }

  #onOffer (port: Port, from: PeerId, name: string, id: Uint8Array, terms: Terms): void {
    const peer = keyOf(from)
    const refuse = (reason: EndReason, why: string): void => {
      this.#context.dropped.add(why)
      this.#answer(port, from, { type: 'end', id, isSender: false, reason })
    }
    const handler = this.#handlers.get(terms.protocol)

    if (terms.size != null && terms.size > limits.MAX_SIZE) {
      refuse(EndReason.TOO_LARGE, 'offer-too-large')
      return
    }
    if (terms.protocol === '' ? this.listenerCount('offer') === 0 : handler == null) {
      refuse(EndReason.REJECTED, 'offer-for-nobody')
      return
    }

    const content = contentOf(port, terms)
    const same = content == null ? undefined : this.#byContent.get(content)
    // those that were accepted have their place in the budget
    const offers = [...this.#inbound].filter(({ state }) => state === 'offered')
    const isFull = same == null
      ? offers.length >= limits.MAX_OFFERS ||
        offers.filter(offer => offer.countOf(peer) > 0).length >= limits.MAX_OFFERS_OF_PEER
      : [...same.origins].length >= limits.MAX_SOURCES || same.countOf(peer) >= limits.MAX_SOURCES_OF_PEER

    if (isFull) {
      refuse(EndReason.BUSY, 'too-many-offers')
      return
    }

    const now = this.#context.clock.now()
    // what came is a view, and this is kept
    const origin: Origin = {
      key: name,
      id: id.slice(),
      peer,
      peerId: from,
      port,
      heardAt: now,
      number: 0,
      echo: 0,
      statusAt: Infinity,
      answeredAt: -Infinity,
      hasForgotten: false,
      strayBytes: 0
    }
    const inbound = same ?? this.#newInbound(
      origin, { ...terms, root: terms.root?.slice(), meta: terms.meta.slice() }, content
    )
    this.#origins.set(name, { origin, inbound })
    inbound.addOrigin(origin)

    if (same == null) {
      this.#offer(inbound, inbound.offerOf(origin), handler)
    }
  }

  #newInbound (origin: Origin, terms: Terms, content?: string): Inbound {
    const inbound: Inbound = new Inbound({
      context: this.#context,
      budget: this.#budget,
      lists: this.#lists,
      terms,
      id: toString(origin.id, 'base16'),
      transmit: ({ port, peerId }, message) => { this.#transmit(port, peerId, message) },
      onDropped: (origin, reason) => { this.#forget(origin, reason) },
      onOver: (inbound, reason) => {
        this.#inbound.delete(inbound)
        content != null && this.#byContent.delete(content)
        this.#traffic.add(reason === EndReason.DONE ? 'received_transfers' : 'unreceived_transfers')
        reason === EndReason.DONE && this.#traffic.add('received_bytes', inbound.progress.bytes)
      }
    })
    this.#inbound.add(inbound)
    content != null && this.#byContent.set(content, inbound)
    return inbound
  }

  #offer (inbound: Inbound, offer: Offer, handler?: OfferHandler): void {
    const fail = (err: any): void => {
      this.#context.log.error('who handles offers of %s threw - %e', offer.protocol, err)
      inbound.fail(err)
    }

    if (handler == null) {
      this.safeDispatchEvent('offer', { detail: offer })
      return
    }

    // whatever it returns
    void (async () => handler(offer))().catch(fail)
  }

  #forget ({ key, peer }: Origin, reason: EndReason): void {
    this.#origins.delete(key)

    if (reason !== EndReason.UNKNOWN) {
      const ended = this.#ended.get(peer) ?? new LruMap(limits.MAX_ENDED)
      ended.set(key, { reason, at: this.#context.clock.now() })
      this.#ended.set(peer, ended)
    }
  }

  /** To one of whom nothing is known here: it may be anybody, and often */
  #answer (port: Port, to: PeerId, message: Message): void {
    const now = this.#context.clock.now()
    const tokens = this.#answers.get(keyOf(to)) ?? new TokenBucket(limits.ANSWERS, now)
    this.#answers.set(keyOf(to), tokens)

    if (tokens.take(1, now)) {
      this.#transmit(port, to, message)
    } else {
      this.#context.dropped.add('unanswered')
    }
  }

  #transmit (port: Port, to: PeerId, message: Message): void {
    // who does not hear it asks again
    port.send(to, encodeMessage(message), 'control').catch(() => {
      this.#context.dropped.add(`unsent-${message.type}`)
    })
  }

  #find<Service> (name: string): Partial<Service> | undefined {
    try {
      return (this.#components as unknown as Record<string, Partial<Service> | undefined>)[name]
    } catch {
      // how libp2p says that nothing has this name
    }
  }

  #portFor (isConfidential: boolean): Port {
    const ports = this.#ports

    if (ports == null) {
      throw new NotStartedError('Transfers are not started: start the node first')
    }
    if (!isConfidential) {
      return ports.clear
    }
    if (ports.sealed == null) {
      throw new InvalidOptionsError('A confidential transfer needs sessions(): ' +
        `register it as '${this.#options.sessions}'`)
    }

    return ports.sealed
  }

  #destination (port: Port, peerId: PeerId): Destination {
    const peer = keyOf(peerId)
    const key = `${port.isConfidential ? 's' : 'c'}${peer}`
    const destination = this.#destinations.get(key) ?? new Destination({
      key, peer, peerId, port, context: this.#context, random: this.#options.random
    })
    this.#destinations.set(key, destination)
    return destination
  }

  #tick (): void {
    const now = this.#context.clock.now()
    ;[...this.#outbound.values()].forEach(outbound => { outbound.tick(now) })
    ;[...this.#inbound].forEach(inbound => { inbound.tick(now) })
    ;[...this.#destinations.values()].forEach(destination => { destination.pump() })
    this.#arm()
  }

  #arm (): void {
    let at = Infinity

    if (this.#ports != null) {
      for (const owner of [this.#outbound.values(), this.#destinations.values(), this.#inbound.values()]) {
        for (const { nextAt } of owner) {
          at = Math.min(at, nextAt)
        }
      }
    }

    this.#alarm.set(at)
  }
}

function nameOf (port: Port, peer: string, id: Uint8Array): string {
  return `${port.isConfidential ? 's' : 'c'}${peer}/${keyOfBytes(id)}`
}

/** What says that two offer the same. A payload that is not known before has no name */
function contentOf (port: Port, { size, root, protocol, meta }: Terms): string | undefined {
  return root == null
    ? undefined
    : `${port.isConfidential ? 's' : 'c'}${size}/${keyOfBytes(root)}/${protocol}/${keyOfBytes(meta)}`
}
