import { untilAborted } from '../runtime/aborted.ts'
import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { Counters } from '../runtime/counters.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { admission, admissionOfOthers } from './admission.ts'
import { countOf, exportOf, importArchive } from './archive.ts'
import * as limits from './constants.ts'
import { checked, copiesOf, copyOf } from './copies.ts'
import { MAX_REQUEST_BYTES } from './core/record.ts'
import { sizeOf } from './core/types.ts'
import { EntryId } from './entry-id.ts'
import { InvalidContentError, InvalidLogIdError, InvalidMarkError, LogClosedError } from './errors.ts'
import { Joins } from './join.ts'
import { LogEntry } from './log-entry.ts'
import { Reads } from './reads.ts'
import { Signer } from './signatures.ts'
import { Store } from './store.ts'
import { Writer } from './writer.ts'
import type { Sizes } from './constants.ts'
import type { Items } from './copies.ts'
import type { Moment } from './core/hybrid-clock.ts'
import type { StoredEntry } from './core/record.ts'
import type { RawEntry } from './core/types.ts'
import type { RingId } from './entry-id.ts'
import type {
  AppendOptions, Bytes, EntriesOptions, Entry, ExportOptions, Imported, JoinOutcome, Log as LogFace, LogDiagnostics,
  LogEvents, LogInit, RingRange, TrimOptions
} from './index.ts'
import type { From } from './reads.ts'
import type { Chosen } from './writer.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions, Logger } from '@libp2p/interface'

/** Entries that a trim looks at in one turn */
const TRIM_ENTRIES = 1024
/** Characters of an id that cannot be one that an error shows */
const SHOWN = 64

