import { sha256 } from '../runtime/sha256.ts'
import { positionOf } from './core/rows.ts'

/** Where an entry lies on the ring: where its group does, if it has one */
export function positionIn ({ id, group }: { id: Uint8Array, group: Uint8Array }): number {
  return group.byteLength === 0 ? positionOf(id) : positionOfGroup(group)
}

export function positionOfGroup (group: Uint8Array): number {
  return positionOf(sha256(group))
}
