import { bytesInWords, count, percent, ringInWords, short } from '../../text.ts'
import { sentence } from './words.ts'
import type { ConnectionFact, Facts, NeighbourFact } from './facts.ts'
import type { StatusEvent } from '../../events.ts'

/** How something is: as it should be, on its way there, not as it should be, or neither */
export type Level = 'good' | 'wait' | 'bad' | 'idle'

export interface PeerView {
  peer: string
  name: string
  self: boolean
  level: Level
  /** In one or two words */
  state: string
  /** Why it is so, and if it is no replicator, what would make it one */
  why: string
  keeps: string
  /** How this node reaches it */
  way: string
  channel: string
  /** Bytes that wait for it, lane by lane. Missing: there is no channel of its own */
  lanes?: Array<{ lane: string, bytes: string, isEmpty: boolean }>
  /** What stands still, or went wrong, on the way to it */
  remarks: string[]
}

type Replicator = StatusEvent['replicators'][number]

/** All that is known of one peer */
interface Known {
  peer: string
  replicator?: Replicator
  present?: Facts['present'][number]
  neighbour?: NeighbourFact
  connections: ConnectionFact[]
}

/** Rows that a page can show, and a reader can read. Replicators come first */
const MAX_ROWS = 100

/** A connection that carries nothing of DirectSub says so in its `status` */
const CHANNELS: Record<string, string> = {
  up: 'open', opening: 'opening', waiting: 'waiting for the next try', down: 'none'
}

/** This node, then replicators, then all the others that it has to do with */
export function peersOf (facts: Facts): { rows: PeerView[], hidden: number } {
  const known = new Map<string, Known>()
  const of = (peer: string): Known => {
    const found = known.get(peer) ?? { peer, connections: [] }
    known.set(peer, found)
    return found
  }

  of(facts.status.peer)
  const others = facts.status.replicators.filter(({ self }) => !self)
  facts.status.replicators.forEach(replicator => { of(replicator.peer).replicator = replicator })
  facts.present.forEach(present => { of(present.peer).present = present })
  facts.neighbours.forEach(neighbour => { of(neighbour.peer).neighbour = neighbour })
  facts.connections.forEach(connection => { of(connection.peer).connections.push(connection) })

  const rows = [...known.values()]
  return {
    rows: rows.slice(0, MAX_ROWS).map(peer => rowOf(peer, facts.status.peer, others.length === 0)),
    hidden: Math.max(0, rows.length - MAX_ROWS)
  }
}

function rowOf (known: Known, me: string, isAlone: boolean): PeerView {
  const { peer, replicator, neighbour } = known
  const self = peer === me

  return {
    peer,
    name: short(peer),
    self,
    ...(self ? ownState(replicator, isAlone) : stateOf(known)),
    keeps: replicator == null ? 'nothing' : keptInWords(replicator),
    way: self ? 'this node' : wayOf(known),
    channel: neighbour == null ? 'none' : CHANNELS[neighbour.status] ?? neighbour.status,
    lanes: neighbour == null ? undefined : lanesOf(neighbour),
    remarks: neighbour == null ? [] : remarksOf(neighbour)
  }
}

type State = Pick<PeerView, 'level' | 'state' | 'why'>

function ownState (replicator: Replicator | undefined, isAlone: boolean): State {
  if (replicator == null) {
    return {
      level: 'idle',
      state: 'Not a replicator',
      why: 'This node was told to keep nothing: what is appended here stays until others have it. ' +
        'Start it with --replicate full or auto, and it becomes a replicator.'
    }
  }
  if (isAlone) {
    return { level: 'good', state: 'Replicator', why: 'It is the only one so far.' }
  }
  return replicator.state === 'mature'
    ? { level: 'good', state: 'Replicator', why: 'The others count on what it keeps.' }
    : { level: 'wait', state: 'Just joined', why: 'The others count on what it keeps in a few seconds.' }
}

/** Why a peer is a replicator, or is not: the first reason that holds */
function stateOf ({ replicator, present, neighbour, connections }: Known): State {
  if (replicator != null) {
    return replicatorState(replicator, present)
  }
  if (present != null) {
    return { level: 'idle', state: 'Not a replicator', why: sentence(present.why) }
  }
  if (neighbour != null) {
    return {
      level: 'idle',
      state: 'Not on this log',
      why: 'It is connected, and has not subscribed to the topic of this log: no program there has this log open.'
    }
  }
  return {
    level: 'idle',
    state: 'Other protocols',
    why: connections.some(({ isLimited }) => isLimited)
      ? 'It is connected over a relay, and does not speak DirectSub there.'
      : 'It is connected, and does not speak DirectSub.'
  }
}

function replicatorState ({ here, state }: Replicator, present?: Known['present']): State {
  if (!here) {
    return {
      level: 'bad',
      state: 'Lost',
      why: 'It was lost just now. It is waited for a while, and then is a replicator no more.'
    }
  }
  if (present?.failing === 'silent') {
    return {
      level: 'bad',
      state: 'Not counted on',
      why: 'It says that it keeps a share, and does not answer: its copies do not count until it does.'
    }
  }
  if (present?.failing === 'unproven') {
    return {
      level: 'bad',
      state: 'Not counted on',
      why: 'It could not prove to have what it says that it keeps: its copies do not count until it can.'
    }
  }
  return state === 'mature'
    ? { level: 'good', state: 'Replicator', why: 'Others count on what it keeps.' }
    : {
        level: 'wait',
        state: 'Just joined',
        why: `It has to stay before others let go of entries because of it: ${present?.matureIn == null
          ? 'a few seconds'
          : `another ${Math.max(1, Math.ceil(present.matureIn / 1_000))} s`}.`
      }
}

function keptInWords ({ ring, entries }: Replicator): string {
  const share = entries === 1 ? 'all' : percent(entries)
  return ring === 1 ? ringInWords(ring) : `${ringInWords(ring)}, ${share} of the entries`
}

function wayOf ({ neighbour, connections }: Known): string {
  if (connections.length === 0) {
    return neighbour == null ? 'over other peers' : 'connecting'
  }

  const direct = connections.find(({ isLimited }) => !isLimited)
  const { isOutbound } = direct ?? connections[0]
  return `${direct == null ? 'over a relay' : 'direct'}, ${isOutbound ? 'outbound' : 'inbound'}`
}

function lanesOf (neighbour: NeighbourFact): PeerView['lanes'] {
  return (['control', 'data', 'bulk', 'repair'] as const).map(lane => ({
    lane, bytes: bytesInWords(neighbour[lane]), isEmpty: neighbour[lane] === 0
  }))
}

function remarksOf ({ waiting, inFlight, faults }: NeighbourFact): string[] {
  return [
    ...waiting > 0 ? [`${count(waiting, 'frame waits', 'frames wait')} for room`] : [],
    ...inFlight > 0 ? [`${bytesInWords(inFlight)} under way`] : [],
    ...faults > 0 ? [`broke the protocol ${count(faults, 'time')}`] : []
  ]
}