/** The public face of a log: hands calls to the parts that do the work, and tells listeners what changed */
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
  /** Somebody wants the log dropped, and it was */
  #isToBeDropped = false
  #isDropped = false
  /** When `canAppend` has to have said everything, so that the log can be closed */
  #closingAt = Infinity
  /** Ends what waits for something else than the store */
  readonly #closing = new AbortController()
  #isUnlisting = false

  /** `sizes`: tests choose small ones, so that little data goes all the ways */
  static async open (init: LogInit, sizes: Partial<Sizes> = {}): Promise<Log> {
    checkLogId(init.id)

    const logger = init.logger.forComponent('libp2p-sheaf:log')
    const all = { ...limits.SIZES, ...sizes }
    const opened: { log?: Log } = {}
    const store = await Store.open({
      datastore: init.datastore,
      logId: init.id,
      clock: init.clock ?? systemClock,
      logger,
      sizes: all,
      onDamaged: () => { opened.log?.unlist() }
    })
    opened.log = new Log(init, store, logger, all)
    // the store may have found damage before there was a log to hear of it
    opened.log.unlist()
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
      admit: canAppend == null ? undefined : entry => admission(canAppend, entry, clock, this.#patience),
      admitOthers: canAppend == null
        ? undefined
        : entry => admissionOfOthers(canAppend, entry, clock, this.#patience),
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

  get nextArrival (): number {
    return this.#store.index.arrivals
  }

  async append (data: Uint8Array, options: AppendOptions = {}): Promise<Entry> {
    this.#mustBeOpen()
    const [entry] = await this.#writer.append(copyOf(data), ownOptions(options))
    return new LogEntry(entry)
  }

  async appendMany (items: Items, options: AppendOptions = {}): Promise<Entry[]> {
    this.#mustBeOpen()
    const own = ownOptions(options)
    const series = {}
    const all: Entry[] = []
    let before: Promise<void> | undefined

    // an array is not waited for, and of an iterable that hangs, the log takes no more when it is closed
    const source = Symbol.asyncIterator in items ? untilAborted(items, this.#untilClosed(options)) : items

    for await (const copies of copiesOf(source, this.#sizes.recordEntries)) {
      this.#mustBeOpen()
      const written = this.#writer.append(copies, own, series).then(entries => {
        entries.forEach(entry => { all.push(new LogEntry(entry)) })
      })
      // the next turn of the loop hears of a failure, which may be too late for Node
      written.catch(() => {})
      await before
      before = written
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
        // a program whose canAppend fails should know
        const say = admission.cause == null ? this.#log.trace : this.#log.error
        say('refused an entry of %s - %e', this.id, admission)
        return { id, status: 'refused', reason: admission }
      }

      return { id: id as EntryId, status: admission }
    })
  }

  async get (id: EntryId): Promise<Entry | undefined> {
    this.#mustNotBeClosed()
    const entry = await this.#store.find(id.bytes)
    return entry && new LogEntry(entry)
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
    const first: From | undefined = from == null || from instanceof EntryId
      ? from && await this.#store.find(from.bytes)
      : momentOf(from)

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

  export (options?: ExportOptions): AsyncGenerator<Uint8Array> {
    this.#mustNotBeClosed()
    return exportOf(this, options)
  }

  async import (source: Bytes, options: AbortOptions = {}): Promise<Imported> {
    this.#mustBeOpen()
    const signal = this.#untilClosed(options)
    return importArchive(this.id, source, async entries => countOf(await this.join(entries, options)), { signal })
  }

  async * arrivals (from = 0, { signal }: AbortOptions = {}): AsyncGenerator<{ arrival: number, entry: Entry }> {
    this.#mustNotBeClosed()

    for await (const entries of this.#reads.arrivals(from, { signal })) {
      for (const entry of entries) {
        signal?.throwIfAborted()
        yield { arrival: entry.arrival, entry: new LogEntry(entry) }
      }
    }
  }

  async marked (program: string): Promise<number> {
    this.#mustNotBeClosed()
    expectProgram(program)
    return this.#store.marked(program)
  }

  async mark (program: string, arrival: number): Promise<void> {
    this.#mustBeOpen()
    expectProgram(program)

    if (!Number.isSafeInteger(arrival) || arrival < 0) {
      const what = 'hand over that of the next entry to be dealt with'
      throw new InvalidMarkError(`${arrival} is no number of an arrival: ${what}`)
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

    const { entries } = await this.#writer.remove(async () => {
      const found: Array<StoredEntry | undefined> = []

      for (const id of unique.values()) {
        found.push(await this.#store.find(id))
      }

      return { entries: found.filter(entry => entry != null) }
    })
    return entries.length
  }

  async trim (options: TrimOptions): Promise<number> {
    const { length = Infinity, bytes = Infinity, age, when } = options
    const { index } = this.#store
    let trimmed = 0
    let from: StoredEntry | undefined
    this.#mustBeOpen()

    if (age == null && when == null && index.length <= length && index.bytes <= bytes) {
      return 0
    }

    do {
      options.signal?.throwIfAborted()
      this.#mustBeOpen()
      const first = from
      const { entries, next } = await this.#writer.remove(async () => this.#toTrim(first, options))
      trimmed += entries.length
      from = next
    } while (from != null)

    return trimmed
  }

  diagnostics (): LogDiagnostics {
    const { length, bytes, tables, forks } = this.#store.index
    const forked = [...forks.values()].map(author => ({
      kind: 'fork',
      message: `${LogEntry.authorOf(author)} made two entries on top of the same one: ` +
        'its key is used in two places, or a store of it was restored'
    }))

    return {
      status: this.#status,
      length,
      bytes,
      heads: tables.heads.count,
      pending: this.#writer.pending,
      waiting: this.#joins.waiting,
      cached: this.#store.cached,
      dropped: this.#counters.toJSON(),
      problems: [...this.#store.problems, ...forked]
    }
  }

  async close (): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }

  async drop (): Promise<void> {
    this.#mustNotBeClosed()
    // the last wish counts, also while the log is being closed
    this.#isToBeDropped = true
    await this.close()

    if (!this.#isDropped) {
      throw new LogClosedError(`The log '${this.id}' was closed before it could be dropped: open it again, and drop it`)
    }
  }

  /** What a trim takes of the next entries, the oldest first, and where the next ones begin */
  async #toTrim (from: StoredEntry | undefined, options: TrimOptions): Promise<Chosen & { next?: StoredEntry }> {
    const { length = Infinity, bytes = Infinity, age = Infinity, when } = options
    const { keep } = this.#init
    const { index } = this.#store
    const oldest = this.#clock.now() - age
    const entries: StoredEntry[] = []
    let [tooMany, tooLarge, looked] = [index.length - length, index.bytes - bytes, 0]

    for await (const some of this.#reads.inOrder(from, false, options)) {
      for (const entry of some) {
        const isTooMuch = tooMany > 0 || tooLarge > 0 || entry.time < oldest

        if (!isTooMuch && when == null) {
          return { entries }
        }

        const face = new LogEntry(entry)

        if ((isTooMuch || when?.(face) === true) && keep?.(face) !== true) {
          tooMany--
          tooLarge -= sizeOf(entry)
          entries.push(entry)
        }
      }

      looked += some.length

      if (looked >= TRIM_ENTRIES) {
        return { entries, next: some.at(-1) }
      }
    }

    return { entries }
  }

  /** Takes entries whose bytes are damaged out of the index, when nothing else is written */
  private unlist (): void {
    if (!this.#isUnlisting) {
      this.#isUnlisting = true
      this.#writer.run(async () => {
        this.#isUnlisting = false
        await this.#store.unlist()
      }).catch(err => {
        this.#isUnlisting = false
        this.#log.error('what is damaged in %s could not be taken out - %e', this.id, err)
      })
    }
  }

  async #end (): Promise<void> {
    this.#status = 'closing'
    this.#closingAt = this.#clock.now() + limits.CAN_APPEND_DEADLINE
    this.#closing.abort(LogClosedError.of(this.id))

    await this.#writer.end(async () => {
      this.#joins.stop()

      try {
        this.#isDropped = await this.#store.end(() => this.#isToBeDropped)
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

  /** Milliseconds that `canAppend` has for the next entry: many that wait must not hold up a close for 30 s each */
  get #patience (): number {
    return Math.max(0, Math.min(limits.CAN_APPEND_DEADLINE, this.#closingAt - this.#clock.now()))
  }

  #untilClosed ({ signal }: AbortOptions): AbortSignal {
    return signal == null ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
  }

  #mustBeOpen (): void {
    if (this.#status !== 'open') {
      throw LogClosedError.of(this.id)
    }
  }

  /** A log can be read until it is closed */
  #mustNotBeClosed (): void {
    if (this.#status === 'closed') {
      throw LogClosedError.of(this.id)
    }
  }
}

