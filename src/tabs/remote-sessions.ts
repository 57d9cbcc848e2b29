import { SafeEventEmitter } from '../runtime/events.ts'
import { ProtocolHandledError } from '../session/errors.ts'
import {
  checkCloseOptions, checkData, checkHandler, checkPeer, checkRekeyOptions, checkSendOptions
} from '../session/options.ts'
import { originOf } from './client.ts'
import { fromWire } from './wire.ts'
import type { Client } from './client.ts'
import type { TabEvent } from './wire.ts'
import type {
  CloseOptions, RekeyOptions, SendOptions, SessionEvents, SessionHandler, Sessions, SessionsDiagnostics, SessionState
} from '../session/index.ts'
import type { PeerId } from '@libp2p/interface'

export interface RemoteSessionsInit {
  client: Client
  tab: string
  onListenerError (err: unknown): void
}

const NO_DIAGNOSTICS: SessionsDiagnostics = {
  problem: 'no tab leads yet',
  mode: 'best-effort',
  crypto: { by: 'none', waiting: 0 },
  sizes: {},
  dropped: {},
  peers: []
}

/**
 * The sessions that the leader has. Each message of this tab has a number, so that the other side takes it once, also
 * if a new leader sends it again. What comes in is told in every tab.
 */
export class RemoteSessions extends SafeEventEmitter<SessionEvents> implements Sessions {
  readonly #init: RemoteSessionsInit
  readonly #handlers = new Map<string, SessionHandler>()
  #diagnostics = NO_DIAGNOSTICS

  constructor (init: RemoteSessionsInit) {
    super(init.onListenerError)
    this.#init = init
  }

  /** What this tab handles: a new leader has to know */
  get protocols (): string[] {
    return [...this.#handlers.keys()]
  }

  /** The profile is started and stopped, not its sessions */
  start (): void {}

  stop (): void {}

  async send (peerId: PeerId, data: Uint8Array, options: SendOptions = {}): Promise<void> {
    checkSendOptions(options)
    checkPeer(peerId)
    checkData(data)
    const { client, tab } = this.#init
    const { signal, ...rest } = options
    const args = (number: number): unknown[] => [peerId, data, { once: { origin: originOf(tab), number }, ...rest }]
    await client.call('sessions', 'send', [], { signal, args })
  }

  async rekey (peerId: PeerId, options: RekeyOptions = {}): Promise<number> {
    checkRekeyOptions(options)
    checkPeer(peerId)
    const { signal, ...rest } = options
    return (await this.#init.client.call('sessions', 'rekey', [peerId, rest], { signal })).value
  }

  /** As the leader said last, which may be a second ago */
  state (peerId: PeerId): SessionState | undefined {
    checkPeer(peerId)
    return this.#diagnostics.peers.find(state => state.peerId.equals(peerId))
  }

  async close (peerId: PeerId, options: CloseOptions = {}): Promise<void> {
    checkCloseOptions(options)
    checkPeer(peerId)
    await this.#init.client.call('sessions', 'close', [peerId], options)
  }

  handle (protocol: string, handler: SessionHandler): void {
    checkHandler(protocol, handler)

    if (this.#handlers.has(protocol)) {
      throw new ProtocolHandledError(`'${protocol}' has a handler in this tab already: unhandle() it first`)
    }

    this.#handlers.set(protocol, handler)
    this.#init.client.call('sessions', 'handle', [protocol]).catch(this.#init.onListenerError)
  }

  unhandle (protocol: string): void {
    if (this.#handlers.delete(protocol)) {
      this.#init.client.call('sessions', 'unhandle', [protocol]).catch(this.#init.onListenerError)
    }
  }

  diagnostics (): SessionsDiagnostics {
    return this.#diagnostics
  }

  onEvent (event: Extract<TabEvent, { type: 'session' | 'message' | 'sessions' }>): void {
    switch (event.type) {
      case 'session':
        this.safeDispatchEvent(event.name as keyof SessionEvents, { detail: fromWire(event.detail) })
        break
      case 'message':
        void this.#handle(event.protocol, fromWire(event.detail))
        break
      case 'sessions':
        this.#diagnostics = fromWire(event.diagnostics)
        break
    }
  }

  async #handle (protocol: string, message: Parameters<SessionHandler>[0]): Promise<void> {
    try {
      await this.#handlers.get(protocol)?.(message)
    } catch (err) {
      this.#init.onListenerError(err)
    }
  }
}
