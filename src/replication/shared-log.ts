import { randomBytes } from '@libp2p/crypto'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { LogClosedError } from '../log/errors.ts'
import { openLog } from '../log/index.ts'
import { nextEpoch } from '../pubsub/epoch.ts'
import { keyOf, peerOf } from '../pubsub/keys.ts'
import { Bell } from '../runtime/bell.ts'
import { Counters } from '../runtime/counters.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { Pacer } from '../runtime/pacer.ts'
import { within } from '../runtime/within.ts'
import * as limits from './constants.ts'
import { sizesFor } from './context.ts'
import { Trust } from './core/trust.ts'
import { hashOf } from './documents.ts'
import { EntryTooLargeError } from './errors.ts'
import { OwnShare } from './own-share.ts'
import { RemoteReads } from './remote-reads.ts'
import { Replica } from './replica.ts'
import { copiesOf, peersOf, problemsOf, sizesOf, syncReport } from './reports.ts'
import { Shelves } from './shelf.ts'
import { Traffic } from './traffic.ts'
import type { ReplicationContext } from './context.ts'
import type { Transition } from './core/membership.ts'
import type { Key } from './core/types.ts'
import type {
  AppendOptions, LeaveReason, OpenOptions, Replicate, Replicator, Segment, SharedLog as SharedLogFace,
  SharedLogDiagnostics, SharedLogEvents, Shelf, SyncReport, WaitForReplicatorsOptions
} from './index.ts'
import type { Port } from './port.ts'
import type { EntryId } from '../log/entry-id.ts'
import type { Bytes, EntriesOptions, Entry, ExportOptions, Imported, Log, TrimOptions } from '../log/index.ts'
import type { Signer } from '../pubsub/envelope.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { AbortOptions, ComponentLogger, Logger, PrivateKey } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export interface SharedLogInit {
  id: string
  options: OpenOptions
  clock: Clock
  random: Random
  port: Port
  privateKey: PrivateKey
  signer: Signer
  datastore: Datastore
  logger: ComponentLogger
  /**
   * What went through all logs of the node
   *
   * @default counted for this log alone
   */
  traffic?: Traffic
  /**
   * How many logs are open on the node
   *
   * @default this one
   */
  logs? (): number
  /** For tests: which log it is */
  openLog?: typeof openLog
  /** For tests: where keys come from */
  randomBytes?: typeof randomBytes
  /** For tests: how long work may hold the loop. A run that is replayed must not depend on it */
  pacer?: Pacer
  /** What close() and drop() of the user do: others may have opened it, too */
  close (): Promise<void>
  drop (): Promise<void>
}

/** Longer ids of logs are topics by their hash */
const MAX_ID_IN_TOPIC = 200

/**
 * The face of a log that is shared: the log itself, and who else keeps it.
 */
export class SharedLog extends SafeEventEmitter<SharedLogEvents> implements SharedLogFace {
  readonly id: string
  readonly #init: SharedLogInit
  readonly #self: Key
  readonly #replica: Replica
  readonly #share: OwnShare
  readonly #remoteReads: RemoteReads
  readonly #counters: Counters
  readonly #logger: Logger
  readonly #replicas: { min: number, max: number }
  readonly #context: ReplicationContext
  /** For those who wait for replicators, and for those who wait until nothing differs */
  readonly #whoKeeps = new Bell()
  readonly #compared = new Bell()
  readonly #shelves: Shelves
  #log?: Log
  #status: SharedLogFace['status'] = 'opening'

  static async open (init: SharedLogInit): Promise<SharedLog> {
    const { id, clock, datastore, logger } = init
    const logHash = await hashOf(id)
    const epoch = await nextEpoch(datastore, 0, clock, logger.forComponent('libp2p-sheaf:shared-log'))
    const log = new SharedLog(init, logHash, epoch)

    try {
      await log.#open()
      return log
    } catch (err) {
      await log.end()
      throw err
    }
  }

