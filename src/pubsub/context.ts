import { READING_TURN } from '../link/constants.ts'
import { LruMap } from '../runtime/bounded.ts'
import { Counters } from '../runtime/counters.ts'
import { MalformedError } from '../runtime/errors.ts'
import { inOrder } from '../runtime/in-order.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { inSlices, Pacer } from '../runtime/pacer.ts'
import * as limits from './constants.ts'
import { Flows } from './core/flows.ts'
import { PubsubCore } from './core/pubsub.ts'
import { Signer, verifyEnvelope } from './envelope.ts'
import { keyOf } from './keys.ts'
import type { Greeting } from './core/pubsub.ts'
import type { Key } from './core/types.ts'
import type { Envelope } from './envelope.ts'
import type { DirectSubComponents } from './index.ts'
import type { Options } from './options.ts'
import type { Traffic } from './traffic.ts'
import type { Neighbour } from '../link/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger, PeerId } from '@libp2p/interface'

/** A neighbour while it is up, and what it said of itself */
export interface Peer {
  key: Key
  peerId: PeerId
  neighbour: Neighbour
  epoch: number
  isRelay: boolean
  /** What is on its way to those behind it */
  flows: Flows
}

/** A frame that arrived: from whom, and how long it was on the wire */
export interface Arrived {
  from: Peer
  kind: number
  bytes: number
}

export interface ContextInit {
  components: DirectSubComponents
  options: Options
  epoch: number
  log: Logger
  traffic: Traffic
}

/** Turns of signature checks: one that takes longer than this is given up; so many may wait for one neighbour */
const TURN_DEADLINE = 10_000
const TURN_CAPACITY = 65_536

/** What the parts of the shell have in common, from start() to stop() */
export class Context {
  readonly self: Key
  readonly clock: Clock
  readonly log: Logger
  readonly traffic: Traffic
  readonly signer: Signer
  readonly core: PubsubCore
  readonly counters = new Counters()
  readonly peers = new Map<Key, Peer>()
  /** What neighbours brought for others, all in all */
  readonly budget = { max: limits.FLOW_MAX, held: 0 }
  /** What came from one neighbour is dealt with in order, though signatures may be checked elsewhere */
  readonly inbound: Mailboxes
  /** What goes to one neighbour goes in order, though signatures may be made elsewhere */
  readonly outbound: Mailboxes
  readonly #pacer: Pacer
  /** Faults of origins behind relays, which are not the fault of the relay that passed them on */
  readonly #faults = new LruMap<Key, { count: number, until: number }>(limits.MAX_FAULTY_ORIGINS)

  constructor ({ components, options, epoch, log, traffic }: ContextInit) {
    const { clock, canRelay, subscriptionDebounce } = options
    const turns = { clock, deadline: TURN_DEADLINE, capacity: TURN_CAPACITY }
    this.self = keyOf(components.peerId)
    this.clock = clock
    this.log = log
    this.traffic = traffic
    this.signer = new Signer(components.privateKey)
    this.core = new PubsubCore({
      ...options, self: this.self, epoch, isRelay: canRelay, debounce: subscriptionDebounce
    })
    this.inbound = new Mailboxes({ name: 'pubsub inbound', ...turns })
    this.#pacer = new Pacer(clock, READING_TURN)
    this.outbound = new Mailboxes({ name: 'pubsub outbound', ...turns })
  }

  /**
   * Does `check` for all that a frame holds, in slices, and then goes on with what it returned. A neighbour's frames
   * with such checks keep their order, and what is not dealt with yet is not granted
   */
  deal<T, R> (
    { from, kind, bytes }: Arrived, items: T[], check: (item: T) => R | Promise<R>, then: (checked: R[]) => void,
    onFailed = (): void => {}
  ): void {
    const checked = inSlices(this.#pacer, items, check)
    const release = checked instanceof Promise ? from.neighbour.keep(bytes) : undefined

    inOrder(this.inbound, from.key, checked, checked => {
      release?.()
      then(checked)
    }, err => {
      release?.()
      onFailed()
      this.failed(from, kind, err)
    }, this.#pacer)
  }

  /** Whether its origin signed it. The neighbour that brought it pays for the check */
  verify (from: Peer, envelope: Envelope): boolean | Promise<boolean> {
    from.neighbour.spend(limits.SIGNATURE_COST)
    const began = this.clock.now()
    const verdict = verifyEnvelope(envelope)
    this.traffic.verified(this.clock.now() - began)
    return verdict
  }

  /** A frame was not dealt with. If it is malformed, that is a fault of the neighbour that sent it */
  failed ({ neighbour, peerId }: Peer, kind: number, err: any): void {
    const isMalformed = err instanceof MalformedError
    this.counters.add(isMalformed ? `malformed frame of kind ${kind}` : `frame of kind ${kind} that was not dealt with`)

    if (isMalformed) {
      neighbour.fault(`frame of kind ${kind}: ${err.message}`)
    } else {
      this.log('a frame of kind %d from %p was not dealt with - %e', kind, peerId, err)
    }
  }

  /** A neighbour, or a new life of it */
  up (neighbour: Neighbour, said: Greeting): Peer {
    const { peerId } = neighbour
    const flows = new Flows({ window: limits.FLOW_WINDOW, maxRows: limits.MAX_DESTINATIONS, budget: this.budget })
    const peer = { key: keyOf(peerId), peerId, neighbour, flows, ...said }
    this.peers.set(peer.key, peer)
    return peer
  }

  /** Something was past a limit: counted, and logged the first time */
  refused (what: string): void {
    if (this.counters.add(`refused: ${what}`) === 1) {
      this.log.error('refused, now and whenever it happens again: more %s than the limit allows', what)
    }
  }

  /** An origin signed something that it must not: enough of it and it is not listened to for a while */
  fault (origin: Key, reason: string): void {
    const peer = this.peers.get(origin)
    this.counters.add(reason)

    if (peer != null) {
      peer.neighbour.fault(reason)
      return
    }

    const faults = this.#faults.get(origin) ?? { count: 0, until: 0 }
    this.#faults.set(origin, faults)

    if (++faults.count % limits.MAX_ORIGIN_FAULTS === 0) {
      faults.until = this.clock.now() + limits.ORIGIN_PENALTY
    }
  }

  /** Whether an origin broke the protocol too often lately */
  isIgnored (origin: Key): boolean {
    return (this.#faults.get(origin)?.until ?? 0) > this.clock.now()
  }
}
