import { shareOf } from 'libp2p-sheaf'
import type { Replicator, SharedLog } from 'libp2p-sheaf'

/** Copies of each entry that there should be */
export const REPLICAS = 2

export const others = (log: SharedLog): Replicator[] => log.replicators().filter(({ self }) => !self)

/** The share of all entries that this node is to keep, from 0 to 1 */
export function keptHere (log: SharedLog): number {
  return shareOf(log.replicators().find(({ self }) => self)?.segments ?? [], REPLICAS)
}
