import { archiveOf, exportOf, importArchive } from '../log/archive.ts'
import { checkedItem } from '../log/copies.ts'
import { LogClosedError } from '../log/errors.ts'
import { untilAborted } from '../runtime/aborted.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { APPEND_BYTES, APPEND_ITEMS, TRIM_IDS } from './constants.ts'
import { CannotCrossError } from './errors.ts'
import { entryFromWire, fromWire, toWire } from './wire.ts'
import type { Answer, CallOptions, Client, WalkOptions } from './client.ts'
import type { LogSnapshot, TabEvent } from './wire.ts'
import type { EntryId } from '../log/entry-id.ts'
import type { Bytes, EntriesOptions, Entry, ExportOptions, Imported, TrimOptions } from '../log/index.ts'
import type {
  AppendOptions, Replicate, Replicator, Segment, SharedLog, SharedLogDiagnostics, SharedLogEvents, Shelf, SyncReport,
  WaitForReplicatorsOptions
} from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface RemoteLogInit {
  id: string
  client: Client
  snapshot: LogSnapshot
  /** What close() and drop() of the user do: others of this tab may have opened it, too */
  close (): Promise<void>
  drop (): Promise<void>
  onListenerError (err: unknown): void
}

/**
 * A log that the leader has, with the face that it has there. What it tells without being asked is a copy that the
 * leader keeps up to date. Each entry is told of once, in the order of arrivals, whoever leads meanwhile: what an event
 * does not bring is read from the log.
 */
export class RemoteLog extends SafeEventEmitter<SharedLogEvents> implements SharedLog {
  readonly id: string
  readonly #init: RemoteLogInit
  readonly #shelves = new Map<string, Shelf>()
  #status: SharedLog['status'] = 'open'
  #snapshot: LogSnapshot
  /** All that came before it was told */
  #told: number
  /** As far as is known, the log goes up to here */
  #end: number
  #reading?: Promise<void>
  /** Ends what waits for a source of the program */
  readonly #ended = new AbortController()

  constructor (init: RemoteLogInit) {
    super(init.onListenerError)
    this.id = init.id
    this.#init = init
    this.#snapshot = init.snapshot
    this.#told = this.#end = init.snapshot.nextArrival
  }

  get status (): SharedLog['status'] {
    return this.#status
  }

  get length (): number {
    return this.#snapshot.length
  }

  get nextArrival (): number {
    return this.#told
  }

  async append (data: Uint8Array, options: AppendOptions = {}): Promise<Entry> {
    const [entry] = await this.#append([data], options)
    return entry
  }

