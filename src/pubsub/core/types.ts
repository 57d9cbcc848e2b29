/**
 * Names that all cores share.
 */

/** A peer, as a map's key. What it is made of is the shell's business */
export type Key = string

/** A call of the user that waits for an outcome */
export type Call = number

/**
 * What a peer says of its own subscriptions. (origin, epoch, seq) names it for ever; for each topic the newest one counts.
 */
export interface Announcement {
  origin: Key
  /** Larger in every life of the origin */
  epoch: number
  /** Larger in every announcement of that life */
  seq: number
  /** These are all its topics: what is not named is not subscribed to */
  full: boolean
  on: string[]
  off: string[]
  /** Relays that it came over */
  hops: number
  /** As it was signed; the shell's, opaque here */
  bytes?: Uint8Array
}

/** One control message: what a peer has to say to one neighbour now */
export interface Gossip {
  /** The newest announcement of the one it is sent to that the sender has dealt with; 0: none yet */
  ack: number
  announcements: Announcement[]
  /** Topics whose subscribers the sender wants to know */
  requests: Array<{ id: number, topic: string }>
  /** Requests that were answered by this message or earlier ones */
  answers: number[]
  /** Peers that the sender does not lead to any more. To be read behind the announcements */
  lost: Key[]
}

/** Why a peer is no longer, or again, a subscriber */
export type ChangeReason = 'announced' | 'retracted' | 'unreachable' | 'restarted' | 'expired' | 'stopped'

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
  | { type: 'refused', what: string }
