import { compare } from 'uint8arrays/compare'
import { keyOfBytes } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { Admissions } from './admissions.ts'
import { Appends } from './appends.ts'
import * as limits from './constants.ts'
import { MAX_PARENTS } from './core/entry.ts'
import { LogClosedError, WriteFailedError } from './errors.ts'
import type { Admission } from './admissions.ts'
import type { Batch } from './appends.ts'
import type { StoredEntry } from './blocks.ts'
import type { TrueEntry } from './core/types.ts'
import type { WaitingRoom } from './core/waiting-room.ts'
import type { AppendOptions } from './index.ts'
import type { Signer } from './signatures.ts'
import type { Store, Write } from './store.ts'
import type { Clock } from '../runtime/clock.ts'

export interface WritesInit {
  id: string
  clock: Clock
  store: Store
  signer: Signer
  canAppend? (entry: TrueEntry): boolean | Promise<boolean>
  /** Without it nobody waits for parents */
  requestParents? (ids: Uint8Array[]): void
  onAdded (entry: TrueEntry, arrival: number): void
  onRemoved (entry: TrueEntry): void
}

/**
 * Everything that changes a log, one turn after the other: appends, which are written together with all others that wait;
 * entries of others, when they are verified and their parents are here; removals.
 */
export class Writes {
  readonly #init: WritesInit
  readonly #mailboxes: Mailboxes
  readonly #appends: Appends
  readonly #admissions: Admissions
  #isScheduled = false
  #isEnded = false
  /** Whether the stored tip is ours; undefined: not looked at yet */
  #ownTip?: boolean

  constructor (init: WritesInit) {
    this.#init = init
    this.#appends = new Appends(init)
    this.#admissions = new Admissions(init)
    this.#mailboxes = new Mailboxes({ name: 'log writes', clock: init.clock, deadline: limits.WRITE_DEADLINE, capacity: limits.MAX_PENDING })
  }

  /** Entries that wait to be written */
  get pending (): number {
    return this.#appends.items
  }

  /** Entries that wait for their parents */
  get waiting (): WaitingRoom {
    return this.#admissions.waiting
  }

  append (items: Uint8Array[], options: AppendOptions): Promise<TrueEntry[]> {
    const appended = this.#appends.add(items, options)
    this.#schedule()
    return appended
  }

  /** Entries that were verified. Says what became of each */
  async admit (entries: TrueEntry[]): Promise<Admission[]> {
    return this.#turn(async () => {
      const admissions = new Map<string, Admission>()
      await this.#admitAll(entries, admissions, true)
      const { missing } = this.waiting

      if (missing.length > 0) {
        this.#init.requestParents?.(missing)
      }

      return entries.map(({ id }) => admissions.get(keyOfBytes(id)) ?? 'known')
    })
  }

  async giveUp (ids: Uint8Array[]): Promise<void> {
    await this.#turn(async () => this.#admitAll(ids.flatMap(id => this.waiting.settle(id)), new Map(), false))
  }

  /** Those that `choose` names when its turn has come. Says how many went */
  async remove (choose: () => Promise<StoredEntry[]>): Promise<number> {
    return this.#turn(async () => {
      const { store, onRemoved } = this.#init
      const chosen = await choose()

      if (chosen.length > 0) {
        await store.write({ added: [], removed: chosen })
        chosen.forEach(onRemoved)
      }

      return chosen.length
    })
  }

  /** What was asked for before is done first, then `last`, and nothing after it */
  async end (last: () => Promise<void>): Promise<void> {
    await this.#turn(async () => {
      while (!this.#appends.isEmpty) {
        await this.#appendAll()
      }

      this.waiting.clear()
      this.#isEnded = true
      await last()
    })
  }

  async #turn<T> (run: () => Promise<T>): Promise<T> {
    const { id, store } = this.#init

    return this.#mailboxes.turn(id, async signal => {
      if (this.#isEnded) {
        throw new LogClosedError(`The log '${id}' is not open any more: open it again`)
      }

      // a turn that is left behind may still write: nobody may do so beside it
      signal.addEventListener('abort', () => {
        store.break(new WriteFailedError(`The datastore took longer than ${limits.WRITE_DEADLINE} ms: close the log, and open it again`))
      }, { once: true })
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
      // also those that are being written, if that takes too long
      this.#appends.rejectAll(err)
    }).finally(() => {
      this.#isScheduled = false
      this.#schedule()
    })
  }

  /** What waits, a batch at a time: one is signed while the one before it is written. After some, others get a turn */
  async #appendAll (): Promise<void> {
    const { catalogue } = this.#init.store
    let tip = await this.#tip()
    let heads = catalogue.heads.slice(0, MAX_PARENTS).sort(compare)
    let written = Promise.resolve(true)

    for (let i = 0; i < limits.COMMITS_A_TURN && !this.#appends.isEmpty; i++) {
      const batch = await this.#appends.next(tip, heads)
      const isOn = await written

      if (!isOn) {
        // they stand on what could not be written
        const err = new WriteFailedError('The entry before this one could not be written: append it again')
        batch.done.forEach(({ pending }) => { pending.reject(err) })
        break
      }

      written = this.#write(batch)
      tip = batch.tip
      heads = batch.drafts.length > 0 && tip != null ? [tip] : heads
    }

    await written
    this.#appends.settle()
  }

  /** The last entry of our own: another one's may lie here if the log was opened with another key before */
  async #tip (): Promise<Uint8Array | undefined> {
    const { store, signer } = this.#init
    const { tip } = store.catalogue

    if (tip != null && this.#ownTip == null) {
      const entry = await store.find(tip)
      this.#ownTip = entry != null && compare(entry.author, signer.author) === 0
    }

    return this.#ownTip === false ? undefined : tip
  }

  /** False: it could not be written */
  async #write ({ drafts, done, tip }: Batch): Promise<boolean> {
    try {
      await this.#commit(drafts, { tip })
      done.forEach(({ pending, entries }) => { pending.resolve(entries) })
      return true
    } catch (err: any) {
      done.forEach(({ pending }) => { pending.reject(err) })
      return false
    }
  }

  async #admitAll (entries: TrueEntry[], admissions: Map<string, Admission>, mayWait: boolean): Promise<void> {
    const called: TrueEntry[] = []

    try {
      const ready = await this.#admissions.sort(entries, admissions, mayWait && this.#init.requestParents != null, called)

      for (let i = 0; i < ready.length; i += limits.COMMIT_ENTRIES) {
        const some = ready.slice(i, i + limits.COMMIT_ENTRIES)
        await this.#commit(some.map(({ entry }) => entry), { absent: some.map(({ absent }) => absent) })
      }
    } catch (err) {
      // canAppend threw, or the disk is full: whoever waited goes on waiting, nobody would offer it again
      for (const entry of called) {
        if (await this.#init.store.locate(entry.id) == null) {
          this.waiting.add(entry, await this.#admissions.absent(entry, new Set()))
        }
      }
      throw err
    }
  }

  async #commit (entries: TrueEntry[], { absent, tip }: Pick<Write, 'absent' | 'tip'>): Promise<void> {
    if (entries.length === 0) {
      return
    }

    const { store, onAdded } = this.#init
    const first = await store.write({ added: entries, absent, removed: [], tip })
    this.#ownTip ||= tip != null
    entries.forEach((entry, i) => { onAdded(entry, first + i) })
  }
}
