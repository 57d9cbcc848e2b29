import { LruMap } from '../runtime/bounded.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { sha256 } from '../runtime/sha256.ts'
import { positionOf } from './core/rows.ts'

/** Groups whose position on the ring is kept: mostly the next entry is of one of them. A guess */
const MAX_POSITIONS = 1024
const positions = new LruMap<string, number>(MAX_POSITIONS)

/** Where an entry lies on the ring: where its group does, if it has one */
export function positionIn ({ id, group }: { id: Uint8Array, group: Uint8Array }): number {
  return group.byteLength === 0 ? positionOf(id) : positionOfGroup(group)
}

export function positionOfGroup (group: Uint8Array): number {
  const key = keyOfBytes(group)
  let position = positions.get(key)

  if (position == null) {
    position = positionOf(sha256(group))
    positions.set(key, position)
  }

  return position
}
