import { compare } from 'uint8arrays/compare'
import { keyOfBytes } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { Pacer } from '../runtime/pacer.ts'
import { Appends } from './append.ts'
import * as limits from './constants.ts'
import { MAX_PARENTS } from './core/entry.ts'
import { compareEntries } from './core/hybrid-clock.ts'
import { rowsOfEntry } from './core/log-index.ts'
import { sizeOf } from './core/types.ts'
import { LogClosedError, WriteFailedError } from './errors.ts'
import type { Base, Batch, Series } from './append.ts'
import type { Sizes } from './constants.ts'
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
  /** Why an entry may not go in; undefined: it may */
  admit? (entry: TrueEntry): Error | undefined | Promise<Error | undefined>
  onAdded (entry: TrueEntry, arrival: number): void
  onRemoved (entry: TrueEntry): void
}

/** What became of an entry that was handed in */
export type Admission = 'added' | 'known' | Error

/**
 * The one who writes, one turn after the other: appends, which are written together with all others that wait; entries of others,
 * when they are verified; removals. What a turn stores is one record at a time, and is in the index before the next one.
 */
export class Writer {
  readonly #init: WriterInit
  readonly #mailboxes: Mailboxes
  readonly #appends: Appends
  readonly #pacer: Pacer
  #isScheduled = false
  #isEnded = false
  /** The last entry that was appended here in this life */
  #last?: Uint8Array
  /** Counts what was written: what was looked up before the last change may not be true any more */
  #changes = 0

  constructor (init: WriterInit) {
    this.#init = init
    this.#pacer = new Pacer(init.clock)
    this.#appends = new Appends(init, this.#pacer)
    // each thing that a turn waits for has a deadline of its own
    this.#mailboxes = new Mailboxes({ name: 'log writes', clock: init.clock, deadline: Infinity, capacity: limits.MAX_PENDING })
  }

  /** Entries that wait to be written */
  get pending (): number {
    return this.#appends.items
  }

  get changes (): number {
    return this.#changes
  }

  append (items: Uint8Array[], options: AppendOptions, series?: Series): Promise<TrueEntry[]> {
    const appended = this.#appends.add(items, options, series)
    this.#schedule()
    return appended
  }

