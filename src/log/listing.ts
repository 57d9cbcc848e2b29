import { LruMap } from '../runtime/bounded.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { then } from '../runtime/then.ts'
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
      const one = this.list(entries[i], locations[i], absent?.[i])
      listed.push(one instanceof Promise ? await one : one)
    }

    return listed
  }

  /** At once where the platform hashes at once */
  list (entry: TrueEntry, { arrival, slot }: Location, absent = NONE): Addition | Promise<Addition> {
    const { id, time, counter, group, author, parents } = entry
    const size = sizeOf(entry)

    return then(group.byteLength === 0 ? positionOf(id) : this.#positionOf(group), position => {
      return { id, time, counter, position, arrival, slot, size, author, parents, absent }
    })
  }

  #positionOf (group: Uint8Array): number | Promise<number> {
    const key = keyOfBytes(group)
    return this.#positions.get(key) ?? then(hash(group), hash => {
      const position = positionOf(hash)
      this.#positions.set(key, position)
      return position
    })
  }
}
