import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { Counters } from '../runtime/counters.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import { TREES } from './core/catalogue.ts'
import { foundInOrder } from './core/keys.ts'
import { sizeOf } from './core/types.ts'
import { EntryId } from './entry-id.ts'
import { InvalidLogIdError, InvalidMarkError, LogClosedError } from './errors.ts'
import { Joins } from './joins.ts'
import { LogEntry } from './log-entry.ts'
import { Reads, successor } from './reads.ts'
import { Signer } from './signatures.ts'
import { Store } from './store.ts'
import { Writes } from './writes.ts'
import type { StoredEntry } from './blocks.ts'
import type { RawEntry } from './core/types.ts'
import type { AppendOptions, EntriesOptions, Entry, JoinOutcome, Log as LogFace, LogDiagnostics, LogEvents, LogInit, RingRange, TrimOptions } from './index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions, Logger } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/** Logs that are open, by where they are stored: two at once would write over each other */
const open = new WeakMap<Datastore, Set<string>>()

/**
 * The face of a log: what is asked of it is handed to those who know, what happens in it is told.
 */
export class Log extends SafeEventEmitter<LogEvents> implements LogFace {
  readonly id: string
  readonly #init: LogInit
  readonly #log: Logger
  readonly #clock: Clock
  readonly #store: Store
  readonly #reads: Reads
  readonly #writes: Writes
  readonly #joins: Joins
  readonly #counters = new Counters()
  #status: 'open' | 'closing' | 'closed' = 'open'
  #ended?: Promise<void>
  #isDropped = false

  static async open (init: LogInit): Promise<Log> {
    const bytes = encodeString(init.id).byteLength

    if (bytes === 0 || bytes > limits.MAX_LOG_ID_BYTES) {
      throw new InvalidLogIdError(`The id of a log has 1 to ${limits.MAX_LOG_ID_BYTES} bytes, this one has ${bytes}`)
    }

    const others = open.get(init.datastore) ?? new Set()

    if (others.has(init.id)) {
      throw new InvalidLogIdError(`The log '${init.id}' is open already: use that one, or close it`)
    }

    open.set(init.datastore, others.add(init.id))

    try {
      return new Log(init, await Store.open(init.datastore, init.id))
    } catch (err) {
      others.delete(init.id)
      throw err
    }
  }

  private constructor (init: LogInit, store: Store) {
    const log = init.logger.forComponent('libp2p-sheaf:log')
    super(err => { log.error('a listener of %s failed - %e', init.id, err) })
    const { id, clock = systemClock, privateKey, canAppend, requestParents } = init
    this.id = id
    this.#init = init
    this.#log = log
    this.#clock = clock
    this.#store = store
    this.#reads = new Reads(store)
    this.#writes = new Writes({
      id,
      clock,
      store,
      signer: new Signer(privateKey, id),
      canAppend: canAppend == null ? undefined : entry => canAppend(new LogEntry(entry)),
      requestParents: requestParents == null ? undefined : ids => { requestParents(ids.map(bytes => new EntryId(bytes))) },
      onAdded: (entry, arrival) => { this.#tell('entry:add', () => ({ entry: new LogEntry(entry), arrival })) },
      onRemoved: entry => { this.#tell('entry:remove', () => ({ entry: new LogEntry(entry) })) }
    })
    this.#joins = new Joins({ id, clock, store, writes: this.#writes })
  }

  get status (): 'open' | 'closing' | 'closed' {
    return this.#status
  }

  get length (): number {
    return this.#store.catalogue.length
  }

  async append (data: Uint8Array, options: AppendOptions = {}): Promise<Entry> {
    this.#mustBeOpen()
    const entries = await this.#writes.append([data], options)
    return new LogEntry(entries[0])
  }

  async appendMany (items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options: AppendOptions = {}): Promise<Entry[]> {
    const all: Entry[] = []
    let chunk: Uint8Array[] = []
    let before = Promise.resolve()
    const write = async (): Promise<void> => {
      this.#mustBeOpen()
      const written = this.#writes.append(chunk, options).then(entries => { entries.forEach(entry => all.push(new LogEntry(entry))) })
      // looked at when the next one is gathered, which may be too late for Node
      written.catch(() => {})
      chunk = []
      await before
      before = written
    }

    for await (const item of items) {
      if (chunk.push(item) === limits.COMMIT_ENTRIES) {
        await write()
      }
    }

    await write()
    await before
    return all
  }

  async join (entries: RawEntry[], options: AbortOptions = {}): Promise<JoinOutcome[]> {
    this.#mustBeOpen()
    const joined = await this.#joins.join(entries, options)

    return joined.map(({ id: bytes, admission }): JoinOutcome => {
      const id = bytes == null ? undefined : new EntryId(bytes)

      if (admission instanceof Error) {
        this.#counters.add(admission.name)
        this.#log.trace('refused an entry of %s - %e', this.id, admission)
        return { id, status: 'refused', reason: admission }
      }

      return { id: id as EntryId, status: admission }
    })
  }

  async giveUp (ids: EntryId[]): Promise<void> {
    this.#mustBeOpen()
    await this.#writes.giveUp(ids.map(({ bytes }) => bytes))
  }

  async get (id: EntryId): Promise<Entry | undefined> {
    this.#mustNotBeClosed()
    const entry = await this.#store.find(id.bytes)
    return entry == null ? undefined : new LogEntry(entry)
  }

  async has (id: EntryId): Promise<boolean> {
    this.#mustNotBeClosed()
    return await this.#store.locate(id.bytes) != null
  }

