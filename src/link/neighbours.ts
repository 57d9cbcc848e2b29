import { LruMap } from '../runtime/bounded.ts'
import * as limits from './constants.ts'
import { Newcomers } from './core/newcomers.ts'
import { ProtocolFaultError } from './errors.ts'
import { Neighbour } from './neighbour.ts'
import type { NeighbourContext, NeighbourHandlers } from './neighbour.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type {
  ComponentLogger, Connection, IdentifyResult, Libp2pEvents, PeerId, PeerStore, Stream, TypedEventTarget
} from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'

export interface NeighboursComponents {
  peerId: PeerId
  registrar: Registrar
  connectionManager: ConnectionManager
  peerStore: PeerStore
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
}

export interface NeighboursInit {
  components: NeighboursComponents
  clock: Clock
  random: Random
  handlers: NeighbourHandlers
  maxFrame: number
  laneCapacity: number
  slowAfter: number
  runOnLimitedConnection: boolean
}

/** All neighbours: every peer that we have a connection to and that speaks our protocol. */
export class Neighbours {
  readonly #init: NeighboursInit
  readonly #context: NeighbourContext
  readonly #neighbours = new Map<string, Neighbour>()
  #topology?: string
  #started = false

  constructor (init: NeighboursInit) {
    const { components: { logger }, runOnLimitedConnection } = init
    this.#init = init
    this.#context = {
      ...init,
      penalties: new LruMap(limits.MAX_PENALTIES),
      newcomers: new Newcomers(limits.NEWCOMERS, init.clock.now()),
      log: logger.forComponent('libp2p:sheaf:link'),
      connections: peerId => this.#connections(peerId),
      openStream: async (connection, signal) =>
        connection.newStream(limits.PROTOCOL, { signal, runOnLimitedConnection })
    }
  }

  get (peerId: PeerId): Neighbour | undefined {
    return this.#neighbours.get(peerId.toString())
  }

  values (): IterableIterator<Neighbour> {
    return this.#neighbours.values()
  }

  get size (): number {
    return this.#neighbours.size
  }

  async start (): Promise<void> {
    const { components: { connectionManager, peerStore, registrar, events }, runOnLimitedConnection } = this.#init
    this.#started = true
    events.addEventListener('connection:open', this.#onConnection)
    events.addEventListener('connection:close', this.#onConnection)
    events.addEventListener('peer:identify', this.#onIdentify)

    await registrar.handle(limits.PROTOCOL, this.#onStream, { runOnLimitedConnection })
    this.#topology = await registrar.register(limits.PROTOCOL, {
      notifyOnLimitedConnection: runOnLimitedConnection,
      onConnect: (peerId, connection) => { this.#neighbour(peerId, connection) }
    })

    // `register` tells of those who come, not of those who are here
    for (const { remotePeer } of connectionManager.getConnections()) {
      const { protocols } = await peerStore.get(remotePeer).catch(() => ({ protocols: [] as string[] }))

      if (protocols.includes(limits.PROTOCOL)) {
        this.#neighbour(remotePeer)
      }
    }
  }

  /** Lets all neighbours take what waits for them, but for no longer than STOP_TIMEOUT. Never rejects */
  async stop (): Promise<void> {
    const { components: { registrar, events }, clock } = this.#init
    const controller = new AbortController()
    const timer = clock.after(limits.STOP_TIMEOUT, () => { controller.abort() })
    this.#started = false
    events.removeEventListener('connection:open', this.#onConnection)
    events.removeEventListener('connection:close', this.#onConnection)
    events.removeEventListener('peer:identify', this.#onIdentify)

    if (this.#topology != null) {
      registrar.unregister(this.#topology)
    }

    await Promise.allSettled([...this.#neighbours.values()].map(async neighbour => neighbour.stop(controller)))
    timer.cancel()
    this.#neighbours.clear()
    await registrar.unhandle(limits.PROTOCOL).catch(err => {
      this.#context.log.error('could not unhandle the protocol - %e', err)
    })
  }

  readonly #onConnection = ({ detail: { remotePeer } }: CustomEvent<Connection>): void => {
    const neighbour = this.get(remotePeer)
    const isConnected = this.#connections(remotePeer).length > 0

    if (neighbour?.isUp !== true) {
      isConnected ? this.#init.handlers.onArrive(remotePeer) : this.#init.handlers.onLeave(remotePeer)
    }

    neighbour?.update()

    if (neighbour != null && !isConnected) {
      this.#neighbours.delete(remotePeer.toString())
      void neighbour.stop({ signal: AbortSignal.abort() })
    }
  }

  readonly #onIdentify = ({ detail: { peerId, protocols } }: CustomEvent<IdentifyResult>): void => {
    if (!protocols.includes(limits.PROTOCOL)) {
      this.#init.handlers.onLeave(peerId)
    }
  }

  readonly #onStream = (stream: Stream, connection: Connection): void => {
    const { remotePeer } = connection
    const neighbour = this.#isOpener(remotePeer) ? undefined : this.#neighbour(remotePeer, connection)

    if (neighbour == null) {
      stream.abort(new ProtocolFaultError('This side opens the stream, or the connection is gone'))
    } else {
      neighbour.accept(connection, stream)
    }
  }

  #isOpener (peerId: PeerId): boolean {
    return this.#init.components.peerId.toString() < peerId.toString()
  }

  #connections (peerId: PeerId): Connection[] {
    const { components: { connectionManager }, runOnLimitedConnection } = this.#init
    return connectionManager.getConnections(peerId)
      .filter(({ status, limits }) => status === 'open' && (limits == null || runOnLimitedConnection))
      .sort((a, b) => Number(a.limits != null) - Number(b.limits != null) || b.timeline.open - a.timeline.open)
  }

  /**
   * Made when it is first asked for. Not without a connection that is open: its end is what removes a neighbour, so one
   * that was made after it would stay for ever
   */
  #neighbour (peerId: PeerId, connection?: Connection): Neighbour | undefined {
    let neighbour = this.get(peerId)
    const isOpen = connection?.status === 'open' || this.#connections(peerId).length > 0

    if (!this.#started || (neighbour == null && !isOpen)) {
      return
    }
    if (neighbour == null) {
      neighbour = new Neighbour(peerId, this.#isOpener(peerId), this.#context)
      this.#neighbours.set(peerId.toString(), neighbour)
    }

    neighbour.update()
    return neighbour
  }
}
