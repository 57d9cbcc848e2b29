/**
 * @packageDocumentation
 *
 * Several tabs of one profile: one of them leads, and has the libp2p node and the store. All have the same logs,
 * databases and sessions. When the leader is closed, crashes or stands still, another tab leads within three seconds,
 * and what was asked for and not answered happens once.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { IDBDatastore } from 'datastore-idb'
 * import { directSub, sessions, sharedLogs } from 'libp2p-sheaf'
 * import { tabs } from 'libp2p-sheaf/tabs'
 *
 * const profile = await tabs({
 *   name: 'chat',
 *   openDatastore: async () => {
 *     const datastore = new IDBDatastore('chat')
 *     await datastore.open()
 *     return datastore
 *   },
 *   createNode: async ({ datastore }) => createLibp2p({
 *     datastore,
 *     services: { identify: identify(), pubsub: directSub(), sessions: sessions(), logs: sharedLogs() }
 *   })
 * })
 *
 * const log = await profile.logs.open('notes')
 * await log.append(new TextEncoder().encode('hello'))
 * ```
 */

import { toString } from 'uint8arrays/to-string'
import { systemClock } from '../runtime/clock.ts'
import { ANYTHING, checkOptions, FUNCTION, SIGNAL } from '../runtime/options.ts'
import { browserPorts } from './ports.ts'
import { Profile as ProfileShell } from './profile.ts'
import type { Channel, Locks, Ports } from './ports.ts'
import type { OpenOptions, SharedLogs } from '../replication/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Rule } from '../runtime/options.ts'
import type { Sessions } from '../session/index.ts'
import type { AbortOptions, Libp2p, TypedEventTarget } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export {
  CannotCrossError, FateUnknownError, LeaderChangedError, NoLocksError, NoMethodError, ProfileStoppedError,
  TooManyRequestsError
} from './errors.ts'
export type { Channel, Locks, Ports }

/** A datastore that can be closed, if it has to be */
export type Store = Datastore & { close? (): void | Promise<void> }

/** Options of a log that are functions: they cannot go from tab to tab, so each tab says them by itself */
export type LogFunctions = Pick<OpenOptions, 'canAppend' | 'canReplicate' | 'keep'>

export interface CreateNodeOptions {
  /** The store, for `createLibp2p`. Nothing is written to it once another tab leads */
  datastore: Datastore
  /** Aborts when this tab leads no more */
  signal: AbortSignal
}

/**
 * Something that the leading tab does for all tabs, with one argument. That, and what comes of it, are copied:
 * numbers, texts, bytes, peer ids, ids of entries, dates, blobs and files, and arrays and
 * objects of these. The signal aborts when nobody waits for it any more, or this tab leads no more
 */
export type Method = (arg: any, options: { signal: AbortSignal }) => unknown
export type Methods<M> = { [Name in keyof M]: Method }

type Arg<M> = M extends (arg: infer A, ...rest: any[]) => unknown ? A : undefined
type Answer<M> = M extends (...args: any[]) => infer A ? Awaited<A> : never
type Item<M> = Answer<M> extends AsyncIterable<infer I> ? I : never

export interface CallOptions extends AbortOptions {
  /**
   * Whether the next leader is asked again, if the one that was asked is gone without an answer: for what can happen
   * twice. Of a stream: whether it begins anew with each leader
   *
   * @default false
   */
  repeats?: boolean
}

export interface TabsInit<M extends Methods<M> = {}> extends AbortOptions {
  /** Names the profile: tabs of one origin that say the same share one node */
  name: string
  /** Opens the store that all tabs have in turns. Called in the tab that leads */
  openDatastore (): Store | Promise<Store>
  /**
   * Makes and starts the node. Called in the tab that leads. `services` of it that are called `logs` and `sessions` are
   * those of all tabs
   */
  createNode (options: CreateNodeOptions): Promise<Libp2p<any>>
  /**
   * What the leading tab does for all tabs beside logs and sessions, by names: `profile.call()` and `profile.stream()`
   * ask for it. Called for each node that was made; the signal aborts when this tab leads no more
   */
  methods? (node: Libp2p<any>, options: { signal: AbortSignal }): M
  /** By the id of a log: options of it that are functions */
  logs?: Record<string, LogFunctions>
  /** For tests: what tabs share */
  ports?: Ports
  /** For tests: where time comes from */
  clock?: Clock
}

export type ProfileState =
  /** No tab leads, or it is not known which one does. `problem`: why this one does not */
  | { status: 'electing', problem?: string }
  | { status: 'leading' }
  | { status: 'following', leader: string, problem?: string }
  | { status: 'stopped' }

export interface ProfileEvents {
  change: CustomEvent<ProfileState>
  /** Something failed that no call tells of: a node that could not be made, a listener or a handler that threw */
  problem: CustomEvent<{ error: unknown }>
  /** This tab left so much unread that so many events, messages of sessions among them, were not told to it */
  lost: CustomEvent<{ count: number }>
}

/** A profile, as one tab has it */
export interface Profile<M extends Methods<M> = {}> extends TypedEventTarget<ProfileEvents> {
  readonly state: ProfileState
  /** The logs of whoever leads, for this and for `KeyValue.open` and `Documents.open` */
  readonly logs: SharedLogs
  /** The sessions of whoever leads. What comes in is told in all tabs */
  readonly sessions: Sessions
  /** The node, in the tab that leads */
  readonly node: Libp2p<any> | undefined
  /**
   * Has the leading tab do what `methods` of tabs() names so. Waits for a leader; one is asked, once. Throws what the
   * method throws, and a FateUnknownError if the leader is gone without an answer
   */
  call<Name extends keyof M & string> (name: Name, arg: Arg<M[Name]>, options?: CallOptions): Promise<Answer<M[Name]>>
  /**
   * What a method yields that hands out an async iterable, one by one as they are asked for. Throws a
   * LeaderChangedError when another tab leads after the first one. The method should end when its signal aborts
   */
  stream<Name extends keyof M & string> (
    name: Name, arg: Arg<M[Name]>, options?: CallOptions
  ): AsyncGenerator<Item<M[Name]>>
  /** This tab leaves: if it leads, another one does next. Calls that wait are rejected with a ProfileStoppedError */
  stop (): Promise<void>
}

const NAME: Rule = [value => typeof value === 'string' && value !== '', 'a name']
const INIT: { [Option in keyof TabsInit]-?: [Rule] } = {
  name: [NAME],
  openDatastore: [FUNCTION],
  createNode: [FUNCTION],
  methods: [FUNCTION],
  logs: [[value => typeof value === 'object', 'an object of options by the ids of logs']],
  signal: [SIGNAL],
  ports: [ANYTHING],
  clock: [ANYTHING]
}

/** Joins the tabs of a profile. Resolves when one of them leads. Throws what `createNode` throws, if none does */
export async function tabs<M extends Methods<M> = {}> (init: TabsInit<M>): Promise<Profile<M>> {
  const { name = null, openDatastore = null, createNode = null } = init ?? {}
  checkOptions('tabs()', { ...init, name, openDatastore, createNode }, INIT)
  const tab = toString(crypto.getRandomValues(new Uint8Array(6)), 'base64url')
  const profile = new ProfileShell(init, tab, init.ports ?? browserPorts(), init.clock ?? systemClock)
  await profile.start(init)
  return profile
}
