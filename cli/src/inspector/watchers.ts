import { viewOf } from './core/view.ts'
import { Watch } from './watch.ts'
import type { Source } from './watch.ts'
import type { ServerResponse } from 'node:http'

export interface WatchersInit {
  source: Source
  /**
   * For tests: milliseconds between two looks at the node
   *
   * @default 500
   */
  period?: number
  /**
   * For tests: milliseconds that a page may take in nothing, while something waits for it
   *
   * @default 30000
   */
  patience?: number
}

/** A person sees no more. A guess */
const PERIOD = 500

/** Pages that are open at once. A guess: each costs a connection and two writes a second */
const MAX_WATCHERS = 8

/** A guess */
const PATIENCE = 30_000

/** Milliseconds after which a page that lost the node asks again */
const RETRY = 1_000

interface Watcher {
  response: ServerResponse
  /** Since when it has taken in nothing; a snapshot that it cannot take is left out */
  blockedAt?: number
}

/** A look at the node: when it began, whether it has come to its end, and what it saw */
interface Look {
  at: number
  isOver: boolean
  snapshot: Promise<string>
}

/**
 * Those who look at the page. One look at the node serves them all, and nobody looks while there are none
 */
export class Watchers {
  readonly #source: Source
  readonly #period: number
  readonly #patience: number
  readonly #watchers = new Set<Watcher>()
  #watch?: Promise<Watch>
  #timer?: NodeJS.Timeout
  #last?: Look

  constructor ({ source, period = PERIOD, patience = PATIENCE }: WatchersInit) {
    this.#source = source
    this.#period = period
    this.#patience = patience
  }

  /** What the page shows now, as JSON: made at most once a period, however many ask */
  async snapshot (): Promise<string> {
    const now = performance.now()

    if (this.#last == null || (this.#last.isOver && now - this.#last.at >= this.#period)) {
      const last: Look = this.#last = { at: now, isOver: false, snapshot: this.#look() }
      last.snapshot.then(() => { last.isOver = true }, () => {
        // whoever asks next tries again
        this.#last === last && (this.#last = undefined)
      })
    }

    return this.#last.snapshot
  }

  /** Sends snapshots until the page is gone. False: there are too many already */
  async add (response: ServerResponse): Promise<boolean> {
    if (this.#watchers.size >= MAX_WATCHERS) {
      return false
    }

    const watcher: Watcher = { response }
    this.#watchers.add(watcher)
    response.once('close', () => { this.#remove(watcher) })
    response.on('drain', () => { watcher.blockedAt = undefined })
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.write(`retry: ${RETRY}\n\n`)
    this.#watch ??= Watch.open(this.#source)
    // the first look tells
    this.#watch.catch(() => {})
    await this.#tell([watcher])
    return true
  }

  close (): void {
    this.#watchers.forEach(watcher => {
      watcher.response.destroy()
      this.#remove(watcher)
    })
  }

  #remove (watcher: Watcher): void {
    if (this.#watchers.delete(watcher) && this.#watchers.size === 0) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      // one that could not be opened has nothing to close
      this.#watch?.then(watch => { watch.close() }, () => {})
      this.#watch = undefined
    }
  }

  async #look (): Promise<string> {
    if (this.#watch != null) {
      return JSON.stringify(viewOf((await this.#watch).look()))
    }

    const watch = await Watch.open(this.#source)

    try {
      return JSON.stringify(viewOf(watch.look()))
    } finally {
      watch.close()
    }
  }

  /** Each of these gets a snapshot now, and all of them the next one */
  async #tell (watchers: Iterable<Watcher>): Promise<void> {
    try {
      const snapshot = await this.snapshot()

      for (const watcher of watchers) {
        // it may have gone meanwhile
        this.#watchers.has(watcher) && this.#send(watcher, snapshot)
      }
    } catch {
      // the log is being closed, or could not be read: pages ask again, and are told
      this.close()
    }

    if (this.#watchers.size > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        void this.#tell(this.#watchers)
      }, this.#period)
    }
  }

  /** A page that is slow gets fewer snapshots, and holds one at most */
  #send (watcher: Watcher, snapshot: string): void {
    const now = performance.now()

    if (watcher.blockedAt == null) {
      if (!watcher.response.write(`data: ${snapshot}\n\n`)) {
        watcher.blockedAt = now
      }
    } else if (now - watcher.blockedAt > this.#patience) {
      watcher.response.destroy()
    }
  }
}