  private constructor (init: SharedLogInit, logHash: Uint8Array, epoch: number) {
    const logger = init.logger.forComponent('libp2p-sheaf:shared-log')
    super(err => { logger.error('a listener of %s failed - %e', init.id, err) })
    const { id, options, clock, random, port, signer, datastore, traffic = new Traffic(), logs = () => 1 } = init
    this.id = id
    this.#init = init
    this.#logger = logger
    this.#self = keyOf(peerIdFromPrivateKey(init.privateKey))
    this.#counters = new Counters(traffic.dropped)
    this.#shelves = new Shelves(datastore, id, clock)
    this.#replicas = checkedReplicas(options.replicas)
    this.#context = {
      self: this.#self,
      clock,
      random,
      randomBytes: init.randomBytes ?? randomBytes,
      logger,
      counters: this.#counters,
      traffic,
      pacer: init.pacer ?? new Pacer(clock),
      trust: new Trust(),
      sizes: sizesFor(port.maxMessageSize),
      resting: ms => Math.max(ms, limits.REST_A_LOG * logs())
    }
    this.#replica = new Replica({
      id,
      logHash,
      topic: `sheaf/log/${id.length <= MAX_ID_IN_TOPIC / 3
        ? id
        : [...logHash].map(byte => byte.toString(16).padStart(2, '0')).join('')}`,
      epoch,
      context: this.#context,
      port,
      signer,
      datastore,
      replicas: this.#replicas,
      maturity: options.maturity ?? limits.MATURITY,
      grace: options.grace ?? limits.GRACE,
      canReplicate: canReplicateOf(options),
      keep: options.keep,
      onTransition: (type, peer, segments, reason) => { this.#onTransition(type, peer, segments, reason) },
      onProgress: (peer, done, total) => {
        this.safeDispatchEvent('sync:progress', { detail: { peerId: peerOf(peer), done, total } })
      },
      onCompared: () => { this.#compared.ring() },
      take: bytes => this.#share.take(bytes),
      settle: (taken, added) => { this.#share.settle(taken, added) }
    })
    this.#share = new OwnShare({
      context: this.#context,
      roster: this.#replica.roster,
      replicas: this.#replicas.min,
      bytesIn: async segments => await this.#replica.parts?.digests.bytesIn(segments) ?? 0,
      weighOthers: async () => this.#replica.weighOthers(),
      onAdapt: segments => {
        this.#replica.roster.say(segments).catch(err => { logger.error('what is kept could not be changed - %e', err) })
      }
    }, options.replicate ?? true)
    this.#remoteReads = new RemoteReads({
      id,
      clock,
      canAppend: options.canAppend,
      questions: this.#replica.questions,
      roster: this.#replica.roster,
      trust: this.#context.trust,
      replicas: this.#replicas.min,
      pairs: () => this.#replica.parts?.antiEntropy.pairs
    })
  }

  get status (): SharedLogFace['status'] {
    return this.#status
  }

  get length (): number {
    return this.#log?.length ?? 0
  }

  get nextArrival (): number {
    return this.#log?.nextArrival ?? 0
  }

  async append (data: Uint8Array, options: AppendOptions = {}): Promise<Entry> {
    this.#expectFits(data)
    const entry = await this.#opened.append(data, options)
    this.#appended(1, data.byteLength)
    await this.#spread([entry], options)
    return entry
  }

  async appendMany (
    items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options: AppendOptions = {}
  ): Promise<Entry[]> {
    let bytes = 0
    const look = (data: Uint8Array): void => {
      this.#expectFits(data)
      bytes += data.byteLength
    }
    const entries = await this.#opened.appendMany(each(items, look), options)
    this.#appended(entries.length, bytes)
    await this.#spread(entries, options)
    return entries
  }

  async acked (entry: Entry, ack: 'leaders' | number, options: AbortOptions = {}): Promise<void> {
    this.#expectOpen()
    await this.#replica.acked(entry, ack, options)
  }

  async get (id: EntryId): Promise<Entry | undefined> {
    return this.#opened.get(id)
  }

  async has (id: EntryId): Promise<boolean> {
    return this.#opened.has(id)
  }

  async heads (): Promise<Entry[]> {
    return this.#opened.heads()
  }

  entries (options?: EntriesOptions): AsyncGenerator<Entry> {
    return this.#opened.entries(options)
  }

  export (options?: ExportOptions): AsyncGenerator<Uint8Array> {
    return this.#opened.export(options)
  }

  async import (source: Bytes, options?: AbortOptions): Promise<Imported> {
    try {
      return await this.#opened.import(source, options)
    } finally {
      // also what came before an archive is damaged
      this.#replica.imported()
    }
  }

  async keeps (group: Uint8Array): Promise<boolean> {
    this.#expectOpen()
    return this.#remoteReads.keeps(group)
  }

  elsewhere (options: AbortOptions & { group?: Uint8Array } = {}): AsyncGenerator<Entry> {
    this.#expectOpen()
    return this.#remoteReads.read(options)
  }

  arrivals (from?: number, options?: AbortOptions): AsyncGenerator<{ arrival: number, entry: Entry }> {
    return this.#opened.arrivals(from, options)
  }

  async marked (program: string): Promise<number> {
    return this.#opened.marked(`user ${program}`)
  }

  async mark (program: string, arrival: number): Promise<void> {
    await this.#opened.mark(`user ${program}`, arrival)
  }

  shelf (program: string): Shelf {
    // one that is in use can be written until it is closed itself
    if (!this.#shelves.has(program)) {
      this.#expectOpen()
    }

    return this.#shelves.of(program)
  }

  async trim (options: TrimOptions): Promise<number> {
    return this.#opened.trim(options)
  }

  async replicate (options: Replicate): Promise<void> {
    this.#expectOpen()
    await this.#replica.roster.say(this.#share.set(options))
    this.#changed()
  }

  async unreplicate (): Promise<void> {
    await this.replicate(false)
  }

  replicators (): Replicator[] {
    const others = this.#replica.roster.replicators.map(({ peer, segments, isMature }): Replicator => {
      return { peerId: peerOf(peer), segments, state: isMature ? 'mature' : 'joined', self: false }
    })
    const { segments } = this.#replica.roster

    if (segments.length === 0 || this.#status !== 'open') {
      return others
    }

    // alone there is nobody who could have been in for longer
    const isMature = this.#replica.roster.isMature || others.length === 0
    return [...others, { peerId: peerOf(this.#self), segments, state: isMature ? 'mature' : 'joined', self: true }]
  }

  coverage (): number {
    return this.#replica.roster.coverage()
  }

  async waitForReplicators ({ count, coverage, signal }: WaitForReplicatorsOptions = {}): Promise<Replicator[]> {
    const least = count ?? (coverage == null ? 2 : 0)

    for (;;) {
      signal?.throwIfAborted()
      this.#expectOpen()
      const replicators = this.replicators()

      if (replicators.length >= least && this.coverage() >= (coverage ?? 0)) {
        return replicators
      }

      await this.#whoKeeps.rung({ signal })
    }
  }

  synced (segment?: Segment): SyncReport {
    const { isSynced, peers } = syncReport(this.#replica, segment)
    return { isSynced: isSynced && this.#status === 'open', peers }
  }

  async waitForSync ({ signal }: AbortOptions = {}): Promise<void> {
    const { clock } = this.#init
    const patience = clock.now() + limits.INTRODUCTION

    for (;;) {
      signal?.throwIfAborted()
      this.#expectOpen()

      // one that has just come may keep the same, and not have said so yet
      if (this.synced().isSynced && (this.#replica.unheard.length === 0 || clock.now() >= patience)) {
        return
      }

      const timer = clock.after(limits.LOOK_AGAIN, () => { this.#compared.ring() })

      try {
        await this.#compared.rung({ signal })
      } finally {
        timer.cancel()
      }
    }
  }

  diagnostics (): SharedLogDiagnostics {
    const { min } = this.#replicas
    // one that does not answer, or cannot prove what it says it keeps, is no copy
    const relied = this.replicators()
      .filter(({ self, peerId }) => self || !this.#context.trust.isFailing(keyOf(peerId)))
    const copies = copiesOf(relied, min)

    return {
      status: this.#status,
      log: this.#opened.diagnostics(),
      coverage: this.coverage(),
      copies,
      peers: peersOf(this.#replica),
      problems: problemsOf(this.#replica, { replicas: min, copies }),
      sizes: { ...sizesOf(this.#replica), watchers: this.#whoKeeps.waiting + this.#compared.waiting },
      dropped: this.#counters.toJSON()
    }
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

  /** Ends it, whoever has opened it */
  async end (): Promise<void> {
    await this.#end(async log => log.close())
  }

  /** Ends it, and deletes what there is of it */
  async delete (): Promise<void> {
    await this.#end(async log => log.drop())
    await this.#replica.roster.drop()
  }

  async #open (): Promise<void> {
    const { id, datastore, privateKey, logger, clock, options, openLog: open = openLog } = this.#init
    const { canAppend, keep, signal } = options
    const segments = this.#share.first
    // others may speak as soon as we are on the topic: what they say is noted
    const joining = this.#replica.join()
    // looked at when the log is open, which may be too late for Node
    joining.catch(() => {})
    const log = this.#log = await open({ id, datastore, privateKey, logger, clock, canAppend, keep })
    signal?.throwIfAborted()
    await this.#replica.roster.load()
    await joining
    log.addEventListener('entry:add', ({ detail }) => { this.safeDispatchEvent('entry:add', { detail }) })
    log.addEventListener('entry:remove', ({ detail }) => { this.safeDispatchEvent('entry:remove', { detail }) })
    this.#status = 'open'
    await this.#replica.open(log, segments)
    // there may be nobody whose coming would make it look
    this.#share.changed()
  }

  async #end (end: (log: Log) => Promise<void>): Promise<void> {
    this.#status = 'closing'
    this.#share.stop()
    this.#changed()

    try {
      await Promise.all([this.#replica.close(), this.#closeShelves()])
    } finally {
      if (this.#log != null) {
        await end(this.#log)
      }
      this.#status = 'closed'
      this.safeDispatchEvent('close', {})
    }
  }

  /** When those who have something on them have written their last */
  async #closeShelves (): Promise<void> {
    const work: Array<Promise<unknown>> = []
    this.safeDispatchEvent('closing', { detail: { waitUntil: (promise: Promise<unknown>) => { work.push(promise) } } })
    await within(this.#init.clock, limits.CLOSING_PATIENCE, Promise.allSettled(work).then(() => {}), () => {
      this.#logger.error(
        'what is done while %s closes takes longer than %d ms: it is not waited for', this.id, limits.CLOSING_PATIENCE
      )
    })
    await this.#shelves.close()
  }

  #appended (entries: number, bytes: number): void {
    const { traffic } = this.#context
    traffic.add('appended_entries', entries)
    traffic.add('appended_bytes', bytes)
  }

  /** They go to those who keep them. A promise where somebody waits for those */
  #spread (entries: Entry[], { ack = 'stored', signal }: AppendOptions): Promise<unknown> | undefined {
    if (ack !== 'stored') {
      return this.#acked(entries, ack, { signal })
    }

    entries.forEach(entry => { this.#replica.spread(entry) })
  }

  async #acked (entries: Entry[], ack: 'leaders' | number, options: AbortOptions): Promise<void> {
    const { clock, traffic } = this.#context
    const began = clock.now()
    await Promise.all(entries.map(async entry => this.#replica.acked(entry, ack, options)))
    traffic.acked(clock.now() - began)
  }

  #onTransition (type: Transition['type'], peer: Key, segments: Segment[], reason?: LeaveReason): void {
    const detail = { peerId: peerOf(peer), segments }

    if (type === 'leave') {
      this.safeDispatchEvent('replicator:leave', { detail: { ...detail, reason: reason as LeaveReason } })
    } else if (type === 'change') {
      this.safeDispatchEvent('replication:change', { detail })
    } else {
      this.safeDispatchEvent(`replicator:${type}`, { detail })
    }

    this.#changed()
  }

  /** Who keeps what has changed */
  #changed (): void {
    this.#whoKeeps.ring()
    this.#compared.ring()

    if (this.#status === 'open') {
      this.#share.changed()
    }
  }

  /** What is no Uint8Array the log refuses */
  #expectFits (data: Uint8Array): void {
    const byteLength = data?.byteLength
    const max = this.#init.port.maxMessageSize - limits.MAX_ENTRY_OVERHEAD

    if (byteLength > max) {
      throw new EntryTooLargeError(`${byteLength} bytes where at most ${max} go into one entry: ` +
        'split them into several, or register transfers(), with which an entry may have 16 MiB')
    }
  }

  get #opened (): Log {
    this.#expectOpen()
    return this.#log as Log
  }

  #expectOpen (): void {
    if (this.#status !== 'open') {
      throw new LogClosedError(`The log '${this.id}' is not open any more: open it again`)
    }
  }
}

function checkedReplicas (
  { min, max = limits.MAX_REPLICAS }: { min: number, max?: number } = { min: limits.MIN_REPLICAS }
): { min: number, max: number } {
  if (!Number.isInteger(min) || !Number.isInteger(max) || min < 1 || max < min || max > limits.MAX_REPLICAS) {
    throw new InvalidOptionsError(`replicas from ${min} to ${max}: ` +
      `they are whole numbers from 1 to ${limits.MAX_REPLICAS}`)
  }
  return { min, max }
}

/** Whom a log lets replicate, by whichever option says so. Undefined: it is for friends, and lets everybody */
function canReplicateOf ({ canReplicate, replicators }: OpenOptions): OpenOptions['canReplicate'] {
  if (canReplicate != null && replicators != null) {
    throw new InvalidOptionsError('Both canReplicate and replicators say who may keep the log: leave one of them out')
  }
  if (replicators == null) {
    return canReplicate
  }

  const named = new Set(replicators.map(peerId => keyOf(peerId)))
  return peerId => named.has(keyOf(peerId))
}

async function * each (
  items: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, look: (item: Uint8Array) => void
): AsyncGenerator<Uint8Array> {
  for await (const item of items) {
    look(item)
    yield item
  }
}
