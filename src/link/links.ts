import { Uint8ArrayList } from 'uint8arraylist'
import { LruMap } from '../runtime/bounded.ts'
import * as limits from './constants.ts'
import { ProtocolFaultError } from './errors.ts'
import { Link } from './link.ts'
import { decodeAttach } from './session.ts'
import type { LinkContext, LinkHandlers } from './link.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { ComponentLogger, Connection, IdentifyResult, Libp2pEvents, PeerId, PeerStore, Stream, StreamMessageEvent, TypedEventTarget } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'

export interface LinksComponents {
  peerId: PeerId
  registrar: Registrar
  connectionManager: ConnectionManager
  peerStore: PeerStore
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
}

export interface LinksInit {
  components: LinksComponents
  clock: Clock
  random: Random
  handlers: LinkHandlers
  maxFrame: number
  laneCapacity: number
  slowAfter: number
  runOnLimitedConnection: boolean
}

/**
 * All neighbours: every peer that we have a connection to and that speaks our protocol.
 */
export class Links {
  readonly #init: LinksInit
  readonly #context: LinkContext
  readonly #links = new Map<string, Link>()
  #topology?: string
  #started = false

  constructor (init: LinksInit) {
    this.#init = init
    this.#context = {
      ...init,
      penalties: new LruMap(limits.MAX_PENALTIES),
      log: init.components.logger.forComponent('libp2p:sheaf:link'),
      connections: peerId => this.#connections(peerId),
      openStreams: (connection, signal) => this.#openStreams(connection, signal)
    }
  }

  get (peerId: PeerId): Link | undefined {
    return this.#links.get(peerId.toString())
  }

  values (): IterableIterator<Link> {
    return this.#links.values()
  }

  get size (): number {
    return this.#links.size
  }

  async start (): Promise<void> {
    const { components: { registrar, events }, runOnLimitedConnection } = this.#init
    this.#started = true
    events.addEventListener('connection:open', this.#onConnection)
    events.addEventListener('connection:close', this.#onConnection)
    events.addEventListener('peer:identify', this.#onIdentify)

    await registrar.handle(limits.CONTROL_PROTOCOL, (stream, connection) => {
      this.#accepted(connection, stream)?.acceptControl(connection, stream)
    }, { runOnLimitedConnection })
    await registrar.handle(limits.DATA_PROTOCOL, (stream, connection) => {
      this.#acceptData(connection, stream)
    }, { runOnLimitedConnection })
    this.#topology = await registrar.register(limits.CONTROL_PROTOCOL, {
      notifyOnLimitedConnection: runOnLimitedConnection,
      onConnect: peerId => { this.#neighbour(peerId) }
    })
    await this.#findThoseWhoWereHere()
  }

  async stop (): Promise<void> {
    const { registrar, events } = this.#init.components
    this.#started = false
    events.removeEventListener('connection:open', this.#onConnection)
    events.removeEventListener('connection:close', this.#onConnection)
    events.removeEventListener('peer:identify', this.#onIdentify)

    if (this.#topology != null) {
      registrar.unregister(this.#topology)
    }

    await Promise.all([...this.#links.values()].map(async link => link.stop()))
    this.#links.clear()
    await Promise.allSettled([registrar.unhandle(limits.CONTROL_PROTOCOL), registrar.unhandle(limits.DATA_PROTOCOL)])
  }

  /** `register` tells of those who come, not of those who are here */
  async #findThoseWhoWereHere (): Promise<void> {
    const { connectionManager, peerStore } = this.#init.components

    for (const { remotePeer } of connectionManager.getConnections()) {
      const { protocols } = await peerStore.get(remotePeer).catch(() => ({ protocols: [] as string[] }))

      if (protocols.includes(limits.CONTROL_PROTOCOL)) {
        this.#neighbour(remotePeer)
      }
    }
  }

  readonly #onConnection = ({ detail: connection }: CustomEvent<Connection>): void => {
    const { remotePeer } = connection
    const link = this.get(remotePeer)
    const isConnected = this.#connections(remotePeer).length > 0

    if (link?.isUp !== true) {
      isConnected ? this.#init.handlers.onArrive(remotePeer) : this.#init.handlers.onLeave(remotePeer)
    }

    link?.update()

    if (link?.status === 'down' && !isConnected) {
      this.#links.delete(remotePeer.toString())
      void link.stop()
    }
  }

  readonly #onIdentify = ({ detail: { peerId, protocols } }: CustomEvent<IdentifyResult>): void => {
    if (!protocols.includes(limits.CONTROL_PROTOCOL)) {
      this.#init.handlers.onLeave(peerId)
    }
  }

  #isOpener (peerId: PeerId): boolean {
    return this.#init.components.peerId.toString() < peerId.toString()
  }

  #connections (peerId: PeerId): Connection[] {
    return this.#init.components.connectionManager.getConnections(peerId)
      .filter(connection => connection.status === 'open' && (connection.limits == null || this.#init.runOnLimitedConnection))
      .sort((a, b) => Number(a.limits != null) - Number(b.limits != null) || b.timeline.open - a.timeline.open)
  }

  #neighbour (peerId: PeerId): Link | undefined {
    if (!this.#started) {
      return
    }

    let link = this.get(peerId)

    if (link == null) {
      link = new Link(peerId, this.#isOpener(peerId), this.#context)
      this.#links.set(peerId.toString(), link)
    }

    link.update()
    return link
  }

  async #openStreams (connection: Connection, signal: AbortSignal): Promise<[Stream, Stream]> {
    const options = { signal, runOnLimitedConnection: this.#init.runOnLimitedConnection }
    const opened = await Promise.allSettled([
      connection.newStream(limits.CONTROL_PROTOCOL, options),
      connection.newStream(limits.DATA_PROTOCOL, options)
    ])
    const streams = opened.flatMap(result => result.status === 'fulfilled' ? [result.value] : [])

    if (streams.length < 2) {
      const failed = opened.find(result => result.status === 'rejected') as PromiseRejectedResult
      streams.forEach(stream => { stream.abort(failed.reason) })
      throw failed.reason
    }

    return [streams[0], streams[1]]
  }

  /** The link of a stream that came in; undefined, and the stream reset, where we are to open them */
  #accepted (connection: Connection, stream: Stream): Link | undefined {
    const link = this.#isOpener(connection.remotePeer) ? undefined : this.#neighbour(connection.remotePeer)

    if (link == null || link.isBlocked) {
      stream.abort(new ProtocolFaultError(link == null ? 'This side opens the streams' : 'This peer is let be for a while'))
      return
    }

    return link
  }

  /** The first frame of a data stream says whose it is; the rest is left to the session */
  #acceptData (connection: Connection, stream: Stream): void {
    const link = this.#accepted(connection, stream)

    if (link == null) {
      return
    }

    const first = new Uint8ArrayList()
    const timer = this.#init.clock.after(limits.HELLO_TIMEOUT, () => { stream.abort(new Error('No first frame in time')) })
    const settle = (): void => {
      timer.cancel()
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('close', settle)
    }
    const onMessage = ({ data }: StreamMessageEvent): void => {
      try {
        first.append(data)
        const number = decodeAttach(first.subarray())

        if (number != null) {
          settle()
          link.acceptData(connection, number, stream)
        }
      } catch (err: any) {
        link.fault(`attach: ${err.message}`)
        stream.abort(err)
      }
    }
    stream.addEventListener('message', onMessage)
    stream.addEventListener('close', settle)
  }
}
