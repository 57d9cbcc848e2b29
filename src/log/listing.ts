import { LruMap } from '../runtime/bounded.ts'
import { then } from '../runtime/then.ts'
import { keyOf } from './core/covering.ts'
import { positionOf } from './core/keys.ts'
import { sizeOf } from './core/types.ts'
import { hash } from './signatures.ts'
import type { Addition } from './core/catalogue.ts'
import type { Location } from './core/keys.ts'
import type { TrueEntry } from './core/types.ts'

/** Groups whose place on the ring is kept. A guess */
const MAX_POSITIONS = 1024
const NONE: Uint8Array[] = []

/**
 * Says what the catalogue is to know of entries.
 */
export class Listing {
  readonly #positions = new LruMap<string, number>(MAX_POSITIONS)

  async listAll (entries: TrueEntry[], locations: Location[], absent?: Uint8Array[][]): Promise<Addition[]> {
    const listed: Addition[] = []

    for (let i = 0; i < entries.length; i++) {
      const { id, time, counter, group, author, parents } = entries[i]
      const { arrival, slot } = locations[i]
      const at = group.byteLength === 0 ? positionOf(id) : this.#positionOf(group)
      const position = at instanceof Promise ? await at : at
      listed.push({ id, time, counter, position, arrival, slot, size: sizeOf(entries[i]), author, parents, absent: absent?.[i] ?? NONE })
    }

    return listed
  }

  #positionOf (group: Uint8Array): number | Promise<number> {
    const key = keyOf(group)
    return this.#positions.get(key) ?? then(hash(group), hash => {
      const position = positionOf(hash)
      this.#positions.set(key, position)
      return position
    })
  }
}
