import type { PubsubCore } from '../../src/pubsub/core/pubsub.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

export type UserAction = 'subscribe' | 'unsubscribe' | 'abort' | 'request'

export type Action =
  | { type: UserAction, peer: Key, topic: string }
  | { type: 'wake', peer: Key }
  /** `again`: it stays on the wire, to arrive once more */
  | { type: 'deliver', from: Key, to: Key, again: boolean }
  /** The session breaks, the connection lives */
  | { type: 'break', wire: number }
  /** The connection goes, and comes back */
  | { type: 'cut', wire: number }
  | { type: 'mend', wire: number }
  /** One end hears that the connection is gone */
  | { type: 'notice', wire: number, peer: Key }
  /** Crash and start; 'unnoticed': its neighbours meet the new life before they miss the old one */
  | { type: 'restart', peer: Key, epoch: 'newer' | 'older', unnoticed: boolean }
  | { type: 'crash', peer: Key }
  | { type: 'start', peer: Key }
  /** A message begins its way, and takes one step of it. It may be overtaken by gossip, and overtake it */
  | { type: 'send', peer: Key, to: Key }
  | { type: 'carry', from: Key, to: Key }
  /** A message to `to` brought no ack by the way in use */
  | { type: 'fail', peer: Key, to: Key }

export type Fault = 'break' | 'cut' | 'again' | 'newer' | 'older' | 'unnoticed' | 'crash' | 'start' | 'fail'

/** What is explored: who there is, and how often at most what happens */
export interface Setup {
  peers: Array<{ key: Key, isRelay: boolean }>
  wires: Array<[Key, Key]>
  topics: string[]
  users: Record<Key, Partial<Record<UserAction, number>>>
  faults?: Partial<Record<Fault, number>>
  /** Peers that crash, by default all; wires that are cut, by default all; wires that are down when it begins */
  crashing?: Key[]
  cutting?: number[]
  down?: number[]
  /** One message each way, how often */
  sends?: Array<{ from: Key, to: Key }>
  /** Whether all have greeted each other before it begins */
  met: boolean
  /** Milliseconds between subscribe() and its announcement: by default the end of the tick */
  debounce?: number
  /** Relays do not look at the trace of a message: a bug on purpose, see mutants.ts */
  isTraceless?: boolean
  mutate? (core: PubsubCore, key: Key): void
}

export function describe (action: Action): string {
  switch (action.type) {
    case 'deliver':
      return `${action.from} -> ${action.to}${action.again ? ' (comes again)' : ''}`
    case 'carry':
      return `${action.from} => ${action.to}`
    case 'send':
    case 'fail':
      return `${action.peer} ${action.type}s to ${action.to}`
    case 'break':
    case 'cut':
    case 'mend':
      return `${action.type} wire ${action.wire}`
    case 'notice':
      return `${action.peer} notices wire ${action.wire}`
    case 'wake':
    case 'crash':
    case 'start':
      return `${action.type} ${action.peer}`
    case 'restart':
      return `restart ${action.peer}, ${action.epoch} epoch${action.unnoticed ? ', unnoticed' : ''}`
    case 'subscribe':
    case 'unsubscribe':
    case 'abort':
    case 'request':
      return `${action.peer} ${action.type} ${action.topic}`
  }
}
