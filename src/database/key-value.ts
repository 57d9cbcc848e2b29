import { Database } from './database.ts'
import { json } from './json.ts'
import type { Change, CompactOptions, DatabaseDiagnostics, DatabaseOptions, Item, PutOptions, ReadOptions, WatchOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog, SharedLogs } from '../replication/index.ts'

/**
 * Keys and their values, which several peers write: of two values for one key the one counts that comes last in the order of the log,
 * for all of them.
 *
 * @example
 *
 * ```ts
 * const users = await KeyValue.open<{ name: string }>(node.services.logs, 'users')
 *
 * await users.put('ada', { name: 'Ada' })
 * await users.get('ada') // { name: 'Ada' }
 * ```
 */
export class KeyValue<T> {
  readonly #database: Database<T>

  /** It is the log of this name: all who open it so share it. Takes the options of the log, too */
  static async open<T> (logs: SharedLogs, name: string, { codec = json, ...options }: DatabaseOptions<T> = {}): Promise<KeyValue<T>> {
    return new KeyValue(await Database.open(logs, name, { codec }, options))
  }

  private constructor (database: Database<T>) {
    this.#database = database
  }

  /** What lies below: who keeps it, whether they are in sync */
  get log (): SharedLog {
    return this.#database.log
  }

  /** Keys that have a value here */
  get size (): number {
    return this.#database.size
  }

  /** Resolves when it is stored, or as `ack` says; `get` tells it from then on */
  async put (key: string, value: T, options: PutOptions = {}): Promise<Entry> {
    return this.#database.put(key, value, options)
  }

  async delete (key: string, options: PutOptions = {}): Promise<Entry> {
    return this.#database.delete(key, options)
  }

  async get (key: string, options: ReadOptions = {}): Promise<T | undefined> {
    return this.#database.get(key, options)
  }

  /** All of them, in no order: what is kept here, then what others keep. What changes meanwhile comes as it was, or as it is */
  entries (options: ReadOptions = {}): AsyncGenerator<Item<T>> {
    return this.#database.items(() => undefined, options)
  }

  /** What changes from now on; ends when the database is closed */
  watch (options: WatchOptions = {}): AsyncGenerator<Change<T>> {
    return this.#database.watch(options)
  }

  /** Lets go of versions that others have replaced, here. See docs/write-a-database.md before */
  async compact (options: CompactOptions): Promise<number> {
    return this.#database.compact(options)
  }

  diagnostics (): DatabaseDiagnostics {
    return this.#database.diagnostics()
  }

  async close (): Promise<void> {
    await this.#database.close()
  }
}
