import { Key } from 'interface-datastore'
import { toString } from 'uint8arrays/to-string'
import { encodeString } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { Pacer } from '../runtime/pacer.ts'
import { StoreOwner } from '../runtime/store-owner.ts'
import { begin, finish, Kind, open } from '../storage/core/checksummed.ts'
import { Disk, mayStillWrite } from '../storage/disk.ts'
import { DamagedPageError, Pages, walk } from '../storage/pages.ts'
import { Checkpoints } from './checkpoints.ts'
import { MAX_PROBLEMS } from './constants.ts'
import { LogIndex } from './core/log-index.ts'
import { encodeRecord } from './core/record.ts'
import { placeIn, TABLES } from './core/rows.ts'
import { LogClosedError, StoreFailedError, StoreInUseError, StoreVersionError } from './errors.ts'
import { Records } from './records.ts'
import { readManifest, readTail, rebuild, replay } from './recovery.ts'
import { additionOf } from './state.ts'
import type { Sizes } from './constants.ts'
import type { Prepared } from './core/log-index.ts'
import type { RemovedRows, StoredEntry, StoredRecord } from './core/record.ts'
import type { Place, RingRow, TableName } from './core/rows.ts'
import type { TrueEntry } from './core/types.ts'
import type { Tail } from './recovery.ts'
import type { StoreState } from './state.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ScanOptions } from '../storage/core/table.ts'
import type { Logger } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/** Under this everything of a log is stored, and is gone when it is dropped */
export function baseOf (logId: string): string {
  return `/sheaf/log/${toString(encodeString(logId), 'base64url')}`
}

/**
 * How often one question has the index made anew. More damage than that is a datastore that does not give back what it
 * is given. A guess: the question may meet damage that was there before, and some that comes
 */
const MAX_REBUILDS = 3

export interface StoreInit {
  datastore: Datastore
  logId: string
  clock: Clock
  logger: Logger
  sizes: Sizes
  /** Records were found that cannot be read: call `unlist` when nothing is being written */
  onDamaged (): void
}

/** What is to be written at once */
export interface Write {
  added: TrueEntry[]
  /** One for each that is added: its parents that are not here, but for the previous entry of its author */
  absent?: Uint8Array[][]
  removed?: RemovedRows
}

/** That a log was dropped, and not all of it is deleted yet */
const DROPPED = 'dropped'
/** Rows that are looked at before others get a turn */
const ROWS = 1024

/**
 * A log in a datastore. An append is one value, a record (core/record.ts), where the entry stays, too. The index finds
 * it again: its memtables become runs at checkpoints (checkpoints.ts). Everything carries a checksum.
 *
 * - <shelf>/<number>r: records, and <shelf>/<number>p: pages of the index; the numbers ascend with time
 * - manifest/0 and /1: what there was at the last two checkpoints. Later records are read when the log is opened
 * - owner: who has it open; mark/<program>: how far a program has come; dropped: it is being deleted
 * - shelf/<program>/<name>: what a program made of the log, see replication/shelf.ts
 */
export class Store {
  readonly #state: StoreState
  readonly #ownership: StoreOwner
  readonly #closed: LogClosedError
  readonly #onDamaged: () => void
  /** Records that cannot be read, and why: what they hold is not in the log any more */
  readonly #damaged = new Map<number, string>()
  /** Records that may lack entries which the index has */
  readonly #suspects = new Set<number>()
  readonly #problems: string[] = []
  #checkpoints: Checkpoints
  /** A number under which a record may lie that could not be written: the next one takes its place */
  #failed?: number
  #writing?: Promise<void>
  /** Marks that are being stored */
  readonly #marking = new Set<Promise<void>>()
  #rebuilding?: Promise<void>

  private constructor (logId: string, state: StoreState, ownership: StoreOwner, onDamaged: () => void) {
    this.#closed = LogClosedError.of(logId)
    this.#state = state
    this.#ownership = ownership
    this.#onDamaged = onDamaged
    this.#checkpoints = new Checkpoints(state, undefined, [], this.#onDamagedIndex)
  }

