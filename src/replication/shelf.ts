import { Key } from 'interface-datastore'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { LogClosedError } from '../log/errors.ts'
import { baseOf } from '../log/store.ts'
import { untilAborted } from '../runtime/aborted.ts'
import { encodeString } from '../runtime/codec.ts'
import { StoreFailedError } from '../runtime/errors.ts'
import { within } from '../runtime/within.ts'
import { DISK_DEADLINE } from '../storage/disk.ts'
import type { Shelf as ShelfFace } from './index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/**
 * What programs have put beside a log.
 */
export class Shelves {
  readonly #datastore: Datastore
  readonly #logId: string
  readonly #clock: Clock
  readonly #shelves = new Map<string, Shelf>()

  constructor (datastore: Datastore, logId: string, clock: Clock) {
    this.#datastore = datastore
    this.#logId = logId
    this.#clock = clock
  }

  has (program: string): boolean {
    return this.#shelves.has(program)
  }

  of (program: string): Shelf {
    const shelf = this.#shelves.get(program) ??
      new Shelf(this.#datastore, this.#logId, program, this.#clock)
    this.#shelves.set(program, shelf)
    return shelf
  }

  async close (): Promise<void> {
    await Promise.all([...this.#shelves.values()].map(async shelf => shelf.close()))
  }
}

/**
 * A place in the datastore of a log for what a program made of it. It lies where the log does, so that dropping that
 * deletes both.
 */
export class Shelf implements ShelfFace {
  readonly #datastore: Datastore
  readonly #logId: string
  readonly #base: string
  readonly #clock: Clock
  readonly #writing = new Set<Promise<void>>()
  #isClosed = false

  constructor (datastore: Datastore, logId: string, program: string, clock: Clock) {
    this.#datastore = datastore
    this.#clock = clock
    this.#logId = logId
    this.#base = `${baseOf(logId)}/shelf/${toString(encodeString(program), 'base64url')}/`
  }

  async * read ({ signal }: AbortOptions = {}): AsyncGenerator<{ name: Uint8Array, value: Uint8Array }> {
    for await (const { key, value } of untilAborted(this.#datastore.query({ prefix: this.#base }), signal)) {
      yield { name: fromString(key.toString().slice(this.#base.length), 'base64url'), value }
    }
  }

  async write (changes: Array<{ name: Uint8Array, value?: Uint8Array }>): Promise<void> {
    if (this.#isClosed) {
      throw new LogClosedError(`The log '${this.#logId}' is not open any more: open it again`)
    }

    const batch = this.#datastore.batch()

    for (const { name, value } of changes) {
      const key = new Key(`${this.#base}${toString(name, 'base64url')}`, false)

      if (value == null) {
        batch.delete(key)
      } else {
        batch.put(key, value)
      }
    }

    const writing = this.#inTime(Promise.resolve(batch.commit())).finally(() => { this.#writing.delete(writing) })
    this.#writing.add(writing)
    await writing
  }

  /** As the log does it: a disk that hangs is waited for no longer, so that the log can be closed */
  async #inTime (committed: Promise<void>): Promise<void> {
    const err = await within(this.#clock, DISK_DEADLINE, committed.then(() => undefined), () => new StoreFailedError(
      `The datastore took longer than ${DISK_DEADLINE} ms: close the log '${this.#logId}', and open it again`
    ))

    if (err != null) {
      throw err
    }
  }

  /** What is being written is written: who drops the log deletes it, too */
  async close (): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#writing)
  }
}
