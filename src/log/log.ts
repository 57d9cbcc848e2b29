import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { Counters } from '../runtime/counters.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import * as limits from './constants.ts'
import { sizeOf } from './core/types.ts'
import { EntryId } from './entry-id.ts'
import { AppendRefusedError, InvalidContentError, InvalidLogIdError, InvalidMarkError, LogClosedError } from './errors.ts'
import { Joins } from './join.ts'
import { LogEntry } from './log-entry.ts'
import { Reads } from './reads.ts'
import { Signer } from './signatures.ts'
import { Store } from './store.ts'
import { Writer } from './writer.ts'
import type { Sizes } from './constants.ts'
import type { Ordered } from './core/hybrid-clock.ts'
import type { StoredEntry } from './core/record.ts'
import type { RawEntry, TrueEntry } from './core/types.ts'
import type { RingId } from './entry-id.ts'
import type { AppendOptions, EntriesOptions, Entry, JoinOutcome, Log as LogFace, LogDiagnostics, LogEvents, LogInit, RingRange, TrimOptions } from './index.ts'
import type { From } from './reads.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions, Logger } from '@libp2p/interface'

/** Entries that a trim looks at in one turn */
const TRIM_ENTRIES = 1024

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
  readonly #writer: Writer
  readonly #joins: Joins
  readonly #sizes: Sizes
  readonly #counters = new Counters()
  #status: 'open' | 'closing' | 'closed' = 'open'
  #ended?: Promise<void>
  #isDropped = false
  #isUnlisting = false

  /** `sizes`: for tests, which want little data to go all the ways */
  static async open (init: LogInit, sizes: Partial<Sizes> = {}): Promise<Log> {
    const bytes = encodeString(init.id).byteLength

    if (bytes === 0 || bytes > limits.MAX_LOG_ID_BYTES) {
      throw new InvalidLogIdError(`The id of a log has 1 to ${limits.MAX_LOG_ID_BYTES} bytes, this one has ${bytes}`)
    }

    const logger = init.logger.forComponent('libp2p-sheaf:log')
    const all = { ...limits.SIZES, ...sizes }
    // damage is found while it is opened, and looked after when there is a log
    const opened: { log?: Log, isDamaged: boolean } = { isDamaged: false }
    const store = await Store.open({
      datastore: init.datastore,
      logId: init.id,
      clock: init.clock ?? systemClock,
      logger,
      sizes: all,
      onDamaged: () => {
        opened.isDamaged = true
        opened.log?.unlist()
      }
    })
    opened.log = new Log(init, store, logger, all)

    if (opened.isDamaged) {
      opened.log.unlist()
    }

    return opened.log
  }

  private constructor (init: LogInit, store: Store, log: Logger, sizes: Sizes) {
    super(err => { log.error('a listener of %s failed - %e', init.id, err) })
    const { id, clock = systemClock, privateKey, canAppend } = init
    this.id = id
    this.#init = init
    this.#log = log
    this.#clock = clock
    this.#store = store
    this.#sizes = sizes
    this.#reads = new Reads(store, clock)
    this.#writer = new Writer({
      id,
      clock,
      store,
      sizes,
      signer: new Signer(privateKey, id),
      admit: canAppend == null ? undefined : entry => this.#admit(entry, canAppend),
      onAdded: (entry, arrival) => { this.#tell('entry:add', () => ({ entry: new LogEntry(entry), arrival })) },
      onRemoved: entry => { this.#tell('entry:remove', () => ({ entry: new LogEntry(entry) })) }
    })
    this.#joins = new Joins({ id, clock, store, logger: log, writer: this.#writer })
  }

  get status (): 'open' | 'closing' | 'closed' {
    return this.#status
  }

  get length (): number {
    return this.#store.index.length
  }

  async append (data: Uint8Array, options: AppendOptions = {}): Promise<Entry> {
    this.#mustBeOpen()
    const entries = await this.#writer.append([copyOf(data)], ownOptions(options))
    return new LogEntry(entries[0])
  }

  async appendMany (items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options: AppendOptions = {}): Promise<Entry[]> {
    this.#mustBeOpen()
    const all: Entry[] = []
    const own = ownOptions(options)
    // what is in an array is taken at once, what comes from elsewhere when it comes
    const source = Array.isArray(items) ? items.map(copyOf) : items
    let chunk: Uint8Array[] = []
    let bytes = 0
    let before = Promise.resolve()
    const series = {}
    const write = async (): Promise<void> => {
      this.#mustBeOpen()
      const written = this.#writer.append(chunk, own, series).then(entries => { entries.forEach(entry => all.push(new LogEntry(entry))) })
      // looked at when the next one is gathered, which may be too late for Node
      written.catch(() => {})
      ;[chunk, bytes] = [[], 0]
      await before
      before = written
    }

    for await (const taken of source) {
      const item = source === items ? copyOf(taken) : taken

      if (bytes + item.byteLength > limits.COMMIT_BYTES && chunk.length > 0) {
        await write()
      }

      bytes += item.byteLength

      if (chunk.push(item) === this.#sizes.recordEntries) {
        await write()
      }
    }

    if (chunk.length > 0) {
      await write()
    }

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
    const first: From | undefined = from != null && 'time' in from
      ? { time: Number(from.time), counter: from.counter }
      : from && await this.#store.find(from.bytes)

    if (from != null && first == null) {
      return
    }

    for await (const entries of this.#reads.inOrder(first, reverse, { signal })) {
      for (const entry of entries) {
        signal?.throwIfAborted()
        yield new LogEntry(entry)
      }
    }
  }

  async * arrivals (from = 0, options: AbortOptions = {}): AsyncGenerator<{ arrival: number, entry: Entry }> {
    this.#mustNotBeClosed()
    for await (const entries of this.#reads.arrivals(from, options)) {
      for (const entry of entries) {
        options.signal?.throwIfAborted()
        yield { arrival: entry.arrival, entry: new LogEntry(entry) }
      }
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

  async idsInRange (range: RingRange, { limit, after }: { limit: number, after?: RingId }): Promise<RingId[]> {
    this.#mustNotBeClosed()
    return this.#reads.idsInRange(range, limit, after)
  }

  async remove (ids: EntryId[]): Promise<number> {
    this.#mustBeOpen()
    const unique = new Map(ids.map(({ bytes }) => [keyOfBytes(bytes), bytes]))

    return this.#writer.remove(async () => {
      const found: StoredEntry[] = []

      for (const id of unique.values()) {
        const entry = await this.#store.find(id)

        if (entry != null) {
          found.push(entry)
        }
      }

      return found
    })
  }

  async trim (options: TrimOptions): Promise<number> {
    const { length = Infinity, bytes = Infinity, age, when } = options
    let trimmed = 0
    let from: Ordered | undefined

    this.#mustBeOpen()

    if (age == null && when == null && this.length <= length && this.#store.index.bytes <= bytes) {
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
    const { length, bytes, authors, forks } = this.#store.index
    return {
      status: this.#status,
      length,
      bytes,
      heads: authors.headCount,
      pending: this.#writer.pending,
      waiting: this.#joins.waiting,
      cached: this.#store.cached,
      dropped: this.#counters.toJSON(),
      problems: [
        ...this.#store.problems,
        ...[...forks.values()].slice(0, limits.MAX_PROBLEMS).map(author => ({
          kind: 'fork',
          message: `${LogEntry.authorOf(author)} made two entries on top of the same one: its key is used in two places, or a store of it was restored`
        }))
      ]
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
  async #trimFrom (from: Ordered | undefined, options: TrimOptions): Promise<[number, Ordered?]> {
    const { length = Infinity, bytes = Infinity, age = Infinity, when } = options
    const { index } = this.#store
    let last: Ordered | undefined
    let isEnd = true
    const count = await this.#writer.remove(async () => {
      const entries: StoredEntry[] = []
      const oldest = this.#clock.now() - age
      let tooMany = index.length - length
      let tooLarge = index.bytes - bytes
      let looked = 0

      for await (const next of this.#reads.inOrder(from, false, options)) {
        for (const entry of next) {
          if (tooMany <= 0 && tooLarge <= 0 && entry.time >= oldest && when == null) {
            return entries
          }

          last = entry

          if (this.#isToGo(entry, tooMany > 0 || tooLarge > 0 || entry.time < oldest, options)) {
            tooMany--
            tooLarge -= sizeOf(entry)
            entries.push(entry)
          }
        }

        looked += next.length

        if (looked >= TRIM_ENTRIES) {
          isEnd = false
          break
        }
      }

      return entries
    })

    return [count, isEnd ? undefined : last]
  }

  #isToGo (entry: TrueEntry, isTooMuch: boolean, { when }: TrimOptions): boolean {
    const { keep } = this.#init
    const face = new LogEntry(entry)
    return (isTooMuch || when?.(face) === true) && keep?.(face) !== true
  }

  /** Why an entry may not go in, by what the program says */
  #admit (entry: TrueEntry, canAppend: NonNullable<LogInit['canAppend']>): Error | undefined | Promise<Error | undefined> {
    const refusal = (is: boolean): Error | undefined => is ? undefined : new AppendRefusedError('canAppend of this log refused the entry')
    const asked = canAppend(new LogEntry(entry))

    if (!(asked instanceof Promise)) {
      return refusal(asked)
    }

    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(limits.CAN_APPEND_DEADLINE, () => {
        resolve(new AppendRefusedError(`canAppend of this log did not say anything for ${limits.CAN_APPEND_DEADLINE} ms: it must not wait for the log`))
      })
      asked.then(is => { resolve(refusal(is)) }, reject).finally(() => { timer.cancel() })
    })
  }

  /** Entries whose bytes are damaged are taken out when nothing else is written */
  private unlist (): void {
    if (this.#isUnlisting) {
      return
    }

    this.#isUnlisting = true
    this.#writer.run(async () => {
      this.#isUnlisting = false
      await this.#store.unlist()
    }).catch(err => {
      this.#isUnlisting = false
      this.#log.error('what is damaged in %s could not be taken out - %e', this.id, err)
    })
  }

  async #end (): Promise<void> {
    this.#status = 'closing'

    await this.#writer.end(async () => {
      this.#joins.stop()

      try {
        await (this.#isDropped ? this.#store.drop() : this.#store.close())
      } finally {
        this.#status = 'closed'
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

/** Our own: whoever hands bytes in may use them again at once */
function copyOf (bytes: Uint8Array): Uint8Array {
  if (!(bytes instanceof Uint8Array)) {
    throw new InvalidContentError(`an entry is made of a Uint8Array, not of ${typeof bytes}: encode it`)
  }

  return new Uint8Array(bytes)
}

function ownOptions (options: AppendOptions): AppendOptions {
  return options.group == null ? options : { ...options, group: copyOf(options.group) }
}

function closed (id: string): LogClosedError {
  return new LogClosedError(`The log '${id}' is not open any more: open it again`)
}
