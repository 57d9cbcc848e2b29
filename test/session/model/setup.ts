import type { Peer } from './peer.ts'
import type { Session } from '../../../src/session/core/session.ts'
import type { SessionOptions } from '../../../src/session/core/state.ts'

export type ActionType =
  | 'deliver' | 'drop' | 'duplicate' | 'crypto' | 'store' | 'wake' | 'rekey' | 'send'
  | 'crash' | 'lose' | 'roll back' | 'reconnect'

export interface Action {
  type: ActionType
  /** 0 has the smaller id */
  peer: 0 | 1
  /** Which of the frames, or of the operations under way */
  index: number
  name?: string
}

type Shared = 'drop' | 'duplicate' | 'wake' | 'crash' | 'lose' | 'roll back' | 'reconnect'

/** How often something may happen, by whom; a number is for both together */
export type Budget = Partial<Record<Shared, number>> & Partial<Record<'rekey' | 'send', [number, number]>>

export interface Setup {
  budget: Budget
  /** Whether they have agreed on a key before it begins */
  met: boolean
  options?: Partial<SessionOptions>
  /** Results of crypto come at once: fewer worlds, where their order is not what is looked at */
  isCryptoInstant?: boolean
  isStoreInstant?: boolean
  /** Programs number their messages. What had no outcome when a process ended, its next life sends again */
  isNumbered?: boolean
  /** A bug on purpose. Called for each life of each session */
  mutate?(session: Session, peer: Peer): void
  /** The same, only for what was restored */
  reborn?(session: Session, peer: Peer): void
}

export function tell ({ type, peer, name }: Action): string {
  return `${type} ${'AB'[peer]}${name == null ? '' : ` ${name}`}`
}
