import { SNAPSHOT_EVERY } from './constants.ts'
import { CannotCrossError, NoMethodError } from './errors.ts'
import { Guest } from './guest.ts'
import { fromWire, toWire } from './wire.ts'
import type { ClientMessage } from './client.ts'
import type { Method } from './index.ts'
import type { OpenLog, TabEvent, ToTab } from './wire.ts'
import type { OpenOptions, SharedLog, SharedLogs } from '../replication/index.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { SessionEvents, SessionMessage, Sessions } from '../session/index.ts'

type Unaddressed<T> = T extends unknown ? Omit<T, 'reign'> : never
export type ServerMessage = Unaddressed<ToTab>

export interface ServerInit {
  clock: Clock
  logs?: SharedLogs
  sessions?: Sessions
  /** The program's own */
  methods: Record<string, Method>
  post (tab: string, message: ServerMessage): void
  /** Options that are functions, as this tab has them */
  functionsOf (id: string): Partial<OpenOptions>
  /** Resolves when this tab leads for certain; throws when it does not any more */
  confirm (): Promise<void>
  /** Calls back when a tab is gone, until the signal aborts */
  watch (tab: string, signal: AbortSignal, onGone: () => void): void
}

const SESSION_EVENTS: Array<keyof SessionEvents> = ['message', 'session:epoch', 'session:resync', 'session:closed']

/** What a leader does for all tabs, its own one too: each is a guest */
export class Server {
  readonly #init: ServerInit
  readonly #guests = new Map<string, Guest>()
  readonly #handled = new Map<string, Set<Guest>>()
  readonly #stopped = new AbortController()
  /** Who writes which shelf of which log */
  readonly claims = new Map<string, Guest>()
  #timer?: Timer
  #sessions?: string

  constructor (init: ServerInit) {
    this.#init = init
    this.#lookAgain()
  }

  get init (): ServerInit {
    return this.#init
  }

  get logs (): SharedLogs {
    return expectService(this.#init.logs, 'logs', 'sharedLogs()')
  }

  get sessions (): Sessions {
    return expectService(this.#init.sessions, 'sessions', 'sessions()')
  }

  methodOf (name: string): Method {
    const { methods } = this.#init

    if (!Object.hasOwn(methods, name)) {
      throw new NoMethodError(`The tab that leads has no method ${name}(): it may have another version of the page. ` +
        'tabs({ methods }) names them, in each tab')
    }
    return methods[name]
  }

  get isStopped (): boolean {
    return this.#stopped.signal.aborted
  }

  receive (tab: string, message: ClientMessage): void {
    if (this.isStopped) {
      return
    }
    if (message.type === 'hello') {
      // it begins anew: of what it had here, it tells
      this.#leave(tab)
      const guest = new Guest(tab, this)
      this.#guests.set(tab, guest)
      // not before: there was nobody to tell
      SESSION_EVENTS.forEach(name => { this.#init.sessions?.addEventListener(name, this.#onSession) })
      this.#init.watch(tab, guest.gone, () => { this.#leave(tab) })
      guest.receive(message)
      this.#sessions = undefined
    } else if (message.type === 'bye') {
      this.#leave(tab)
    } else if (message.type !== 'ping') {
      this.#guests.get(tab)?.receive(message)
    }
  }

  /** Not a word more */
  silence (): void {
    this.#stopped.abort()
    this.#timer?.cancel()
    SESSION_EVENTS.forEach(name => { this.#init.sessions?.removeEventListener(name, this.#onSession) })
    this.#guests.forEach(guest => { guest.leave() })
  }

  async openLog ({ id, options, functions }: OpenLog, signal: AbortSignal): Promise<SharedLog> {
    const own = this.#init.functionsOf(id)
    const missing = functions.filter(name => !Object.hasOwn(own, name))

    if (missing.length > 0) {
      throw new CannotCrossError(`The log '${id}' was opened with ${missing.join(', ')}, which cannot go from tab to ` +
        'tab, and the tab that leads has not opened it so: name it in the option logs of tabs(), in each tab')
    }
    return this.logs.open(id, { ...fromWire(options), ...own, signal })
  }

  handle (protocol: string, guest: Guest): void {
    const guests = this.#handled.get(protocol)

    if (guests != null) {
      guests.add(guest)
      return
    }

    const all = new Set([guest])
    // what has waited for a handler comes before this returns
    this.sessions.handle(protocol, message => { void this.#onMessage(protocol, message, all) })
    this.#handled.set(protocol, all)
  }

  unhandle (protocol: string, guest: Guest): void {
    const guests = this.#handled.get(protocol)
    guests?.delete(guest)

    if (guests?.size === 0) {
      this.#handled.delete(protocol)
      this.sessions.unhandle(protocol)
    }
  }

  #leave (tab: string): void {
    const guest = this.#guests.get(tab)
    this.#guests.delete(tab)

    if (guest != null) {
      [...this.#handled].forEach(([protocol, guests]) => { guests.has(guest) && this.unhandle(protocol, guest) })
      guest.leave()
    }
  }

  readonly #onSession = ({ type, detail }: CustomEvent): void => {
    void this.#tell(this.#guests.values(), { type: 'session', name: type, detail: toWire(detail, type) })
  }

  async #onMessage (protocol: string, message: SessionMessage, guests: Set<Guest>): Promise<void> {
    await this.#tell(guests, { type: 'message', protocol, detail: toWire(message, protocol) })
  }

  /** What came to a leader that stood still, and leads no more, comes to the next one: nobody is told of it twice */
  async #tell (guests: Iterable<Guest>, event: TabEvent): Promise<void> {
    try {
      await this.#init.confirm()
      this.isStopped || [...guests].forEach(guest => { guest.tell(event) })
    } catch {
      // we lead no more
    }
  }

  #lookAgain (): void {
    this.#timer = this.#init.clock.after(SNAPSHOT_EVERY, () => {
      const diagnostics = toWire(this.#init.sessions?.diagnostics(), 'diagnostics()')
      const text = textOf(diagnostics)
      this.#guests.forEach(guest => {
        guest.look()
        text !== this.#sessions && diagnostics != null && guest.tell({ type: 'sessions', diagnostics })
      })
      this.#sessions = text
      this.#lookAgain()
    })
    this.#timer.unref?.()
  }
}

/** Two things with one text are the same */
export function textOf (value: unknown): string {
  return JSON.stringify(value, (_, one) => typeof one === 'bigint' ? `${one}` : one)
}

function expectService<T> (service: T | undefined, name: string, factory: string): T {
  if (service == null) {
    throw new CannotCrossError(`The node has no service '${name}': register ${factory} under it in createNode()`)
  }
  return service
}
