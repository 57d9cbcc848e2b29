import { cp } from 'node:fs/promises'
import { Worker } from '../workers.ts'
import type { Dialled, Filled } from './worker.ts'
import type { Place, Workspace } from '../log/workspace.ts'

/** Milliseconds that a step of a round may take */
export const DEADLINE = 120_000

/**
 * Two processes with a node each, which stay while the nodes in them are made anew
 */
export class Pair {
  readonly a: Worker
  readonly b: Worker
  readonly #workspace: Workspace
  #address = ''

  constructor (workspace: Workspace) {
    const script = new URL('./worker.ts', import.meta.url)
    this.a = new Worker(script)
    this.b = new Worker(script)
    this.#workspace = workspace
  }

  /** The log that a node starts from, when it does not start from nothing */
  async template (count: number): Promise<Place> {
    const place = this.#workspace.place()
    await this.a.call('build', { place, count }, DEADLINE)

    return place
  }

  /** New nodes that do not know each other: on copies of these, or on nothing */
  async with <T> (templates: { a?: Place, b?: Place }, use: () => Promise<T>): Promise<T> {
    return this.#workspace.with(async a => this.#workspace.with(async b => {
      await Promise.all([copy(templates.a, a), copy(templates.b, b)])
      await this.start(a, b)

      try {
        return await use()
      } finally {
        // a process that has ended is said by what was asked of it
        await this.stopNodes().catch(() => {})
      }
    }))
  }

  /** New nodes on these very places */
  async start (a: Place, b: Place, isCounted = false): Promise<void> {
    [this.#address] = await Promise.all([
      this.a.call<string>('start', { dir: a.dir, isCounted }, DEADLINE),
      this.b.call<string>('start', { dir: b.dir, isCounted }, DEADLINE)
    ])
  }

  /** From the second to the first */
  async dial (): Promise<Dialled> {
    return this.b.call('dial', { address: this.#address })
  }

  /** When the second one has stored so many */
  async filled (length: number): Promise<number> {
    return (await this.b.call<Filled>('filled', { length }, DEADLINE)).at
  }

  /** Connected, and both know the other as a replicator that has the same */
  async meet (): Promise<void> {
    await this.dial()
    await Promise.all([this.a.call('joined'), this.b.call('joined')])
    await Promise.all([this.a.call('equal'), this.b.call('equal')])
  }

  async stopNodes (): Promise<void> {
    await Promise.all([this.a.call('stop'), this.b.call('stop')])
  }

  async stop (): Promise<void> {
    await Promise.all([this.a.stop(), this.b.stop()])
  }
}

async function copy (from: Place | undefined, to: Place): Promise<void> {
  if (from != null) {
    await cp(from.dir, to.dir, { recursive: true })
  }
}
