import { copiesOf, coverageOf, shareOf } from 'libp2p-sheaf'
import { keptHere, REPLICAS } from './log.ts'
import { percent, widthOf } from './text.ts'
import type { StatusEvent } from './events.ts'
import type { PeerId } from '@libp2p/interface'
import type { Replicator, SharedLog, SharedLogDiagnostics } from 'libp2p-sheaf'

export interface StatusContext {
  log: SharedLog
  self: PeerId
  store?: string
  /** The node was there before, and goes on */
  isRunning: boolean
}

/** Whether a log is safe: an answer, and why. `sheaf status` and the inspector say the same */
export interface Safety {
  answer: 'yes' | 'by what others say, yes' | 'not yet' | 'not quite' | 'no' | 'unknown'
  why: string
}

/** All that a node can say of a log in a moment */
export function statusOf ({ log, self, store, isRunning }: StatusContext): StatusEvent {
  const { log: { length, bytes, heads }, peers: present, problems } = log.diagnostics()
  const { isSynced, peers } = log.synced()
  const replicators = log.replicators()
  // those who are gone are waited for a while, but have no copy to show
  const here = replicators.filter(replicator => isHere(replicator, present))
    .map(({ peerId, segments }) => ({ key: peerId.toString(), segments }))
  const copies = copiesOf(here, REPLICAS)
  // nobody who was heard has anything, either, and all that is wrong is how many copies there are of it
  const isEmpty = length === 0 && keptHere(log) === 1 && isSynced && problems.length <= (copies < REPLICAS ? 1 : 0)

  return {
    type: 'status',
    log: log.id,
    peer: self.toString(),
    store,
    running: isRunning,
    length,
    bytes,
    heads,
    replicators: replicators
      .map(replicator => ({
        peer: replicator.peerId.toString(),
        self: replicator.self,
        state: replicator.state,
        here: isHere(replicator, present),
        ring: widthOf(replicator.segments),
        entries: shareOf(replicator.segments, REPLICAS)
      }))
      .sort((a, b) => a.peer < b.peer ? -1 : 1),
    coverage: coverageOf(here, REPLICAS),
    copies,
    wanted: REPLICAS,
    synced: isSynced,
    peers: peers.map(({ peerId, equalAt, missing }) => ({ peer: peerId.toString(), equalAt, missing })),
    problems: isEmpty ? [] : problems,
    safe: isEmpty || (copies >= REPLICAS && isSynced && problems.length === 0)
  }
}

function isHere ({ self, peerId }: Replicator, present: SharedLogDiagnostics['peers']): boolean {
  return self || present.some(({ peerId: other }) => other.equals(peerId))
}

export function safetyOf (
  { running, store, length, replicators, coverage, copies, wanted, synced, safe }: StatusEvent
): Safety {
  if (safe && length === 0 && copies < wanted) {
    return { answer: 'yes', why: 'nothing is in it yet' }
  }
  if (!running && store != null && replicators.every(({ self }) => self)) {
    return { answer: 'unknown', why: 'nobody can be asked while no node runs: what is here is one copy' }
  }
  if (coverage < 1) {
    return {
      answer: 'no',
      why: `nobody who is here keeps ${percent(1 - coverage)} of the entries. Start more nodes, or let them keep more`
    }
  }
  if (copies < wanted) {
    return {
      answer: 'not yet',
      why: `of some entries there ${copies === 1 ? 'is 1 copy' : `are ${copies} copies`}, ` +
        `where there should be ${wanted}. Start another node that joins this one`
    }
  }
  if (!synced) {
    return {
      answer: 'not yet',
      why: 'those who keep it have not all been found to have the same. That takes a moment; look again'
    }
  }
  const kept = `every entry is kept by at least ${copies} nodes, so whichever one is lost, nothing is lost with it`

  if (store == null && !running) {
    return {
      answer: 'by what others say, yes',
      why: `${kept}. The status of one of them tells whether they have compared`
    }
  }
  return safe ? { answer: 'yes', why: kept } : { answer: 'not quite', why: 'see below' }
}

/** As a terminal shows it */
export function safetyInWords ({ answer, why }: Safety): string {
  switch (answer) {
    case 'unknown':
      return why
    case 'not quite':
      return `${answer}, ${why}`
    case 'by what others say, yes':
      return `by what they say, yes: ${why}`
    case 'yes':
    case 'no':
    case 'not yet':
      return `${answer}: ${why}`
  }
}
