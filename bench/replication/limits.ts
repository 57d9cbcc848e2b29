import { Line } from '../pubsub/line.ts'
import { Worker } from '../workers.ts'
import { DEADLINE } from './pair.ts'
import type { Workspace } from '../log/workspace.ts'

/** Bytes of an entry with its proof in a message. Measured */
const SENT_BYTES = 478

/** Entries that are joined at once */
const PIECE = 500

export const RAW_STREAM = 'raw stream'

/**
 * The same entries without a network, and the same bytes without a log
 */
export class Limits {
  readonly #workspace: Workspace
  readonly #log = new Worker(new URL('../log/log-worker.ts', import.meta.url))
  readonly #line = new Line('limit')
  #isStarted = false

  constructor (workspace: Workspace) {
    this.#workspace = workspace
  }

  /** Entries that `join` takes */
  async make (count: number, signed: 'together' | 'alone'): Promise<void> {
    await this.#workspace.with(async place => this.#log.call('make', { place, count, signed }, DEADLINE))
  }

  /** Milliseconds to verify and store them */
  async join (count: number): Promise<number> {
    return this.#took(count, 'join', { piece: PIECE })
  }

  /** Milliseconds to append so many */
  async append (count: number, underWay: number): Promise<number> {
    return this.#took(count, 'append', { underWay })
  }

  /** Milliseconds that their bytes take on a bare libp2p stream between two processes */
  async send (count: number): Promise<number> {
    if (!this.#isStarted) {
      await this.#line.start(1)
      this.#isStarted = true
    }

    const { rate } = await this.#line.round({ size: SENT_BYTES, ms: DEADLINE, max: count, gather: true, idle: 3_000 })
    return count / rate * 1_000
  }

  async stop (): Promise<void> {
    await Promise.all([this.#log.stop(), this.#line.stop()])
  }

  async #took (count: number, method: string, params: object): Promise<number> {
    const rate = await this.#workspace.with(async place => this.#log.call<number>(method, { place, count, ...params }, DEADLINE))
    return count / rate * 1_000
  }
}
