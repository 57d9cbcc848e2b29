import { Counters } from '../runtime/counters.ts'
import type { Key } from './core/types.ts'
import type { Sealer } from './seal.ts'
import type { Link } from '../link/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Mailboxes } from '../runtime/mailbox.ts'
import type { Logger, PeerId } from '@libp2p/interface'

/** A neighbour while its link is up: its link, and what it said of itself */
export interface Neighbour {
  key: Key
  peerId: PeerId
  link: Link
  epoch: number
  isRelay: boolean
}

export interface SharedInit {
  self: Key
  clock: Clock
  log: Logger
  sealer: Sealer
  /** What came from one neighbour is dealt with in order, though signatures may be checked elsewhere */
  inbound: Mailboxes
  /** What goes to one neighbour goes in order, though signatures may be made elsewhere */
  outbound: Mailboxes
}

/** What the parts of the shell have in common */
export interface Shared extends SharedInit {
  neighbours: Map<Key, Neighbour>
  counters: Counters
  /** Something was past a limit: counted, and logged the first time */
  refused (what: string): void
}

export function makeShared (init: SharedInit): Shared {
  const counters = new Counters()

  return {
    ...init,
    counters,
    neighbours: new Map(),
    refused: what => {
      if (counters.add(`refused: ${what}`) === 1) {
        init.log.error('refused, now and whenever it happens again: more %s than the limit allows', what)
      }
    }
  }
}
