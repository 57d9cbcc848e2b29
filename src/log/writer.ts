import { compare } from 'uint8arrays/compare'
import { equals } from 'uint8arrays/equals'
import { keyOfBytes } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { Pacer } from '../runtime/pacer.ts'
import { all } from '../storage/core/run.ts'
import { Appends, fail } from './append.ts'
import * as limits from './constants.ts'
import { MAX_PARENTS } from './core/entry.ts'
import { compareEntries } from './core/hybrid-clock.ts'
import { rowsOfEntry } from './core/log-index.ts'
import { sizeOf } from './core/types.ts'
import { LogClosedError, WriteFailedError } from './errors.ts'
import type { Base, Batch, Series } from './append.ts'
import type { Sizes } from './constants.ts'
import type { Packed } from '../runtime/packed.ts'
import type { RemovedRows, StoredEntry } from './core/record.ts'
import type { TableName } from './core/rows.ts'
import type { TrueEntry } from './core/types.ts'
import type { AppendOptions } from './index.ts'
import type { Signer } from './signatures.ts'
import type { Store } from './store.ts'
import type { Clock } from '../runtime/clock.ts'

export interface WriterInit {
  id: string
  clock: Clock
  store: Store
  signer: Signer
  sizes: Sizes
  /** Why an entry of our own may not go in; undefined: it may */
  admit? (entry: TrueEntry): Error | undefined | Promise<Error | undefined>
  /** The same of entries that are joined. Never throws */
  admitOthers? (entry: TrueEntry): Error | undefined | Promise<Error | undefined>
  onAdded (entry: TrueEntry, arrival: number): void
  onRemoved (entry: TrueEntry): void
}

const NONE: Uint8Array[] = []

/** What became of an entry that was handed in */
export type Admission = 'added' | 'known' | Error

/** Entries that are to be removed */
export interface Chosen {
  entries: StoredEntry[]
}

/**
 * All writes of a log, one turn after the other: appends, as many together as wait; entries of others, once they are
 * verified; removals. A turn stores one record at a time, which is in the index before the next one.
 */
export class Writer {
  readonly #init: WriterInit
  readonly #turns: Mailboxes
  readonly #appends: Appends
  readonly #pacer: Pacer
  #isScheduled = false
  #isEnded = false
  /** The last entry that was appended here since the log was opened */
  #last?: Uint8Array
  /** What the next append stands on, as long as nothing but appends is written */
  #tip?: Base
  #changes = 0

  constructor (init: WriterInit) {
    this.#init = init
    this.#pacer = new Pacer(init.clock, limits.SLICE)
    this.#appends = new Appends(init, this.#pacer)
    // each thing that a turn waits for has a deadline of its own
    const bounds = { deadline: Infinity, capacity: limits.MAX_PENDING }
    this.#turns = new Mailboxes({ name: 'log writes', clock: init.clock, ...bounds })
  }

  /** Entries that wait to be written */
  get pending (): number {
    return this.#appends.items
  }

  /** Counts writes: an answer of the index that is older than the last write may not be true any more */
  get changes (): number {
    return this.#changes
  }

  append (items: Packed, options: AppendOptions, series: Series = {}): Promise<TrueEntry[]> {
    const appended = this.#appends.add(items, options, series)
    this.#schedule()
    return appended
  }

