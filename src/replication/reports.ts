import { keyOf, peerOf } from '../pubsub/keys.ts'
import * as limits from './constants.ts'
import { thinnest } from './core/placement.ts'
import { intersect, sameSegments } from './core/ring.ts'
import type { Segment } from './core/ring.ts'
import type { Replicator, SharedLogDiagnostics, SyncReport } from './index.ts'
import type { Replica } from './replica.ts'

/** What can be said about who has the same as this node has of a segment */
export function syncReport ({ roster, parts }: Replica, segment?: Segment): SyncReport {
  const wanted = segment == null ? roster.kept : intersect([segment], roster.kept)
  const peers: SyncReport['peers'] = []
  let isSynced = true

  for (const peer of roster.here) {
    const shared = intersect(roster.shared(peer), wanted)

    if (shared.length > 0) {
      const { equalAt, segments = [], missing = 0 } = parts?.syncs.pairs.get(peer) ?? {}
      peers.push({ peerId: peerOf(peer), equalAt, missing })
      isSynced &&= equalAt != null && missing === 0 && sameSegments(intersect(segments, shared), shared)
    }
  }

  return { isSynced, peers }
}

/** How many keep the entries that fewest keep */
export function copiesOf (replicators: Replicator[], replicas: number): number {
  return thinnest(replicators.map(({ peerId, segments }) => ({ key: keyOf(peerId), segments })), replicas)
}

/** What is not as it should be, in words */
export function problemsOf ({ parts }: Replica, copies: number, replicas: number): string[] {
  const problems = (parts?.audits.failing ?? []).map(peer => `${peerOf(peer)} says that it keeps what it could not show, ${limits.MAX_STRIKES} times in a row: it is passed over`)
  const waiting = parts?.prunes.sizes.waiting ?? 0

  if (copies < replicas) {
    problems.push(`some entries are kept by ${copies === 1 ? 'one replicator' : `${copies} replicators`} where there should be ${replicas}: more peers, or wider segments, are needed`)
  }
  if (waiting > 0) {
    problems.push(`${waiting} entries that are not for this node to keep are here, since not enough others have confirmed that they have them`)
  }

  return problems
}

/** Everybody on the topic, and why it is a replicator or is not */
export function peersOf ({ roster }: Replica): SharedLogDiagnostics['peers'] {
  return [...roster.present].map(peer => ({ peerId: peerOf(peer), why: roster.why(peer) }))
}

/** How many entries each table and queue holds */
export function sizesOf ({ roster, parts, questions }: Replica): Record<string, number> {
  return {
    peers: roster.size,
    present: roster.present.size,
    ...roster.sizes,
    questions: questions.size,
    comparisons: parts?.syncs.running ?? 0,
    pruned: parts?.prunes.sizes.pruned ?? 0,
    outgoing: parts?.spread.sizes.outgoing ?? 0,
    awaited: parts?.spread.sizes.awaited ?? 0
  }
}
