import { Key } from 'interface-datastore'
import { toString } from 'uint8arrays/to-string'
import { encodeString, Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { Blocks } from './blocks.ts'
import { commit } from './commit.ts'
import * as limits from './constants.ts'
import { Catalogue, TREES } from './core/catalogue.ts'
import { positionOf } from './core/keys.ts'
import { PagesMissing } from './core/pages.ts'
import { decodeState, encodeState, locationsOf } from './core/records.ts'
import { corrupt, WriteFailedError } from './errors.ts'
import { Journal } from './journal.ts'
import { Listing } from './listing.ts'
import type { StoredEntry } from './blocks.ts'
import type { Change, TreeName } from './core/catalogue.ts'
import type { Found } from './core/keys.ts'
import type { Tree } from './core/tree.ts'
import type { TrueEntry } from './core/types.ts'
import type { Datastore } from 'interface-datastore'

/** Under this everything of a log is stored, and is gone when it is dropped */
export function baseOf (logId: string): string {
  return `/sheaf/log/${toString(encodeString(logId), 'base64url')}`
}

/** What is to be written at once; the store says where it will lie */
export interface Write {
  added: TrueEntry[]
  /** One for each that is added: its parents that are not here. Without it none has any */
  absent?: Uint8Array[][]
  removed: StoredEntry[]
  /** The last entry of our own, if there is a new one */
  tip?: Uint8Array
}

/**
 * A log in a datastore:
 *
 * - state: the roots of the trees, heads, counters: written last, so that it names only what is there
 * - page/T/N: pages of the trees; never overwritten, deleted when no state names them
 * - journal/N: what changed since the state, a record a write
 * - block/N: entries, verbatim, as they came
 * - mark/P: how far a program has come
 * - shelf/P/N: what a program made of the log, see replication/shelf.ts
 *
 * A write is one batch, its journal record first. What is in the log is what the catalogue says, whatever lies in blocks. Of
 * the last record a crash may have torn away blocks: then nobody was told that any of it is stored, and none of it is kept.
 */
export class Store {
  readonly catalogue: Catalogue
  readonly #datastore: Datastore
  readonly #base: string
  readonly #blocks: Blocks
  readonly #listing = new Listing()
  readonly #journal: Journal
  /** Pages on their way into memory */
  readonly #loading = new Map<string, Promise<void>>()
  /** What could not be written of the trees: they are of no use after that */
  #broken?: Error
  /** Until the trees that are being written are stored, or the store is broken: pages may be in memory alone */
  #flushing?: Promise<void>

  private constructor (datastore: Datastore, base: string, catalogue: Catalogue, journal: number) {
    this.#datastore = datastore
    this.#base = base
    this.#blocks = new Blocks(datastore, base)
    this.catalogue = catalogue
    this.#journal = new Journal({ datastore, base, blocks: this.#blocks, listing: this.#listing, stored: journal })
  }

  static async open (datastore: Datastore, logId: string): Promise<Store> {
    const base = baseOf(logId)
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

    await store.#journal.replay(async change => {
      await store.#prepare(change)
      store.catalogue.apply(change)
    })
    store.#blocks.settle(store.catalogue.arrivals)
    store.#evict()
    return store
  }

  /** Adds and removes: all of it is stored when this resolves, or nothing after a crash before. Returns the arrival of the first one */
  async write ({ added: entries, absent = [], removed: gone, tip }: Write): Promise<number> {
    this.#mustBeWhole()
    const { blocks, ...placed } = this.#blocks.place(entries, this.catalogue.arrivals)
    const added = await this.#listing.listAll(entries, locationsOf(placed), absent)
    const removed = await this.#listing.listAll(gone, gone)
    await this.#prepare({ added, removed })
    const batch = this.#datastore.batch()
    const record = this.#journal.next(placed, { added, removed, tip })
    batch.put(record.key, record.bytes)
    blocks.forEach(({ key, bytes }) => { batch.put(key, bytes) })

    try {
      await commit(this.#datastore, batch, record.key)
    } catch (err) {
      // what is in it may be stored, or not: nothing goes on top of it
      this.#blocks.leave()
      throw err
    }

    this.#journal.settle({ added, removed })
    this.catalogue.apply({ added, removed, tip })
    this.#blocks.settle(this.catalogue.arrivals)

    if (removed.length > 0) {
      // they are not in the log any more, whatever lies in blocks
      await this.#blocks.remove(removed).catch(() => {})
    }
    if (this.#journal.isLarge) {
      // writes go on beside it: only who is faster than the trees are written waits for them
      await this.#flushed()
      // what was written is stored, whatever becomes of the trees: the next write hears of it
      this.#flush().catch(() => {})
    }

    this.#evict()
    return placed.arrival
  }

  /** Writes the trees, so that the next open need not read the journal */
  async checkpoint (): Promise<void> {
    await this.#flushed()

    if (this.#broken == null && !this.#journal.isEmpty) {
      await this.#flush()
    }
  }

  async #flush (): Promise<void> {
    this.#flushing = this.#writeState()

    try {
      await this.#flushing
    } catch (err: any) {
      this.break(new WriteFailedError(`The trees of the log could not be written (${err.message}): close the log, and open it again`))
      throw err
    } finally {
      this.#flushing = undefined
    }
  }

  /** Nothing is written of the trees */
  async #flushed (): Promise<void> {
    while (this.#flushing != null) {
      await this.#flushing.catch(() => {})
    }
  }

  async #writeState (): Promise<void> {
    this.#mustBeWhole()
    const { snapshot, flushed } = this.catalogue.flush()
    const journal = this.#journal.cut()
    const pages = TREES.flatMap(name => flushed[name].pages.map(page => ({ key: this.#pageKey(name, page.id), page })))

    for (let i = 0; i < pages.length; i += limits.FLUSH_PAGES) {
      // whoever opens the log anew writes its trees
      this.#mustBeWhole()
      const batch = this.#datastore.batch()
      const some = pages.slice(i, i + limits.FLUSH_PAGES)
      some.forEach(({ key, page }) => { batch.put(key, page.bytes) })
      await commit(this.#datastore, batch, some[0].key)
    }

    this.#mustBeWhole()
    const freed = Object.fromEntries(TREES.map(name => [name, flushed[name].freed])) as Record<TreeName, number[]>
    await this.#datastore.put(new Key(`${this.#base}/state`, false), encodeState({ ...snapshot, journal, freed }))
    await this.#deletePages(freed)
    await this.#journal.clear(journal)
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

  async find (id: Uint8Array): Promise<StoredEntry | undefined> {
    const found = await this.locate(id)
    return found == null ? undefined : (await this.#blocks.read([found]))[0]
  }

  /** Those that are still there, with their arrivals */
  async entriesAt (all: Found[]): Promise<StoredEntry[]> {
    return this.#blocks.read(all)
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
    await this.#flushed()
    await this.#datastore.put(new Key(`${this.#base}/dropped`, false), new Uint8Array(0))
    await dropAll(this.#datastore, this.#base)
  }

  /** Nothing is written any more: what is under way may be stored, or not */
  break (reason: Error): void {
    this.#broken ??= reason
  }

  #mustBeWhole (): void {
    if (this.#broken != null) {
      throw this.#broken
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
        await this.#loadOnce(name, page)
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

  /** Whoever else wants it meanwhile waits for the same */
  async #loadOnce (name: TreeName, page: number): Promise<void> {
    const key = this.#pageKey(name, page)
    const path = key.toString()
    const load = async (): Promise<void> => { this.catalogue.trees[name].load(page, await this.#datastore.get(key)) }
    const loading = this.#loading.get(path) ?? load().finally(() => { this.#loading.delete(path) })
    this.#loading.set(path, loading)
    await loading
  }

  #evict (): void {
    if (this.#flushing != null) {
      return
    }

    for (const name of TREES) {
      const tree = this.catalogue.trees[name]

      // a sweep costs as much as it has pages to look at
      if (tree.loaded > limits.MAX_PAGES * 1.25) {
        tree.evict(limits.MAX_PAGES)
      }
    }
  }

  async #deletePages (freed: Record<TreeName, number[]>): Promise<void> {
    const batch = this.#datastore.batch()
    TREES.forEach(name => { freed[name].forEach(page => { batch.delete(this.#pageKey(name, page)) }) })
    await batch.commit()
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
