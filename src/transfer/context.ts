import type { FlightTracker } from './core/flight.ts'
import type { Fragment } from './core/outgoing.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from '../runtime/counters.ts'
import type { Pacer } from '../runtime/pacer.ts'
import type { Logger } from '@libp2p/interface'

/** What all transfers of a node share */
export interface Context {
  readonly clock: Clock
  readonly log: Logger
  readonly pacer: Pacer
  readonly dropped: Counters
  readonly flight: FlightTracker<Fragment, number, string>
  /** A number that no other owner of fragments has */
  newOwner (): number
  /** Something is due at another time now */
  arm (): void
}
