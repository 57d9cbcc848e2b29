import * as libp2pErrors from '@libp2p/interface'
import { isPeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import * as databaseErrors from '../database/errors.ts'
import { decodeContent } from '../log/core/entry.ts'
import { EntryId } from '../log/entry-id.ts'
import * as logErrors from '../log/errors.ts'
import { LogEntry } from '../log/log-entry.ts'
import * as pubsubErrors from '../pubsub/errors.ts'
import * as replicationErrors from '../replication/errors.ts'
import * as runtimeErrors from '../runtime/errors.ts'
import * as sessionErrors from '../session/errors.ts'
import * as transferErrors from '../transfer/errors.ts'
import * as tabsErrors from './errors.ts'
import type { Reign } from './core/election.ts'
import type { Entry } from '../log/index.ts'

/**
 * What tabs say to each other: structured clones. Each tab reads its own channel, and one that all read.
 *
 * | message  | from, to      | says                                                                          |
 * |----------|---------------|-------------------------------------------------------------------------------|
 * | announce | leader, all   | a tab leads from now on; `isReady`: it has a node                             |
 * | resign   | leader, all   | and does not any more                                                         |
 * | ping     | tab, leader   | are you there?                                                                |
 * | pong     | leader, tab   | yes; `isReady`: with a node                                                   |
 * | hello    | tab, leader   | what the tab has open, and asks for: once a reign                             |
 * | call     | tab, leader   | one thing more that it asks for                                               |
 * | cancel   | tab, leader   | it is not waited for any more                                                 |
 * | ack      | tab, leader   | so many bytes of events were dealt with                                       |
 * | bye      | tab, leader   | the tab goes                                                                  |
 * | answer   | leader, tab   | what became of a call; `end`: the log had so many arrivals by then            |
 * | events   | leader, tab   | what happened                                                                 |
 */
export type ToAll = { reign: Reign } & (
  | { type: 'announce', isReady: boolean }
  | { type: 'resign' }
)

export type ToLeader = { from: string, reign: Reign } & (
  | { type: 'ping' }
  | { type: 'hello', logs: OpenLog[], protocols: string[], calls: Call[] }
  | { type: 'call', call: Call }
  | { type: 'cancel', number: number }
  | { type: 'ack', bytes: number }
  | { type: 'bye' }
)

export type ToTab = { reign: Reign } & (
  | { type: 'pong', isReady: boolean }
  | { type: 'answer', number: number, value?: unknown, error?: WireError, end?: number }
  | { type: 'events', events: TabEvent[], bytes: number }
)

/** An entry as it goes from tab to tab */
export interface WireEntry {
  id: Uint8Array
  bytes: Uint8Array
  proof: Uint8Array
  request?: Uint8Array
}

/** Some items of a walk at the leader */
export interface Page {
  items: any[]
  isDone: boolean
}

export interface OpenLog {
  id: string
  options: unknown
  /** Options that are functions, which cannot cross: the leader has to have its own */
  functions: string[]
}

export interface Call {
  number: number
  /** Whose method it is: of all logs, of one, of the sessions, of the walks of this tab; of the program; its stream */
  of: 'logs' | 'sessions' | 'walks' | 'method' | 'stream' | { log: string }
  method: string
  args: unknown[]
  /** An earlier leader may have done it */
  isRepeat: boolean
  /** For an append: no entry of it came before this arrival */
  since?: number
}

/** What is known of a log without asking */
export interface LogSnapshot {
  length: number
  nextArrival: number
  coverage: number
  replicators: unknown
  synced: unknown
  diagnostics: unknown
}

export type TabEvent =
  | { type: 'add', log: string, arrival: number, entry: WireEntry, length: number }
  | { type: 'remove', log: string, entry: WireEntry, length: number }
  /** There is more, which the tab has to read by itself */
  | { type: 'behind', log: string, end: number }
  | { type: 'log', log: string, name: string, detail: unknown }
  | { type: 'snapshot', log: string, snapshot: LogSnapshot }
  | { type: 'closed', log: string }
  | { type: 'session', name: string, detail: unknown }
  | { type: 'message', protocol: string, detail: unknown }
  | { type: 'sessions', diagnostics: unknown }
  /** So many messages were not told, as the tab had left too much unread */
  | { type: 'lost', count: number }

export interface WireError {
  name: string
  message: string
  cause?: WireError
  props: Record<string, unknown>
}

/** Everything that is thrown by name, so that it is an instance of its class in each tab */
const CLASSES = new Map(
  [libp2pErrors, runtimeErrors, logErrors, pubsubErrors, replicationErrors, databaseErrors, sessionErrors,
    transferErrors, tabsErrors]
    .flatMap(errors => Object.values(errors) as unknown[])
    .filter((one): one is new () => Error => typeof one === 'function' && one.prototype instanceof Error)
    .map(one => [one.name, one])
)

/** What crosses by a form of its own is in an object with this field */
const FORM = '$form'

/** `where`: what an error calls it. Bytes are copied. Throws a CannotCrossError */
export function toWire (value: any, where: string): any {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw new tabsErrors.CannotCrossError(`${where} has a ${typeof value} in it, which cannot go from tab to tab`)
  }
  if (typeof value !== 'object' || value === null) {
    return value
  }
  if (value instanceof Uint8Array) {
    // not its slice: that of a Buffer is no copy
    return new Uint8Array(value)
  }
  if (isCloned(value)) {
    return value
  }
  if (Array.isArray(value)) {
    return value.map(one => toWire(one, where))
  }
  if (isPeerId(value)) {
    return { [FORM]: 'peer', value: value.toString() }
  }
  if (value instanceof EntryId) {
    return { [FORM]: 'id', value: value.bytes }
  }
  if (value instanceof Error) {
    return { [FORM]: 'error', value: errorToWire(value) }
  }
  if (isEntry(value)) {
    return { [FORM]: 'entry', value: entryToWire(value) }
  }

  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toWire(one, where)]))
}

