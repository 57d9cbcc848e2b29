import { Key } from 'interface-datastore'
import { LruMap } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { decodeContent } from './core/entry.ts'
import { decodeBlock, encodeBlock } from './core/records.ts'
import { sizeOf } from './core/types.ts'
import { corrupt } from './errors.ts'
import type { Found, Location } from './core/keys.ts'
import type { Block, Placed, Run } from './core/records.ts'
import type { TrueEntry } from './core/types.ts'
import type { Datastore } from 'interface-datastore'

const GONE = new Uint8Array(0)

export type StoredEntry = TrueEntry & Location

/** An entry as it lies in its block */
export type Stored = Pick<TrueEntry, 'bytes' | 'proofs' | 'at' | 'isProved'>

interface OpenBlock {
  start: number
  runs: Block
  count: number
  bytes: number
}

/**
 * Where entries lie: those that came one after the other together, verbatim. The key of a block is the arrival of its first one.
 */
export class Blocks {
  readonly #datastore: Datastore
  readonly #base: string
  #open?: OpenBlock
  /** Blocks before this one do not grow any more: what is read of them may be kept. At first none does */
  #firstGrowing = Infinity
  readonly #cache = new LruMap<number, Block>(limits.MAX_BLOCKS)

  constructor (datastore: Datastore, base: string) {
    this.#datastore = datastore
    this.#base = base
  }

  /** Those that are still there, with their arrivals */
  async read (all: Found[]): Promise<StoredEntry[]> {
    const entries: StoredEntry[] = []
    const stored = await this.storedAt(all)

    all.forEach(({ id, arrival, slot }, i) => {
      const there = stored[i]

      if (there != null) {
        const { bytes, proofs, at, isProved } = there
        entries.push({ ...decodeContent(bytes), id, bytes, proofs, at, isProved, arrival, slot })
      }
    })

    return entries
  }

  /** What lies in each of these places; undefined: nothing. A block that holds many of them is read once */
  async storedAt (all: Location[]): Promise<Array<Stored | undefined>> {
    const blocks = new Map<number, Block>()

    for (const { arrival, slot } of all) {
      blocks.set(arrival - slot, [])
    }

    await Promise.all([...blocks.keys()].map(async start => { blocks.set(start, await this.#block(start)) }))
    return all.map(({ arrival, slot }) => storedIn(blocks.get(arrival - slot) ?? [], slot))
  }

  /** Into the open block while it has room, then into new ones */
  place (entries: TrueEntry[], arrival: number): Placed & { blocks: Array<{ key: Key, bytes: Uint8Array }> } {
    const blocks = new Set<OpenBlock>()
    this.#firstGrowing = this.#open?.start ?? arrival

    entries.forEach((entry, i) => {
      let block = this.#open

      if (block == null || block.start + block.count !== arrival + i || block.count === limits.BLOCK_ENTRIES || block.bytes >= limits.BLOCK_BYTES) {
        block = this.#open = { start: arrival + i, runs: [], count: 0, bytes: 0 }
      }

      put(block.runs, entry, block.count++)
      block.bytes += sizeOf(entry)
      blocks.add(block)
    })

    const grown = [...blocks]
    return {
      arrival,
      count: entries.length,
      starts: grown.map(({ start }) => start),
      blocks: grown.map(({ start, runs }) => ({ key: this.#key(start), bytes: encodeBlock(runs) }))
    }
  }

  async #block (start: number): Promise<Block> {
    const isFull = start < this.#firstGrowing
    const block = this.#cache.get(start) ?? await this.#readBlock(start)

    if (isFull) {
      this.#cache.set(start, block)
    }

    return block
  }

  async #readBlock (start: number): Promise<Block> {
    try {
      return decodeBlock(await this.#datastore.get(this.#key(start)))
    } catch (err: any) {
      if (err.name === 'NotFoundError') {
        return []
      }
      throw err instanceof MalformedError ? corrupt(`Block ${start} of the log`, err) : err
    }
  }

  async remove (removed: Location[]): Promise<void> {
    const arrivals = new Set(removed.map(({ arrival }) => arrival))
    const starts = new Set(removed.map(({ arrival, slot }) => arrival - slot))
    const batch = this.#datastore.batch()

    await Promise.all([...starts].map(async start => {
      const left = without(await this.#readBlock(start), slot => arrivals.has(start + slot))
      this.#cache.delete(start)

      if (start === this.#open?.start) {
        this.#open = undefined
      }
      if (left.length > 0) {
        batch.put(this.#key(start), encodeBlock(left))
      } else {
        batch.delete(this.#key(start))
      }
    }))

    await batch.commit()
    // somebody may have read one of them meanwhile
    starts.forEach(start => { this.#cache.delete(start) })
  }

  /** All that was placed is stored, `arrivals` in all */
  settle (arrivals: number): void {
    this.#firstGrowing = this.#open?.start ?? arrivals
  }

  /** Whatever comes next goes into a block of its own */
  leave (): void {
    this.#open = undefined
  }

  /** So that what came together lies together */
  #key (start: number): Key {
    return new Key(`${this.#base}/block/${start.toString(36).padStart(11, '0')}`, false)
  }
}

/** Behind those that are there: it joins the last ones if they share their proof, and it comes next in there */
function put (runs: Run[], { bytes, proofs, at, isProved }: TrueEntry, slot: number): void {
  const last = runs.at(-1)

  if (last?.proofs === proofs && last.from + last.contents.length === at) {
    last.contents.push(bytes)
  } else {
    runs.push({ slot, isProved, contents: [bytes], proofs, from: at })
  }
}

function storedIn (block: Block, slot: number): Stored | undefined {
  const run = block.findLast(run => run.slot <= slot)
  const bytes = run?.contents[slot - run.slot]
  return run == null || bytes == null || bytes.byteLength === 0 ? undefined : { bytes, proofs: run.proofs, at: run.from + slot - run.slot, isProved: run.isProved }
}

/** What is gone leaves its place behind, so that the others still have their proof; runs of which all is gone are left out */
function without (block: Block, isGone: (slot: number) => boolean): Block {
  return block
    .map(run => ({ ...run, contents: run.contents.map((content, i) => isGone(run.slot + i) ? GONE : content) }))
    .filter(({ contents }) => contents.some(({ byteLength }) => byteLength > 0))
}
