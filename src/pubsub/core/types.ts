import type { Distance, Version, Wanted } from './routing.ts'

/**
 * Names that all cores share.
 */

/** A peer, as a map's key. What it is made of is the shell's business */
export type Key = string

/** A call of the user that waits for an outcome */
export type Call = number

/**
 * What a peer says of its own subscriptions. (origin, epoch, seq) names it for ever, and each one follows the one
 * before
 */
export interface Announcement extends Version {
  origin: Key
  /** These are all its topics: what it said before does not count any more */
  full: boolean
  on: string[]
  off: string[]
  /** As it was signed; the shell's, opaque here */
  bytes?: Uint8Array
}

/** How far an origin is, and what it has announced that the neighbour does not know, the oldest first */
export interface Update extends Distance {
  origin: Key
  announcements: Announcement[]
}

/** One control message: what a peer has to say to one neighbour now, to be read in this order */
export interface Gossip {
  /** The newest announcement of the one it is sent to that the sender has dealt with; -1: it does not say */
  ack: number
  updates: Update[]
  /** Peers that the sender has no way to any more */
  lost: Key[]
  /** Announcements that the sender needs, of peers to which it has no way that is safe to take */
  wanted: Array<Wanted & { origin: Key }>
  /** Topics whose subscribers the sender wants to know */
  requests: Array<{ id: number, topic: string }>
  /** Requests that were answered by this message or earlier ones */
  answers: number[]
}

/**
 * Why a peer is no longer, or again, a subscriber.
 * - announced, retracted: the peer said so
 * - unreachable: no way leads to it any more
 * - restarted: it lives anew, and what its earlier life announced is over
 */
export type ChangeReason = 'announced' | 'retracted' | 'unreachable' | 'restarted'

export interface Change {
  peer: Key
  topic: string
  subscribe: boolean
  reason: ChangeReason
}

export type SubscribeOutcome = 'subscribed' | 'cancelled'

/** What the shell is to do */
export type Effect =
  | { type: 'gossip', to: Key, gossip: Gossip }
  | { type: 'changes', changes: Change[] }
  | { type: 'subscribe-settled', call: Call, outcome: SubscribeOutcome }
  | { type: 'request-settled', call: Call }
  /** Somebody's old self is newer than we are: begin a new life with an epoch past this one */
  | { type: 'outlive', epoch: number }
  | { type: 'refused', what: string, from: Key }