  async heads (): Promise<Entry[]> {
    this.#mustNotBeClosed()
    return (await this.#reads.heads()).map(entry => new LogEntry(entry))
  }

  async * entries ({ from, reverse = false, signal }: EntriesOptions = {}): AsyncGenerator<Entry> {
    this.#mustNotBeClosed()
    const first = from != null && 'time' in from ? { time: Number(from.time), counter: from.counter } : from && await this.#store.find(from.bytes)

    if (from != null && first == null) {
      return
    }

    for await (const entry of this.#reads.inOrder(first, reverse, { signal })) {
      yield new LogEntry(entry)
    }
  }

  async * arrivals (from = 0, options: AbortOptions = {}): AsyncGenerator<{ arrival: number, entry: Entry }> {
    this.#mustNotBeClosed()
    for await (const entry of this.#reads.arrivals(from, options)) {
      yield { arrival: entry.arrival, entry: new LogEntry(entry) }
    }
  }

  async marked (program: string): Promise<number> {
    this.#mustNotBeClosed()
    return this.#store.marked(program)
  }

  async mark (program: string, arrival: number): Promise<void> {
    this.#mustBeOpen()

    if (!Number.isSafeInteger(arrival) || arrival < 0) {
      throw new InvalidMarkError(`${arrival} is no number of an arrival: hand over that of the next entry to be dealt with`)
    }

    await this.#store.mark(program, arrival)
  }

  async fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }> {
    this.#mustNotBeClosed()
    return this.#reads.fingerprint(range, key)
  }

  async idsInRange (range: RingRange, { limit, after }: { limit: number, after?: EntryId }): Promise<EntryId[]> {
    this.#mustNotBeClosed()
    return (await this.#reads.idsInRange(range, limit, after?.bytes)).map(id => new EntryId(id))
  }

  async remove (ids: EntryId[]): Promise<number> {
    this.#mustBeOpen()
    const unique = new Map(ids.map(({ bytes }) => [keyOfBytes(bytes), bytes]))

    return this.#writes.remove(async () => {
      const found = await Promise.all([...unique.values()].map(async id => this.#store.find(id)))
      return found.filter(entry => entry != null)
    })
  }

  async trim (options: TrimOptions): Promise<number> {
    const { length = Infinity, bytes = Infinity, age, when } = options
    let trimmed = 0
    let from: Uint8Array | undefined

    this.#mustBeOpen()

    if (age == null && when == null && this.length <= length && this.#store.catalogue.bytes <= bytes) {
      return 0
    }

    do {
      options.signal?.throwIfAborted()
      this.#mustBeOpen()
      const [count, next] = await this.#trimFrom(from, options)
      trimmed += count
      from = next
    } while (from != null)

    return trimmed
  }

  diagnostics (): LogDiagnostics {
    const { length, bytes, heads, trees } = this.#store.catalogue
    return {
      status: this.#status,
      length,
      bytes,
      heads: heads.length,
      pending: this.#writes.pending,
      waiting: this.#writes.waiting.size,
      pages: TREES.reduce((sum, name) => sum + trees[name].loaded, 0),
      dropped: this.#counters.toJSON()
    }
  }

  async close (): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  async drop (): Promise<void> {
    if (this.#status === 'closed') {
      this.#mustBeOpen()
    }

    // what was asked for last counts, also when it is being closed already
    this.#isDropped = true
    return this.close()
  }

  /** How many of the next ones went, and where to go on */
  async #trimFrom (from: Uint8Array | undefined, options: TrimOptions): Promise<[number, Uint8Array?]> {
    let next: Uint8Array | undefined
    const count = await this.#writes.remove(async () => {
      const keys = await this.#reads.orderKeys(from, false, limits.COMMIT_ENTRIES)
      next = keys.length < limits.COMMIT_ENTRIES ? undefined : successor(keys[keys.length - 1])
      return this.#tooMuch(await this.#store.entriesAt(keys.map(foundInOrder)), options)
    })

    return [count, next]
  }

  /** Those of these, the oldest ones, that have to go */
  #tooMuch (entries: StoredEntry[], { length = Infinity, bytes = Infinity, age = Infinity, when }: TrimOptions): StoredEntry[] {
    const { catalogue } = this.#store
    const { keep } = this.#init
    let tooMany = catalogue.length - length
    let tooLarge = catalogue.bytes - bytes

    return entries.filter(entry => {
      const face = new LogEntry(entry)
      const goes = tooMany > 0 || tooLarge > 0 || entry.time < this.#clock.now() - age || when?.(face) === true

      if (!goes || keep?.(face) === true) {
        return false
      }

      tooMany--
      tooLarge -= sizeOf(entry)
      return true
    })
  }

  async #end (): Promise<void> {
    this.#status = 'closing'

    await this.#writes.end(async () => {
      try {
        if (!this.#isDropped) {
          await this.#store.checkpoint()
        }
        if (this.#isDropped) {
          await this.#store.drop()
        }
      } finally {
        this.#status = 'closed'
        open.get(this.#init.datastore)?.delete(this.id)
      }
    })
  }

  #tell<K extends keyof LogEvents> (type: K, detail: () => LogEvents[K]['detail']): void {
    if (this.listenerCount(type) > 0) {
      this.safeDispatchEvent(type, { detail: detail() } as CustomEventInit)
    }
  }

  #mustBeOpen (): void {
    if (this.#status === 'closing') {
      throw closed(this.id)
    }
    this.#mustNotBeClosed()
  }

  /** What is there can be read to the end */
  #mustNotBeClosed (): void {
    if (this.#status === 'closed') {
      throw closed(this.id)
    }
  }
}

function closed (id: string): LogClosedError {
  return new LogClosedError(`The log '${id}' is not open any more: open it again`)
}
