import { handleOf } from '../replication/handle.ts'
import { checkOpenOptions, expectSame } from '../replication/options.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { plainOptions, RemoteLog } from './remote-log.ts'
import type { Client } from './client.ts'
import type { OpenLog, TabEvent } from './wire.ts'
import type { OpenOptions, SharedLog, SharedLogs } from '../replication/index.ts'
import type { Clock } from '../runtime/clock.ts'

export interface RemoteLogsInit {
  client: Client
  clock: Clock
  onListenerError (err: unknown): void
}

interface Known {
  log: RemoteLog
  options: OpenOptions
  count: number
}

/** Calls of open, close and drop for one log that may wait for each other */
const CAPACITY = 1024

/** Which logs this tab has open, and by how many of its parts: the leader hears of the first and of the last one */
export class RemoteLogs implements SharedLogs {
  readonly #init: RemoteLogsInit
  readonly #logs = new Map<string, Known>()
  readonly #lifecycle: Mailboxes

  constructor (init: RemoteLogsInit) {
    this.#init = init
    // an open that waits for a leader is not given up: whoever asked has a signal
    this.#lifecycle = new Mailboxes({
      name: 'logs of a tab', clock: init.clock, deadline: Infinity, capacity: CAPACITY
    })
  }

  /** What a new leader has to open for this tab */
  get openLogs (): OpenLog[] {
    return [...this.#logs].map(([id, { options }]) => ({ id, ...plainOptions({ ...options, ready: undefined }) }))
  }

  /** Options that only this tab can hand to a log */
  functionsOf (id: string): Partial<OpenOptions> {
    const options = this.#logs.get(id)?.options ?? {}
    return Object.fromEntries(Object.entries(options).filter(([, value]) => typeof value === 'function'))
  }

  /** The profile is started and stopped, not its logs */
  start (): void {}

  stop (): void {}

  async open (id: string, options: OpenOptions = {}): Promise<SharedLog> {
    checkOpenOptions(options)
    const { signal, ...kept } = options

    return this.#lifecycle.turn(id, async () => {
      const known = this.#logs.get(id)

      if (known != null) {
        signal?.throwIfAborted()
        expectSame(id, options, known.options)
        known.count++
        return handleOf(known)
      }

      const { client, onListenerError } = this.#init
      const { value: snapshot } = await client.call('logs', 'open', [{ id, ...plainOptions(kept) }], { signal })
        .catch(err => {
          // the leader may have opened it by now
          signal?.aborted === true && client.call('logs', 'close', [id]).catch(() => {})
          throw err
        })
      const log: RemoteLog = new RemoteLog({
        id,
        client,
        snapshot,
        onListenerError,
        close: async () => this.#close(id, log),
        drop: async () => this.#drop(id, log)
      })
      const opened: Known = { log, options: kept, count: 1 }
      this.#logs.set(id, opened)
      return handleOf(opened)
    }, options)
  }

  onEvent (event: Extract<TabEvent, { log: string }>): void {
    const known = this.#logs.get(event.log)

    if (event.type === 'closed') {
      this.#logs.delete(event.log)
    }
    known?.log.onEvent(event)
  }

  /** Databases write their last, and nothing is open any more */
  async closing (): Promise<void> {
    await Promise.all([...this.#logs.values()].map(async ({ log }) => log.closing()))
  }

  end (): void {
    this.#logs.forEach(({ log }) => { log.end() })
    this.#logs.clear()
  }

  async #close (id: string, log: RemoteLog): Promise<void> {
    await this.#lifecycle.turn(id, async () => {
      const known = this.#logs.get(id)

      if (known?.log === log && --known.count === 0) {
        this.#logs.delete(id)
        await this.#init.client.call('logs', 'close', [id])
        log.end()
      }
    })
  }

  async #drop (id: string, log: RemoteLog): Promise<void> {
    await this.#lifecycle.turn(id, async () => {
      if (this.#logs.get(id)?.log === log) {
        await this.#init.client.call({ log: id }, 'drop', [])
        this.#logs.delete(id)
        log.end()
      }
    })
  }
}
