/**
 * Staying connected: a node dials its known peers, dials lost peers again, and learns of the peers of its peers, so
 * that it does not depend on any one of them.
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
  /** The address of a peer from `known` or `add`; the id of a peer that others named */
  name: string
  isKnown: boolean
  state: 'idle' | 'dialling' | 'connected'
  /** Dials in a row that failed */
  failures: number
  /** Milliseconds until the node dials this peer again, at the earliest */
  retryIn: number
}

export interface StayConnected extends Startable {
  /** Adds a peer to stay connected to. Has no effect if the peer is known */
  add (address: Multiaddr | string): void
  /** Removes a known peer: the node does not look for it any more. An open connection stays open */
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
   * The addresses of the peers to stay connected to, with or without the id of the peer
   *
   * @default none: those who connect to this node, and their peers
   */
  known?: Iterable<Multiaddr | string>
  /**
   * How many peers that run this service the node stays connected to at least, as long as it knows so many. Peers from
   * `known` and `add` count among them
   *
   * @default 4
   */
  min?: number
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where randomness comes from */
  random?: Random
}

/** The service. Register it in `createLibp2p({ services })`; it needs `identify`, which tells the addresses of peers */
export function stayConnected (init: StayConnectedInit = {}): (components: StayConnectedComponents) => StayConnected {
  return components => new StayConnectedClass(components, init)
}
