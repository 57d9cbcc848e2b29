/**
 * @packageDocumentation
 *
 * Databases that several peers share, on shared logs: keys with values, and documents with indexes.
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

import '../runtime/supported-node.ts'
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

/** Options of a database, beside those of the log */
export interface DatabaseOptions<T> extends OpenOptions {
  /**
   * How values are written as bytes
   *
   * @default json
   */
  codec?: Codec<T>
}

/** Of a field: the values by which documents are found. Where the compiler knows nothing of it, all of them */
type Findable<V> = unknown extends V ? FieldValue : Extract<V, FieldValue>

/** The fields of a document that always hold a string */
export type KeyField<T> = {
  [Name in keyof T & string]-?: unknown extends T[Name] ? Name : T[Name] extends string ? Name : never
}[keyof T & string]

/** The fields of a document by whose values it is found */
export type IndexField<T> = {
  [Name in keyof T & string]-?: [Findable<T[Name]>] extends [never] ? never : Name
}[keyof T & string]

/** Documents without an `id` name another field for it. Of those of which nothing is known, nothing is demanded */
export type OpenArguments<T extends object> = [keyof T] extends [never]
  ? [options?: DocumentsOptions<T>]
  : 'id' extends KeyField<T>
    ? [options?: DocumentsOptions<T>]
    : [options: DocumentsOptions<T> & { id: KeyField<T> }]

export interface DocumentsOptions<T extends object> extends DatabaseOptions<T> {
  /**
   * The field that holds the id of a document
   *
   * @default 'id'
   */
  id?: KeyField<T>
  /**
   * Fields by which a query finds documents without reading the others. If they change, the database builds the index
   * again, once
   */
  indexes?: Array<IndexField<T>>
}

/** `ack`, `replicas` and `signal`, as for the log */
export type PutOptions = Omit<AppendOptions, 'group' | 'request'>

export interface ReadOptions extends AbortOptions {
  /**
   * Whether to read only what is on this node. Otherwise the database asks the replicators for the part that this node
   * does not keep. If too few of them answer, the read throws a NoReplicatorError
   *
   * @default false
   */
  local?: boolean
}

export interface QueryOptions<T extends object> extends ReadOptions {
  /** Fields, and the value that each field has to have. Nothing has a field that is to be `undefined` */
  where?: { [Name in keyof T]?: Findable<T[Name]> }
}

/** A key that has a value, and the entry that set it */
export interface Item<T> {
  key: string
  value: T
  entry: Entry
}

/** A change of a key. Without a value: the key was deleted */
export interface Change<T> {
  key: string
  value?: T
  entry: Entry
}

export interface WatchOptions extends AbortOptions {
  /**
   * 'start' reports what there is first; 'now' reports only changes from now on
   *
   * @default 'now'
   */
  from?: 'now' | 'start'
  /**
   * A watch with a name continues where it was, also after a restart: with the first change that was not acknowledged.
   * Asking for the next change acknowledges the one before. `from` counts the first time
   */
  name?: string
}

export interface CompactOptions extends AbortOptions {
  /**
   * Milliseconds for which another version has to have replaced a version before it is removed. All peers that keep the
   * database should use the same number
   */
  age: number
}

export interface DatabaseDiagnostics {
  /** Keys that have a value on this node */
  keys: number
  /** All entries of the log with an arrival number below this are in the table */
  next: number
  /** What was skipped, or failed, by reason */
  skipped: Record<string, number>
}
