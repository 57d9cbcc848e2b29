import { AbortError } from '@libp2p/interface'
import { compare } from 'uint8arrays/compare'
import { Fifo } from '../runtime/bounded.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { keyOf } from './core/covering.ts'
import { encodeContent, MAX_PARENTS } from './core/entry.ts'
import { compareMoments } from './core/hybrid-clock.ts'
import { Proofs } from './core/proofs.ts'
import { WaitingRoom } from './core/waiting-room.ts'
import { AppendRefusedError, LogClosedError, TooManyAppendsError, WriteFailedError } from './errors.ts'
import { hash } from './signatures.ts'
import type { StoredEntry } from './blocks.ts'
import type { TrueEntry } from './core/types.ts'
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

/** What is appended together: all of it, or nothing */
interface Pending {
  items: Uint8Array[]
  options: AppendOptions
  resolve (entries: TrueEntry[]): void
  reject (err: Error): void
}

/** What is signed and written at once */
interface Batch {
  drafts: TrueEntry[]
  done: Array<{ pending: Pending, entries: TrueEntry[] }>
  /** The last of our own entries, once it is written */
  tip?: Uint8Array
}

interface Admitted {
  entry: TrueEntry
  /** Parents that are not here */
  absent: Uint8Array[]
}

export type Admission = 'added' | 'known' | 'waiting' | AppendRefusedError

const NO_PROOF = new Proofs(new Uint8Array(0))

/**
 * Everything that changes a log, one turn after the other: appends, which are written together with all others that wait;
 * entries of others, when they are verified and their parents are here; removals.
 */
export class Writes {
  readonly waiting = new WaitingRoom({ maxEntries: limits.MAX_WAITING, maxBytes: limits.MAX_WAITING_BYTES })
  readonly #init: WritesInit
  readonly #mailboxes: Mailboxes
  readonly #pending = new Fifo<Pending>()
  /** Those that are being written */
  readonly #taken = new Set<Pending>()
  /** Entries in `pending` */
  #items = 0
  #isScheduled = false
  #isEnded = false
  /** Whether the stored tip is ours; undefined: not looked at yet */
  #ownTip?: boolean

  constructor (init: WritesInit) {
    this.#init = init
    this.#mailboxes = new Mailboxes({ name: 'log writes', clock: init.clock, deadline: limits.WRITE_DEADLINE, capacity: limits.MAX_PENDING })
  }

  get pending (): number {
    return this.#items
  }

  append (items: Uint8Array[], options: AppendOptions): Promise<TrueEntry[]> {
    const { signal } = options

    if (signal?.aborted === true) {
      return Promise.reject(signal.reason ?? new AbortError())
    }
    if (this.#items + items.length > limits.MAX_PENDING) {
      return Promise.reject(new TooManyAppendsError(`${this.#items} entries wait to be written already: wait for some of the promises`))
    }

    const { promise, resolve, reject } = Promise.withResolvers<TrueEntry[]>()
    const pending: Pending = { items, options, resolve, reject }
    this.#pending.push(pending)
    this.#items += items.length
    this.#schedule()

    return signal == null ? promise : this.#abortable(pending, promise, signal)
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

      return entries.map(({ id }) => admissions.get(keyOf(id)) ?? 'known')
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
      while (this.#pending.length > 0) {
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

  async #abortable (pending: Pending, promise: Promise<TrueEntry[]>, signal: AbortSignal): Promise<TrueEntry[]> {
    const onAbort = (): void => {
      // one that is being written is not torn out
      if (this.#pending.remove(item => item === pending).length > 0) {
        this.#items -= pending.items.length
        pending.reject(signal.reason ?? new AbortError())
      }
    }

    signal.addEventListener('abort', onAbort)

    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #schedule (): void {
    if (this.#isScheduled) {
      return
    }

    this.#isScheduled = true
    this.#turn(async () => {
      // what else is appended in this tick goes with it
      await Promise.resolve()
      await this.#appendAll()
    }).catch(err => {
      // also those that are being written, if that takes too long
      [...this.#taken, ...this.#pending.clear()].forEach(({ reject }) => { reject(err) })
      this.#items = 0
    }).finally(() => {
      this.#isScheduled = false

      if (this.#pending.length > 0) {
        this.#schedule()
      }
    })
  }

  /** What waits, a batch at a time: one is signed while the one before it is written. After some, others get a turn */
  async #appendAll (): Promise<void> {
    const { catalogue } = this.#init.store
    let tip = await this.#tip()
    let heads = catalogue.heads.slice(0, MAX_PARENTS).sort(compare)
    let written = Promise.resolve(true)

    for (let i = 0; i < limits.COMMITS_A_TURN && this.#pending.length > 0; i++) {
      const batch = await this.#draftAll(this.#take(), tip, heads)
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
    this.#taken.clear()
  }

  #take (): Pending[] {
    const taken: Pending[] = []
    let left: number = limits.COMMIT_ENTRIES
    let bytes = 0

