import { InvalidParametersError, NotStartedError, serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import { checkLogId } from '../log/log.ts'
import { Signer } from '../pubsub/envelope.ts'
import { systemClock } from '../runtime/clock.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { handleOf } from './handle.ts'
import { checkInit, checkOpenOptions, expectSame } from './options.ts'
import { directSubPort } from './ports/direct-sub.ts'
import { GossipSubPort } from './ports/gossipsub.ts'
import { largePort } from './ports/large.ts'
import { sealedPort } from './ports/sealed.ts'
import { SharedLog } from './shared-log.ts'
import { Traffic } from './traffic.ts'
import type {
  OpenOptions, SharedLog as SharedLogFace, SharedLogsComponents, SharedLogsInit, SharedLogs as SharedLogsFace
} from './index.ts'
import type { Port } from './port.ts'
import type { GossipSub } from './ports/gossipsub.ts'
import type { DirectSub } from '../pubsub/index.ts'
import type { Sessions } from '../session/index.ts'
import type { Transfers } from '../transfer/index.ts'
import type { Startable } from '@libp2p/interface'

/** What may be registered that a log makes use of */
type Service = DirectSub & GossipSub & Pick<Sessions, 'rekey'> & Pick<Transfers, 'handle' | 'unhandle'>

/** Calls of open, close and drop for one log that may wait for each other */
const LIFECYCLE_CAPACITY = 1024

/**
 * Which logs are open, and by how many. What is asked of one log happens in turns, so that the last call decides.
 */
export class SharedLogs implements SharedLogsFace, Startable {
  readonly [Symbol.toStringTag] = 'libp2p-sheaf/shared-logs'
  readonly [serviceCapabilities] = ['libp2p-sheaf/shared-logs']
  readonly [serviceDependencies] = ['@libp2p/pubsub']
  readonly #components: SharedLogsComponents
  readonly #init: SharedLogsInit
  readonly #logs = new Map<string, { log: SharedLog, options: OpenOptions, count: number }>()
  /** Those that are not in `#logs` yet */
  readonly #opening = new Set<string>()
  readonly #lifecycle: Mailboxes
  readonly #traffic = new Traffic()
  /** While it is started */
  #port?: Port

  constructor (components: SharedLogsComponents, init: SharedLogsInit) {
    checkInit(init)
    this.#components = components
    this.#init = init
    this.#lifecycle = new Mailboxes({
      name: 'log lifecycle', clock: this.#clock, deadline: limits.LIFECYCLE_DEADLINE, capacity: LIFECYCLE_CAPACITY
    })
    components.metrics != null && this.#traffic.registerLogs(components.metrics, () => {
      return [...this.#logs.values()].map(({ log }) => log).filter(({ status }) => status === 'open')
    })
  }

  isStarted (): boolean {
    return this.#port != null
  }

  async start (): Promise<void> {
    const port = this.#choosePort()
    await port.start?.()
    this.#port = port
  }

  /** While the connections are still there: so that the others hear that we go */
  async beforeStop (): Promise<void> {
    await this.stop()
  }

  async stop (): Promise<void> {
    const port = this.#port
    this.#port = undefined
    // behind those that are being opened: who waits for its turn finds us stopped
    await Promise.all([...new Set([...this.#logs.keys(), ...this.#opening])]
      .map(async id => this.#lifecycle.turn(id, async () => { await this.#end(id, log => log.end()) })))
    await port?.stop?.()
  }

  async open (id: string, options: OpenOptions = {}): Promise<SharedLogFace> {
    checkLogId(id)
    checkOpenOptions(options)
    const log = await this.#open(id, options)

    if (options.ready === 'synced') {
      try {
        await log.waitForSync(options.signal == null ? {} : { signal: options.signal })
      } catch (err) {
        await log.close()
        throw err
      }
    }

    return log
  }

  async #open (id: string, options: OpenOptions): Promise<SharedLogFace> {
    return this.#lifecycle.turn(id, async () => {
      const known = this.#logs.get(id)

      if (this.#port == null) {
        throw new NotStartedError('The logs are not started: start the libp2p node that they belong to')
      }
      if (known != null) {
        options.signal?.throwIfAborted()
        expectSame(id, options, known.options)
        known.count++
        return handleOf(known)
      }

      this.#opening.add(id)

      try {
        const log = await this.#make(id, options, options.confidential === true ? this.#sealedPort() : this.#port)
        const opened = { log, options, count: 1 }
        this.#logs.set(id, opened)
        return handleOf(opened)
      } finally {
        this.#opening.delete(id)
      }
    }, options)
  }

  async #make (id: string, options: OpenOptions, port: Port): Promise<SharedLog> {
    const { privateKey, datastore, logger } = this.#components
    const log = await SharedLog.open({
      id,
      options,
      clock: this.#clock,
      random: this.#init.random ?? systemRandom,
      port,
      privateKey,
      signer: new Signer(privateKey),
      datastore,
      logger,
      traffic: this.#traffic,
      logs: () => this.#logs.size,
      close: async () => this.#close(id, log),
      drop: async () => this.#drop(id, log)
    })

    if (options.signal?.aborted === true) {
      await log.end()
      throw options.signal.reason
    }

    return log
  }

  async #close (id: string, log: SharedLog): Promise<void> {
    await this.#lifecycle.turn(id, async () => {
      const known = this.#logs.get(id)

      if (known?.log === log && --known.count === 0) {
        await this.#end(id, log => log.end())
      }
    })
  }

  async #drop (id: string, log: SharedLog): Promise<void> {
    await this.#lifecycle.turn(id, async () => {
      if (this.#logs.get(id)?.log === log) {
        await this.#end(id, log => log.delete())
      }
    })
  }

  async #end (id: string, end: (log: SharedLog) => Promise<void>): Promise<void> {
    const known = this.#logs.get(id)
    this.#logs.delete(id)

    if (known != null) {
      await end(known.log)
    }
  }

  #sealedPort (): Port {
    const [pubsub, sessions] = [
      this.#find(this.#init.pubsub ?? 'pubsub'), this.#find(this.#init.sessions ?? 'sessions')
    ]

    if (!isFunction(pubsub?.requestSubscribers) || !isFunction(sessions?.rekey)) {
      throw new InvalidParametersError('A confidential log needs directSub() and sessions(): register both in services')
    }

    return this.#withLarge(sealedPort(pubsub as DirectSub, sessions as unknown as Sessions, this.#clock), true)
  }

  #choosePort (): Port {
    const { registrar, connectionManager, events, peerId, logger } = this.#components
    const name = this.#init.pubsub ?? 'pubsub'
    const pubsub = this.#find(name)

    if (isFunction(pubsub?.requestSubscribers)) {
      return this.#withLarge(directSubPort(pubsub as DirectSub, this.#clock), false)
    }
    if ([pubsub?.subscribe, pubsub?.unsubscribe, pubsub?.publish, pubsub?.getSubscribers].every(isFunction)) {
      return new GossipSubPort(pubsub as GossipSub, {
        components: { registrar, connectionManager, events },
        self: peerId,
        clock: this.#clock,
        random: this.#init.random ?? systemRandom,
        log: logger.forComponent('libp2p-sheaf:shared-logs:streams')
      })
    }

    throw new InvalidParametersError(`What is registered as '${name}' is neither DirectSub nor GossipSub: ` +
      "register directSub() or gossipsub() in services under it, or name another one: sharedLogs({ pubsub: 'name' })")
  }

  /** Entries that are too large for a message go as transfers, if those are registered */
  #withLarge (port: Port, confidential: boolean): Port {
    const transfers = this.#find(this.#init.transfers ?? 'transfers')

    if (!isFunction(transfers?.handle) || !isFunction(transfers?.unhandle)) {
      return port
    }

    return largePort(port, { transfers: transfers as unknown as Transfers, clock: this.#clock, confidential })
  }

  #find (name: string): Partial<Service> | undefined {
    try {
      return (this.#components as unknown as Record<string, Partial<Service> | undefined>)[name]
    } catch {
      // how libp2p says that nothing has this name
      return undefined
    }
  }

  get #clock (): NonNullable<SharedLogsInit['clock']> {
    return this.#init.clock ?? systemClock
  }
}

function isFunction (value: unknown): boolean {
  return typeof value === 'function'
}