  async appendMany (
    items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options: AppendOptions = {}
  ): Promise<Entry[]> {
    const awaited = Symbol.asyncIterator in items ? untilAborted(items, this.#untilEnded(options)) : items
    // callers may use the items of an array again
    const source = Array.isArray(items) ? items.map(item => new Uint8Array(checkedItem(item))) : awaited
    const appended: Entry[] = []
    let [some, bytes]: [Uint8Array[], number] = [[], 0]

    for await (const item of source) {
      checkedItem(item)

      if (some.length > 0 && (some.length === APPEND_ITEMS || bytes + item.byteLength > APPEND_BYTES)) {
        appended.push(...await this.#append(some, options))
        ;[some, bytes] = [[], 0]
      }
      some.push(item)
      bytes += item.byteLength
    }
    if (some.length > 0) {
      appended.push(...await this.#append(some, options))
    }

    return appended
  }

  async acked (entry: Entry, ack: 'leaders' | number, { signal }: AbortOptions = {}): Promise<void> {
    await this.#call('acked', [entry.id, ack], { signal })
  }

  async get (id: EntryId): Promise<Entry | undefined> {
    return (await this.#call('get', [id])).value
  }

  async has (id: EntryId): Promise<boolean> {
    return (await this.#call('has', [id])).value
  }

  async heads (): Promise<Entry[]> {
    return (await this.#call('heads', [])).value
  }

  async * entries ({ signal, ...options }: EntriesOptions = {}): AsyncGenerator<Entry> {
    let last: Entry | undefined
    // a new leader goes on at the moment of the last one, of which there may be others
    let atLast = new Set<string>()

    const args = (): unknown[] => [last == null ? options : { ...options, from: last.clock }]

    for await (const entry of this.#walk<Entry>('entries', args, { signal, resumes: true })) {
      const { clock, id } = entry
      const isSameMoment = last?.clock.time === clock.time && last.clock.counter === clock.counter

      if (isSameMoment && atLast.has(`${id}`)) {
        continue
      }

      atLast = isSameMoment ? atLast.add(`${id}`) : new Set([`${id}`])
      last = entry
      yield entry
    }
  }

  export (options?: ExportOptions): AsyncGenerator<Uint8Array> {
    this.#expectOpen()
    return exportOf(this, options)
  }

  async import (source: Bytes, options: AbortOptions = {}): Promise<Imported> {
    // what a new leader is asked for again is known there
    return importArchive(this.id, source, async entries => {
      const chunks: Uint8Array[] = []

      for await (const chunk of archiveOf(this.id, entries)) {
        chunks.push(chunk)
      }

      return (await this.#call('import', [chunks], options)).value
    }, { signal: this.#untilEnded(options) })
  }

  async * arrivals (from = 0, { signal }: AbortOptions = {}): AsyncGenerator<{ arrival: number, entry: Entry }> {
    let next = from

    for await (const item of this.#walk<{ arrival: number, entry: Entry }>('arrivals', () => [next],
      { signal, resumes: true })) {
      next = item.arrival + 1
      yield item
    }
  }

  elsewhere ({ signal, ...options }: AbortOptions & { group?: Uint8Array } = {}): AsyncGenerator<Entry> {
    return this.#walk('elsewhere', () => [options], { signal })
  }

  async keeps (group: Uint8Array): Promise<boolean> {
    return (await this.#call('keeps', [group])).value
  }

  async marked (program: string): Promise<number> {
    return (await this.#call('marked', [program])).value
  }

  async mark (program: string, arrival: number): Promise<void> {
    await this.#call('mark', [program, arrival])
  }

  /** What one tab writes is kept: that which was the first to read it. What others write is let go of */
  shelf (program: string): Shelf {
    const shelf = this.#shelves.get(program) ?? {
      read: ({ signal } = {}) => this.#walk('shelf', () => [program], { signal }),
      write: async changes => { await this.#call('writeShelf', [program, changes]) }
    }
    this.#shelves.set(program, shelf)
    return shelf
  }

  async trim ({ when, signal, ...options }: TrimOptions): Promise<number> {
    if (when == null) {
      return (await this.#call('trim', [options], { signal })).value
    }

    // a function cannot cross: it is asked here, and what it names goes there
    let trimmed = 0
    let ids: EntryId[] = []
    const flush = async (): Promise<void> => {
      trimmed += (await this.#call('trim', [options, ids], { signal })).value
      ids = []
    }

    for await (const entry of this.entries({ signal })) {
      if (when(entry)) {
        ids.push(entry.id)
      }
      if (ids.length === TRIM_IDS) {
        await flush()
      }
    }

    await flush()
    return trimmed
  }

  async replicate (options: Replicate): Promise<void> {
    await this.#call('replicate', [options])
  }

  async unreplicate (): Promise<void> {
    await this.replicate(false)
  }

  replicators (): Replicator[] {
    return fromWire(this.#snapshot.replicators)
  }

  coverage (): number {
    return this.#snapshot.coverage
  }

  async waitForReplicators ({ signal, ...options }: WaitForReplicatorsOptions = {}): Promise<Replicator[]> {
    return (await this.#call('waitForReplicators', [options], { signal })).value
  }

  synced (segment?: Segment): SyncReport {
    if (segment != null) {
      throw new CannotCrossError('What is in sync of one segment is known to the leader alone: ask for all of the log')
    }
    return fromWire(this.#snapshot.synced)
  }

  async waitForSync ({ signal }: AbortOptions = {}): Promise<void> {
    await this.#call('waitForSync', [], { signal })
  }

  diagnostics (): SharedLogDiagnostics {
    this.#expectOpen()
    return fromWire(this.#snapshot.diagnostics)
  }

  async close (): Promise<void> {
    await this.#init.close()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }

  async drop (): Promise<void> {
    await this.#init.drop()
  }

  /** Something happened to the log at the leader */
  onEvent (event: Extract<TabEvent, { log: string }>): void {
    switch (event.type) {
      case 'add':
        this.#snapshot.length = event.length
        this.#onAdd(event.arrival, () => entryFromWire(event.entry))
        break
      case 'remove':
        this.#snapshot.length = event.length
        this.safeDispatchEvent('entry:remove', { detail: { entry: entryFromWire(event.entry) } })
        break
      case 'behind':
        this.#readTo(event.end)
        break
      case 'snapshot':
        this.#snapshot = event.snapshot
        this.#readTo(event.snapshot.nextArrival)
        break
      case 'log':
        this.safeDispatchEvent(event.name as keyof SharedLogEvents, { detail: fromWire(event.detail) })
        break
      case 'closed':
        this.end()
        break
    }
  }

  /** The profile stops in this tab: databases write their last */
  async closing (): Promise<void> {
    const work: Array<Promise<unknown>> = []
    this.safeDispatchEvent('closing', { detail: { waitUntil: (promise: Promise<unknown>) => { work.push(promise) } } })
    await Promise.allSettled(work)
  }

  end (): void {
    if (this.#status !== 'closed') {
      this.#status = 'closed'
      this.#ended.abort(LogClosedError.of(this.id))
      this.safeDispatchEvent('close', {})
    }
  }

  /** Up to 256 items, which are stored together, or not */
  async #append (items: Uint8Array[], { signal, ...options }: AppendOptions): Promise<Entry[]> {
    if (options.request != null) {
      throw new CannotCrossError('Tabs name what asks for an append themselves: leave the request out')
    }

    const { value, end } = await this.#call('append', [items, options], { signal, since: this.#told })
    // who reads next finds it
    await this.#reached(end ?? 0)
    return value
  }

  #onAdd (arrival: number, entryOf: () => Entry): void {
    if (this.#reading == null && arrival === this.#told) {
      this.#tell(arrival, entryOf())
    } else if (arrival >= this.#told) {
      this.#readTo(arrival + 1)
    }
  }

  #tell (arrival: number, entry: Entry): void {
    this.#told = arrival + 1
    this.#end = Math.max(this.#end, this.#told)
    this.safeDispatchEvent('entry:add', { detail: { entry, arrival } })
  }

  /** All that came before is told */
  async #reached (end: number): Promise<void> {
    this.#readTo(end)

    while (this.#told < end && this.#reading != null) {
      await this.#reading
    }
  }

  #readTo (end: number): void {
    this.#end = Math.max(this.#end, end)

    if (this.#told < this.#end && this.#status === 'open') {
      this.#reading ??= this.#read().catch(err => {
        // the profile has stopped, or the leader cannot open the log: the next event tries again
        this.#init.onListenerError(err)
      }).finally(() => { this.#reading = undefined })
    }
  }

  async #read (): Promise<void> {
    while (this.#told < this.#end && this.#status === 'open') {
      const end = this.#end

      for await (const { arrival, entry } of this.arrivals(this.#told)) {
        this.#tell(arrival, entry)
      }

      // what was removed meanwhile leaves a gap
      this.#told = Math.max(this.#told, end)
    }
  }

  async #call (method: string, args: unknown[], options: CallOptions = {}): Promise<Answer> {
    this.#expectOpen()
    return this.#init.client.call({ log: this.id }, method, args, options)
  }

  async * #walk<T> (method: string, argsOf: () => unknown[], options: WalkOptions): AsyncGenerator<T> {
    this.#expectOpen()

    for await (const item of this.#init.client.walk<T>({ log: this.id }, method, argsOf, options)) {
      this.#expectOpen()
      yield item
    }
  }

  #untilEnded ({ signal }: AbortOptions): AbortSignal {
    return signal == null ? this.#ended.signal : AbortSignal.any([signal, this.#ended.signal])
  }

  #expectOpen (): void {
    if (this.#status !== 'open') {
      throw LogClosedError.of(this.id)
    }
  }
}

export function plainOptions (options: object): { options: unknown, functions: string[] } {
  const all = Object.entries(options).filter(([name, value]) => value !== undefined && name !== 'signal')
  return {
    options: toWire(Object.fromEntries(all.filter(([, value]) => typeof value !== 'function')), 'open()'),
    functions: all.flatMap(([name, value]) => typeof value === 'function' ? name : [])
  }
}