  /** Verified entries, none of which was here when `changes` was read. Says what became of each */
  async join (entries: TrueEntry[], changes: number): Promise<Admission[]> {
    return this.#turn(async () => {
      const { admitOthers, store, sizes: { recordEntries } } = this.#init
      const mayBeHere = changes !== this.#changes
      const admissions = new Map<string, Admission>()
      const items = entries.map(entry => ({ entry, key: keyOfBytes(entry.id) }))
      let [added, absent, bytes]: [TrueEntry[], Uint8Array[][], number] = [[], [], 0]
      const write = async (): Promise<void> => {
        if (added.length > 0) {
          await this.#write(added, absent)
          ;[added, absent, bytes] = [[], [], 0]
          await this.#pacer.pause()
        }
      }

      // parents first
      for (const { entry, key } of items.toSorted((a, b) => compareEntries(a.entry, b.entry))) {
        if (admissions.has(key) || (mayBeHere && await store.locate(entry.id) != null)) {
          continue
        }

        const asked = admitOthers?.(entry)
        const refusal = asked instanceof Promise ? await asked : asked

        if (refusal == null) {
          const others = this.#othersOf(entry, admissions)
          absent.push(others.length === 0 ? others : await this.#absentOf(others))
          added.push(entry)
          bytes += sizeOf(entry)
        }

        admissions.set(key, refusal ?? 'added')

        if (added.length === recordEntries || bytes >= limits.COMMIT_BYTES) {
          await write()
        }
      }

      await write()
      return items.map(({ key }) => admissions.get(key) ?? 'known')
    })
  }

  /** Removes what `choose` names when its turn has come, and returns what it returned */
  async remove<T extends Chosen> (choose: () => Promise<T>): Promise<T> {
    return this.#turn(async () => {
      const { recordEntries } = this.#init.sizes
      const chosen = await choose()

      for (let i = 0; i < chosen.entries.length; i += recordEntries) {
        await this.#removeSome(chosen.entries.slice(i, i + recordEntries))
        await this.#pacer.pause()
      }

      return chosen
    })
  }

  /** Lets something write that does so by itself */
  async run<T> (work: () => Promise<T>): Promise<T> {
    return this.#turn(async () => {
      this.#noteChange()
      return work()
    })
  }

  /** Does what was asked for before, then `last`, and nothing after it */
  async end (last: () => Promise<void>): Promise<void> {
    await this.#turn(async () => {
      while (!this.#appends.isEmpty) {
        await this.#appendAll()
      }

      this.#isEnded = true
      await last()
    })
  }

  async #turn<T> (run: () => Promise<T>): Promise<T> {
    const { id } = this.#init

    return this.#turns.turn(id, async () => {
      if (this.#isEnded) {
        throw LogClosedError.of(id)
      }

      return run()
    })
  }

  #schedule (): void {
    if (this.#isScheduled || this.#appends.isEmpty) {
      return
    }

    this.#isScheduled = true
    this.#turn(async () => {
      // other appends of this tick go into the same record
      await Promise.resolve()
      await this.#appendAll()
    }).catch(err => {
      this.#appends.failAll(err)
    }).finally(() => {
      this.#isScheduled = false
      this.#schedule()
    })
  }

  /** Writes what waits, record by record: one is signed while the one before it is written */
  async #appendAll (): Promise<void> {
    let base = await this.#base()
    let written: Promise<Error | undefined> | undefined

    for (let i = 0; i < limits.COMMITS_A_TURN && !this.#appends.isEmpty; i++) {
      const batch = await this.#appends.next(base)
      const err = await written

      if (err != null) {
        // these entries stand on one that is not there
        const why = `The entry before this one could not be written (${err.message}): append it again`
        fail(batch.appends, new WriteFailedError(why))
        break
      }

      written = this.#writeBatch(batch)
      base = batch.base
      await this.#pacer.pause()

      // who has heard that it failed appends to what is there: in another turn
      if (await Promise.race([written, Promise.resolve()]) != null) {
        break
      }
    }

    await written
  }

  /** What the next append stands on */
  async #base (): Promise<Base> {
    const { store, signer, clock } = this.#init
    const tip = this.#tip

    if (tip?.index === store.index) {
      return tip
    }

    return store.read(index => {
      const latest = index.authors.latest(signer.author)
      // a clock dated it far ahead before it was put right: our last entry came after it, whatever the dates say
      const isAhead = latest != null && latest.time > clock.now() + limits.MAX_PULL
      const heads = index.authors.someHeads(MAX_PARENTS)
      return {
        previous: isAhead ? this.#last ?? latest.id : latest?.id,
        heads: heads.sort(compare),
        latest,
        index: heads.length < MAX_PARENTS ? index : undefined
      }
    })
  }

  /** Says why it could not be written */
  async #writeBatch ({ appends, base }: Batch): Promise<Error | undefined> {
    const added = appends.flatMap(({ entries }) => entries)

    try {
      if (added.length > 0) {
        await this.#write(added, [])
        this.#last = base.previous
        this.#tip = base
      }

      appends.forEach(({ resolve, entries }) => { resolve(entries) })
    } catch (err: any) {
      fail(appends, err)
      return err
    } finally {
      // callers may keep them for long
      added.forEach(entry => { entry.forgetContent() })
    }
  }

  async #write (added: TrueEntry[], absent: Uint8Array[][]): Promise<void> {
    const { store, onAdded } = this.#init
    const first = await store.write({ added, absent })
    this.#noteChange()
    added.forEach((entry, i) => { onAdded(entry, first + i) })
  }

  async #removeSome (entries: StoredEntry[]): Promise<void> {
    const { store, onRemoved } = this.#init
    const removed: RemovedRows = {}

    for (const entry of entries) {
      const row = await store.locate(entry.id)
      const rows = row == null ? {} : rowsOfEntry(row, entry)

      for (const name of Object.keys(rows) as TableName[]) {
        removed[name] ??= []
        removed[name].push(...rows[name] ?? [])
      }
    }

    await store.write({ added: [], removed })
    this.#noteChange()
    entries.forEach(onRemoved)
  }

  #noteChange (): void {
    this.#changes++
    this.#tip = undefined
  }

  /**
   * The parents that are not joined just now, but for the previous entry of the author: as a later one of that author
   * is known from now on, it will be no head
   */
  #othersOf ({ parents, previous }: TrueEntry, admissions: Map<string, Admission>): Uint8Array[] {
    const isOther = (parent: Uint8Array): boolean => {
      return !(previous != null && equals(parent, previous)) && admissions.get(keyOfBytes(parent)) !== 'added'
    }

    return parents.some(isOther) ? parents.filter(isOther) : NONE
  }

  /** Those of the parents that are not stored */
  async #absentOf (parents: Uint8Array[]): Promise<Uint8Array[]> {
    const rows = await this.#init.store.read(index => all(parents, id => index.find(id)))
    return parents.filter((_, i) => rows[i] == null)
  }
}