    for (let next = this.#pending.peek(); next != null && (taken.length === 0 || (next.items.length <= left && bytes < limits.COMMIT_BYTES)); next = this.#pending.peek()) {
      this.#pending.shift()
      taken.push(next)
      this.#taken.add(next)
      left -= next.items.length
      this.#items -= next.items.length
      bytes += next.items.reduce((sum, { byteLength }) => sum + byteLength, 0)
    }

    return taken
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

  async #draftAll (pendings: Pending[], tip: Uint8Array | undefined, heads: Uint8Array[]): Promise<Batch> {
    const drafts: TrueEntry[] = []
    const done: Batch['done'] = []

    for (const pending of pendings) {
      try {
        const entries = await this.#draft(pending, tip, heads)
        drafts.push(...entries)
        done.push({ pending, entries })

        if (entries.length > 0) {
          tip = entries[entries.length - 1].id
          heads = [tip]
        }
      } catch (err: any) {
        pending.reject(err)
      }
    }

    for (let i = 0; i < drafts.length; i += limits.SIGNED_AT_ONCE) {
      const signed = drafts.slice(i, i + limits.SIGNED_AT_ONCE)
      const proofs = await this.#init.signer.prove(signed.map(({ id }) => id))
      signed.forEach((draft, k) => {
        draft.proofs = proofs
        draft.at = k
      })
    }

    return { drafts, done, tip }
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

  /** Each on top of the one before. Without proofs: those come for all at once */
  async #draft ({ items, options }: Pending, tip: Uint8Array | undefined, heads: Uint8Array[]): Promise<TrueEntry[]> {
    const { clock, signer, store, canAppend } = this.#init
    const { replicas = 0 } = options
    const group = Uint8Array.from(options.group ?? [])
    const entries: TrueEntry[] = []

    for (const data of items) {
      const { time, counter } = store.catalogue.clock.tick(clock.now())
      const bytes = encodeContent({ time, counter, author: signer.author, previous: tip, parents: heads, group, replicas, data })
      const hashed = hash(bytes)
      const id = hashed instanceof Promise ? await hashed : hashed
      // what is handed out is ours: whoever appended may use his bytes again. They stand at the end
      const own = bytes.subarray(bytes.byteLength - data.byteLength)
      const entry = { time, counter, author: signer.author, previous: tip, parents: heads, group, replicas, data: own, id, bytes, proofs: NO_PROOF, at: 0, isProved: true }

      if (canAppend != null && !await canAppend(entry)) {
        throw new AppendRefusedError('canAppend of this log refused the entry')
      }

      entries.push(entry)
      tip = id
      heads = [id]
    }

    return entries
  }

  async #admitAll (entries: TrueEntry[], admissions: Map<string, Admission>, mayWait: boolean): Promise<void> {
    const called: TrueEntry[] = []

    try {
      const ready = await this.#sort(entries, admissions, mayWait && this.#init.requestParents != null, called)

      for (let i = 0; i < ready.length; i += limits.COMMIT_ENTRIES) {
        const some = ready.slice(i, i + limits.COMMIT_ENTRIES)
        await this.#commit(some.map(({ entry }) => entry), { absent: some.map(({ absent }) => absent) })
      }
    } catch (err) {
      // canAppend threw, or the disk is full: whoever waited goes on waiting, nobody would offer it again
      for (const entry of called) {
        if (await this.#init.store.locate(entry.id) == null) {
          this.waiting.add(entry, await this.#absent(entry, new Set()))
        }
      }
      throw err
    }
  }

  /** Who goes in now, parents first. Those who were called from the waiting room are put into `called` */
  async #sort (entries: TrueEntry[], admissions: Map<string, Admission>, mayWait: boolean, called: TrueEntry[]): Promise<Admitted[]> {
    const { canAppend, store } = this.#init
    const ready: Admitted[] = []
    const here = new Set<string>()
    const left = entries.slice().sort((a, b) => compareMoments(b, a) || compare(b.id, a.id)).map(entry => ({ entry, mayWait }))
    const call = (waiting: TrueEntry[]): void => {
      called.push(...waiting)
      left.push(...waiting.map(entry => ({ entry, mayWait: false })))
    }

    for (let next = left.pop(); next != null; next = left.pop()) {
      const { entry, mayWait } = next
      const key = keyOf(entry.id)

      if (here.has(key) || await store.locate(entry.id) != null) {
        continue
      }

      const absent = await this.#absent(entry, here)

      if (absent.length > 0 && mayWait) {
        admissions.set(key, 'waiting')
        call(this.waiting.add(entry, absent))
        continue
      }

      if (canAppend == null || await canAppend(entry)) {
        here.add(key)
        ready.push({ entry, absent })
        admissions.set(key, 'added')
      } else {
        admissions.set(key, new AppendRefusedError('canAppend of this log refused the entry'))
      }

      // whoever waited for it does so no longer, be it that it will never be here
      call(this.waiting.settle(entry.id))
    }

    return ready
  }

  async #absent ({ parents }: TrueEntry, here: Set<string>): Promise<Uint8Array[]> {
    const { store } = this.#init
    const absent: Uint8Array[] = []

    for (const parent of parents) {
      if (!here.has(keyOf(parent)) && !store.catalogue.isHead(parent) && await store.locate(parent) == null) {
        absent.push(parent)
      }
    }

    return absent
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
