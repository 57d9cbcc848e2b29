import { sha256 } from 'multiformats/hashes/sha2'
import { compare } from 'uint8arrays/compare'
import { toString } from 'uint8arrays/to-string'
import type { Entry, Log, RingRange } from '../../../src/log/index.ts'

const positions = new Map<string, Promise<number>>()

export interface Placed {
  id: Uint8Array
  position: number
}

/** Where an entry is on the ring: where its group is, or where its id says if it has none. As the protocol has it, written once more */
export async function placed ({ id, group }: Entry): Promise<Placed> {
  return { id: id.bytes, position: group.byteLength === 0 ? first32(id.bytes) : await positionOfGroup(group) }
}

/** What a log has to answer for a range, from all entries that it has */
export async function naiveRange (entries: Entry[], range: RingRange): Promise<Placed[]> {
  const all = await Promise.all(entries.map(placed))
  return all.filter(place => isIn(place, range)).sort((a, b) => compareOnRing(a, b, range))
}

export function isIn ({ position }: Placed, { from = 0, to = 0 }: RingRange): boolean {
  if (from === to) {
    return true
  }
  return from < to ? position >= from && position < to : position >= from || position < to
}

/** In the order of the ring from the beginning of a range on */
export function compareOnRing (a: Placed, b: Placed, { from = 0, to = 0 }: RingRange): number {
  const start = from === to ? 0 : from
  return (a.position - start + 2 ** 32) % 2 ** 32 - (b.position - start + 2 ** 32) % 2 ** 32 || compare(a.id, b.id)
}

/** Turns the pages of a range until one is not full. `between` is called between two of them */
export async function pages (log: Log, range: RingRange, limit: number, between: () => Promise<void> = async () => {}): Promise<Uint8Array[]> {
  const ids: Uint8Array[] = []
  let page = await log.idsInRange(range, { limit })

  for (;;) {
    ids.push(...page.map(({ bytes }) => bytes))

    if (page.length > limit) {
      throw new Error(`${page.length} ids where ${limit} were asked for`)
    }
    if (page.length < limit) {
      return ids
    }

    await between()
    page = await log.idsInRange(range, { limit, after: page[limit - 1] })
  }
}

async function positionOfGroup (group: Uint8Array): Promise<number> {
  const key = toString(group, 'base16')
  let position = positions.get(key)

  if (position == null) {
    position = Promise.resolve(sha256.digest(group)).then(({ digest }) => first32(digest))
    positions.set(key, position)
  }

  return position
}

function first32 (bytes: Uint8Array): number {
  return (bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]) >>> 0
}
