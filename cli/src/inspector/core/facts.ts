import type { StatusEvent } from '../../events.ts'
import type {
  MailboxStatus, PeerDiagnostics, Segment, SessionsDiagnostics, TransfersDiagnostics
} from 'libp2p-sheaf'

/** An entry, as far as the page shows it */
export interface EntryFact {
  id: string
  author: string
  own: boolean
  /** Milliseconds since 1970, as its author says */
  time: number
  /** Bytes of its data */
  size: number
  /** The beginning of its data, if that is text */
  text?: string
}

/** A peer that speaks DirectSub, and the bytes that wait for it in each lane */
export interface NeighbourFact {
  peer: string
  status: string
  control: number
  data: number
  bulk: number
  repair: number
  /** Frames that found no room yet */
  waiting: number
  /** Bytes that were sent, and are not confirmed yet */
  inFlight: number
  /** Frames that broke the protocol */
  faults: number
}

export interface ConnectionFact {
  peer: string
  isOutbound: boolean
  /** The connection goes over a circuit relay, or has a limit of bytes or time */
  isLimited: boolean
}

/** Entries that come from one peer in one go */
export interface ProgressFact {
  peer: string
  done: number
  total: number
}

/** Milliseconds by which timers were late in the last second */
export interface LagFact {
  median: number
  longest: number
}

/** All that is known of a node in one moment. Nothing in it was made ready for a reader */
export interface Facts {
  /** Milliseconds since 1970 */
  now: number
  startedAt: number
  addresses: string[]
  status: StatusEvent
  /** The log's own problems: damage, a disk that fails */
  logProblems: string[]
  /** The segments that each replicator announced */
  segments: Array<{ peer: string, segments: Segment[] }>
  /** Everybody on the topic of the log */
  present: Array<{ peer: string, why: string, matureIn?: number, failing?: 'silent' | 'unproven' }>
  neighbours: NeighbourFact[]
  connections: ConnectionFact[]
  known: PeerDiagnostics[]
  progress: ProgressFact[]
  /** The latest last */
  entries: EntryFact[]
  /** Missing: the node has no sessions */
  sessions?: Omit<SessionsDiagnostics, 'peers'> & {
    peers: Array<Omit<SessionsDiagnostics['peers'][number], 'peerId' | 'key'> & { peer: string }>
  }
  transfers: Array<Omit<TransfersDiagnostics['transfers'][number], 'peerId'> & { peer: string }>
  mailboxes: MailboxStatus[]
  /** Missing: not measured yet */
  lag?: LagFact
  /** Counts of dropped and refused messages, by part and reason */
  dropped: Array<{ part: string, reason: string, count: number }>
}
