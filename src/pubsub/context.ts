import { LruMap } from '../runtime/bounded.ts'
import { Counters } from '../runtime/counters.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { Flows } from './core/flows.ts'
import type { PubsubCore } from './core/pubsub.ts'
import type { Key } from './core/types.ts'
import type { Signer } from './envelope.ts'
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

export interface ContextInit {
  self: Key
  clock: Clock
  log: Logger
  traffic: Traffic
  signer: Signer
  core: PubsubCore
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
  /** Faults of origins behind relays, which are not the fault of the relay that passed them on */
  readonly #faults = new LruMap<Key, { count: number, until: number }>(limits.MAX_FAULTY_ORIGINS)

  constructor ({ self, clock, log, traffic, signer, core }: ContextInit) {
    const mailboxes = (name: string): Mailboxes => new Mailboxes({ name, clock, deadline: TURN_DEADLINE, capacity: TURN_CAPACITY })
    this.self = self
    this.clock = clock
    this.log = log
    this.traffic = traffic
    this.signer = signer
    this.core = core
    this.inbound = mailboxes('pubsub inbound')
    this.outbound = mailboxes('pubsub outbound')
  }

  /** A neighbour, or a new life of it */
  up (neighbour: Neighbour, said: Pick<Peer, 'key' | 'epoch' | 'isRelay'>): Peer {
    const flows = new Flows({ window: limits.FLOW_WINDOW, maxRows: limits.MAX_DESTINATIONS, budget: this.budget })
    const peer = { ...said, peerId: neighbour.peerId, neighbour, flows }
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

  stop (): void {
    this.inbound.stop()
    this.outbound.stop()
  }
}