export function fromWire (value: any): any {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || isCloned(value)) {
    return value
  }
  if (Array.isArray(value)) {
    return value.map(fromWire)
  }

  switch (value[FORM]) {
    case 'peer':
      return peerIdFromString(value.value)
    case 'id':
      return new EntryId(value.value)
    case 'error':
      return errorFromWire(value.value)
    case 'entry':
      return entryFromWire(value.value)
    default:
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fromWire(one)]))
  }
}

export function errorToWire (err: any): WireError {
  const { name = 'Error', message = String(err), cause, stack: _, ...props } = Object.assign({}, err, {
    name: err?.name, message: err?.message, cause: err?.cause
  })
  return {
    name,
    message,
    cause: cause instanceof Error ? errorToWire(cause) : undefined,
    props: Object.fromEntries(Object.entries(props).flatMap(([prop, value]) => {
      try {
        return [[prop, toWire(value, prop)]]
      } catch {
        // the error says what is to be known, also without it
        return []
      }
    }))
  }
}

export function errorFromWire ({ name, message, cause, props }: WireError): Error {
  const err = new Error(message, cause == null ? {} : { cause: errorFromWire(cause) })
  Object.setPrototypeOf(err, (CLASSES.get(name) ?? Error).prototype)
  return Object.assign(err, fromWire(props), { name })
}

/** The leader has verified it */
export function entryToWire ({ id, bytes, proof, request }: Entry): WireEntry {
  return { id: id.bytes, bytes, proof, request }
}

export function entryFromWire ({ id, bytes, proof, request }: WireEntry): Entry {
  return new LogEntry({ ...decodeContent(bytes), id, bytes, request, at: 0, proofs: { proofOf: () => proof.slice() } })
}

/** Bytes that a value has in it, and something for the rest of it */
export function sizeOf (value: any): number {
  if (value instanceof Uint8Array) {
    return value.byteLength
  }
  if (typeof value === 'string') {
    return 2 * value.length
  }
  if (typeof value !== 'object' || value === null) {
    return 8
  }
  return Object.values(value).reduce<number>((sum, one) => sum + sizeOf(one), 16)
}

/** Browsers copy these by themselves; of a blob, or a file, only where it lies */
function isCloned (value: object): boolean {
  return value instanceof Blob || value instanceof Date
}

function isEntry (value: Partial<Entry>): value is Entry {
  return value.id instanceof EntryId && value.bytes instanceof Uint8Array && value.proof instanceof Uint8Array
}
