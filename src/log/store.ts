import { Key } from 'interface-datastore'
import { toString } from 'uint8arrays/to-string'
import { LruMap } from '../runtime/bounded.ts'
import { encodeString, Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { Catalogue, TREES } from './core/catalogue.ts'
import { decodeContent } from './core/entry.ts'
import { positionOf } from './core/keys.ts'
import { PagesMissing } from './core/pages.ts'
import { decodeBlock, decodeJournal, decodeState, encodeBlock, encodeJournal, encodeState } from './core/records.ts'
import { TornError } from './core/sealed.ts'
import { StoreCorruptError, WriteFailedError } from './errors.ts'
import type { Addition, Change, Listed, TreeName } from './core/catalogue.ts'
import type { Found, Location } from './core/keys.ts'
import type { Block, JournalRecord } from './core/records.ts'
import type { Tree } from './core/tree.ts'
import type { TrueEntry } from './core/types.ts'
import type { Batch, Datastore } from 'interface-datastore'

/** What is to be written at once; the store says where it will lie */
export interface Write {
  added: Array<Omit<Addition, keyof Location> & { entry: TrueEntry }>
  removed: Listed[]
  /** The last entry of our own, if there is a new one */
  tip?: Uint8Array
}

/** Entries that came one after the other lie together: the key of a block is the arrival of its first one */
interface OpenBlock {
  start: number
  entries: Block
  bytes: number
}

/**
 * A log in a datastore:
 *
 * - state: the roots of the trees, heads, counters: written last, so that it names only what is there
 * - page/T/N: pages of the trees; never overwritten, deleted when no state names them
 * - journal/N: what changed since the state, a record a write
 * - block/N: entries, verbatim, as they came
 * - mark/P: how far a program has come
 *
 * A write is one batch, its journal record first. What is in the log is what the catalogue says, whatever lies in blocks. Of
 * the last record a crash may have torn away blocks: then nobody was told that any of it is stored, and none of it is kept.
 */
export class Store {
  readonly catalogue: Catalogue
  readonly #datastore: Datastore
  readonly #base: string
  /** The last record of the journal */
  #journal: number
  /** Entries in the journal, and not in the state */
  #journaled = 0
  /** The first record that is not in the state */
  #firstRecord: number
  #open?: OpenBlock
  /** Blocks before this one do not grow any more: what is read of them may be kept */
  #firstGrowing = 0
  readonly #cache = new LruMap<number, Block>(limits.MAX_BLOCKS)
  /** What could not be written of the trees: they are of no use after that */
  #broken?: Error

  private constructor (datastore: Datastore, base: string, catalogue: Catalogue, journal: number) {
    this.#datastore = datastore
    this.#base = base
    this.catalogue = catalogue
    this.#journal = journal
    this.#firstRecord = journal + 1
  }

  static async open (datastore: Datastore, logId: string): Promise<Store> {
    const base = `/sheaf/log/${toString(encodeString(logId), 'base64url')}`
    const key = new Key(`${base}/state`, false)

    if (await datastore.has(new Key(`${base}/dropped`, false))) {
      await dropAll(datastore, base)
    }

    const state = await datastore.has(key) ? readState(await datastore.get(key)) : undefined
    const store = new Store(datastore, base, new Catalogue(state), state?.journal ?? 0)

    if (state != null) {
      // it may have come to its end before it deleted these
      await store.#deletePages(state.freed)
    }

    await store.#replay()
    return store
  }

  /** Adds and removes: all of it is stored when this resolves, or nothing after a crash before. Returns what was added */
  async write ({ added: entries, removed, tip }: Write): Promise<Addition[]> {
    if (this.#broken != null) {
      throw this.#broken
    }

    const { added, blocks } = this.#place(entries)
    await this.#prepare({ added, removed })
    const number = this.#journal + 1
    const batch = this.#datastore.batch()
    batch.put(this.#journalKey(number), encodeJournal({ number, added, removed, tip }))
    blocks.forEach(({ start, entries }) => { batch.put(this.#blockKey(start), encodeBlock(entries)) })

    try {
      await this.#commit(batch, this.#journalKey(number))
    } catch (err) {
      // what is in it may be stored, or not: nothing goes on top of it
      this.#open = undefined
      throw err
    }

    this.#journal = number
    this.#journaled += added.length + removed.length
    this.catalogue.apply({ added, removed, tip })
    this.#firstGrowing = this.#open?.start ?? this.catalogue.arrivals

    if (removed.length > 0) {
      // they are not in the log any more, whatever lies in blocks
      await this.#removeFromBlocks(removed).catch(() => {})
    }
    if (this.#journaled >= limits.CHECKPOINT_ENTRIES) {
      // what was written is stored, whatever becomes of the trees: the next write hears of it
      await this.checkpoint().catch(() => {})
    }

    this.#evict()
    return added
  }

  /** Writes the trees, so that the next open finds them */
  async checkpoint (): Promise<void> {
    if (this.#journaled === 0 && this.#firstRecord > this.#journal) {
      return
    }

    try {
      await this.#writeState()
    } catch (err: any) {
      this.break(new WriteFailedError(`The trees of the log could not be written (${err.message}): close the log, and open it again`))
      throw err
    }
  }

  async #writeState (): Promise<void> {
    const { snapshot, flushed } = this.catalogue.flush()
    const pages = TREES.flatMap(name => flushed[name].pages.map(page => ({ key: this.#pageKey(name, page.id), page })))

    for (let i = 0; i < pages.length; i += limits.FLUSH_PAGES) {
      const batch = this.#datastore.batch()
      const some = pages.slice(i, i + limits.FLUSH_PAGES)
      some.forEach(({ key, page }) => { batch.put(key, page.bytes) })
      await this.#commit(batch, some[0].key)
    }

    const freed = Object.fromEntries(TREES.map(name => [name, flushed[name].freed])) as Record<TreeName, number[]>
    await this.#datastore.put(new Key(`${this.#base}/state`, false), encodeState({ ...snapshot, journal: this.#journal, freed }))
    await this.#deletePages(freed)
    await this.#deleteRecords(this.#firstRecord, this.#journal)
    this.#firstRecord = this.#journal + 1
    this.#journaled = 0
  }

  /** Where an entry lies; undefined: it is not in the log */
  async locate (id: Uint8Array): Promise<Found | undefined> {
    const found = await this.read('ring', () => this.catalogue.findAt(positionOf(id), id))

    if (found != null || this.catalogue.trees.places.count === 0) {
      return found
    }

    const position = await this.read('places', () => this.catalogue.placeOf(id))
    return position == null ? undefined : this.read('ring', () => this.catalogue.findAt(position, id))
  }

  async find (id: Uint8Array): Promise<TrueEntry & Location | undefined> {
    const found = await this.locate(id)
    return found == null ? undefined : (await this.entriesAt([found]))[0]
  }

  /** Those that are still there, with their arrivals: a block that holds many of them is read once */
  async entriesAt (all: Found[]): Promise<Array<TrueEntry & Location>> {
    const entries: Array<TrueEntry & Location> = []
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

  /** Asks a tree, and loads the pages that it needs for the answer */
  async read<T> (name: TreeName, run: (tree: Tree) => T): Promise<T> {
    const tree = this.catalogue.trees[name]
    const gone = new Set<number>()

    for (;;) {
      try {
        return run(tree)
      } catch (err) {
        if (!(err instanceof PagesMissing)) {
          throw err
        }
        await this.#load(name, err.pages, gone)
      }
    }
  }

  /** Up to which arrival a program has dealt with everything */
  async marked (program: string): Promise<number> {
    const key = this.#markKey(program)
    return await this.#datastore.has(key) ? new Reader(await this.#datastore.get(key)).uvarint() : 0
  }

  async mark (program: string, arrival: number): Promise<void> {
    await this.#datastore.put(this.#markKey(program), new Writer(8).uvarint(arrival).finish())
  }

  /** Deletes all there is of the log. If a crash comes in between, the next open goes on with it */
  async drop (): Promise<void> {
    await this.#datastore.put(new Key(`${this.#base}/dropped`, false), new Uint8Array(0))
    await dropAll(this.#datastore, this.#base)
  }

  /** Nothing is written any more: what is under way may be stored, or not */
  break (reason: Error): void {
    this.#broken ??= reason
  }

  async #replay (): Promise<void> {
    const records = []

    for await (const { key, value } of this.#datastore.query({ prefix: `${this.#base}/journal/` })) {
      const number = parseInt(key.toString().slice(`${this.#base}/journal/`.length), 36)

      if (number > this.#journal) {
        records.push({ number, value })
      } else {
        // a crash came before it was deleted
        await this.#deleteRecords(number, number)
      }
    }

    records.sort((a, b) => a.number - b.number)
    const first = this.#firstRecord

    for (const [i, { number, value }] of records.entries()) {
      const isLast = i === records.length - 1

      if (number !== first + i) {
        throw new StoreCorruptError(`Record ${first + i} of the journal is missing: restore the datastore, or drop the log`)
      }

      const record = this.#readRecord(value, isLast)

      if (record == null || (isLast && !await this.#isWhole(record))) {
        await this.#removeFromBlocks(record?.added ?? [])
        await this.#datastore.delete(this.#journalKey(number))
      } else {
        await this.#prepare(record)
        this.catalogue.apply(record)
        this.#journal = number
        this.#journaled += record.added.length + record.removed.length

        if (isLast) {
          await this.#removeFromBlocks(record.removed)
        }
      }
    }

    this.#firstGrowing = this.catalogue.arrivals
    this.#evict()
  }

  async #isWhole ({ added }: Change): Promise<boolean> {
    return (await this.entriesAt(added)).length === added.length
  }

  /** The last one may be torn itself */
  #readRecord (value: Uint8Array, isLast: boolean): JournalRecord | undefined {
    try {
      return decodeJournal(value)
    } catch (err: any) {
      if (!isLast || !(err instanceof TornError)) {
        throw corrupt('The journal', err)
      }
    }
  }

  async #prepare (change: Pick<Change, 'added' | 'removed'>): Promise<void> {
    for (let missing = this.catalogue.missing(change); missing.length > 0; missing = this.catalogue.missing(change)) {
      await Promise.all(missing.map(async ({ tree, pages }) => this.#load(tree, pages)))
    }
  }

  /** A page that is `gone` may have been written anew, under another id, while we read: then the tree does not ask for it again */
  async #load (name: TreeName, pages: number[], gone?: Set<number>): Promise<void> {
    await Promise.all(pages.map(async page => {
      try {
        this.catalogue.trees[name].load(page, await this.#datastore.get(this.#pageKey(name, page)))
      } catch (err: any) {
        const isGone = err.name === 'NotFoundError'

        if (isGone && gone?.has(page) === false) {
          gone.add(page)
        } else if (isGone || err instanceof MalformedError) {
          throw corrupt(`Page ${page} of the tree '${name}'`, err)
        } else {
          throw err
        }
      }
    }))
  }

  #evict (): void {
    for (const name of TREES) {
      const tree = this.catalogue.trees[name]

      // a sweep costs as much as it has pages to look at
      if (tree.loaded > limits.MAX_PAGES * 1.25) {
        tree.evict(limits.MAX_PAGES)
      }
    }
  }

  /** What was put into the batch is stored. Not all datastores say when it is not: that for IndexedDB keeps silent when its disk is full */
  async #commit (batch: Batch, witness: Key): Promise<void> {
    await batch.commit()

    if (!await this.#datastore.has(witness)) {
      throw new WriteFailedError('The datastore did not store what it said it did: it may be full')
    }
  }

  /** Into the open block while it has room, then into new ones */
  #place (entries: Write['added']): { added: Addition[], blocks: Set<OpenBlock> } {
    const first = this.catalogue.arrivals
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

    return { added, blocks }
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
      return decodeBlock(await this.#datastore.get(this.#blockKey(start)))
    } catch (err: any) {
      if (err.name === 'NotFoundError') {
        return []
      }
      throw err instanceof MalformedError ? corrupt(`Block ${start} of the log`, err) : err
    }
  }

  async #removeFromBlocks (removed: Location[]): Promise<void> {
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
        batch.put(this.#blockKey(start), encodeBlock(left))
      } else {
        batch.delete(this.#blockKey(start))
      }
    }))

    await batch.commit()
    // somebody may have read one of them meanwhile
    starts.forEach(start => { this.#cache.delete(start) })
  }

  async #deletePages (freed: Record<TreeName, number[]>): Promise<void> {
    const batch = this.#datastore.batch()
    TREES.forEach(name => { freed[name].forEach(page => { batch.delete(this.#pageKey(name, page)) }) })
    await batch.commit()
  }

  async #deleteRecords (first: number, last: number): Promise<void> {
    const batch = this.#datastore.batch()
    for (let number = first; number <= last; number++) {
      batch.delete(this.#journalKey(number))
    }
    await batch.commit()
  }

  /** So that what came together lies together */
  #blockKey (start: number): Key {
    return new Key(`${this.#base}/block/${start.toString(36).padStart(11, '0')}`, false)
  }

  #journalKey (number: number): Key {
    return new Key(`${this.#base}/journal/${number.toString(36).padStart(11, '0')}`, false)
  }

  #markKey (program: string): Key {
    return new Key(`${this.#base}/mark/${toString(encodeString(program), 'base64url')}`, false)
  }

  #pageKey (name: TreeName, page: number): Key {
    return new Key(`${this.#base}/page/${name}/${page.toString(36)}`, false)
  }
}

function readState (bytes: Uint8Array): ReturnType<typeof decodeState> {
  try {
    return decodeState(bytes)
  } catch (err: any) {
    throw corrupt('The state of the log', err)
  }
}

function corrupt (what: string, { message }: Error): StoreCorruptError {
  return new StoreCorruptError(`${what} cannot be read (${message}): restore the datastore, or drop the log`)
}

async function dropAll (datastore: Datastore, base: string): Promise<void> {
  const mark = new Key(`${base}/dropped`, false)
  let batch = datastore.batch()
  let size = 0

  for await (const key of datastore.queryKeys({ prefix: `${base}/` })) {
    if (key.toString() !== mark.toString()) {
      batch.delete(key)
    }
    if (++size % limits.FLUSH_PAGES === 0) {
      await batch.commit()
      batch = datastore.batch()
    }
  }

  await batch.commit()
  await datastore.delete(mark)
}
