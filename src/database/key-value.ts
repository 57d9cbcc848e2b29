import { checkOptions } from '../runtime/options.ts'
import { Database } from './database.ts'
import { json } from './json.ts'
import { READ } from './options.ts'
import type { DatabaseOptions, Item, PutOptions, ReadOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLogs } from '../replication/index.ts'

/**
 * Keys and their values, which several peers write: of two values for one key, all peers take the one that comes last
 * in the order of the log.
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
export class KeyValue<T> extends Database<T> {
  /** Opens the keys on the log of this name: all nodes that open it so share it. Takes the options of the log, too */
  static async open<T> (
    logs: SharedLogs, name: string, { codec = json, ...options }: DatabaseOptions<T> = {}
  ): Promise<KeyValue<T>> {
    return Database.opened(logs, name, { codec }, options, opened => new KeyValue(opened))
  }

  /** Resolves when the value is stored, or as `ack` says; `get` returns it from then on */
  async put (key: string, value: T, options: PutOptions = {}): Promise<Entry> {
    return this.set(key, value, options)
  }

  /**
   * All keys with their values, in no order: first those that this node keeps, then those that others keep. A key that
   * changes meanwhile comes with its old value, or with its new one
   */
  entries (options: ReadOptions = {}): AsyncGenerator<Item<T>> {
    checkOptions('entries()', options, READ)
    return this.items(() => undefined, options)
  }
}