  /** Throws a StoreInUseError, or a StoreVersionError */
  static async open ({ datastore, logId, clock, logger, sizes, onDamaged }: StoreInit): Promise<Store> {
    if (mayStillWrite(datastore)) {
      throw new StoreInUseError(`The datastore of the log '${logId}' has not ended a write that was given up: ` +
        'wait for it, or open the datastore again')
    }

    const base = baseOf(logId)
    const key = new Key(`${base}/owner`, false)
    const ownership = await StoreOwner.open({ datastore, key, name: `The log '${logId}'`, clock })

    try {
      const disk = new Disk({ datastore, base, clock })
      disk.own(ownership)
      const pages = new Pages(disk, sizes.cacheBytes)
      const records = new Records(disk, sizes.cacheBytes / 2, (seq, why) => { store.#noteDamaged(seq, why) })
      const store = new Store(
        logId, { clock, logger, sizes, disk, pages, records, index: new LogIndex(pages) }, ownership, onDamaged
      )
      await store.#open()
      return store
    } catch (err) {
      await ownership.release()
      throw err
    }
  }

  get index (): LogIndex {
    return this.#state.index
  }

  get problems (): Array<{ kind: string, message: string }> {
    const { failure } = this.#checkpoints
    return [
      ...this.#problems.map(message => ({ kind: 'damage', message })),
      ...failure == null
        ? []
        : [{ kind: 'disk', message: `a checkpoint could not be written (${failure.message}): make room on the disk` }]
    ]
  }

  /** Bytes of pages in memory */
  get cached (): number {
    return this.#state.pages.bytes
  }

  /** Records by their numbers, those left out that are not there or cannot be read */
  get records (): Records {
    return this.#state.records
  }

  /** What `ask` says of the index: reads the pages that it needs, and where one is damaged, makes the index anew */
  async read<T> (ask: (index: LogIndex) => T): Promise<T> {
    for (let rebuilds = 0; ; rebuilds++) {
      const { index, pages } = this.#state

      try {
        return await pages.read(() => ask(this.#state.index))
      } catch (err) {
        if (!(err instanceof DamagedPageError)) {
          throw err
        }
        if (rebuilds === MAX_REBUILDS) {
          throw rotten(err)
        }
        await this.#rebuild(index, err)
      }
    }
  }

  /** Keys of a table that are there, in order */
  async scan (name: TableName, options: ScanOptions): Promise<Uint8Array[]> {
    return this.read(({ tables }) => tables[name].scan(options))
  }

  /** Where an entry lies; undefined: it is not in the log */
  async locate (id: Uint8Array): Promise<RingRow | undefined> {
    const row = await this.read(index => index.find(id))
    return row == null || this.#damaged.has(row.seq) ? undefined : row
  }

  async find (id: Uint8Array): Promise<StoredEntry | undefined> {
    const row = await this.locate(id)
    return row == null ? undefined : (await this.entriesAt([row]))[0]
  }

  /** The entries in these places, as far as they can be read. Each record is read once */
  async entriesAt (places: Place[]): Promise<StoredEntry[]> {
    const seqs = [...new Set(places.map(({ seq }) => seq))]
    const records = new Map(await Promise.all(seqs.map(async seq => [seq, await this.records.read(seq)] as const)))
    const entries: StoredEntry[] = []

    for (const { seq, slot } of places) {
      const record = records.get(seq)
      const entry = record?.entryAt(slot)

      if (entry != null) {
        entries.push(entry)
      } else if (record == null) {
        this.#noteDamaged(seq, 'it is missing')
      } else {
        // unless it was removed meanwhile
        this.suspect(seq, seq + 1)
      }
    }

    return entries
  }

  /** Records up to `to` may lack entries which the index has: `unlist` finds that out */
  suspect (from: number, to: number): void {
    for (let seq = from; seq < to; seq++) {
      this.#suspects.add(seq)
    }

    this.#onDamaged()
  }

  /**
   * Adds and removes: all of it is stored when this resolves, or nothing. Nothing else may be written meanwhile.
   * Returns the arrival of the first one
   */
  async write ({ added: entries, absent = [], removed = {} }: Write): Promise<number> {
    const { disk } = this.#state
    disk.check()
    await this.#checkpoints.ready()
    const added = entries.map((entry, slot) => additionOf(entry, { seq: 0, slot }, absent[slot] ?? []))
    const prepare = async (): Promise<Prepared> => this.read(index => {
      index.place(added)
      return index.prepare({ added, removed })
    })
    let index = this.index
    let prepared = await prepare()

    while (this.#rebuilding != null || index !== this.index) {
      await this.#rebuilding
      index = this.index
      prepared = await prepare()

      // what was dead may be here again, if what said so was damaged
      if (await this.read(index => added.some(({ id }) => index.find(id) != null))) {
        throw new StoreFailedError('The index was made anew while this was to be written: try again')
      }
    }

    // from here on nothing comes in between: a record behind a cut has a number behind it
    const arrival = index.arrivals
    const seq = this.#failed ?? disk.nextSeq++
    added.forEach(addition => { addition.seq = seq })
    const bytes = encodeRecord({
      seq,
      arrival,
      removed: prepared.removed,
      entries: entries.map((entry, i) => ({ entry, isLate: added[i].isLate, absent: added[i].absent }))
    })
    const writing = disk.putRecord(seq, bytes)
    // whoever makes the index anew waits for it, whatever becomes of it
    this.#writing = writing.catch(() => {})

    try {
      await writing
      this.#failed = undefined
    } catch (err) {
      this.#failed = seq
      throw err
    } finally {
      this.#writing = undefined
    }

    index.apply(prepared, [{ seq, arrival, size: added.length }])
    this.#checkpoints.note(added.length, bytes.byteLength)
    this.#checkpoints.begin()

    if (this.#damaged.size + this.#suspects.size > 0) {
      this.#onDamaged()
    }

    return arrival
  }

  /** Takes out of the index what cannot be read: so it is asked for again. Nothing else may be written meanwhile */
  async unlist (): Promise<void> {
    while (this.#damaged.size + this.#suspects.size > 0) {
      const reasons = new Map(this.#damaged)
      const suspects = [...this.#suspects]
      const seqs = new Set([...reasons.keys(), ...suspects])
      const removed = await this.#unreadable(seqs)
      const lost = new Set((removed.ring ?? []).map(row => placeIn('ring', row).seq))

      if (lost.size > 0) {
        await this.write({ added: [], removed })
      }

      for (const seq of lost) {
        const why = reasons.get(seq) ?? 'entries are missing'
        this.#tell(`record ${seq} is damaged (${why}): its entries are not in the log until others send them again`)
      }

      // not before: if the write failed, the next one that does not tries again
      reasons.forEach((_, seq) => this.#damaged.delete(seq))
      suspects.forEach(seq => this.#suspects.delete(seq))
    }
  }

  /** Up to which arrival a program has dealt with everything */
  async marked (program: string): Promise<number> {
    const bytes = await this.#state.disk.getNamed(markOf(program))

    try {
      return bytes == null ? 0 : open(bytes, Kind.MARK, 0).uvarint()
    } catch (err: any) {
      if (!(err instanceof MalformedError)) {
        throw err
      }
      this.#tell(`the mark of the program '${program}' is damaged (${err.message}): it begins anew`)
      return 0
    }
  }

  async mark (program: string, arrival: number): Promise<void> {
    const marking = this.#state.disk.putNamed(markOf(program), finish(begin(Kind.MARK, 0, 16).uvarint(arrival)))
    const settled = marking.catch(() => {}).finally(() => { this.#marking.delete(settled) })
    this.#marking.add(settled)
    await marking
  }

  /**
   * Writes what makes the next open fast, or deletes all there is of the log, and lets go of the store. Says whether it
   * deleted: `isToBeDropped` is asked again when all is written, as that takes long
   */
  async end (isToBeDropped: () => boolean): Promise<boolean> {
    const { disk } = this.#state

    try {
      await Promise.all([this.#rebuilding, ...this.#marking])

      if (!isToBeDropped()) {
        await this.#finish().catch(err => {
          if (!isToBeDropped()) {
            throw err
          }
        })
      }
      if (isToBeDropped()) {
        await this.#drop()
        return true
      }

      return false
    } finally {
      disk.end(this.#closed)
      await this.#ownership.release()
    }
  }

  async #finish (): Promise<void> {
    if (this.#failed != null) {
      // it is no record of this log
      await this.#state.disk.delete([this.#failed], 'record')
    }

    await this.#checkpoints.finish()
  }

  /** If a crash comes in between, the next open goes on with it */
  async #drop (): Promise<void> {
    const { disk } = this.#state
    await this.#checkpoints.stop()
    await disk.putNamed(DROPPED, new Uint8Array(0))
    // who reads now would take for lost what is deleted
    disk.end(this.#closed)
    await disk.clear(DROPPED, 'owner')
  }

  async #open (): Promise<void> {
    const { disk, pages } = this.#state

    if (await disk.getNamed('state') != null) {
      throw new StoreVersionError('The log was stored by a release before the first, ' +
        'in a form that this one does not read: open it with the release that wrote it')
    }
    if (await disk.getNamed(DROPPED) != null) {
      await disk.clear(DROPPED, 'owner')
    }

    const { manifest, isDamaged } = await readManifest(disk)
    const tail = await readTail(disk, manifest)
    disk.nextSeq = tail.nextSeq
    this.#checkpoints = new Checkpoints(this.#state, manifest, tail.useless, this.#onDamagedIndex)

    if (manifest != null) {
      this.#state.index = new LogIndex(pages, manifest.counters)
      TABLES.forEach(name => { this.index.tables[name].runs = manifest.runs[name] })
    }

    try {
      if (manifest == null && isDamaged) {
        throw new DamagedPageError('no manifest can be read')
      }

      await this.#replay(tail)
      this.#checkpoints.merge()
    } catch (err) {
      if (!(err instanceof DamagedPageError)) {
        throw err
      }
      await this.#rebuild(this.index, err, manifest != null)
    }
  }

  async #replay ({ records }: Tail): Promise<void> {
    await replay(this.#state, this.index, records, {
      onApplied: record => { this.#checkpoints.note(record.size, record.byteLength) },
      onMissing: (seq, count) => {
        this.#tell(`${count} entries before record ${seq} are missing: they are lost, until others send them again`)
      },
      onDamaged: async (seq, why, isLast) => {
        // a crash tears what was being written: nobody was told that it is stored
        if (!isLast) {
          this.#tell(`record ${seq} is damaged (${why}): its entries are lost, until others send them again`)
        }
        await this.#state.disk.delete([seq], 'record')
      }
    })
  }

  readonly #onDamagedIndex = (err: Error): void => {
    this.#rebuild(this.index, err).catch(err => {
      this.#state.logger.error('the index could not be made anew - %e', err)
    })
  }

  /** `before`: the index that is damaged. Whoever else found that out waits for the same */
  async #rebuild (before: LogIndex, { message }: Error, hasCounters = true): Promise<void> {
    if (before === this.index) {
      this.#rebuilding ??= this.#rebuildNow(hasCounters ? before : undefined).catch(err => {
        throw err instanceof DamagedPageError ? rotten(err) : err
      }).finally(() => {
        this.#rebuilding = undefined
      })
      this.#tell(`${message}: the index was made anew from the records`)
      await this.#rebuilding
    }
  }

  async #rebuildNow (before?: LogIndex): Promise<void> {
    await this.#writing
    await this.#checkpoints.stop()
    const { index, freed, damaged } = await rebuild(this.#state, before)
    // if it is stored after all, it is a record now
    this.#failed = undefined
    damaged.forEach(seq => {
      this.#tell(`record ${seq} is damaged: its entries are lost, until others send them again`)
    })
    await this.#state.disk.delete(damaged, 'record')
    this.records.clear()
    this.#state.index = index
    await this.#checkpoints.replace(freed)
  }

  #noteDamaged (seq: number, why: string): void {
    if (!this.#damaged.has(seq)) {
      this.#damaged.set(seq, why)
      this.#onDamaged()
    }
  }

  #tell (problem: string): void {
    this.#state.logger.error('%s', problem)

    if (!this.#problems.includes(problem)) {
      this.#problems.push(problem)
      this.#problems.splice(0, this.#problems.length - MAX_PROBLEMS)
    }
  }

  /** All rows that name places in these records where no entry can be read */
  async #unreadable (seqs: Set<number>): Promise<RemovedRows> {
    const records = new Map<number, StoredRecord | undefined>()
    const removed: RemovedRows = {}
    const pacer = new Pacer(this.#state.clock)

    for (const seq of seqs) {
      records.set(seq, await this.records.read(seq))
    }

    for (const name of ['ring', 'order', 'groups'] as const) {
      const found: Uint8Array[] = removed[name] = []

      for await (const rows of walk(async options => this.scan(name, options), ROWS)) {
        found.push(...rows.filter(row => {
          const { seq, slot } = placeIn(name, row)
          return records.has(seq) && records.get(seq)?.entryAt(slot) == null
        }))
        await pacer.pause()
      }
    }

    return removed
  }
}

/** The datastore does not give back what the log has just written */
function rotten ({ message }: DamagedPageError): StoreFailedError {
  return new StoreFailedError(`The datastore does not give back what was written to it (${message}): ` +
    'the disk is broken. Copy the store to another one, and open it there')
}

function markOf (program: string): string {
  return `mark/${toString(encodeString(program), 'base64url')}`
}
