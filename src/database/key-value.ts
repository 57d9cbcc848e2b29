import { checkOptions } from '../runtime/options.ts'
import { Database } from './database.ts'
import { json } from './json.ts'
import { READ } from './options.ts'
import type { DatabaseOptions, Item, PutOptions, ReadOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLogs } from '../replication/index.ts'

/**
 * Keys and their values, which several peers write: of two values for one key the one counts that comes last in the
 * order of the log, for all of them.
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
  /** It is the log of this name: all who open it so share it. Takes the options of the log, too */
  static async open<T> (
    logs: SharedLogs, name: string, { codec = json, ...options }: DatabaseOptions<T> = {}
  ): Promise<KeyValue<T>> {
    return Database.opened(logs, name, { codec }, options, opened => new KeyValue(opened))
  }

  /** Resolves when it is stored, or as `ack` says; `get` tells it from then on */
  async put (key: string, value: T, options: PutOptions = {}): Promise<Entry> {
    return this.set(key, value, options)
  }

  /**
   * All of them, in no order: what is kept here, then what others keep. What changes meanwhile comes as it was, or as
   * it is
   */
  entries (options: ReadOptions = {}): AsyncGenerator<Item<T>> {
    checkOptions('entries()', options, READ)
    return this.items(() => undefined, options)
  }
}
