/**
 * @packageDocumentation
 *
 * Databases that several peers share, on logs that they share: keys with values, and documents with indexes.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub, sharedLogs } from 'libp2p-sheaf'
 * import { KeyValue } from 'libp2p-sheaf/database'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: directSub(),
 *     logs: sharedLogs()
 *   }
 * })
 *
 * const users = await KeyValue.open<{ name: string }>(node.services.logs, 'users')
 *
 * await users.put('ada', { name: 'Ada' })
 *
 * for await (const { key, value } of users.watch({ from: 'start' })) {
 *   console.info(key, value?.name)
 * }
 * ```
 */

import type { FieldValue } from './core/indexes.ts'
import type { Codec } from './json.ts'
import type { Entry } from '../log/index.ts'
import type { AppendOptions, OpenOptions } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export { Documents } from './documents.ts'
export { KeyValue } from './key-value.ts'
export { json } from './json.ts'
export {
  DatabaseClosedError, DatabaseOpenError, InvalidDocumentError, InvalidKeyError, InvalidValueError, WatchOpenError
} from './errors.ts'
export type { Codec, FieldValue }

/** Beside those of the log */
export interface DatabaseOptions<T> extends OpenOptions {
  /**
   * How values are written
   *
   * @default json
   */
  codec?: Codec<T>
}

export interface DocumentsOptions<T extends object> extends DatabaseOptions<T> {
  /**
   * The field that says which document it is
   *
   * @default 'id'
   */
  id?: keyof T & string
  /**
   * Fields by which documents are found without reading the others. Other ones than before: the index is made again,
   * once
   */
  indexes?: Array<keyof T & string>
}

/** `ack`, `replicas` and `signal` as for the log */
export type PutOptions = Omit<AppendOptions, 'group' | 'request'>

export interface ReadOptions extends AbortOptions {
  /**
   * Only what is here: of a database of which this node does not keep all, what others keep is asked for otherwise.
   * Where none of them answers, that throws a NoReplicatorError
   *
   * @default false
   */
  local?: boolean
}

export interface QueryOptions<T extends object> extends ReadOptions {
  /** Fields, and the value that each has to have */
  where?: { [field in keyof T]?: FieldValue }
}

/** A key that has a value, and the entry that says so */
export interface Item<T> {
  key: string
  value: T
  entry: Entry
}

/** Without a value: the key was deleted */
export interface Change<T> {
  key: string
  value?: T
  entry: Entry
}

export interface WatchOptions extends AbortOptions {
  /**
   * 'start': with what there is, first
   *
   * @default 'now'
   */
  from?: 'now' | 'start'
  /**
   * One of a name goes on where it was, also after a restart: with the first change after which no other one was asked
   * for. `from` counts the first time
   */
  name?: string
}

export interface CompactOptions extends AbortOptions {
  /**
   * Milliseconds since another version took its place after which one goes. All who keep the database should say the
   * same
   */
  age: number
}

export interface DatabaseDiagnostics {
  /** Keys that have a value here */
  keys: number
  /** All that arrived in the log before this one is in the table */
  next: number
  /** What was passed over, or failed, by reason */
  skipped: Record<string, number>
}