  /** Entries that were verified, none of which was here when `changes` was read. Says what became of each */
  async join (entries: TrueEntry[], changes: number): Promise<Admission[]> {
    return this.#turn(async () => {
      const admissions = new Map<string, Admission>()
      const { recordEntries } = this.#init.sizes
      let chosen: TrueEntry[] = []
      let absent: Uint8Array[][] = []
      let bytes = 0
      const here = new Set<string>()
      const write = async (): Promise<void> => {
        if (chosen.length > 0) {
          await this.#write(chosen, absent)
          ;[chosen, absent, bytes] = [[], [], 0]
        }
        await this.#pacer.pause()
      }
      const isKnown = async (id: Uint8Array): Promise<boolean> => changes !== this.#changes && await this.#init.store.locate(id) != null

      // parents first
      for (const entry of entries.slice().sort(compareEntries)) {
        const key = keyOfBytes(entry.id)

        if (here.has(key) || await isKnown(entry.id)) {
          continue
        }

        const asked = this.#init.admit?.(entry)
        const refusal = asked instanceof Promise ? await asked : asked
        admissions.set(key, refusal ?? 'added')

        if (refusal == null) {
          absent.push(await this.#absentOf(entry, here))
          here.add(key)
          chosen.push(entry)
          bytes += sizeOf(entry)
        }
        if (chosen.length === recordEntries || bytes >= limits.COMMIT_BYTES) {
          const before = this.#changes
          await write()
          // what was written is in `here`: nothing else came in between
          changes = changes === before ? this.#changes : changes
        }
      }

      await write()
      return entries.map(({ id }) => admissions.get(keyOfBytes(id)) ?? 'known')
    })
  }

  /** Those that `choose` names when its turn has come. Says how many went */
  async remove (choose: () => Promise<StoredEntry[]>): Promise<number> {
    return this.#turn(async () => {
      const chosen = await choose()

      for (let i = 0; i < chosen.length; i += this.#init.sizes.recordEntries) {
        await this.#removeSome(chosen.slice(i, i + this.#init.sizes.recordEntries))
        await this.#pacer.pause()
      }

      return chosen.length
    })
  }

  /** Something that writes by itself */
  async run<T> (work: () => Promise<T>): Promise<T> {
    return this.#turn(async () => {
      this.#changes++
      return work()
    })
  }

  /** What was asked for before is done first, then `last`, and nothing after it */
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

    return this.#mailboxes.turn(id, async () => {
      if (this.#isEnded) {
        throw new LogClosedError(`The log '${id}' is not open any more: open it again`)
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
      // what else is appended in this tick goes with it
      await Promise.resolve()
      await this.#appendAll()
    }).catch(err => {
      this.#appends.rejectAll(err)
    }).finally(() => {
      this.#isScheduled = false
      this.#schedule()
    })
  }

  /** What waits, a record at a time: one is signed while the one before it is written. After some, others get a turn */
  async #appendAll (): Promise<void> {
    const { store, signer, clock } = this.#init
    let base: Base = await store.read(({ authors }) => ({
      previous: this.#tip(authors.latest(signer.author), clock.now()),
      heads: authors.someHeads(MAX_PARENTS).sort(compare)
    }))
    let written: Promise<Error | undefined> = Promise.resolve(undefined)

    for (let i = 0; i < limits.COMMITS_A_TURN && !this.#appends.isEmpty; i++) {
      const batch = await this.#appends.next(base)
      const err = await written

      if (err != null) {
        // they stand on what could not be written
        reject(batch, new WriteFailedError(`The entry before this one could not be written (${err.message}): append it again`))
        break
      }

      written = this.#writeBatch(batch)
      base = batch.base
      await this.#pacer.pause()
    }

    await written
  }

  /** The entry before ours: the latest one, but for one that a clock dated far ahead before it was put right */
  #tip (latest: { id: Uint8Array, time: number } | undefined, now: number): Uint8Array | undefined {
    return latest != null && latest.time > now + limits.MAX_AHEAD ? this.#last ?? latest.id : latest?.id
  }

  /** Says why it could not be written */
  async #writeBatch (batch: Batch): Promise<Error | undefined> {
    try {
      if (batch.drafts.length > 0) {
        await this.#write(batch.drafts, [])
        this.#last = batch.base.previous
      }

      batch.done.forEach(({ pending, entries }) => { pending.resolve(entries) })
    } catch (err: any) {
      reject(batch, err)
      return err
    }
  }

  async #write (added: TrueEntry[], absent: Uint8Array[][]): Promise<void> {
    const { store, onAdded } = this.#init
    const first = await store.write({ added, absent })
    this.#changes++
    added.forEach((entry, i) => { onAdded(entry, first + i) })
  }

  async #removeSome (entries: StoredEntry[]): Promise<void> {
    const { store, onRemoved } = this.#init
    const removed: RemovedRows = {}

    for (const entry of entries) {
      const row = await store.locate(entry.id)

      if (row != null) {
        const rows = rowsOfEntry(row, entry)

        for (const name of Object.keys(rows) as TableName[]) {
          removed[name] = [...removed[name] ?? [], ...rows[name] ?? []]
        }
      }
    }

    await store.write({ added: [], removed })
    this.#changes++
    entries.forEach(onRemoved)
  }

  /**
   * Its parents that are neither stored nor among these. Not the entry that its author made before: a later one of that author is
   * known from now on, so it will be no head
   */
  async #absentOf ({ parents, previous }: TrueEntry, here: Set<string>): Promise<Uint8Array[]> {
    const absent: Uint8Array[] = []

    for (const parent of parents) {
      const isPrevious = previous != null && compare(parent, previous) === 0

      if (!isPrevious && !here.has(keyOfBytes(parent)) && await this.#init.store.locate(parent) == null) {
        absent.push(parent)
      }
    }

    return absent
  }
}

function reject ({ done }: Batch, err: Error): void {
  done.forEach(({ pending }) => { pending.reject(err) })
}
