import { keyOf, peerOf } from '../pubsub/keys.ts'
import { thinnest } from './core/placement.ts'
import { intersect, sameSegments } from './core/ring.ts'
import { MAX_STRIKES } from './core/trust.ts'
import type { Segment } from './core/ring.ts'
import type { Replicator, SharedLogDiagnostics, SyncReport } from './index.ts'
import type { Replica } from './replica.ts'

/** Comparisons in a row that fail before somebody is told of it */
const FAILURES_TOLD = 3

/** What can be said about who has the same as this node has of a segment */
export function syncReport ({ roster, parts, trust }: Replica, segment?: Segment): SyncReport {
  const wanted = segment == null ? roster.kept : intersect([segment], roster.kept)
  const peers: SyncReport['peers'] = []
  let isSynced = true

  for (const peer of roster.here) {
    const shared = intersect(roster.shared(peer), wanted)

    if (shared.length > 0) {
      const { equalAt, segments = [], missing = 0, failures = 0 } = parts?.antiEntropy.pairs.get(peer) ?? {}
      peers.push({ peerId: peerOf(peer), equalAt, missing })
      // one that cannot be compared with, or counted on, is named in problems: it does not hold up those who wait
      isSynced &&= trust.isFailing(peer) || failures >= FAILURES_TOLD ||
        (equalAt != null && missing === 0 && sameSegments(intersect(segments, shared), shared))
    }
  }

  return { isSynced, peers }
}

/** How many keep the entries that fewest keep */
export function copiesOf (replicators: Replicator[], replicas: number): number {
  return thinnest(replicators.map(({ peerId, segments }) => ({ key: keyOf(peerId), segments })), replicas)
}

export interface Problems {
  /** Copies of each entry that there should be, and those of the entries that fewest keep */
  replicas: number
  copies: number
}

/** What is not as it should be, in words: why, and what to do */
export function problemsOf ({ parts, roster, trust }: Replica, { replicas, copies }: Problems): string[] {
  // some of those of the last look may have gone by now
  const waiting = Math.min(parts?.pruning.sizes.waiting ?? 0, parts?.log.length ?? 0)
  const isAlone = roster.segments.length === 0 && roster.here.length === 0 && roster.present.size > 0

  return [
    ...trust.failing.map(({ peer, reason }) => reason === 'silent'
      ? `${peerOf(peer)} says that it keeps a share, and does not answer: it is passed over until it does`
      : `${peerOf(peer)} says that it keeps what it could not prove to have, ${MAX_STRIKES} times in a row: ` +
        'it is passed over until it can'),
    ...(parts?.ingest.ahead ?? []).map(({ peer, by }) => `entries of ${peerOf(peer)} are ${inWords(by)} ahead of the ` +
      'clock of this node: they go in when their time has come. One of the two clocks is wrong'),
    ...(parts?.push.behind ?? []).map(peer =>
      `${peerOf(peer)} takes entries of this node later, as its clock is behind: one of the two clocks is wrong`),
    ...[...parts?.antiEntropy.pairs ?? []].filter(([, { failures }]) => failures >= FAILURES_TOLD).map(
      ([peer, { failures, failure }]) => `comparing with ${peerOf(peer)} failed ${failures} times in a row: ${failure}`
    ),
    ...copies < replicas
      ? [`some entries are kept by ${copies === 1 ? 'one replicator' : `${copies} replicators`} where there should ` +
        `be ${replicas}: more peers, or wider segments, are needed`]
      : [],
    ...isAlone
      ? ['nobody who is here keeps this log: what this node appends stays here alone until a replicator comes']
      : [],
    ...waiting > 0
      ? [`${waiting} entries that are not for this node to keep are here, ` +
        'since not enough others have confirmed that they have them']
      : []
  ]
}

/** Milliseconds as people say them */
function inWords (ms: number): string {
  const minutes = Math.round(ms / 60_000)
  return minutes < 2 ? `${Math.round(ms / 1000)} seconds` : `${minutes} minutes`
}

/** Everybody on the topic, and why it is a replicator or is not */
export function peersOf ({ roster, trust }: Replica): SharedLogDiagnostics['peers'] {
  const failing = new Map(trust.failing.map(({ peer, reason }) => [peer, reason]))

  return [...roster.present].map(peer => ({
    peerId: peerOf(peer), why: roster.why(peer), matureIn: roster.matureIn(peer), failing: failing.get(peer)
  }))
}

/** How many entries each table and queue holds */
export function sizesOf ({ roster, parts, questions }: Replica): Record<string, number> {
  return {
    peers: roster.size,
    present: roster.present.size,
    ...roster.sizes,
    questions: questions.size,
    comparisons: parts?.antiEntropy.running ?? 0,
    pruned: parts?.pruning.sizes.pruned ?? 0,
    outgoing: parts?.push.sizes.outgoing ?? 0,
    awaited: parts?.push.sizes.awaited ?? 0
  }
}
