import { Key } from 'interface-datastore'
import { LruMap } from '../runtime/bounded.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { decodeContent } from './core/entry.ts'
import { decodeBlock, encodeBlock } from './core/records.ts'
import { corrupt } from './errors.ts'
import type { Addition } from './core/catalogue.ts'
import type { Found, Location } from './core/keys.ts'
import type { Block } from './core/records.ts'
import type { TrueEntry } from './core/types.ts'
import type { Datastore } from 'interface-datastore'

export type StoredEntry = TrueEntry & Location

/** An entry that is to be stored, and all that is to be known of it but where it will lie */
export type Unplaced = Omit<Addition, keyof Location> & { entry: TrueEntry }

interface OpenBlock {
  start: number
  entries: Block
  bytes: number
}

/**
 * Where entries lie: those that came one after the other together, verbatim. The key of a block is the arrival of its first one.
 */
export class Blocks {
  readonly #datastore: Datastore
  readonly #base: string
  #open?: OpenBlock
  /** Blocks before this one do not grow any more: what is read of them may be kept */
  #firstGrowing = 0
  readonly #cache = new LruMap<number, Block>(limits.MAX_BLOCKS)

  constructor (datastore: Datastore, base: string) {
    this.#datastore = datastore
    this.#base = base
  }

  /** Those that are still there, with their arrivals: a block that holds many of them is read once */
  async read (all: Found[]): Promise<StoredEntry[]> {
    const entries: StoredEntry[] = []
    const blocks = new Map<number, Block>()

    for (const { arrival, slot } of all) {
      blocks.set(arrival - slot, [])
    }

    await Promise.all([...blocks.keys()].map(async start => { blocks.set(start, await this.#block(start)) }))

    for (const { id, arrival, slot } of all) {
      const stored = blocks.get(arrival - slot)?.find(stored => stored.slot === slot)

      if (stored != null) {
        const { bytes, proof, isProved } = stored
        entries.push({ ...decodeContent(bytes), id, bytes, proof, isProved, arrival, slot })
      }
    }

    return entries
  }

  /** Into the open block while it has room, then into new ones */
  place (entries: Unplaced[], first: number): { added: Addition[], blocks: Array<{ key: Key, bytes: Uint8Array }> } {
    const blocks = new Set<OpenBlock>()
    this.#firstGrowing = this.#open?.start ?? first

    const added = entries.map(({ entry: { bytes, proof, isProved }, ...listed }, i): Addition => {
      const arrival = first + i
      let block = this.#open

      if (block == null || block.start + block.entries.length !== arrival || block.entries.length === limits.BLOCK_ENTRIES || block.bytes >= limits.BLOCK_BYTES) {
        block = this.#open = { start: arrival, entries: [], bytes: 0 }
      }

      const slot = arrival - block.start
      block.entries.push({ slot, isProved, bytes, proof })
      block.bytes += listed.size
      blocks.add(block)
      return { ...listed, arrival, slot }
    })

    return { added, blocks: [...blocks].map(({ start, entries }) => ({ key: this.#key(start), bytes: encodeBlock(entries) })) }
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
      const left = (await this.#readBlock(start)).filter(({ slot }) => !arrivals.has(start + slot))
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
