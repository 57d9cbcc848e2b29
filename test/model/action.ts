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
  /** Crash and start; 'unnoticed': its neighbours meet the new life before they miss the old one */
  | { type: 'restart', peer: Key, epoch: 'newer' | 'older', unnoticed: boolean }

export type Fault = 'break' | 'cut' | 'again' | 'newer' | 'older' | 'unnoticed'

/** What is explored: who there is, and how often at most what happens */
export interface Setup {
  peers: Array<{ key: Key, isRelay: boolean }>
  wires: Array<[Key, Key]>
  topics: string[]
  users: Record<Key, Partial<Record<UserAction, number>>>
  faults?: Partial<Record<Fault, number>>
  /** Whether all have greeted each other before it begins */
  met: boolean
  /** Milliseconds between subscribe() and its announcement: by default the end of the tick */
  debounce?: number
  mutate? (core: PubsubCore): void
}

export function describe (action: Action): string {
  switch (action.type) {
    case 'deliver':
      return `${action.from} -> ${action.to}${action.again ? ' (comes again)' : ''}`
    case 'break':
    case 'cut':
    case 'mend':
      return `${action.type} wire ${action.wire}`
    case 'wake':
      return `wake ${action.peer}`
    case 'restart':
      return `restart ${action.peer}, ${action.epoch} epoch${action.unnoticed ? ', unnoticed' : ''}`
    case 'subscribe':
    case 'unsubscribe':
    case 'abort':
    case 'request':
      return `${action.peer} ${action.type} ${action.topic}`
  }
}