/** Callers may use their bytes again at once */
function ownOptions (options: AppendOptions): AppendOptions {
  const { group, request } = options

  if (request != null && (checked(request).byteLength === 0 || request.byteLength > MAX_REQUEST_BYTES)) {
    throw new InvalidContentError(`a request is named by 1 to ${MAX_REQUEST_BYTES} bytes, not by ${request.byteLength}`)
  }
  if (group == null && request == null) {
    return options
  }
  return {
    ...options,
    ...group == null ? {} : { group: new Uint8Array(checked(group)) },
    ...request == null ? {} : { request: new Uint8Array(request) }
  }
}

/** Programs without types begin anywhere */
function momentOf (from: Entry['clock']): Moment {
  const moment = { time: Number(from?.time), counter: from?.counter }

  if (!Number.isInteger(moment.time) || !Number.isInteger(moment.counter)) {
    throw new InvalidOptionsError('from is the id of an entry, or the clock of one: an EntryId, or { time, counter }')
  }

  return moment
}

/** Names of logs and programs: half characters would all be stored as one, so two names would be the same */
function isName (name: string, maxBytes: number): boolean {
  return typeof name === 'string' && name !== '' && name.isWellFormed() && encodeString(name).byteLength <= maxBytes
}

function expectProgram (program: string): void {
  if (!isName(program, limits.MAX_PROGRAM_BYTES)) {
    throw new InvalidMarkError(`The name of a program has 1 to ${limits.MAX_PROGRAM_BYTES} bytes in UTF-8, ` +
      'without half characters: give it another one')
  }
}

/** Throws an InvalidLogIdError */
export function checkLogId (id: string): void {
  if (!isName(id, limits.MAX_LOG_ID_BYTES)) {
    throw new InvalidLogIdError(`The id of a log is a string of 1 to ${limits.MAX_LOG_ID_BYTES} bytes in UTF-8, ` +
      `without half characters: take another one than '${String(id).slice(0, SHOWN)}'`)
  }
}
