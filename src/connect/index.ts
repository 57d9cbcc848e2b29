/**
 * Staying connected: a node dials the peers that it is told of, looks for them again when they are gone, and gets to
 * know their peers, so that it does not depend on any one of them.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub, stayConnected } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     connected: stayConnected({ known: ['/dns4/relay.example.org/tcp/4001'] }),
 *     pubsub: directSub()
 *   }
 * })
 *
 * console.info(node.services.connected.diagnostics())
 * ```
 */

import { StayConnected as StayConnectedClass } from './stay-connected.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { ComponentLogger, Libp2pEvents, PeerId, PeerStore, Startable, TypedEventTarget } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface PeerDiagnostics {
  /** The address of one that was named here; the id of one that others named */
  name: string
  isKnown: boolean
  state: 'idle' | 'dialling' | 'connected'
  /** Dials in a row that led nowhere */
  failures: number
  /** Milliseconds until it is dialled again, at the earliest */
  retryIn: number
}

export interface StayConnected extends Startable {
  /** One more to stay connected to. Nothing happens if it is known */
  add (address: Multiaddr | string): void
  /** Lets go of it: it is not looked for any more. What is connected stays so */
  remove (address: Multiaddr | string): void
  diagnostics (): { wanted: number, connected: number, peers: PeerDiagnostics[] }
}

export interface StayConnectedComponents {
  peerId: PeerId
  peerStore: PeerStore
  registrar: Registrar
  connectionManager: ConnectionManager
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
}

export interface StayConnectedInit {
  /**
   * Whom to stay connected to: addresses, with or without the id of the peer
   *
   * @default none: those who connect to this node, and their peers
   */
  known?: Iterable<Multiaddr | string>
  /**
   * To how many peers that run this service this node stays connected at least, as long as it knows so many. Peers that
   * were named here count among them
   *
   * @default 4
   */
  min?: number
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where chance comes from */
  random?: Random
}

/** The service: register it in `createLibp2p({ services })`; it needs `identify`, which tells peers' addresses */
export function stayConnected (init: StayConnectedInit = {}): (components: StayConnectedComponents) => StayConnected {
  return components => new StayConnectedClass(components, init)
}
