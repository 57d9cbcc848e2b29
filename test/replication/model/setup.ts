import type { Wiring } from './wiring.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** What may happen a few times, and what goes wrong */
export type Budget =
  /** A document arrives, and is still under way */
  | 'again'
  | 'drop'
  /** canReplicate throws, or a turn is over its deadline */
  | 'fail'
  /** canReplicate says no */
  | 'refuse'
  /** It leaves the topic, says so, and may come back */
  | 'off'
  /** It is lost, and may come back */
  | 'gone'
  | 'close'
  | 'crash'
  /** A write fails, which nobody hears of */
  | 'unwritten'

/** What is explored: who says what, and how often at most what happens */
export interface Setup {
  /** What each says, in this order */
  says: Record<Key, Document[]>
  /** Who is on the topic at first */
  on: Key[]
  /** What is stored of earlier lives */
  disk?: Record<Key, Document[]>
  /** Whether it begins when opening has ended */
  isOpen: boolean
  budget: Partial<Record<Budget, number>>
  grace: number
  maturity: number
  maxPeers?: number
  maxBytes?: number
  wiring?: Wiring
}

export type Answer = 'yes' | 'no' | 'fail'

export type Action =
  | { type: 'say' | 'read' | 'write' | 'unwritten' | 'on' | 'off' | 'gone', owner: Key }
  /** By their place among what is under way */
  | { type: 'deliver' | 'again' | 'drop', message: number }
  /** What a turn waits for has happened */
  | { type: 'step', owner: Key, answer: Answer }
  /** The same for a turn that began in a life that is over */
  | { type: 'late', turn: number, answer: Answer }
  | { type: 'opened' | 'wake' | 'close' | 'crash' | 'start' }

export function tell (action: Action): string {
  switch (action.type) {
    case 'deliver':
    case 'again':
    case 'drop':
      return `${action.type} message ${action.message}`
    case 'step':
      return `turn of ${action.owner}: ${action.answer}`
    case 'late':
      return `late turn ${action.turn}: ${action.answer}`
    case 'say':
    case 'read':
    case 'write':
    case 'unwritten':
    case 'on':
    case 'off':
    case 'gone':
      return `${action.owner} ${action.type}`
    case 'opened':
    case 'wake':
    case 'close':
    case 'crash':
    case 'start':
      return action.type
  }
}
